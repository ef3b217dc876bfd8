package gcpx

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/credentials/idtoken"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// Client posts to REST interfaces of Google Cloud with a token of the configured account.
// The token is got with the first request, kept until it ends, and dropped when a service
// refuses it.
type Client struct {
	http *http.Client
	// detect finds the account's credentials. It may ask the instance where it runs.
	detect func() (*auth.Credentials, error)
	// lock holds one element while somebody uses what is below or waits for a token.
	lock    chan struct{}
	current *auth.Credentials
	last    config.Secret // the token that was used last
}

// NewClient makes a Client whose tokens are for the given scopes. It does not touch the
// network.
func NewClient(c Config, client *http.Client, scopes ...string) *Client {
	return newClient(client, func() (*auth.Credentials, error) {
		kind, key, err := c.key()
		if err != nil {
			return nil, err
		}
		// Nothing may run on behind Send, so that tokens are renewed by who needs them.
		options := &credentials.DetectOptions{Scopes: scopes, Client: client, DisableAsyncRefresh: true}
		if key == nil {
			return credentials.DetectDefault(options)
		}
		return credentials.NewCredentialsFromJSON(kind, key, options)
	})
}

// NewIDClient makes a Client whose tokens say to audience, a service of the user's own, who
// calls.
func NewIDClient(c Config, client *http.Client, audience string) *Client {
	return newClient(client, func() (*auth.Credentials, error) {
		kind, key, err := c.key()
		if err != nil {
			return nil, err
		}
		switch {
		case key == nil:
			return idtoken.NewCredentials(&idtoken.Options{Audience: audience})
		case kind == credentials.ServiceAccount:
			return idOfKey(key, client, audience)
		}
		return idtoken.NewCredentialsFromJSON(kind, key, &idtoken.Options{Audience: audience})
	})
}

// idOfKey is what package idtoken does with the key of a service account, by our own client
// and with nothing running on behind a request.
func idOfKey(key []byte, client *http.Client, audience string) (*auth.Credentials, error) {
	var account struct {
		Email        string `json:"client_email"`
		PrivateKey   string `json:"private_key"`
		PrivateKeyID string `json:"private_key_id"`
		TokenURL     string `json:"token_uri"`
	}
	if err := json.Unmarshal(key, &account); err != nil {
		return nil, errors.New("the key is malformed")
	}
	provider, err := auth.New2LOTokenProvider(&auth.Options2LO{
		Email: account.Email, PrivateKey: []byte(account.PrivateKey), PrivateKeyID: account.PrivateKeyID,
		TokenURL: cmp.Or(account.TokenURL, "https://oauth2.googleapis.com/token"), Client: client, UseIDToken: true,
		PrivateClaims: map[string]any{"target_audience": audience},
	})
	if err != nil {
		return nil, err
	}
	provider = auth.NewCachedTokenProvider(provider, &auth.CachedTokenProviderOptions{DisableAsyncRefresh: true})
	return auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: provider}), nil
}

func newClient(client *http.Client, detect func() (*auth.Credentials, error)) *Client {
	return &Client{http: client, detect: detect, lock: make(chan struct{}, 1)}
}

// Post posts body and returns the start of a 2xx answer's body. Its errors are of the
// classes of deliver; Status tells the status that an error is about.
func (c *Client) Post(ctx context.Context, address string, body []byte, header http.Header) ([]byte, error) {
	token, err := c.token(ctx)
	if err != nil {
		return nil, err
	}
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Authorization", "Bearer "+token)
	call := httpx.Call{Method: http.MethodPost, Address: address, Body: body, Header: header, Judge: judge}
	answer, err := call.Do(ctx, c.http)
	if Status(err) == http.StatusUnauthorized {
		c.drop(ctx, token)
	}
	return answer, err
}

// Close lets go of idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// token returns the token in force.
func (c *Client) token(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	select {
	case c.lock <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-c.lock }()
	if c.current == nil {
		found, err := c.detect()
		if err != nil {
			return "", outputs.Hold(&callError{"find the account's credentials: " + said(err), err})
		}
		c.current = found
	}
	token, err := c.current.Token(ctx)
	if err != nil {
		return "", tokenError(err)
	}
	c.last = config.NewSecret(token.Value)
	return token.Value, nil
}

// drop makes the next request get another token than the given one.
func (c *Client) drop(ctx context.Context, token string) {
	select {
	case c.lock <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-c.lock }()
	if c.last.Reveal() == token {
		c.current = nil
	}
}

// tokenError says what it means for delivery that there is no token: an account that is
// refused has to be mended.
func tokenError(err error) error {
	var shown error = &callError{"get a token from Google: " + said(err), err}
	refused, ok := errors.AsType[*auth.Error](err)
	if !ok || refused.Response == nil {
		return shown
	}
	switch status := refused.Response.StatusCode; {
	case status == http.StatusRequestTimeout || status == http.StatusTooManyRequests:
		return shown
	case status/100 == 4:
		return outputs.Hold(shown)
	}
	return shown
}

// said is the text of a library's error, without the address that it may show.
func said(err error) string { return httpx.OneLine(httpx.CleanError(err).Error()) }

// limits are the reasons and codes by which services say that there are too many requests,
// with whatever status.
var limits = []string{"rateLimitExceeded", "userRateLimitExceeded", "RESOURCE_EXHAUSTED"}

// judge reads an answer that is not 2xx. Its status is not all that it says: 400 is also for
// what has to be mended at the service, and 403 for too many requests.
func judge(status int, header http.Header, body []byte) error {
	err := &statusError{httpx.StatusError(status, header, body), status}
	code, reasons := parseError(body)
	switch {
	case slices.ContainsFunc(append(reasons, code), func(r string) bool { return slices.Contains(limits, r) }):
		if outputs.Held(err) || outputs.Rejected(err) {
			return &statusError{errors.New(err.Error()), status}
		}
	case code == "FAILED_PRECONDITION" && outputs.Rejected(err):
		return outputs.Hold(&statusError{errors.New(err.Error()), status})
	}
	return err
}

// parseError returns the code and the reasons of an error of a REST interface.
func parseError(body []byte) (code string, reasons []string) {
	var answer struct {
		Error struct {
			Status string `json:"status"`
			Errors []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", nil
	}
	for _, e := range answer.Error.Errors {
		reasons = append(reasons, e.Reason)
	}
	return answer.Error.Status, reasons
}

// Status returns the status of the answer that err is about; 0 when it is about none.
func Status(err error) int {
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.status
	}
	return 0
}

type statusError struct {
	err    error
	status int
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// CheckEndpoint reports what is wrong with the address that stands in for a service's usual
// one; empty is right.
func CheckEndpoint(address string) error {
	if address == "" {
		return nil
	}
	return httpx.CheckBase(address, "credentials")
}

// Expect returns an error unless answer is a JSON object, which v is filled from: whatever
// else answers 200 is not the service.
func Expect(answer []byte, v any) error {
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("the endpoint answered 2xx with something else than JSON: %s", httpx.OneLine(string(answer)))
	}
	return nil
}
