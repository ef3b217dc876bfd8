// Package gcpcloudrun calls a service of Google Cloud Run with each event.
package gcpcloudrun

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"net/http"
	"net/url"

	"golang.org/x/net/http/httpguts"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/gcpx"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:  "gcpcloudrun",
		Key:   "gcp.cloudrun",
		Title: "GCPCloudRun",
		Doc:   "Calls a service or function of Google Cloud Run with each event as JSON.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	gcpx.Account `shared:"gcp"`
	Endpoint     string        `key:"endpoint" required:"true" doc:"URL of the service or function."`
	JWT          config.Secret `key:"jwt" doc:"ID token that is sent as it is. Google's ID tokens end after an hour: leave it empty for tokens that are got, and renewed, with gcp.credentials or the default credentials of the environment."`
	Audience     string        `key:"audience" doc:"Audience of the tokens that are got; empty for the URL's host, https://HOST, as Cloud Run expects it."`
}

// Validate checks the address and the token.
func (c Config) Validate() error {
	var token error
	if !httpguts.ValidHeaderFieldValue(c.JWT.Reveal()) {
		token = errors.New("has a character that no token has")
	}
	return errors.Join(
		config.At("endpoint", httpx.CheckURL(c.Endpoint)),
		config.At("jwt", token),
	)
}

type sender struct {
	Config
	http *http.Client
	// account gets tokens; nil when there is a jwt.
	account *gcpx.Client
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	s := &sender{Config: c, http: client}
	if c.JWT.IsZero() {
		s.account = gcpx.NewIDClient(c.Account, client, cmp.Or(c.Audience, origin(c.Endpoint)))
	}
	return s, nil
}

// origin is the URL of an address's host.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return "https://" + u.Host
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if s.account != nil {
		_, err := s.account.Post(ctx, s.Endpoint, payload(batch[0]), nil)
		return err
	}
	header := http.Header{"Authorization": {"Bearer " + s.JWT.Reveal()}}
	_, err := httpx.Do(ctx, s.http, http.MethodPost, s.Endpoint, payload(batch[0]), header)
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// payload is the event's JSON and a newline.
func payload(e event.Event) []byte { return append(e.AppendJSON(make([]byte, 0, 1536)), '\n') }
