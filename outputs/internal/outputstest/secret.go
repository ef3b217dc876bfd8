package outputstest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// NoSecret fails the test when text shows one of the space-separated secrets, plainly,
// escaped for a URL or in base64.
func NoSecret(t testing.TB, secrets, text string) {
	t.Helper()
	for secret := range strings.FieldsSeq(secrets) {
		for _, form := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if strings.Contains(text, form) {
				t.Errorf("the secret %q shows in %q", form, text)
			}
		}
	}
}

// NoSecretIn fails the test when any usual way of printing v shows one of the secrets.
func NoSecretIn(t testing.TB, secrets string, v any) {
	t.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		NoSecret(t, secrets, fmt.Sprintf(verb, v))
	}
	if text, err := json.Marshal(v); err == nil {
		NoSecret(t, secrets, string(text))
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("", "v", v)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("", "v", v)
	NoSecret(t, secrets, log.String())
}

func (h HTTP) secrets(t *testing.T) {
	if h.Secret == "" {
		t.Skip("the output has no secret")
	}
	for secret := range strings.FieldsSeq(h.Secret) {
		if !strings.Contains(h.Config, secret) {
			t.Fatalf("the configuration does not hold the secret %q", secret)
		}
	}
	s, sender := h.begin(t)
	kind := Kind(t, h.Kind)
	cfg, err := Load(kind, strings.ReplaceAll(h.Config, "URL", s.URL))
	if err != nil {
		t.Fatal(err)
	}
	NoSecretIn(t, h.Secret, cfg)
	NoSecretIn(t, h.Secret, sender)
	for _, status := range []int{302, 400, 401, 404, 429, 500} {
		s.answerWith(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1"+r.RequestURI)
			w.WriteHeader(status)
			// Many services say in their answer what they were asked.
			fmt.Fprintf(w, "no %s, path %s, query %v, headers %v", r.RequestURI, r.URL.Path, r.URL.Query(), r.Header)
		})
		err := sender.Send(t.Context(), plain())
		if err == nil {
			t.Errorf("status %d was taken for success", status)
			continue
		}
		NoSecretIn(t, h.Secret, err)
	}
}
