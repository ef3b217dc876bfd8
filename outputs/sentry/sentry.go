// Package sentry sends events to a project of Sentry, or of a server that speaks its
// protocol.
package sentry

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:  "sentry",
		Title: "Sentry",
		Doc:   "Sends each event to a project of Sentry, which groups events of the same rule to issues.",
		Page:  page,
		Batch: 1, // an envelope holds one event
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	DSN         config.Secret     `key:"dsn" required:"true" doc:"DSN of the project: https://KEY@example.ingest.sentry.io/PROJECT."`
	APIURL      string            `key:"apiurl" doc:"Base URL in place of the DSN's, for a relay or a proxy."`
	Environment string            `key:"environment" doc:"Environment of the events: production."`
	Fingerprint []string          `key:"fingerprint" default:"rule" doc:"What events of one issue have in common: rule, priority, source, hostname or names of output fields."`
	TagFields   []string          `key:"tagfields" default:"k8s.ns.name,k8s.pod.name,container.name,proc.name,user.name" doc:"Output fields that become tags, by which Sentry searches. All fields are in the event's context falco."`
	ExtraTags   map[string]string `key:"extratags" doc:"Tags added to each event. They replace others of the same name."`
}

// tagName is what Sentry allows as the name of a tag.
var tagName = regexp.MustCompile(`^[a-zA-Z0-9_.:-]{1,32}$`)

// Validate checks DSN and tags.
func (c Config) Validate() error {
	var errs []error
	if _, err := parseDSN(c.DSN.Reveal()); err != nil {
		errs = append(errs, config.At("dsn", err))
	}
	if c.APIURL != "" {
		errs = append(errs, config.At("apiurl", httpx.CheckURL(c.APIURL)))
	}
	for _, name := range slices.Sorted(maps.Keys(c.ExtraTags)) {
		if !tagName.MatchString(name) {
			errs = append(errs, config.At("extratags", errors.New("a tag's name must be of at most 32 letters, digits and _.:-")))
			break
		}
	}
	if len(c.Fingerprint) == 0 {
		errs = append(errs, config.At("fingerprint", errors.New("must name something that events have in common")))
	}
	return errors.Join(errs...)
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

// Send sends one envelope. The event's UUID is its id at Sentry, which drops a second one.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	d, err := parseDSN(s.DSN.Reveal())
	if err != nil {
		return err
	}
	if s.APIURL != "" {
		d.base = s.APIURL
	}
	body, err := envelope(payload(s.Config, batch[0]))
	if err != nil {
		return err
	}
	call := httpx.Call{
		Method: http.MethodPost, Address: d.address(), Body: body, Secrets: []string{d.key},
		Header: http.Header{
			"Content-Type":  {"application/x-sentry-envelope"},
			"X-Sentry-Auth": {"Sentry sentry_version=7, sentry_client=saker/1.0, sentry_key=" + d.key},
		},
	}
	said, err := call.Do(ctx, s.http)
	if err != nil {
		return err
	}
	if !json.Valid(said) {
		return outputs.Hold(errors.New("the endpoint answered 2xx without JSON: is the DSN's host Sentry?"))
	}
	return nil
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// dsn says where to send, and with which key.
type dsn struct{ base, key, project string }

func (d dsn) address() string {
	return strings.TrimRight(d.base, "/") + "/api/" + d.project + "/envelope/"
}

var errDSN = errors.New("must be a DSN as the project's client keys show it: https://KEY@HOST/PROJECT")

// word is a key or the id of a project.
var word = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// parseDSN reads a DSN. Its error does not show it.
func parseDSN(text string) (dsn, error) {
	u, err := url.Parse(text)
	if err != nil || u.User == nil || u.RawQuery != "" || httpx.CheckURL(text) != nil {
		return dsn{}, errDSN
	}
	prefix, project := path.Split(u.Path)
	key := u.User.Username() // the password of old DSNs is of no use
	if !word.MatchString(key) || !word.MatchString(project) {
		return dsn{}, errDSN
	}
	base := url.URL{Scheme: u.Scheme, Host: u.Host, Path: prefix}
	return dsn{base.String(), key, project}, nil
}
