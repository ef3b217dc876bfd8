// Package logstash sends events to the tcp input of Logstash, as lines of JSON.
//
// The input acknowledges nothing: an event counts as delivered once the kernel of Logstash's
// host has it.
package logstash

import (
	"bytes"
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/stream"
	"github.com/saker-security/saker/outputs/internal/tlsx"
)

// maxBatch is the most events of one Send.
const maxBatch = 200

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "logstash",
		Title:   "Logstash",
		Doc:     "Sends each event as a line of JSON to the tcp input of Logstash.",
		Page:    page,
		Batch:   maxBatch,
		Serial:  true,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	Address    string   `key:"address" required:"true" doc:"Host of Logstash."`
	Port       int      `key:"port" default:"5044" doc:"Port of its tcp input."`
	TLS        bool     `key:"tls" default:"false" doc:"Use TLS."`
	CheckCert  bool     `key:"checkcert" default:"false" doc:"Verify the server's certificate. It is off unless set, as in Falcosidekick; with mutualtls it is always on."`
	MutualTLS  bool     `key:"mutualtls" default:"false" doc:"Use TLS and show a client certificate: that of certfile and keyfile, or that of mutualtlsclient or mutualtlsfilespath."`
	CertFile   string   `key:"certfile" doc:"Client certificate for this output."`
	KeyFile    string   `key:"keyfile" doc:"Key of that certificate."`
	CACertFile string   `key:"cacertfile" doc:"Authority that this output trusts in addition."`
	Tags       []string `key:"tags" doc:"Tags added to each event, behind its own."`
}

// Validate checks what the keys hold.
func (c Config) Validate() error {
	var errs []error
	if strings.ContainsAny(c.Address, "/ \t\n") {
		errs = append(errs, config.At("address", errors.New("must be the name or address of a host, without a scheme or path")))
	}
	if c.Port < 1 || c.Port > 65535 {
		errs = append(errs, config.At("port", fmt.Errorf("must be a port from 1 to 65535, not %d", c.Port)))
	}
	return errors.Join(errs...)
}

type sender struct {
	Config
	tls    *tlsx.Source // nil without TLS
	stream *stream.Conn
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	s := &sender{Config: c}
	if c.TLS || c.MutualTLS {
		var err error
		s.tls, err = tlsx.New(tlsx.Settings{
			Insecure: !c.CheckCert, MutualTLS: c.MutualTLS, CertFile: c.CertFile, KeyFile: c.KeyFile, CACertFile: c.CACertFile,
		}, env)
		if err != nil {
			return nil, err
		}
	}
	s.stream = stream.New(s.dial)
	return s, nil
}

func (s *sender) dial(ctx context.Context) (net.Conn, error) {
	address := net.JoinHostPort(s.Address, strconv.Itoa(s.Port))
	var d net.Dialer
	if s.tls == nil {
		return d.DialContext(ctx, "tcp", address)
	}
	secure := tls.Dialer{NetDialer: &d, Config: s.tls.ConfigFor(s.Address)}
	return secure.DialContext(ctx, "tcp", address)
}

// Send writes the events.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	var text []byte
	for i := range batch {
		text = payload(text, s.Config, batch[i])
	}
	return s.stream.Write(ctx, text)
}

// Close ends the connection.
func (s *sender) Close() error { return s.stream.Close() }

// payload appends the line that the golden files pin.
func payload(dst []byte, c Config, e event.Event) []byte {
	e.Fields = withoutIndexes(e.Fields)
	if len(c.Tags) > 0 {
		e.Tags = slices.Concat(e.Tags, c.Tags)
	}
	return append(e.AppendJSON(dst), '\r', '\n')
}

// index is an index in a field's name. Logstash reads brackets in names as paths of its
// own and refuses proc.aname[2], which becomes proc.aname.2.
var index = regexp.MustCompile(`\[(\d+)\]`)

func withoutIndex(name string) string { return index.ReplaceAllString(name, ".$1") }

// withoutIndexes returns fields without indexes in their names and in those of the objects
// they hold. Of two that get the same name the one with the index goes.
func withoutIndexes(fields []event.Field) []event.Field {
	taken := map[string]bool{}
	changed := false
	for _, f := range fields {
		plain := withoutIndex(f.Name) == f.Name
		taken[f.Name] = plain
		changed = changed || !plain || f.Value.Kind() == event.Composite && index.MatchString(f.Value.Text())
	}
	if !changed {
		return fields
	}
	var kept []event.Field
	for _, f := range fields {
		name := withoutIndex(f.Name)
		if name != f.Name && taken[name] {
			continue
		}
		taken[name] = true
		kept = append(kept, event.Field{Name: name, Value: inside(f.Value)})
	}
	return event.SortFields(kept)
}

// inside renames the members of the objects in a value.
func inside(v event.Value) event.Value {
	if v.Kind() != event.Composite || !index.MatchString(v.Text()) {
		return v
	}
	var object map[string]any
	decoder := json.NewDecoder(strings.NewReader(v.Text()))
	decoder.UseNumber()
	if decoder.Decode(&object) != nil {
		return v // an array: Logstash looks at the names of objects only
	}
	text, err := json.Marshal(renamed(object))
	if err != nil {
		return v
	}
	return event.CompositeValue(string(bytes.TrimSpace(text)))
}

func renamed(object map[string]any) map[string]any {
	all := make(map[string]any, len(object))
	for name, value := range object {
		if below, ok := value.(map[string]any); ok {
			value = renamed(below)
		}
		if plain := withoutIndex(name); plain == name || object[plain] == nil {
			all[plain] = value
		}
	}
	return all
}
