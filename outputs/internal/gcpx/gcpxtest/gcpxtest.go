// Package gcpxtest is Google's token endpoint for tests: it gives tokens to one service
// account, and only for a proof that the account's key has signed.
package gcpxtest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const email = "falco@p.iam.gserviceaccount.com"

// Account is a service account with a token endpoint of its own, which lives until the test
// ends.
type Account struct {
	// Credentials is the account's key as the configuration takes it.
	Credentials string
	// Secret are texts of the key that must never show.
	Secret string

	mu     sync.Mutex
	status int
	claims map[string]any
	given  int
}

// key is made once, because making one takes long.
var key = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// New starts the endpoint.
func New(t testing.TB) *Account {
	t.Helper()
	private, err := key()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	a := &Account{status: http.StatusOK}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, &private.PublicKey) }))
	t.Cleanup(server.Close)
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": email, "private_key_id": "1", "token_uri": server.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Credentials = base64.StdEncoding.EncodeToString(text)
	a.Secret = a.Credentials
	return a
}

// Answer makes the endpoint answer with status, an error unless it is 200.
func (a *Account) Answer(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status = status
}

// Given is how many tokens have been given.
func (a *Account) Given() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.given
}

// Claim is what the proof for the last token said of name: "scope", "target_audience".
func (a *Account) Claim(name string) any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.claims[name]
}

// Token is the access token that n tokens before were given.
func Token(n int) string { return fmt.Sprintf("s3cretAccess.%d", n) }

// Check reports whether r carries a token that may have been given.
func Check(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Authorization"), "Bearer s3cretAccess.") ||
		strings.HasPrefix(r.Header.Get("Authorization"), "Bearer eyJ")
}

func (a *Account) serve(w http.ResponseWriter, r *http.Request, public *rsa.PublicKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if a.status != http.StatusOK {
		w.WriteHeader(a.status)
		fmt.Fprint(w, `{"error":"invalid_grant","error_description":"Invalid grant: account not found"}`)
		return
	}
	claims, err := verify(r.PostFormValue("assertion"), public)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":"invalid_grant","error_description":%q}`, err.Error())
		return
	}
	a.claims = claims
	if audience, ok := claims["target_audience"].(string); ok {
		fmt.Fprintf(w, `{"id_token":%q}`, idToken(audience))
	} else {
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3599}`, Token(a.given))
	}
	a.given++
}

// verify checks the signature of a JWT and returns its claims.
func verify(token string, public *rsa.PublicKey) (map[string]any, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("the assertion is no JWT")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature); err != nil {
		return nil, err
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		return nil, err
	}
	if claims["iss"] != email {
		return nil, errors.New("the assertion is by another account")
	}
	return claims, nil
}

// idToken is an ID token with a signature that nobody checks.
func idToken(audience string) string {
	encode := func(v any) string {
		text, _ := json.Marshal(v) // maps of texts and numbers have JSON
		return base64.RawURLEncoding.EncodeToString(text)
	}
	exp := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	return encode(map[string]string{"alg": "RS256", "typ": "JWT"}) + "." +
		encode(map[string]any{"iss": "https://accounts.google.com", "aud": audience, "exp": exp}) + ".c2lnbmF0dXJl"
}

// Clean replaces the tokens in recorded requests, which differ from run to run.
func Clean(text string) string {
	return token.ReplaceAllString(text, "Authorization: Bearer TOKEN")
}

var token = regexp.MustCompile(`Authorization: Bearer (s3cretAccess\.\d+|eyJ\S+)`)
