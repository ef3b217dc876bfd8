package sentry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/httpx"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const key = "s3cret0123456789abcdef0123456789"

// accept refuses what Sentry's relay refuses.
func accept(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	refuse := func(status int, text string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"detail":%q}`, text)
	}
	if r.Header.Get("Content-Type") != "application/x-sentry-envelope" || !strings.HasSuffix(r.Header.Get("X-Sentry-Auth"), "sentry_key="+key) {
		refuse(http.StatusForbidden, "bad request: missing or wrong authorization")
		return
	}
	id, err := readEnvelope(body)
	if err != nil {
		refuse(http.StatusBadRequest, "invalid event envelope: "+err.Error())
		return
	}
	fmt.Fprintf(w, `{"id":%q}`, id)
}

// readEnvelope reads an envelope with one event, strictly.
func readEnvelope(body []byte) (id string, err error) {
	lines := bytes.SplitN(body, []byte("\n"), 3)
	if len(lines) != 3 {
		return "", fmt.Errorf("%d lines", len(lines))
	}
	var header struct {
		EventID string `json:"event_id"`
	}
	var item struct {
		Type   string
		Length int
	}
	if err := json.Unmarshal(lines[0], &header); err != nil {
		return "", err
	}
	if err := json.Unmarshal(lines[1], &item); err != nil {
		return "", err
	}
	if item.Type != "event" || len(lines[2]) != item.Length+1 || lines[2][item.Length] != '\n' {
		return "", fmt.Errorf("the item of type %q has %d bytes, not %d", item.Type, len(lines[2])-1, item.Length)
	}
	var e struct {
		EventID     string `json:"event_id"`
		Timestamp   string
		LogEntry    logEntry
		Fingerprint []string
		Tags        map[string]string
		Contexts    map[string]map[string]any
	}
	if err := json.Unmarshal(lines[2], &e); err != nil {
		return "", err
	}
	at, err := time.Parse(time.RFC3339, e.Timestamp)
	switch {
	case err != nil || at.IsZero():
		return "", fmt.Errorf("the timestamp is %q", e.Timestamp)
	case e.EventID != header.EventID || !hexID.MatchString(e.EventID):
		return "", fmt.Errorf("the event's id is %q", e.EventID)
	case len(lines[2]) > 1_000_000:
		return "", fmt.Errorf("the event is too large")
	case e.LogEntry.Formatted == "" || len(e.Fingerprint) == 0 || e.Contexts["falco"] == nil:
		return "", fmt.Errorf("the event is empty")
	}
	for name, value := range e.Tags {
		if !tagName.MatchString(name) || value == "" || len([]rune(value)) > 200 || strings.Contains(value, "\n") {
			return "", fmt.Errorf("the tag %q is %q", name, value)
		}
	}
	return e.EventID, nil
}

func Test(t *testing.T) {
	const common = "apiurl: URL/, dsn: 'https://" + key + "@sentry.example.com/42'"
	outputstest.HTTP{
		Kind:   "sentry",
		Config: "{" + common + "}",
		Secret: key,
		Answer: accept,
		Hollow: map[string]outputstest.Outcome{
			`<html>log in</html>`: outputstest.Held,
			``:                    outputstest.Held,
			`{"id":"a"}`:          outputstest.Delivered,
			`{}`:                  outputstest.Delivered,
		},
		Variants: map[string]string{
			"options": "{" + common + ", environment: prod, fingerprint: [rule, priority, source, hostname, fd.name, none], tagfields: [fd.name, 'proc.aname[2]', hostname], extratags: {cluster: a, rule: mine}}",
		},
		Wrong: map[string]string{
			"{apiurl: URL}":                                  "dsn",
			"{dsn: 'https://sentry.example.com/42'}":         "dsn: must be a DSN",
			"{dsn: 'https://" + key + "@example.com/'}":      "dsn: must be a DSN",
			"{dsn: '" + key + "@example.com/42'}":            "dsn: must be a DSN",
			"{dsn: 'ftp://" + key + "@example.com/42'}":      "dsn: must be a DSN",
			"{dsn: 'https://" + key + "@example.com/4?a=b'}": "dsn: must be a DSN",
			"{" + common + ", extratags: {'a b': c}}":        "extratags",
			"{" + common + ", fingerprint: []}":              "fingerprint",
			"{dsn: 'https://" + key + "@h/42', apiurl: h}":   "apiurl",
		},
	}.Run(t)
}

func TestADSNSaysWhereToSend(t *testing.T) {
	for text, want := range map[string]string{
		"https://abc@o1.ingest.sentry.io/42":       "https://o1.ingest.sentry.io/api/42/envelope/ abc",
		"http://abc:def@sentry:9000/42":            "http://sentry:9000/api/42/envelope/ abc",
		"https://abc@example.com/sentry/sub/a-b_1": "https://example.com/sentry/sub/api/a-b_1/envelope/ abc",
		"https://abc@[::1]:9000/42":                "https://[::1]:9000/api/42/envelope/ abc",
	} {
		d, err := parseDSN(text)
		if got := d.address() + " " + d.key; err != nil || got != want {
			t.Errorf("%s: got %s (%v), want %s", text, got, err, want)
		}
	}
}

func TestNoEventIsTooLarge(t *testing.T) {
	huge := outputstest.Plain()
	for i := range 900 {
		huge.Fields = append(huge.Fields, event.Field{Name: fmt.Sprintf("z%03d", i), Value: event.StringValue(strings.Repeat("<", 8000))})
	}
	for _, f := range append(outputstest.Events(), outputstest.Fixture{Name: "huge", Event: huge}) {
		body, err := envelope(payload(Config{Fingerprint: []string{"rule"}, TagFields: []string{"proc.cmdline"}}, f.Event))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readEnvelope(body); err != nil || len(body) > 600_000 {
			t.Errorf("%s: the envelope has %d bytes (%v)", f.Name, len(body), err)
		}
	}
}

func TestAnEventWithoutAUUIDHasNoID(t *testing.T) {
	for uuid, want := range map[string]string{
		"":                                     "",
		"abc":                                  "",
		"00000000-0000-4000-8000-00000000000A": "0000000000004000800000000000000a",
	} {
		if got := eventID(uuid); got != want {
			t.Errorf("%q: got %q, want %q", uuid, got, want)
		}
	}
}

func FuzzParseDSN(f *testing.F) {
	f.Add("https://abc@o1.ingest.sentry.io/42")
	f.Add("http://abc:def@[::1]:9000/a/42")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDSN(text)
		if err != nil {
			return
		}
		if err := httpx.CheckURL(d.address()); err != nil || d.key == "" || strings.Contains(d.base, "@") {
			t.Errorf("%q becomes %+v (%v)", text, d, err)
		}
	})
}
