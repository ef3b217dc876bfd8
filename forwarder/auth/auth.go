// Package auth decides who may talk to the forwarder over HTTP.
//
// There are two doors. Through the page's, which is that of its API as well, goes who has
// the token or the user name and password of the section "auth". Through the senders', at
// which events are taken, go the same and the holders of named tokens, each of which can be
// taken back without touching the others. A door without credentials is open, as in
// Falcosidekick. Credentials are compared in constant time and never logged; their names
// may be.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/saker-security/saker/config"
)

// Config is the section "auth".
type Config struct {
	Token    config.Secret `key:"token" doc:"Bearer token that senders and API clients must present. A browser may give it as the password, with any user name."`
	Username string        `key:"username" doc:"User name for HTTP basic authentication. Needs a password."`
	Password config.Secret `key:"password" doc:"Password for HTTP basic authentication. Needs a user name."`
	// Tokens open the senders' door only.
	Tokens map[string]config.Secret `key:"tokens" doc:"Further bearer tokens for senders of events, by name. They do not open the page or its API. The name stands in logs and metrics, and limits.persender counts by it."`
}

// Validate refuses half a pair, which would leave the door open without saying so.
func (c Config) Validate() error {
	if c.Username == "" && !c.Password.IsZero() {
		return config.At("username", errAlone("auth.password"))
	}
	if c.Username != "" && c.Password.IsZero() {
		return config.At("password", errAlone("auth.username"))
	}
	if strings.Contains(c.Username, ":") {
		return config.At("username", errColon)
	}
	return c.validateTokens()
}

// validateTokens refuses tokens that let everybody in and those that don't tell who sends.
func (c Config) validateTokens() error {
	names := slices.Sorted(maps.Keys(c.Tokens))
	owners := map[string]string{}
	if !c.Token.IsZero() {
		owners[c.Token.Reveal()] = "auth.token"
	}
	for _, name := range names {
		token := c.Tokens[name]
		switch {
		case token.IsZero():
			return config.At("tokens", fmt.Errorf("the token of %q must not be empty", name))
		case len(name) > maxName || name == "":
			return config.At("tokens", fmt.Errorf("a name must have 1 to %d bytes", maxName))
		case name == NameToken || name == c.Username:
			return config.At("tokens", fmt.Errorf("the name %q is taken by another credential", name))
		case owners[token.Reveal()] != "":
			return config.At("tokens", fmt.Errorf("the token of %q is that of %s, too", name, owners[token.Reveal()]))
		}
		owners[token.Reveal()] = strconv.Quote(name)
	}
	return nil
}

const (
	// NameToken is the name of auth.token.
	NameToken = "token"
	// maxName bounds the names of tokens, in bytes.
	maxName = 63
)

// Enabled reports whether the page asks for a credential.
func (c Config) Enabled() bool { return !c.Token.IsZero() || c.Username != "" }

// Guard checks requests at one door. The zero Guard lets everybody in.
type Guard struct {
	accepted []check
}

// check holds the SHA-256 of an accepted credential: sums have one length, so that the
// time of a comparison tells nothing about the credential's.
type check struct {
	name   string
	bearer bool
	// anyUser takes every user name with the right password.
	anyUser        bool
	user, password [sha256.Size]byte
}

// New makes the Guard of the page and its API.
func New(c Config) *Guard {
	g := &Guard{}
	if !c.Token.IsZero() {
		g.addToken(NameToken, c.Token)
	}
	if c.Username != "" {
		g.accepted = append(g.accepted, check{
			name:     c.Username,
			user:     sha256.Sum256([]byte(c.Username)),
			password: sha256.Sum256([]byte(c.Password.Reveal())),
		})
	}
	return g
}

// Senders makes the Guard of the door for events.
func Senders(c Config) *Guard {
	g := New(c)
	for _, name := range slices.Sorted(maps.Keys(c.Tokens)) {
		g.addToken(name, c.Tokens[name])
	}
	return g
}

func (g *Guard) addToken(name string, token config.Secret) {
	sum := sha256.Sum256([]byte(token.Reveal()))
	g.accepted = append(g.accepted, check{name: name, bearer: true, password: sum}, check{name: name, anyUser: true, password: sum})
}

// Enabled reports whether the Guard asks for a credential at all.
func (g *Guard) Enabled() bool { return len(g.accepted) > 0 }

// Allows reports whether r may pass: always without credentials configured, otherwise
// only with one of them.
func (g *Guard) Allows(r *http.Request) bool {
	_, ok := g.Sender(r)
	return ok
}

// Sender returns the name of the credential that r came with, "" if none is asked for, and
// whether r may pass. The name is that of a token, NameToken, or the user name.
func (g *Guard) Sender(r *http.Request) (string, bool) {
	if !g.Enabled() {
		return "", true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	bearer := strings.EqualFold(scheme, "bearer")
	user, password := "", strings.TrimSpace(token)
	if !bearer {
		var basic bool
		if user, password, basic = r.BasicAuth(); !basic {
			return "", false
		}
	}
	userSum, passwordSum := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(password))
	// All are compared, so that the time does not tell which one it was.
	found := -1
	for i, c := range g.accepted {
		same := subtle.ConstantTimeCompare(passwordSum[:], c.password[:])
		if !bearer && !c.anyUser {
			same &= subtle.ConstantTimeCompare(userSum[:], c.user[:])
		}
		if c.bearer != bearer {
			same = 0
		}
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found < 0 {
		return "", false
	}
	return g.accepted[found].name, true
}

// Require answers 401 to requests that the Guard does not allow and hands the others on.
func (g *Guard) Require(next http.Handler) http.Handler {
	if !g.Enabled() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.Allows(r) {
			Deny(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Deny answers 401 and says which credentials are taken.
func Deny(w http.ResponseWriter) {
	w.Header().Add("WWW-Authenticate", `Basic realm="saker", charset="UTF-8"`)
	w.Header().Add("WWW-Authenticate", `Bearer realm="saker"`)
	http.Error(w, "Please authenticate", http.StatusUnauthorized)
}

type constError string

func (e constError) Error() string { return string(e) }

const errColon = constError("must not contain a colon, which HTTP basic authentication cannot carry")

func errAlone(other string) error {
	return constError("must be set, because " + other + " is")
}
