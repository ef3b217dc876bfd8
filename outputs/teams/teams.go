// Package teams posts events to a Microsoft Teams channel or chat: as an Adaptive Card to a
// workflow of Power Automate, or as a message card to a connector of Microsoft 365.
package teams

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

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
		Name:  "teams",
		Title: "Teams",
		Doc:   "Posts each event as a card to a Microsoft Teams channel or chat.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// The values of Config.Format.
const (
	formatAuto     = "auto"
	formatCard     = "messagecard"
	formatAdaptive = "adaptivecard"
)

// Config is what a user sets.
type Config struct {
	httpx.Config
	WebhookURL    config.Secret `key:"webhookurl" required:"true" doc:"URL of the workflow (Power Automate) or of the incoming webhook (connector)."`
	Format        string        `key:"format" default:"auto" oneof:"auto,messagecard,adaptivecard" doc:"Form of the message: adaptivecard is what workflows take, messagecard is what connectors take, auto goes by the URL."`
	ActivityImage string        `key:"activityimage" default:"https://raw.githubusercontent.com/falcosecurity/falcosidekick/master/imgs/falcosidekick_color.png" doc:"URL of the picture shown in the card."`
	OutputFormat  string        `key:"outputformat" default:"all" oneof:"all,text,facts,fields" doc:"What a card shows: text is the event's output, facts (or fields) are its rule, priority, tags, output fields and so on, all is both."`
}

// Validate checks the URL.
func (c Config) Validate() error {
	return config.At("webhookurl", httpx.CheckURL(c.WebhookURL.Reveal()))
}

// adaptive reports whether messages are Adaptive Cards.
func (c Config) adaptive() bool {
	return c.Format == formatAdaptive || c.Format != formatCard && isWorkflow(c.WebhookURL.Reveal())
}

// isWorkflow reports whether address is that of a workflow's trigger, which has the same
// path in all of Microsoft's clouds.
func isWorkflow(address string) bool {
	u, err := url.Parse(address)
	return err == nil && strings.Contains(u.Path, "/workflows/") && strings.Contains(u.Path, "/triggers/")
}

func (c Config) showsText() bool {
	return c.OutputFormat == "" || c.OutputFormat == "all" || c.OutputFormat == "text"
}
func (c Config) showsFacts() bool { return c.OutputFormat != "text" }

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
	build := func(l falcotext.Limits) any { return messageCard(s.Config, batch[0], l) }
	if s.adaptive() {
		build = func(l falcotext.Limits) any { return adaptiveCard(s.Config, batch[0], l) }
	}
	body, err := httpx.EncodeFit(widest, maxBody, build)
	if err != nil {
		return err
	}
	call := httpx.Call{Method: http.MethodPost, Address: s.WebhookURL.Reveal(), Body: body, Judge: judge}
	answer, err := call.Do(ctx, s.http)
	if err != nil {
		return err
	}
	return accepted(answer)
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// judge is httpx.StatusError, but for a workflow that is off or asks for a login, which
// Power Automate may answer with 400.
func judge(status int, header http.Header, answer []byte) error {
	err := httpx.StatusError(status, header, answer)
	var said struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if status != http.StatusBadRequest || json.Unmarshal(answer, &said) != nil {
		return err
	}
	if strings.HasPrefix(said.Error.Code, "Workflow") || strings.HasPrefix(said.Error.Code, "DirectApi") {
		return outputs.Hold(errors.New(err.Error()))
	}
	return err
}

var innerStatus = regexp.MustCompile(`HTTP error (\d{3})\b`)

// accepted reads the answer that has status 200: a connector says there, in a text that
// names a status, that Teams has refused the message.
func accepted(answer []byte) error {
	if !bytes.Contains(answer, []byte("delivery failed")) {
		return nil
	}
	const refused = "the connector answered that Teams did not take the message"
	m := innerStatus.FindSubmatch(answer)
	if m == nil {
		return errors.New(refused)
	}
	status, err := strconv.Atoi(string(m[1]))
	if err != nil || status/100 < 3 {
		return errors.New(refused)
	}
	return httpx.StatusError(status, nil, []byte(refused))
}

// maxBody is well below the 28 KB that Microsoft documents, because larger messages have
// been refused from 18 KB on.
const maxBody = 18_000

// widest lets through all of an ordinary event.
var widest = falcotext.Limits{Text: 8000, Value: 2000, Fields: 60}

// facts are what a card shows beside the text.
func facts(e event.Event, l falcotext.Limits) []falcotext.Field {
	all := []falcotext.Field{{Name: "rule", Value: e.Rule}, {Name: "priority", Value: e.Priority.String()}, {Name: "source", Value: e.Source}}
	if e.Hostname != "" {
		all = append(all, falcotext.Field{Name: "hostname", Value: e.Hostname})
	}
	all = append(all, l.Show(falcotext.StringFields(e))...)
	if len(e.Tags) > 0 {
		all = append(all, falcotext.Field{Name: "tags", Value: falcotext.Tags(e)})
	}
	for i := range all {
		all[i].Value = falcotext.CutUTF16(all[i].Value, l.Value)
	}
	return all
}
