// Package spyderbat sends events to Spyderbat as alerts of a source, which it registers
// before the first of them.
package spyderbat

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

const (
	// maxBatch is the most events of one Send.
	maxBatch = 200
	// maxBody is the most bytes of one request of several events, before compression.
	maxBody = 1 << 20
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "spyderbat",
		Title:   "Spyderbat",
		Doc:     "Sends each event to Spyderbat as an alert of a source of its own.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	OrgUID            string        `key:"orguid" required:"true" doc:"UID of the organization."`
	APIKey            config.Secret `key:"apikey" doc:"API key with access to the organization."`
	APIURL            string        `key:"apiurl" default:"https://api.spyderbat.com" doc:"Base URL of the API."`
	Source            string        `key:"source" default:"falcosidekick" doc:"Name of the source that is registered when there is none, at most 32 characters."`
	SourceDescription string        `key:"sourcedescription" doc:"Description of the source that is registered, at most 256 characters."`
}

// Validate checks the address and the organization.
func (c Config) Validate() error {
	errs := []error{config.At("apiurl", httpx.CheckBase(c.APIURL, "apikey"))}
	if c.OrgUID != "" && strings.ContainsAny(c.OrgUID, "/?#% ") {
		errs = append(errs, config.At("orguid", errors.New("must be the UID of an organization")))
	}
	if n := len([]rune(c.Source)); n > 32 {
		errs = append(errs, config.At("source", errors.New("must have at most 32 characters")))
	}
	if n := len([]rune(c.SourceDescription)); n > 256 {
		errs = append(errs, config.At("sourcedescription", errors.New("must have at most 256 characters")))
	}
	return errors.Join(errs...)
}

type sender struct {
	Config
	http *http.Client
	now  func() time.Time
	// sources is the address of the organization's sources, uid the one of ours.
	sources, uid string
	registered   registration
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{
		Config: c, http: client, now: time.Now, uid: "falcosidekick_" + c.OrgUID,
		sources: httpx.Join(c.APIURL, "/api/v1/org/"+c.OrgUID+"/source/"),
	}, nil
}

// Send posts the events as lines of JSON.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if err := s.registered.ensure(ctx, s); err != nil {
		return err
	}
	now := s.now()
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		var encoding error
		body, to := httpx.Fill(nil, from, len(batch), maxBody, func(dst []byte, i int) []byte {
			line, err := httpx.Encode(newAlert(batch[i], now))
			encoding = errors.Join(encoding, err)
			return append(dst, line...)
		})
		if encoding != nil {
			return to, encoding
		}
		return to, s.post(ctx, body)
	})
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

func (s *sender) post(ctx context.Context, body []byte) error {
	header := s.header()
	header.Set("Content-Type", "application/ndjson")
	header.Set("Content-Encoding", "gzip")
	_, err := httpx.Call{
		Method: http.MethodPost, Address: s.sources + s.uid + "/data/sb-agent", Body: httpx.Gzip(body), Header: header,
		Judge: func(status int, header http.Header, answer []byte) error {
			if status == http.StatusNotFound { // somebody has removed the source
				s.registered.forget()
			}
			return httpx.StatusError(status, header, answer)
		},
	}.Do(ctx, s.http)
	return err
}

func (s *sender) header() http.Header {
	return http.Header{"Authorization": {"Bearer " + s.APIKey.Reveal()}}
}

// sourceBody is what registers a source.
type sourceBody struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	UID         string `json:"uid"`
}

// has reports whether the answer to a request for the organization's sources, a list of
// objects, names the source with that uid.
func has(answer []byte, uid string) (bool, error) {
	var sources []struct {
		UID string `json:"uid"`
	}
	if err := json.Unmarshal(answer, &sources); err != nil {
		return false, errors.New("the endpoint's list of sources cannot be read")
	}
	for _, s := range sources {
		if s.UID == uid {
			return true, nil
		}
	}
	return false, nil
}
