package smtp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const login = "tls: false, user: " + user + ", password: " + password

func Test(t *testing.T) {
	const common = "hostport: ADDR, from: a@x, to: 'b@x, c@x', " + login
	outputstest.Wire{
		Kind:   "smtp",
		Config: "{" + common + "}",
		Secret: password,
		Variants: map[string]string{
			"text":  "{" + common + ", outputformat: text}",
			"names": "{hostport: ADDR, from: 'Falco <falco@example.com>', to: '\"Grüße, Team\" <b@example.com>,c@example.com', outputformat: text, helo: node.example.com, " + login + "}",
		},
		Wrong: map[string]string{
			"{from: a@x, to: b@x}":                                      "hostport",
			"{hostport: ADDR, to: b@x}":                                 "from",
			"{hostport: ADDR, from: a@x}":                               "to",
			"{hostport: smtp.example.com, from: a@x, to: b@x}":          "hostport: must be host:port",
			"{hostport: ':25', from: a@x, to: b@x}":                     "hostport: must be host:port",
			"{hostport: 'h:0', from: a@x, to: b@x}":                     "hostport: must be host:port",
			"{hostport: 'h:smtp', from: a@x, to: b@x}":                  "hostport: must be host:port",
			"{hostport: ADDR, from: 'a@x, b@x', to: b@x}":               "from: must be one e-mail address",
			"{hostport: ADDR, from: a@x, to: 'b@x>'}":                   "is no e-mail address",
			"{hostport: ADDR, from: a@x, to: \"b@x\\r\\nBcc: d@x\"}":    "to: must not have control characters",
			"{hostport: ADDR, from: a@x, to: ' , '}":                    "to: must have an e-mail address",
			"{hostport: ADDR, from: a@x, to: b@x, authmechanism: ntlm}": "authmechanism",
			"{hostport: ADDR, from: a@x, to: b@x, helo: 'a b'}":         "helo: must be the name of a host",
			"{hostport: ADDR, from: a@x, to: b@x, outputformat: pdf}":   "outputformat",
		},
		Serve: func(t *testing.T) outputstest.Peer {
			m := serve(t, nil, false)
			return outputstest.Peer{Address: m.address, Take: func(t *testing.T, n int) string {
				mails := m.take()
				if len(mails) != n {
					t.Errorf("%d mails arrived, want %d", len(mails), n)
				}
				return strings.ReplaceAll(strings.Join(mails, ""), "\r\n", "\n")
			}}
		},
	}.Run(t)
}

func TestABatchGoesOverOneConnectionThatIsKept(t *testing.T) {
	m := serve(t, nil, false)
	s := open(t, m, login, outputstest.Env(t))
	for _, rules := range [][]string{{"a", "b", "c"}, {"d"}} {
		if err := s.Send(t.Context(), batch(rules...)); err != nil {
			t.Fatal(err)
		}
	}
	if got := subjects(m.take()); got != "a b c d" || m.connections() != 1 {
		t.Errorf("%q arrived over %d connections", got, m.connections())
	}
}

func TestAConnectionThatTheServerHasClosedIsMadeAnew(t *testing.T) {
	m := serve(t, nil, false)
	s := open(t, m, login, outputstest.Env(t))
	if err := s.Send(t.Context(), batch("a")); err != nil {
		t.Fatal(err)
	}
	s.conn.raw.Close()
	if err := s.Send(t.Context(), batch("b")); err != nil {
		t.Errorf("after the connection was lost: %v", err)
	}
	if got := subjects(m.take()); got != "a b" || m.connections() != 2 {
		t.Errorf("%q arrived over %d connections", got, m.connections())
	}
}

func refusal(code int, enhanced gosmtp.EnhancedCode, text string) error {
	return &gosmtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
}

