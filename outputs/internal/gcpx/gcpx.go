// Package gcpx is what the outputs for Google Cloud share: the keys of the section gcp,
// the client options made of them, a client for the services' REST interfaces, and the
// reading of errors for delivery.
//
// An output embeds Config with the tag shared:"gcp". It gives what Options returns to the
// vendor's client when it makes one, in Send; or it makes a Client in New and posts with it.
package gcpx

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/auth/credentials"
	"google.golang.org/api/option"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// Config are the keys of the section gcp.
type Config struct {
	Credentials config.Secret `key:"credentials" doc:"Base64 of a JSON key, such as a service account's; empty for the default credentials of the environment (workload identity, GOOGLE_APPLICATION_CREDENTIALS, the instance's account)."`
	// WorkloadIdentity is a key that Falcosidekick has and never reads.
	WorkloadIdentity bool `key:"workloadidentity" default:"false" inert:"workload identity is used whenever credentials is empty and the environment has one" doc:"For Falcosidekick's configurations."`
}

// Account is Config by another name, for an output that embeds another Config, too.
type Account = Config

// Validate checks that the credentials can be read. Its error shows nothing of them.
func (c Config) Validate() error {
	_, err := c.Options()
	return config.At("credentials", err)
}

// kinds are the types of keys that are taken.
var kinds = []credentials.CredType{
	credentials.ServiceAccount, credentials.AuthorizedUser, credentials.ExternalAccount, credentials.ImpersonatedServiceAccount,
}

// Options returns what c means to a client of Google Cloud.
func (c Config) Options() ([]option.ClientOption, error) {
	options := []option.ClientOption{option.WithTelemetryDisabled()}
	kind, key, err := c.key()
	if err != nil || key == nil {
		return options, err
	}
	return append(options, option.WithAuthCredentialsJSON(option.CredentialsType(kind), key)), nil
}

// key returns the type and the JSON of the key; nil for none.
func (c Config) key() (credentials.CredType, []byte, error) {
	if c.Credentials.IsZero() {
		return "", nil, nil
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(c.Credentials.Reveal()))
	if err != nil {
		return "", nil, errors.New("must be the base64 of a JSON key")
	}
	var head struct {
		Type credentials.CredType `json:"type"`
	}
	if err := json.Unmarshal(key, &head); err != nil {
		return "", nil, errors.New("must be the base64 of a JSON key, and holds no JSON")
	}
	if !slices.Contains(kinds, head.Type) {
		return "", nil, errors.New("must be a key with a type such as service_account")
	}
	return head.Type, key, nil
}

// maxDelay is the longest pause that a service can ask for.
const maxDelay = time.Hour

// mend are the codes that somebody has to do something about, at the service or in the
// configuration.
var mend = []codes.Code{
	codes.Unauthenticated, codes.PermissionDenied, codes.NotFound, codes.FailedPrecondition, codes.Unimplemented,
}

// Error returns what a gRPC error means for delivery: outputs.Reject for an invalid
// argument, outputs.RetryAfter when the service says how long to wait (an hour at most),
// outputs.Hold for what somebody has to mend, a plain error otherwise.
func Error(err error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		return &callError{httpx.OneLine(err.Error()), err}
	}
	said := &callError{"the service answered " + s.Code().String() + ": " + httpx.OneLine(s.Message()), err}
	if s.Code() == codes.InvalidArgument {
		return outputs.Reject(said)
	}
	for _, detail := range s.Details() {
		retry, ok := detail.(*errdetails.RetryInfo)
		if !ok || retry.GetRetryDelay() == nil {
			continue
		}
		if d := retry.GetRetryDelay().AsDuration(); d > 0 {
			return outputs.RetryAfter(min(d, maxDelay), said)
		}
	}
	if slices.Contains(mend, s.Code()) {
		return outputs.Hold(said)
	}
	return said
}

// callError is err on one line.
type callError struct {
	text string
	err  error
}

func (e *callError) Error() string        { return e.text }
func (e *callError) Is(target error) bool { return errors.Is(e.err, target) }
