// Package cloudevents posts events as CloudEvents to any receiver of them, such as a broker
// of Knative.
package cloudevents

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"net/http"
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
		Name:  "cloudevents",
		Title: "CloudEvents",
		Doc:   "Posts each event as a CloudEvent to an HTTP receiver, such as a broker of Knative.",
		Page:  page,
		Batch: maxBatch,
		New:   New,
	})
}

const (
	maxBatch   = 500
	maxRequest = 1 << 20 // bytes of a batch, as much as receivers usually take
)

// Values of mode.
const (
	structured = "structured"
	batched    = "batched"
)

// Config is what a user sets.
type Config struct {
	httpx.Config
	Address    config.Secret     `key:"address" required:"true" doc:"URL of the receiver. It counts as a secret because such URLs may hold a token."`
	Extensions map[string]string `key:"extensions" doc:"Extension attributes added to each CloudEvent. Their names are lower-case letters and digits."`
	Mode       string            `key:"mode" default:"binary" oneof:"binary,structured,batched" doc:"How a CloudEvent travels: binary has its attributes in headers and the event as the body, structured is one JSON object with both, batched an array of such objects, which few receivers take."`
}

var extensionName = regexp.MustCompile(`^[a-z0-9]+$`)

// reserved are the names of attributes that are no extensions.
var reserved = []string{"id", "source", "specversion", "type", "datacontenttype", "dataschema", "subject", "time", "data"}

// Validate checks the address and the names of the extensions.
func (c Config) Validate() error {
	return errors.Join(
		config.At("address", httpx.CheckURL(c.Address.Reveal())),
		config.At("extensions", checkExtensions(c.Extensions)),
	)
}

func checkExtensions(all map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch lower := strings.ToLower(name); {
		case !extensionName.MatchString(lower):
			return fmt.Errorf("%q is no name of an extension: it may have letters and digits alone", name)
		case slices.Contains(reserved, lower):
			return fmt.Errorf("%q is an attribute that every CloudEvent has", name)
		}
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

// MaxBatch is the most events of one request.
func (s *sender) MaxBatch() int {
	if s.Mode == batched {
		return maxBatch
	}
	return 1
}

// Send posts the batch, in several requests if it is too large for one.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		header, body, to := s.message(batch, from)
		_, err := httpx.Do(ctx, s.http, http.MethodPost, s.Address.Reveal(), body, header)
		return to, err
	})
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// message is what the golden files pin: the request for events of the batch, from one place
// on. It returns the place behind the last of them, too.
func (c Config) message(batch []event.Event, from int) (header http.Header, body []byte, to int) {
	switch c.Mode {
	case structured:
		header = http.Header{"Content-Type": {"application/cloudevents+json"}}
		return header, c.appendStructured(nil, batch[from]), from + 1
	case batched:
		header = http.Header{"Content-Type": {"application/cloudevents-batch+json"}}
		body, to = httpx.Fill([]byte("["), from, len(batch), maxRequest, func(dst []byte, i int) []byte {
			if i > from {
				dst = append(dst, ',')
			}
			return c.appendStructured(dst, batch[i])
		})
		return header, append(body, ']'), to
	}
	header = http.Header{"Content-Type": {"application/json"}}
	required, extensions := c.attributes(batch[from])
	for _, a := range append(required, extensions...) {
		header.Set("Ce-"+a.name, inHeader(a.value))
	}
	return header, batch[from].AppendJSON(nil), from + 1
}

// appendStructured appends the CloudEvent with the event inside.
func (c Config) appendStructured(dst []byte, e event.Event) []byte {
	required, extensions := c.attributes(e)
	dst = append(dst, '{')
	for _, a := range slices.Concat(required, []attribute{{"datacontenttype", "application/json"}}, extensions) {
		dst = append(event.AppendJSONString(dst, a.name), ':')
		dst = append(event.AppendJSONString(dst, a.value), ',')
	}
	dst = append(dst, `"data":`...)
	return append(e.AppendJSON(dst), '}')
}

type attribute struct{ name, value string }

// timeFormat is RFC 3339 in UTC.
const timeFormat = "2006-01-02T15:04:05.999999999Z07:00"

// attributes returns the event's attributes and, sorted by name, its extensions.
func (c Config) attributes(e event.Event) (required, extensions []attribute) {
	required = []attribute{
		{"specversion", "1.0"},
		{"id", e.UUID},
		{"source", "https://falco.org"},
		{"type", "falco.rule.output.v1"},
		{"time", e.Time.UTC().Format(timeFormat)},
	}
	all := map[string]string{"priority": e.Priority.String(), "rule": e.Rule, "eventsource": e.Source}
	if e.Hostname != "" {
		all["hostname"] = e.Hostname
	}
	for name, value := range c.Extensions {
		all[strings.ToLower(name)] = value
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		extensions = append(extensions, attribute{name, all[name]})
	}
	return required, extensions
}

// inHeader returns a value as a header has it: what is not printable ASCII, and the percent
// sign, are percent-encoded, as receivers decode it. Spaces and quotes could be encoded,
// too, and stay as readable as HTTP lets them.
func inHeader(value string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		edge := c == ' ' && (i == 0 || i == len(value)-1) // HTTP drops it there
		if c < ' ' || c > '~' || c == '%' || edge {
			b.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