func TestEachRefusalHasItsOutcome(t *testing.T) {
	none := gosmtp.EnhancedCode{}
	for _, c := range []struct {
		name, step string
		answer     error
		want       outputstest.Outcome
	}{
		{"busy", "mail", refusal(451, none, "try again later"), outputstest.NotNow},
		{"hanging up", "mail", refusal(421, none, "too many connections"), outputstest.NotNow},
		{"a sender who may not", "mail", refusal(550, gosmtp.EnhancedCode{5, 7, 1}, "not yours"), outputstest.Held},
		{"log in first", "mail", refusal(530, none, "authentication required"), outputstest.Held},
		{"too large at once", "mail", refusal(552, gosmtp.EnhancedCode{5, 3, 4}, "too large"), outputstest.Rejected},
		{"no such recipients", "rcpt", refusal(550, gosmtp.EnhancedCode{5, 1, 1}, "no such user"), outputstest.Held},
		{"greylisting", "rcpt", refusal(450, gosmtp.EnhancedCode{4, 2, 0}, "greylisted"), outputstest.NotNow},
		{"a full mailbox", "rcpt", refusal(552, gosmtp.EnhancedCode{5, 2, 2}, "mailbox full"), outputstest.Held},
		{"spam", "data", refusal(554, gosmtp.EnhancedCode{5, 7, 1}, "spam"), outputstest.Rejected},
		{"too large", "data", refusal(552, none, "too much mail data"), outputstest.Rejected},
		{"an account that may not send", "data", refusal(554, gosmtp.EnhancedCode{5, 7, 60}, "SendAsDenied"), outputstest.Held},
		{"no log-in", "data", refusal(530, none, "who are you"), outputstest.Held},
		{"full", "data", refusal(452, none, "insufficient storage"), outputstest.NotNow},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := serve(t, nil, false)
			s := open(t, m, login, outputstest.Env(t))
			m.refusing(func(step string) error {
				if strings.HasPrefix(step, c.step) {
					return c.answer
				}
				return nil
			})
			err := s.Send(t.Context(), batch("a"))
			if got := outputstest.OutcomeOf(err); got != c.want {
				t.Errorf("send is %q (%v), want %q", got, err, c.want)
			}
			m.refusing(nil)
			if err := s.Send(t.Context(), batch("b")); err != nil {
				t.Errorf("the next mail: %v", err)
			}
			if got := subjects(m.take()); got != "b" {
				t.Errorf("%q arrived", got)
			}
		})
	}
}

func TestOneRefusedMailDoesNotSpoilItsBatch(t *testing.T) {
	m := serve(t, nil, false)
	s := open(t, m, login, outputstest.Env(t))
	n := 0
	m.refusing(func(step string) error {
		if step != "data" {
			return nil
		}
		if n++; n == 2 {
			return refusal(554, gosmtp.EnhancedCode{5, 6, 0}, "bad content")
		}
		return nil
	})
	err := s.Send(t.Context(), batch("a", "b", "c"))
	failed, ok := errors.AsType[outputs.Partial](err)
	if !ok || len(failed) != 1 || !outputs.Rejected(failed[1]) {
		t.Errorf("send returned %v", err)
	}
	if got := subjects(m.take()); got != "a c" {
		t.Errorf("%q arrived", got)
	}
}

func TestWhatStopsOneMailStopsThoseAfterIt(t *testing.T) {
	m := serve(t, nil, false)
	s := open(t, m, login, outputstest.Env(t))
	n := 0
	m.refusing(func(step string) error {
		if step != "data" {
			return nil
		}
		if n++; n >= 2 {
			return refusal(452, gosmtp.EnhancedCode{4, 3, 1}, "insufficient storage")
		}
		return nil
	})
	err := s.Send(t.Context(), batch("a", "b", "c"))
	failed, ok := errors.AsType[outputs.Partial](err)
	if !ok || len(failed) != 2 || failed[1] == nil || failed[2] == nil || outputs.Rejected(failed[1]) {
		t.Errorf("send returned %v", err)
	}
	if got := subjects(m.take()); got != "a" || n != 2 {
		t.Errorf("%q arrived after %d attempts", got, n)
	}
}

func TestARefusedRecipientKeepsTheMailFromNobodyElse(t *testing.T) {
	m := serve(t, nil, false)
	var log bytes.Buffer
	env := outputstest.Env(t)
	env.Log = slog.New(slog.NewTextHandler(&log, nil))
	s := open(t, m, login, env)
	m.refusing(func(step string) error {
		if step == "rcpt b@x.example" {
			return refusal(550, gosmtp.EnhancedCode{5, 1, 1}, "no such user")
		}
		return nil
	})
	if err := s.Send(t.Context(), batch("a", "b")); err != nil {
		t.Fatal(err)
	}
	mails := m.take()
	if len(mails) != 2 || !strings.HasPrefix(mails[0], "MAIL FROM a@x.example TO c@x.example\n") {
		t.Errorf("%d mails arrived", len(mails))
	}
	if n := strings.Count(log.String(), "no such user"); n != 1 {
		t.Errorf("it is logged %d times, want once: %s", n, log.String())
	}
}

