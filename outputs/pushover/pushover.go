// Package pushover sends events to phones and desktops through Pushover.
package pushover

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

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
		Name:  "pushover",
		Title: "Pushover",
		Doc:   "Sends each event as a notification to phones and desktops through Pushover.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	Token         config.Secret      `key:"token" required:"true" doc:"API token of the application."`
	UserKey       config.Secret      `key:"userkey" required:"true" doc:"Key of the user or group that is notified."`
	Device        string             `key:"device" doc:"Names of devices, separated by commas; empty for all of the user's."`
	Sound         string             `key:"sound" doc:"Name of the sound, in place of the user's own."`
	AcknowledgeAt event.Priority     `key:"acknowledgeat" doc:"Least priority of events whose notification repeats until somebody acknowledges it; empty for none."`
	RepeatEvery   time.Duration      `key:"repeatevery" default:"60s" unit:"s" doc:"Pause before such a notification repeats, 30 seconds at least."`
	RepeatFor     time.Duration      `key:"repeatfor" default:"1h" unit:"s" doc:"How long it repeats, 3 hours at most."`
	OutputFormat  string             `key:"outputformat" default:"all" oneof:"all,text,fields" doc:"What a message shows: text is the event's output, fields are its rule, priority, tags, output fields and so on, all is both."`
	MessageFormat falcotext.Template `key:"messageformat" doc:"Go template of the message, in place of what outputformat says."`
	APIURL        string             `key:"apiurl" default:"https://api.pushover.net" doc:"Base URL of the API, for a proxy."`
}

// Validate checks the times and the address.
func (c Config) Validate() error {
	var errs []error
	if c.RepeatEvery < 30*time.Second {
		errs = append(errs, config.At("repeatevery", errors.New("must be at least 30s")))
	}
	if c.RepeatFor < time.Second || c.RepeatFor > 3*time.Hour {
		errs = append(errs, config.At("repeatfor", errors.New("must be from 1s to 3h")))
	}
	return errors.Join(append(errs, config.At("apiurl", httpx.CheckURL(c.APIURL)))...)
}

type sender struct {
	Config
	http    *http.Client
	address string
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{c, client, strings.TrimRight(c.APIURL, "/") + "/1/messages.json"}, nil
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	body, err := httpx.Encode(payload(s.Config, batch[0]))
	if err != nil {
		return err
	}
	call := httpx.Call{
		Method: http.MethodPost, Address: s.address, Body: body,
		Secrets: []string{s.Token.Reveal(), s.UserKey.Reveal()}, Judge: judge,
	}
	said, err := call.Do(ctx, s.http)
	if err != nil {
		return err
	}
	if a := parse(said); a.Status != 1 {
		return outputs.Hold(fmt.Errorf("the endpoint answered 200 without accepting the message: %s", s.clean(a)))
	}
	return nil
}

// judge is httpx.StatusError, but for a 400 that is not about the message: it is the answer
// to wrong keys as well.
func judge(status int, header http.Header, body []byte) error {
	err := httpx.StatusError(status, header, body)
	if a := parse(body); status == http.StatusBadRequest && len(a.Errors) > 0 && a.Message == "" {
		return outputs.Hold(errors.New(err.Error()))
	}
	if at, ok := reset(header); ok && status == http.StatusTooManyRequests && outputs.Delay(err) == 0 {
		return outputs.RetryAfter(at, err)
	}
	return err
}

// reset returns how long it takes until the month's messages are counted anew, an hour at
// most, so that an enlarged quota is noticed.
func reset(header http.Header) (time.Duration, bool) {
	at, err := strconv.ParseInt(header.Get("X-Limit-App-Reset"), 10, 64)
	if err != nil {
		return 0, false
	}
	wait := min(time.Until(time.Unix(at, 0)), time.Hour)
	return wait, wait > 0
}

// answer is what Pushover says. A parameter that it refuses is a member of its name.
type answer struct {
	Status  int      `json:"status"`
	Errors  []string `json:"errors"`
	Message string   `json:"message"`
}

// parse reads an answer; one that is something else is the zero answer.
func parse(body []byte) answer {
	var a answer
	if json.Unmarshal(body, &a) != nil {
		return answer{}
	}
	return a
}

// clean is what an answer says without keys that it may repeat.
func (s *sender) clean(a answer) string {
	text := cmp.Or(strings.Join(a.Errors, ", "), "no reason given")
	text = strings.NewReplacer(s.Token.Reveal(), "[hidden]", s.UserKey.Reveal(), "[hidden]").Replace(text)
	return httpx.OneLine(text)
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// Limits of a message, in characters. Pushover refuses a longer one.
const (
	maxMessage = 1024
	maxTitle   = 250
)

// message is what the Messages API takes as JSON.
type message struct {
	Token     string `json:"token"`
	User      string `json:"user"`
	Device    string `json:"device,omitempty"`
	Title     string `json:"title"`
	Message   string `json:"message"`
	Priority  int    `json:"priority"`
	Retry     int    `json:"retry,omitempty"`
	Expire    int    `json:"expire,omitempty"`
	Sound     string `json:"sound,omitempty"`
	Timestamp int64  `json:"timestamp"`
}

// payload is the message that the golden files pin.
func payload(c Config, e event.Event) message {
	text := c.MessageFormat.Render(e)
	if text == "" {
		text = falcotext.Plain(e, c.OutputFormat)
	}
	m := message{
		Token:     c.Token.Reveal(),
		User:      c.UserKey.Reveal(),
		Device:    c.Device,
		Title:     falcotext.Cut("["+e.Priority.String()+"] "+e.Rule, maxTitle),
		Message:   falcotext.Cut(cmp.Or(text, e.Rule), maxMessage),
		Priority:  priority(e.Priority),
		Sound:     c.Sound,
		Timestamp: e.Time.Unix(),
	}
	if c.AcknowledgeAt != event.None && e.Priority >= c.AcknowledgeAt {
		m.Priority = 2
		m.Retry, m.Expire = int(c.RepeatEvery/time.Second), int(c.RepeatFor/time.Second)
	}
	return m
}

// priority returns Pushover's priority: 1 is loud even in quiet hours, -1 is silent, -2
// shows no notification.
func priority(p event.Priority) int {
	switch {
	case p >= event.Critical:
		return 1
	case p >= event.Warning:
		return 0
	case p >= event.Informational:
		return -1
	}
	return -2
}
