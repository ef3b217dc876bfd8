package smtp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/smtp"
)

// mailpit is a mail server that shows what it was sent over HTTP.
func mailpit(t *testing.T) (api, smtp string) {
	api = outputstest.Start(t, outputstest.Program{
		Module: "mailpit",
		Args: func(address, dir string) []string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			smtp = l.Addr().String()
			l.Close()
			return []string{
				"--listen", address, "--smtp", smtp, "--database", filepath.Join(dir, "mails.db"),
				"--smtp-auth-accept-any", "--smtp-auth-allow-insecure", "--disable-version-check",
			}
		},
		Ready: "/readyz",
		IsUp: func(ctx context.Context, address string) error {
			if err := outputstest.Accepts(ctx, address); err != nil {
				return err
			}
			return outputstest.Accepts(ctx, smtp)
		},
	})
	return api, smtp
}

func get(t *testing.T, address string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %.200s (%v)", address, res.Status, body, err)
	}
}

func TestRealMailpitShowsEveryMail(t *testing.T) {
	api, smtp := mailpit(t)
	sender, err := outputstest.New("smtp", fmt.Sprintf(
		"{hostport: '%s', tls: false, user: a, password: b, from: 'Falco <falco@example.com>', to: 'Grüße <b@example.com>, c@example.com'}", smtp), outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	defer sender.(io.Closer).Close()
	var all []event.Event
	for _, f := range outputstest.Events() {
		all = append(all, f.Event)
	}
	if err := sender.Send(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	var list struct {
		Total    int
		Messages []struct {
			ID, MessageID, Subject string
			To                     []struct{ Name, Address string }
		}
	}
	get(t, api+"/api/v1/messages?limit=100", &list)
	if list.Total != len(all) {
		t.Fatalf("%d mails arrived, want %d", list.Total, len(all))
	}
	for _, m := range list.Messages {
		if m.MessageID != all[0].UUID+"@example.com" {
			continue
		}
		if want := "[Error] " + all[0].Output; m.Subject != want {
			t.Errorf("the subject is %q, want %q", m.Subject, want)
		}
		if len(m.To) != 2 || m.To[0].Name != "Grüße" || m.To[0].Address != "b@example.com" {
			t.Errorf("the recipients are %+v", m.To)
		}
		var mail struct {
			Text, HTML string
			Date       time.Time
		}
		get(t, api+"/api/v1/message/"+m.ID, &mail)
		if !mail.Date.Equal(all[0].Time.Truncate(time.Second)) || len(mail.Text) < 200 || len(mail.HTML) < 2000 {
			t.Errorf("the mail of %v has %d bytes of text and %d of HTML", mail.Date, len(mail.Text), len(mail.HTML))
		}
		return
	}
	t.Errorf("no mail has the event's UUID: %+v", list.Messages[0])
}