func TestAMessageLargerThanTheServerTakesIsRejectedBeforeItIsSent(t *testing.T) {
	m := serve(t, nil, false, func(m *mailServer) { m.MaxMessageBytes = 6000 })
	s := open(t, m, login, outputstest.Env(t))
	large := outputstest.Plain()
	large.Output = strings.Repeat("x ", 4000)
	err := s.Send(t.Context(), []event.Event{large})
	if !outputs.Rejected(err) || !strings.Contains(err.Error(), "more than the 6000") {
		t.Errorf("got %v", err)
	}
	if err := s.Send(t.Context(), batch("small")); err != nil {
		t.Error(err)
	}
	if got := subjects(m.take()); got != "small" || m.connections() != 1 {
		t.Errorf("%q arrived over %d connections", got, m.connections())
	}
}

func TestASendThatIsGivenUpLeavesNothingBehind(t *testing.T) {
	outputstest.NoLeak(t)
	m := serve(t, nil, false)
	s := open(t, m, login, outputstest.Env(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.refusing(func(step string) error {
		if step == "rcpt c@x.example" {
			cancel()
			<-ctx.Done()
		}
		return nil
	})
	if err := s.Send(ctx, batch("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	m.refusing(nil)
	if err := s.Send(t.Context(), batch("b")); err != nil {
		t.Error(err)
	}
}

// Every message must be one that mail programs can read, whatever the event holds.
func TestEveryMessageIsWellFormed(t *testing.T) {
	nasty := outputstest.Plain()
	nasty.Output = "a\r\nBcc: d@x\r\n\r\n--" + boundary + "--\n.\nend\rof\x00it"
	for _, format := range []string{"html", "text"} {
		for _, f := range append(outputstest.Events(), outputstest.Fixture{Name: "nasty", Event: nasty}) {
			raw := message(Config{From: "a@x", To: "b@x", OutputFormat: format}, "a@x", f.Event)
			for line := range strings.SplitSeq(string(raw), "\r\n") {
				if len(line) > maxLine || strings.ContainsAny(line, "\r\n\x00") {
					t.Errorf("%s %s: a line of %d bytes: %.60q", format, f.Name, len(line), line)
				}
			}
			m, err := mail.ReadMessage(bytes.NewReader(raw))
			if err != nil {
				t.Errorf("%s %s: %v", format, f.Name, err)
				continue
			}
			if m.Header.Get("Bcc") != "" {
				t.Errorf("%s %s: the event has added a header", format, f.Name)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			if err != nil || !strings.HasPrefix(subject, "["+f.Event.Priority.String()+"]") {
				t.Errorf("%s %s: the subject is %.60q (%v)", format, f.Name, subject, err)
			}
			parts := readParts(t, m)
			if want := map[string]int{"html": 2, "text": 1}[format]; len(parts) != want {
				t.Errorf("%s %s: %d parts, want %d", format, f.Name, len(parts), want)
			}
			if want := strings.ReplaceAll(strings.ReplaceAll(text(f.Event), "\r\n", "\n"), "\r", "\n"); parts[0] != want {
				t.Errorf("%s %s: the text reads %.200q, want %.200q", format, f.Name, parts[0], want)
			}
		}
	}
}

// readParts returns the texts of the message's parts with plain line ends.
func readParts(t *testing.T, m *mail.Message) []string {
	t.Helper()
	decode := func(encoding string, r io.Reader) string {
		if encoding == "quoted-printable" {
			r = quotedprintable.NewReader(r)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Error(err)
		}
		return strings.ReplaceAll(string(body), "\r\n", "\n")
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if kind == "text/plain" {
		return []string{decode(m.Header.Get("Content-Transfer-Encoding"), m.Body)}
	}
	var parts []string
	r := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		// The line end before the boundary belongs to the boundary.
		parts = append(parts, decode(part.Header.Get("Content-Transfer-Encoding"), part)+"\n")
	}
}

func FuzzAddresses(f *testing.F) {
	f.Add("a@x, b@x")
	f.Add("\"A, B\" <a@x>, root")
	f.Add("a@x\r\nRCPT TO:<b@x>")
	f.Fuzz(func(t *testing.T, list string) {
		found, err := addresses(list)
		if err != nil {
			return
		}
		for _, a := range found {
			if a == "" || strings.ContainsAny(a, "\r\n\x00") {
				t.Errorf("%q has the address %q", list, a)
			}
		}
	})
}
