// Package n8n starts a workflow of n8n with each event.
package n8n

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/net/http/httpguts"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:  "n8n",
		Title: "n8n",
		Doc:   "Starts a workflow of n8n with each event as JSON, through a Webhook node.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	Address         config.Secret `key:"address" required:"true" doc:"Production URL of the Webhook node. It counts as a secret because its path often is all that protects it."`
	User            string        `key:"user" doc:"User, for a node with basic authentication; goes with password."`
	Password        config.Secret `key:"password" doc:"The user's password."`
	HeaderAuthName  string        `key:"headerauthname" doc:"Name of the header, for a node with header authentication; goes with headerauthvalue."`
	HeaderAuthValue config.Secret `key:"headerauthvalue" doc:"The header's value."`
}

// Validate checks the address and what n8n asks for.
func (c Config) Validate() error {
	return errors.Join(
		config.At("address", httpx.CheckURL(c.Address.Reveal())),
		httpx.CheckPair("user", c.User, "password", c.Password),
		c.checkHeaderAuth(),
	)
}

func (c Config) checkHeaderAuth() error {
	if err := httpx.CheckPair("headerauthname", c.HeaderAuthName, "headerauthvalue", c.HeaderAuthValue); err != nil {
		return err
	}
	if c.HeaderAuthName == "" {
		return nil
	}
	if !httpguts.ValidHeaderFieldName(c.HeaderAuthName) {
		return config.At("headerauthname", fmt.Errorf("%q is no name of a header", c.HeaderAuthName))
	}
	if !httpguts.ValidHeaderFieldValue(c.HeaderAuthValue.Reveal()) {
		return config.At("headerauthvalue", errors.New("has a character that no header may have"))
	}
	return nil
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
	if s.HeaderAuthName != "" {
		header.Set(s.HeaderAuthName, s.HeaderAuthValue.Reveal())
	}
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
