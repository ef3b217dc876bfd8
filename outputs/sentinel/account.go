package sentinel

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// account is who sends the events.
type account interface {
	// token returns a token for requests. Its error never says that an event is at fault.
	token(ctx context.Context) (string, error)
	// forget gives up a token that was refused.
	forget()
}

func newAccount(c Config, client *http.Client) account {
	if c.ClientID == "" {
		return newAmbient(c, client)
	}
	return &application{http: client, config: c}
}

// early is how long before its end a token is replaced.
const early = 5 * time.Minute

// application is an application of Microsoft Entra with a secret.
type application struct {
	http   *http.Client
	config Config

	mu   sync.Mutex
	kept config.Secret
	ends time.Time
}

func (a *application) token(ctx context.Context) (string, error) {
	a.mu.Lock()
	kept, ends := a.kept, a.ends
	a.mu.Unlock()
	if time.Until(ends) > early {
		return kept.Reveal(), nil
	}
	// Several senders may ask at the same time, which is better than that one waits for
	// another's context.
	flow := clientcredentials.Config{
		ClientID: a.config.ClientID, ClientSecret: a.config.ClientSecret.Reveal(), Scopes: []string{a.config.Scope},
		TokenURL:  httpx.Join(a.config.Authority, "/"+url.PathEscape(a.config.TenantID)+"/oauth2/v2.0/token"),
		AuthStyle: oauth2.AuthStyleInParams,
	}
	fresh, err := flow.Token(context.WithValue(ctx, oauth2.HTTPClient, a.http))
	if err != nil {
		return "", a.classify(ctx, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept, a.ends = config.NewSecret(fresh.AccessToken), fresh.Expiry
	return fresh.AccessToken, nil
}

func (a *application) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ends = time.Time{}
}

// classify says what it means that there is no token.
func (a *application) classify(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok || refused.Response == nil {
		return errors.New(whatToken + a.hide(httpx.OneLine(httpx.CleanError(err).Error())))
	}
	said := a.hide(string(refused.Body))
	return tokenError(httpx.StatusError(refused.Response.StatusCode, refused.Response.Header, []byte(said)))
}

func (a *application) hide(text string) string {
	secret := a.config.ClientSecret.Reveal()
	return strings.NewReplacer(secret, "[hidden]", url.QueryEscape(secret), "[hidden]").Replace(text)
}

const whatToken = "get a token of Microsoft Entra: "

// tokenError is the error of a refused request for a token: no event is at fault.
func tokenError(err error) error {
	shown := errors.New(whatToken + err.Error())
	switch {
	case outputs.Delay(err) > 0:
		return outputs.RetryAfter(outputs.Delay(err), shown)
	case outputs.Rejected(err) || outputs.Held(err):
		return outputs.Hold(shown)
	}
	return shown
}

// ambient is the account that the environment names. The library keeps its tokens.
type ambient struct {
	scope string
	find  func() (azcore.TokenCredential, error)
}

func newAmbient(c Config, client *http.Client) ambient {
	return ambient{c.Scope, sync.OnceValues(func() (azcore.TokenCredential, error) {
		return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
			ClientOptions: azcore.ClientOptions{
				Transport: client,
				Retry:     policy.RetryOptions{MaxRetries: -1}, // deliver tries again
				Telemetry: policy.TelemetryOptions{Disabled: true},
			},
		})
	})}
}

func (a ambient) token(ctx context.Context) (string, error) {
	found, err := a.find()
	if err != nil {
		return "", outputs.Hold(errors.New("find the account of Microsoft Entra: " + httpx.OneLine(err.Error())))
	}
	token, err := found.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{a.scope}})
	switch {
	case err == nil:
		return token.Token, nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	}
	if refused, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok && refused.RawResponse != nil {
		// The library's own text repeats the request's address.
		body, _ := io.ReadAll(io.LimitReader(refused.RawResponse.Body, httpx.MaxAnswer))
		return "", tokenError(httpx.StatusError(refused.RawResponse.StatusCode, refused.RawResponse.Header, body))
	}
	return "", outputs.Hold(errors.New(whatToken + httpx.OneLine(httpx.CleanError(err).Error())))
}

func (a ambient) forget() {}
