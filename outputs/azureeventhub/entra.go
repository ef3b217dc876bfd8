package azureeventhub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// audience is what tokens are for, in every cloud of Azure.
const audience = "https://eventhubs.azure.net/.default"

// entra gets tokens of Microsoft Entra for the account that the environment names. The
// library keeps them until they end.
type entra struct {
	account func() (azcore.TokenCredential, error)
}

func newEntra(client *http.Client) entra {
	return entra{sync.OnceValues(func() (azcore.TokenCredential, error) {
		return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
			ClientOptions: azcore.ClientOptions{
				Transport: client,
				Retry:     policy.RetryOptions{MaxRetries: -1}, // deliver tries again
				Telemetry: policy.TelemetryOptions{Disabled: true},
			},
		})
	})}
}

func (e entra) authorize(ctx context.Context) (string, error) {
	account, err := e.account()
	if err != nil {
		return "", outputs.Hold(errors.New("find the account of Microsoft Entra: " + httpx.OneLine(err.Error())))
	}
	token, err := account.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{audience}})
	if err != nil {
		return "", tokenError(ctx, err)
	}
	return "Bearer " + token.Token, nil
}

// tokenError says what it means for delivery that there is no token: an account that is
// missing or refused has to be mended.
func tokenError(ctx context.Context, err error) error {
	const what = "get a token of Microsoft Entra: "
	if ctx.Err() != nil {
		return fmt.Errorf("%s%w", what, ctx.Err())
	}
	failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if ok && failed.RawResponse != nil {
		// The library's text repeats the request's address.
		body, _ := io.ReadAll(io.LimitReader(failed.RawResponse.Body, httpx.MaxAnswer))
		shown := errors.New(what + failed.RawResponse.Status + " " + httpx.OneLine(string(body)))
		switch status := failed.RawResponse.StatusCode; {
		case status == http.StatusRequestTimeout || status == http.StatusTooManyRequests, status/100 == 5:
			return shown
		}
		return outputs.Hold(shown)
	}
	shown := errors.New(what + httpx.OneLine(httpx.CleanError(err).Error()))
	if _, final := errors.AsType[nonRetriable](err); final && !ok {
		return outputs.Hold(shown)
	}
	return shown
}

// nonRetriable is what errors of the library are that no other try mends.
type nonRetriable interface {
	error
	NonRetriable()
}
