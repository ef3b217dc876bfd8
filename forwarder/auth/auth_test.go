package auth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/saker-security/saker/config"
)

func TestHalfACredentialIsAConfigurationError(t *testing.T) {
	secret := config.NewSecret("s3cret")
	for _, tc := range []struct {
		name   string
		config Config
		want   string
	}{
		{"nothing", Config{}, ""},
		{"token", Config{Token: secret}, ""},
		{"user and password", Config{Username: "ann", Password: secret}, ""},
		{"user alone", Config{Username: "ann"}, "password: must be set, because auth.username is"},
		{"password alone", Config{Password: secret}, "username: must be set, because auth.password is"},
		{"colon", Config{Username: "a:b", Password: secret}, "username: must not contain a colon, which HTTP basic authentication cannot carry"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ""
			if err := tc.config.Validate(); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestWithoutCredentialsEverybodyIsLetIn(t *testing.T) {
	if !New(Config{}).Allows(httptest.NewRequest("GET", "/", http.NoBody)) {
		t.Error("a request was refused")
	}
}

func TestAGuardKeepsNoCredentialInPlain(t *testing.T) {
	g := New(Config{Token: config.NewSecret("t0ken"), Username: "ann", Password: config.NewSecret("pa55")})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, g); strings.Contains(text, "t0ken") || strings.Contains(text, "pa55") {
			t.Errorf("%s shows a credential", verb)
		}
	}
}

func FuzzAuthorizationHeader(f *testing.F) {
	for _, seed := range []string{"", "Bearer t0ken", "Basic YW5uOnB3", "Basic !!!", "bearer", "Basic YW5u", "Bearer  t0ken "} {
		f.Add(seed)
	}
	g := New(Config{Token: config.NewSecret("t0ken"), Username: "ann", Password: config.NewSecret("pw")})
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest("GET", "/", http.NoBody)
		r.Header.Set("Authorization", header)
		if !g.Allows(r) {
			return
		}
		user, password, basic := r.BasicAuth()
		bearer := strings.HasPrefix(strings.ToLower(header), "bearer ") && strings.Contains(header, "t0ken")
		if !bearer && !(basic && (password == "t0ken" || user == "ann" && password == "pw")) {
			t.Errorf("%q was let in", header)
		}
	})
}
