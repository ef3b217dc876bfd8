// Package ntfy publishes events to a topic of an ntfy server, which pushes them to phones
// and desktops.
package ntfy

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:  "ntfy",
		Title: "Ntfy",
		Doc:   "Publishes each event to a topic of an ntfy server, which pushes it to phones and desktops.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort      string             `key:"hostport" default:"https://ntfy.sh" doc:"Base URL of the server."`
	Topic         config.Secret      `key:"topic" required:"true" doc:"Topic to publish to. Where topics are not protected, whoever knows the name can read along, so that it counts as a secret."`
	Token         config.Secret      `key:"token" doc:"Access token."`
	User          string             `key:"user" doc:"User, in place of an access token."`
	Password      config.Secret      `key:"password" doc:"The user's password."`
	Tags          []string           `key:"tags" doc:"Tags of each message. The names of emoji show as such: rotating_light."`
	Click         string             `key:"click" doc:"URL that opens when the notification is clicked."`
	Icon          string             `key:"icon" doc:"URL of the notification's picture."`
	OutputFormat  string             `key:"outputformat" default:"all" oneof:"all,text,fields" doc:"What a message shows: text is the event's output, fields are its rule, priority, tags, output fields and so on, all is both."`
	MessageFormat falcotext.Template `key:"messageformat" doc:"Go template of the message, in place of what outputformat says."`
}

// topicName is what the server allows as a topic.
var topicName = regexp.MustCompile(`^[-_A-Za-z0-9]{1,64}$`)

// Validate checks addresses, topic and credentials.
func (c Config) Validate() error {
	errs := []error{config.At("hostport", httpx.CheckURL(c.HostPort))}
	if !topicName.MatchString(c.Topic.Reveal()) {
		errs = append(errs, config.At("topic", errors.New("must be of at most 64 letters, digits, _ and -")))
	}
	if c.Token.Reveal() != "" && c.User != "" {
		errs = append(errs, config.At("user", errors.New("must not be set beside token")))
	}
	if c.Click != "" {
		errs = append(errs, config.At("click", httpx.CheckURL(c.Click)))
	}
	if c.Icon != "" {
		errs = append(errs, config.At("icon", httpx.CheckURL(c.Icon)))
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

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	body, err := httpx.Encode(payload(s.Config, batch[0]))
	if err != nil {
		return err
	}
	answer, err := httpx.Do(ctx, s.http, http.MethodPost, s.HostPort, body, s.header())
	if err != nil {
		return err
	}
	if !accepted(answer) {
		return outputs.Hold(errors.New("the endpoint answered 2xx without a message's id: is hostport that of ntfy?"))
	}
	return nil
}

// accepted reports whether an answer is a published message.
func accepted(answer []byte) bool {
	var m struct {
		ID string `json:"id"`
	}
	return json.Unmarshal(answer, &m) == nil && m.ID != ""
}

func (s *sender) header() http.Header {
	switch {
	case s.Token.Reveal() != "":
		return http.Header{"Authorization": {"Bearer " + s.Token.Reveal()}}
	case s.User != "":
		return http.Header{"Authorization": {httpx.BasicAuth(s.User, s.Password.Reveal())}}
	}
	return nil
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

const (
	maxMessage = 4096 // bytes; the server makes an attachment of a longer message
	maxTitle   = 250  // characters; our own, for a line
)

// message is a publication as JSON.
type message struct {
	Topic    string   `json:"topic"`
	Title    string   `json:"title"`
	Message  string   `json:"message"`
	Priority int      `json:"priority"`
	Tags     []string `json:"tags,omitempty"`
	Click    string   `json:"click,omitempty"`
	Icon     string   `json:"icon,omitempty"`
}

// payload is the message that the golden files pin.
func payload(c Config, e event.Event) message {
	text := c.MessageFormat.Render(e)
	if text == "" {
		text = falcotext.Plain(e, c.OutputFormat)
	}
	return message{
		Topic:    c.Topic.Reveal(),
		Title:    falcotext.Cut("["+e.Priority.String()+"] "+e.Rule, maxTitle),
		Message:  falcotext.CutBytes(cmp.Or(text, e.Rule), maxMessage),
		Priority: priority(e.Priority),
		Tags:     c.Tags,
		Click:    c.Click,
		Icon:     c.Icon,
	}
}

// priority returns ntfy's priority, 1 (least) to 5, of which 4 and 5 make noise.
func priority(p event.Priority) int {
	switch {
	case p >= event.Critical:
		return 5
	case p == event.Error:
		return 4
	case p >= event.Notice:
		return 3
	case p == event.Informational:
		return 2
	}
	return 1
}
