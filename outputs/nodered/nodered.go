// Package nodered starts a flow of Node-RED with each event.
package nodered

import (
	"context"
	_ "embed"
	"errors"
	"net/http"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:  "nodered",
		Title: "NodeRed",
		Doc:   "Starts a flow of Node-RED with each event as JSON, through an http in node.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	Address       config.Secret `key:"address" required:"true" doc:"URL of the http in node. It counts as a secret because such URLs may hold a token."`
	User          string        `key:"user" doc:"User, when Node-RED's httpNodeAuth asks for one; goes with password."`
	Password      config.Secret `key:"password" doc:"The user's password."`
	CustomHeaders httpx.Headers `key:"customheaders" doc:"Headers added to each request. They may replace Content-Type and the others that are set by default."`
}

// Validate checks the address, the pair of user and password, and the headers.
func (c Config) Validate() error {
	return errors.Join(
		config.At("address", httpx.CheckURL(c.Address.Reveal())),
		httpx.CheckPair("user", c.User, "password", c.Password),
		config.At("customheaders", httpx.CheckHeaders(c.CustomHeaders)),
	)
}

type sender struct {
	Config
	http *http.Client
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{c, client}, nil
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	header := http.Header{}
	if s.User != "" {
		header.Set("Authorization", httpx.BasicAuth(s.User, s.Password.Reveal()))
	}
	httpx.SetHeaders(header, s.CustomHeaders)
	_, err := httpx.Do(ctx, s.http, http.MethodPost, s.Address.Reveal(), payload(batch[0]), header)
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// payload is the event's JSON and a newline.
func payload(e event.Event) []byte { return append(e.AppendJSON(make([]byte, 0, 1536)), '\n') }
