// Package auth decides who may talk to the forwarder over HTTP.
//
// There is one optional credential pair, shared by the ingest endpoint and the page with
// its API: a bearer token for programs, a user name and password (HTTP basic) for people.
// Either one lets a request in. With none set everybody is let in, as in Falcosidekick.
// Credentials are compared in constant time and never logged.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/saker-security/saker/config"
)

// Config is the section "auth".
type Config struct {
	Token    config.Secret `key:"token" doc:"Bearer token that senders and API clients must present. A browser may give it as the password, with any user name."`
	Username string        `key:"username" doc:"User name for HTTP basic authentication. Needs a password."`
	Password config.Secret `key:"password" doc:"Password for HTTP basic authentication. Needs a user name."`
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
	return nil
}

// Enabled reports whether a credential is set.
func (c Config) Enabled() bool { return !c.Token.IsZero() || c.Username != "" }

// Guard checks requests against a Config. The zero Guard lets everybody in.
type Guard struct {
	accepted []check
}

// check holds the SHA-256 of an accepted credential: sums have one length, so that the
// time of a comparison tells nothing about the credential's.
type check struct {
	bearer bool
	// anyUser takes every user name with the right password.
	anyUser        bool
	user, password [sha256.Size]byte
}

// New makes the Guard for c.
func New(c Config) *Guard {
	g := &Guard{}
	if !c.Token.IsZero() {
		sum := sha256.Sum256([]byte(c.Token.Reveal()))
		g.accepted = append(g.accepted, check{bearer: true, password: sum}, check{anyUser: true, password: sum})
	}
	if c.Username != "" {
		g.accepted = append(g.accepted, check{
			user:     sha256.Sum256([]byte(c.Username)),
			password: sha256.Sum256([]byte(c.Password.Reveal())),
		})
	}
	return g
}

// Enabled reports whether the Guard asks for a credential at all.
func (g *Guard) Enabled() bool { return len(g.accepted) > 0 }

// Allows reports whether r may pass: always without credentials configured, otherwise
// only with one of them.
func (g *Guard) Allows(r *http.Request) bool {
	if !g.Enabled() {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	bearer := strings.EqualFold(scheme, "bearer")
	user, password, basic := r.BasicAuth()
	if bearer {
		password = strings.TrimSpace(token)
	}
	if !bearer && !basic {
		return false
	}
	userSum, passwordSum := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(password))
	allowed := 0
	for _, c := range g.accepted {
		same := subtle.ConstantTimeCompare(passwordSum[:], c.password[:])
		if !bearer && !c.anyUser {
			same &= subtle.ConstantTimeCompare(userSum[:], c.user[:])
		}
		if c.bearer == bearer {
			allowed |= same
		}
	}
	return allowed == 1
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
