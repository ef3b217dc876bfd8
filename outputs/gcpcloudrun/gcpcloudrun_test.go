package gcpcloudrun_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/saker-security/saker/event"
	_ "github.com/saker-security/saker/outputs/gcpcloudrun"
	"github.com/saker-security/saker/outputs/internal/gcpx/gcpxtest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func Test(t *testing.T) {
	account := gcpxtest.New(t)
	outputstest.HTTP{
		Kind:   "gcpcloudrun",
		Config: "{endpoint: URL/falco, jwt: s3cret.jwt, credentials: " + account.Credentials + "}",
		Secret: "s3cret.jwt " + account.Secret,
		Answer: service,
		Clean:  gcpxtest.Clean,
		Variants: map[string]string{
			"account": "{endpoint: URL/falco, credentials: " + account.Credentials + "}",
		},
		Wrong: map[string]string{
			"{}":                            "endpoint",
			"{jwt: s3cret.jwt}":             "endpoint",
			"{endpoint: falco-x.a.run.app}": "must be a URL",
			"{endpoint: URL, jwt: \"s3cret.jwt\\n\"}":  "has a character",
			"{endpoint: URL, credentials: s3cret.jwt}": "credentials",
		},
	}.Run(t)
}

// service answers as Cloud Run does in front of a service that needs authentication.
func service(w http.ResponseWriter, r *http.Request, body []byte) {
	if r.Header.Get("Authorization") != "Bearer s3cret.jwt" && !gcpxtest.Check(r) {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token" error_description="The access token could not be verified"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if _, err := event.Decode(body); err != nil || r.Method != http.MethodPost {
		http.Error(w, "the payload is not an event", http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, "OK")
}

func TestTheTokensAudienceIsTheHostUnlessItIsSet(t *testing.T) {
	outputstest.NoLeak(t)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	for more, want := range map[string]string{
		"": "https://" + server.Listener.Addr().String(), ", audience: 'https://falco.example'": "https://falco.example",
	} {
		account := gcpxtest.New(t)
		s, err := outputstest.New("gcpcloudrun", "{endpoint: '"+server.URL+"/a/b?c=d', credentials: "+account.Credentials+more+"}", outputstest.Env(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(t.Context(), []event.Event{outputstest.Plain()}); err != nil {
			t.Error(err)
		}
		if got := account.Claim("target_audience"); got != want {
			t.Errorf("the audience is %v, want %s", got, want)
		}
		if err := s.(io.Closer).Close(); err != nil { //nolint:forcetypeassert // a sender over HTTP is one
			t.Error(err)
		}
	}
}
