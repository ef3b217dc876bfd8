// Package gcppubsub publishes events to a topic of Google Cloud Pub/Sub.
package gcppubsub

import (
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/gcpx"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "gcppubsub",
		Key:     "gcp.pubsub",
		Title:   "GCPPubSub",
		Doc:     "Publishes each event as a message to a topic of Google Cloud Pub/Sub.",
		Page:    page,
		Batch:   maxMessages,
		Archive: true,
		New:     New,
	})
}

// The limits of Pub/Sub: messages and bytes of a request, and what a message has beside its
// data.
const (
	maxMessages       = 1000
	maxRequest        = 9 << 20 // Pub/Sub takes 10 MB
	maxAttributes     = 100
	maxAttributeKey   = 256
	maxAttributeValue = 1024
	maxOrderingKey    = 1024
)

const (
	service = "https://pubsub.googleapis.com"
	scope   = "https://www.googleapis.com/auth/pubsub"
)

// Config is what a user sets.
type Config struct {
	httpx.Config
	gcpx.Account     `shared:"gcp"`
	ProjectID        string             `key:"projectid" required:"true" doc:"Project of the topic."`
	Topic            string             `key:"topic" required:"true" doc:"Name of the topic, without its project."`
	CustomAttributes map[string]string  `key:"customattributes" doc:"Attributes added to each message."`
	OrderingKey      falcotext.Template `key:"orderingkey" doc:"Template of the message's ordering key: {{ .Hostname }}. Messages of the same key are published in their order; set maxconcurrentrequests to 1 too."`
	Endpoint         string             `key:"endpoint" doc:"URL of the service, where it is not https://pubsub.googleapis.com: a regional endpoint such as https://europe-west1-pubsub.googleapis.com, a private one, an emulator."`
}

var (
	projectID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.:-]*$`)
	topicID   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`)
)

// Validate checks the topic and the attributes.
func (c Config) Validate() error {
	var project, topic error
	if !projectID.MatchString(c.ProjectID) {
		project = errors.New("must be a project's ID")
	}
	if !topicID.MatchString(c.Topic) {
		topic = errors.New("must be a topic's name, without projects/PROJECT/topics/")
	}
	return errors.Join(
		config.At("projectid", project),
		config.At("topic", topic),
		config.At("customattributes", checkAttributes(c.CustomAttributes)),
		config.At("endpoint", gcpx.CheckEndpoint(c.Endpoint)),
	)
}

func checkAttributes(all map[string]string) error {
	if len(all) > maxAttributes {
		return fmt.Errorf("must be at most %d", maxAttributes)
	}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		switch {
		case k == "" || len(k) > maxAttributeKey || strings.HasPrefix(k, "goog"):
			return fmt.Errorf("%q is no name of an attribute: it must have 1 to %d bytes and not begin with goog", k, maxAttributeKey)
		case len(all[k]) > maxAttributeValue:
			return fmt.Errorf("the value of %q must have at most %d bytes", k, maxAttributeValue)
		}
	}
	return nil
}

type sender struct {
	*gcpx.Client
	address string
	message message
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	m, err := newMessage(c)
	if err != nil {
		return nil, err
	}
	base := service
	if c.Endpoint != "" {
		base = c.Endpoint
	}
	address := httpx.Join(base, "/v1/projects/"+c.ProjectID+"/topics/"+c.Topic+":publish")
	return &sender{gcpx.NewClient(c.Account, client, scope), address, m}, nil
}

// Send publishes the batch, in several requests if it is too large for one or has several
// ordering keys.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		body, to := s.message.request(batch, from)
		return to, s.publish(ctx, body, to-from)
	})
}

func (s *sender) publish(ctx context.Context, body []byte, n int) error {
	answer, err := s.Post(ctx, s.address, body, nil)
	if err != nil {
		return err
	}
	var accepted struct {
		MessageIDs []string `json:"messageIds"`
	}
	// A thousand IDs fit into what is read of an answer.
	if err := gcpx.Expect(answer, &accepted); err != nil {
		return err
	}
	if got := len(accepted.MessageIDs); got != n {
		return fmt.Errorf("the service accepted %d of %d messages", got, n)
	}
	return nil
}

// message is what all messages have in common.
type message struct {
	attributes []byte // their member, ready for the JSON
	key        falcotext.Template
}

func newMessage(c Config) (message, error) {
	m := message{key: c.OrderingKey}
	if len(c.CustomAttributes) == 0 {
		return m, nil
	}
	text, err := json.Marshal(c.CustomAttributes)
	if err != nil {
		return m, err
	}
	m.attributes = append([]byte(`,"attributes":`), text...)
	return m, nil
}

// request returns the body that publishes events of the batch, from one place on, and the
// place behind the last. All messages of a request have the same ordering key, as Pub/Sub
// wants it.
func (m message) request(batch []event.Event, from int) (body []byte, to int) {
	n := min(len(batch), from+maxMessages)
	key := m.orderingKey(batch[from])
	for i := from + 1; i < n; i++ {
		if m.orderingKey(batch[i]) != key {
			n = i
		}
	}
	var text []byte
	body, to = httpx.Fill([]byte(`{"messages":[`), from, n, maxRequest, func(dst []byte, i int) []byte {
		if i > from {
			dst = append(dst, ',')
		}
		text = batch[i].AppendJSON(text[:0])
		return m.append(dst, text, key)
	})
	return append(body, `]}`...), to
}

// append appends the message for an event's JSON.
func (m message) append(dst, text []byte, key string) []byte {
	dst = append(dst, `{"data":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, text)
	dst = append(append(dst, '"'), m.attributes...)
	if key != "" {
		dst = append(dst, `,"orderingKey":`...)
		dst = event.AppendJSONString(dst, key)
	}
	return append(dst, '}')
}

func (m message) orderingKey(e event.Event) string {
	return falcotext.CutBytes(m.key.Render(e), maxOrderingKey)
}
