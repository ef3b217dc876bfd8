package auth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/saker-security/saker/config"
)

var many = Config{
	Token: config.NewSecret("main"), Username: "ann", Password: config.NewSecret("pw"),
	Tokens: map[string]config.Secret{"node-a": config.NewSecret("aaa"), "node-b": config.NewSecret("bbb")},
}

func request(authorization string) *http.Request {
	r := httptest.NewRequest("POST", "/", http.NoBody)
	r.Header.Set("Authorization", authorization)
	return r
}

func basic(user, password string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

func TestNamedTokensOpenTheSendersDoorOnly(t *testing.T) {
	for _, tc := range []struct {
		authorization, name string
		sender, page        bool
	}{
		{"Bearer aaa", "node-a", true, false},
		{"Bearer bbb", "node-b", true, false},
		{"bearer  bbb ", "node-b", true, false},
		{"Bearer main", NameToken, true, true},
		{"Bearer ccc", "", false, false},
		{"Bearer ", "", false, false},
		{"", "", false, false},
		{basic("ann", "pw"), "ann", true, true},
		{basic("bob", "pw"), "", false, false},
		{basic("anybody", "aaa"), "node-a", true, false},
		{basic("", "main"), NameToken, true, true},
		{"Basic ???", "", false, false},
		{"Digest aaa", "", false, false},
	} {
		name, ok := Senders(many).Sender(request(tc.authorization))
		if name != tc.name || ok != tc.sender {
			t.Errorf("%q at the senders' door: %q, %v", tc.authorization, name, ok)
		}
		if got := New(many).Allows(request(tc.authorization)); got != tc.page {
			t.Errorf("%q at the page's door: %v", tc.authorization, got)
		}
	}
}

func TestATokenThatWasTakenBackOpensNothingAndTouchesNoOther(t *testing.T) {
	rest := many
	rest.Tokens = map[string]config.Secret{"node-b": many.Tokens["node-b"]}
	g := Senders(rest)
	if g.Allows(request("Bearer aaa")) || !g.Allows(request("Bearer bbb")) {
		t.Error("the wrong token was taken back")
	}
}

func TestTokensAloneCloseTheSendersDoorAndLeaveThePageOpen(t *testing.T) {
	c := Config{Tokens: map[string]config.Secret{"a": config.NewSecret("x")}}
	if !Senders(c).Enabled() || New(c).Enabled() || c.Enabled() {
		t.Error("the doors are mixed up")
	}
}

func TestTokensThatCannotTellSendersApartAreRefused(t *testing.T) {
	tokens := func(pairs ...string) Config {
		c := Config{Token: config.NewSecret("main"), Username: "ann", Password: config.NewSecret("s3cret"), Tokens: map[string]config.Secret{}}
		for i := 0; i < len(pairs); i += 2 {
			c.Tokens[pairs[i]] = config.NewSecret(pairs[i+1])
		}
		return c
	}
	for _, tc := range []struct {
		config Config
		want   string
	}{
		{tokens("a", "x", "b", "y"), ""},
		{tokens("a", ""), `tokens: the token of "a" must not be empty`},
		{tokens("a", "s3cret-x", "b", "s3cret-x"), `tokens: the token of "b" is that of "a", too`},
		{tokens("a", "main"), `tokens: the token of "a" is that of auth.token, too`},
		{tokens("token", "x"), `tokens: the name "token" is taken by another credential`},
		{tokens("ann", "x"), `tokens: the name "ann" is taken by another credential`},
		{tokens(strings.Repeat("a", 64), "x"), "tokens: a name must have 1 to 63 bytes"},
	} {
		got := ""
		if err := tc.config.Validate(); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

func TestTheConfigurationKeepsNamedTokensHidden(t *testing.T) {
	var c struct {
		Auth Config `key:"auth"`
	}
	file := "auth: {tokens: {node-a: s3cret}}"
	if _, err := config.Load(config.Source{File: "f.yaml", Text: []byte(file)}, config.Section{Into: []any{&c}}); err != nil {
		t.Fatal(err)
	}
	if c.Auth.Tokens["node-a"].Reveal() != "s3cret" {
		t.Errorf("got %v", c.Auth)
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if text := fmt.Sprintf(verb, c.Auth); strings.Contains(text, "s3cret") {
			t.Errorf("%s shows the token: %s", verb, text)
		}
	}
}
