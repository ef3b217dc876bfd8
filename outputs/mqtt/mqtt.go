// Package mqtt publishes events to a topic of an MQTT broker, by MQTT 3.1.1.
//
// One connection is kept and made anew after an error. With QoS 1 and 2 each event counts
// as delivered once the broker has acknowledged it. QoS 0 has no acknowledgement, so that
// behind each batch the broker is asked something that it must answer: then it has read
// what came before.
package mqtt

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/eclipse/paho.mqtt.golang"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/dialx"
	"github.com/saker-security/saker/outputs/internal/tlsx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:   "mqtt",
		Title:  "MQTT",
		Doc:    "Publishes each event to a topic of an MQTT broker.",
		Page:   page,
		Batch:  100,
		Serial: true,
		New:    New,
	})
}

// Config is what a user sets.
type Config struct {
	Broker    config.Secret `key:"broker" required:"true" doc:"Address of the broker: tcp://host:1883, ssl://host:8883, ws://host/path, wss://host/path or unix:///path. User and password may stand in it, and make it a secret."`
	Topic     string        `key:"topic" default:"falco/events" doc:"Topic of the messages."`
	QoS       int           `key:"qos" default:"0" doc:"Quality of service: 0 (at most once), 1 (at least once) or 2 (once)."`
	Retained  bool          `key:"retained" default:"false" doc:"Let the broker keep the last event, and give it to whoever subscribes."`
	User      string        `key:"user" doc:"User name."`
	Password  config.Secret `key:"password" doc:"Password of the user."`
	ClientID  string        `key:"clientid" default:"falcosidekick" doc:"First part of the client's identifier; a dash and six random signs follow."`
	CheckCert bool          `key:"checkcert" default:"true" doc:"Verify the broker's certificate. Without mutualtls, false turns all verification off."`
	MutualTLS bool          `key:"mutualtls" default:"false" doc:"Show the client certificate of mutualtlsclient or mutualtlsfilespath to the broker. The broker's certificate is then always verified."`
}

// Validate checks the address and the topic.
func (c Config) Validate() error {
	_, err := c.broker()
	errs := []error{config.At("broker", err)}
	switch {
	case c.Topic == "" || strings.ContainsAny(c.Topic, "+#\x00"):
		errs = append(errs, config.At("topic", errors.New("must be a topic without + and #")))
	case len(c.Topic) > 65535:
		errs = append(errs, config.At("topic", errors.New("must be at most 65535 bytes")))
	}
	if c.QoS < 0 || c.QoS > 2 {
		errs = append(errs, config.At("qos", errors.New("must be 0, 1 or 2")))
	}
	if c.User == "" && !c.Password.IsZero() {
		errs = append(errs, config.At("user", errors.New("is required with password")))
	}
	return errors.Join(errs...)
}

// broker is the address as the client wants it.
func (c Config) broker() (*url.URL, error) {
	text := c.Broker.Reveal()
	if !strings.Contains(text, "://") {
		text = "tcp://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("must be an address such as tcp://host:1883")
	}
	switch {
	case secure[u.Scheme] || plain[u.Scheme] || u.Scheme == "ws" || u.Scheme == "wss":
		if u.Hostname() == "" {
			return nil, errors.New("must have a host")
		}
	case u.Scheme == "unix":
		if u.Host+u.Path == "" {
			return nil, errors.New("must have a path")
		}
	default:
		return nil, errors.New("must begin with tcp://, ssl://, ws://, wss:// or unix://")
	}
	return u, nil
}

// The names of the schemes, as the client knows them.
var (
	plain  = map[string]bool{"tcp": true, "mqtt": true}
	secure = map[string]bool{"ssl": true, "tls": true, "mqtts": true, "mqtt+ssl": true, "tcps": true}
)

type sender struct {
	Config
	id      string
	tls     *tlsx.Source
	session dialx.Session
	client  mqtt.Client
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	source, err := tlsx.New(tlsx.Settings{Insecure: !c.CheckCert, MutualTLS: c.MutualTLS}, env)
	if err != nil {
		return nil, err
	}
	var random [3]byte
	_, _ = rand.Read(random[:]) // never fails
	return &sender{Config: c, id: c.ClientID + "-" + hex.EncodeToString(random[:]), tls: source}, nil
}

// patience is how long one acknowledgement is awaited, where the context allows more.
const patience = 30 * time.Second

// Send publishes the batch.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer s.session.Within(ctx)()
	if err := s.connect(ctx); err != nil {
		return err
	}
	tokens := make([]mqtt.Token, len(batch))
	for i, e := range batch {
		tokens[i] = s.client.Publish(s.Topic, byte(s.QoS), s.Retained, payload(e))
	}
	failed := outputs.Partial{}
	for i, token := range tokens {
		if err := wait(ctx, token); err != nil {
			failed[i] = fmt.Errorf("publish to MQTT: %w", err)
		}
	}
	if len(failed) > 0 {
		s.drop()
		return failed
	}
	if s.QoS == 0 {
		return s.settle(ctx)
	}
	return nil
}

// settle waits until the broker has read all that was sent to it, by taking back a
// subscription that there is not: the broker must answer that, too, and in its turn.
func (s *sender) settle(ctx context.Context) error {
	if err := wait(ctx, s.client.Unsubscribe(s.Topic)); err != nil {
		s.drop()
		return fmt.Errorf("publish to MQTT: %w", err)
	}
	return nil
}

// wait waits for the end of what token stands for.
func wait(ctx context.Context, token mqtt.Token) error {
	select {
	case <-token.Done():
		return token.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// closeTimeout is how long the broker may take, in milliseconds, to be told that we leave.
const closeTimeout = 250

// Close tells the broker that we leave, and ends the connection.
func (s *sender) Close() error {
	if s.client != nil {
		s.client.Disconnect(closeTimeout)
	}
	s.drop()
	return nil
}

// payload is what the golden files pin: the event's JSON.
func payload(e event.Event) []byte { return e.AppendJSON(make([]byte, 0, 1536)) }
