// Package kafkarest produces events to a topic of Kafka through a REST proxy.
//
// The proxy's older interface (versions 1 and 2) takes the address of a topic, the newer
// one (version 3) that of a topic's records; the address tells which is meant. Both answer
// for each record.
package kafkarest

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

// maxBatch is the most records of one request, so few that the proxy's answer for each of
// them is read even when it explains at length.
const maxBatch = 100

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "kafkarest",
		Title:   "KafkaRest",
		Doc:     "Produces each event as a record to a topic of Kafka through a Kafka REST proxy.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	Address       config.Secret `key:"address" required:"true" doc:"URL of the topic, http://host:8082/topics/TOPIC, or of its records in version 3 of the interface, …/v3/clusters/ID/topics/TOPIC/records. User and password may stand in it, and make it a secret."`
	Version       int           `key:"version" default:"2" doc:"Version of the older interface: 1, or else 2. Without effect for an address of version 3."`
	CustomHeaders httpx.Headers `key:"customheaders" doc:"Headers added to each request, such as Authorization."`
}

// Validate checks the address and the headers.
func (c Config) Validate() error {
	if err := config.At("address", httpx.CheckURL(c.Address.Reveal())); err != nil {
		return err
	}
	return config.At("customheaders", httpx.CheckHeaders(c.CustomHeaders))
}

type sender struct {
	Config
	http    *http.Client
	records bool // version 3
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{c, client, takesRecords(c.Address.Reveal())}, nil
}

// takesRecords reports whether address is one of version 3.
func takesRecords(address string) bool {
	u, err := url.Parse(address)
	return err == nil && strings.Contains(u.Path, "/v3/clusters/") && strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/records")
}

// Send produces the batch.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	header := http.Header{}
	body, answered := s.payload(batch), topicAnswer
	if s.records {
		answered = recordsAnswer
	}
	header.Set("Content-Type", s.contentType())
	httpx.SetHeaders(header, s.CustomHeaders)
	answer, err := httpx.Do(ctx, s.http, http.MethodPost, s.Address.Reveal(), body, header)
	if err != nil {
		return err
	}
	return answered(answer, len(batch))
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

func (s *sender) contentType() string {
	if s.records {
		return "application/json"
	}
	version := 2
	if s.Version == 1 {
		version = 1
	}
	return "application/vnd.kafka.binary.v" + strconv.Itoa(version) + "+json"
}

// payload is what the golden files pin: the events' JSON in base64, in one object or, for
// version 3, in an object for each.
func (s *sender) payload(batch []event.Event) []byte {
	before, between, after := `{"records":[{"value":"`, `"},{"value":"`, `"}]}`
	if s.records {
		before, between, after = `{"value":{"type":"BINARY","data":"`, `"}}`+"\n"+`{"value":{"type":"BINARY","data":"`, `"}}`
	}
	var b bytes.Buffer
	var value []byte
	b.WriteString(before)
	for i, e := range batch {
		if i > 0 {
			b.WriteString(between)
		}
		value = e.AppendJSON(value[:0])
		b.Write(base64.StdEncoding.AppendEncode(b.AvailableBuffer(), value))
	}
	b.WriteString(after + "\n")
	return b.Bytes()
}
