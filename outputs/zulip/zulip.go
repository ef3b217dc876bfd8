// Package zulip posts events to a channel of a Zulip server, or to people.
package zulip

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
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
		Name:  "zulip",
		Title: "Zulip",
		Doc:   "Posts each event as a message to a channel of a Zulip server, or to people.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort      string             `key:"hostport" required:"true" doc:"Base URL of the server: https://example.zulipchat.com."`
	Email         string             `key:"email" required:"true" doc:"E-mail address of the bot."`
	APIKey        config.Secret      `key:"apikey" required:"true" doc:"API key of the bot."`
	Channel       string             `key:"channel" doc:"Channel to post to."`
	Topic         falcotext.Template `key:"topic" default:"{{ .Rule }}" doc:"Go template of the topic within the channel."`
	To            []string           `key:"to" doc:"E-mail addresses of people who get a direct message together, in place of a channel."`
	OutputFormat  string             `key:"outputformat" default:"all" oneof:"all,text,fields" doc:"What a message shows: text is the event's output, fields are its rule, priority, tags, output fields and so on, all is both."`
	MessageFormat falcotext.Template `key:"messageformat" doc:"Go template of the message, in Zulip's Markdown, in place of what outputformat says."`
}

// Validate checks the address and who is told.
func (c Config) Validate() error {
	errs := []error{config.At("hostport", httpx.CheckURL(c.HostPort))}
	if (c.Channel == "") == (len(c.To) == 0) {
		errs = append(errs, config.At("channel", errors.New("either this or to must be set")))
	}
	return errors.Join(errs...)
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
	return &sender{c, client, strings.TrimRight(c.HostPort, "/") + "/api/v1/messages"}, nil
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	f, err := form(s.Config, batch[0])
	if err != nil {
		return err
	}
	call := httpx.Call{
		Method: http.MethodPost, Address: s.address, Body: []byte(f.Encode()), Judge: judge,
		Header: http.Header{
			"Authorization": {httpx.BasicAuth(s.Email, s.APIKey.Reveal())},
			"Content-Type":  {"application/x-www-form-urlencoded"},
		},
	}
	said, err := call.Do(ctx, s.http)
	if err != nil {
		return err
	}
	if a := parse(said); a.Result != "success" {
		return outputs.Hold(errors.New("the endpoint answered 2xx without accepting the message: is hostport that of Zulip?"))
	}
	return nil
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// answer is what Zulip says.
type answer struct {
	Result string `json:"result"`
	Msg    string `json:"msg"`
}

// parse reads an answer; one that is something else is the zero answer.
func parse(body []byte) answer {
	var a answer
	if json.Unmarshal(body, &a) != nil {
		return answer{}
	}
	return a
}

// judge is httpx.StatusError, but for a 400 that is not about the message's text: an unknown
// channel or recipient, or no permission to post there.
func judge(status int, header http.Header, body []byte) error {
	err := httpx.StatusError(status, header, body)
	if a := parse(body); status == http.StatusBadRequest && a.Result == "error" && !strings.HasPrefix(a.Msg, "Message ") {
		return outputs.Hold(errors.New(err.Error()))
	}
	return err
}

// Limits of a message, in characters. Zulip cuts or refuses what is longer.
const (
	maxContent = 10_000
	maxTopic   = 60
)

// form is the message that the golden files pin.
func form(c Config, e event.Event) (url.Values, error) {
	f := url.Values{"content": {content(c, e)}}
	if c.Channel != "" {
		f.Set("type", "stream")
		f.Set("to", c.Channel)
		f.Set("topic", topic(c, e))
		return f, nil
	}
	to, err := json.Marshal(c.To)
	if err != nil {
		return nil, err
	}
	f.Set("type", "private")
	f.Set("to", string(to))
	return f, nil
}

func topic(c Config, e event.Event) string {
	s := strings.Join(strings.Fields(clean(c.Topic.Render(e))), " ")
	return falcotext.Cut(cmp.Or(s, e.Rule), maxTopic)
}

// clean removes NUL, which Zulip refuses.
func clean(s string) string { return strings.ReplaceAll(s, "\x00", "") }

// content is the message. What the event says stands in a block of code, so that nothing in
// it is Markdown or mentions anybody.
func content(c Config, e event.Event) string {
	if s := clean(c.MessageFormat.Render(e)); strings.TrimSpace(s) != "" {
		return falcotext.Cut(s, maxContent)
	}
	head := "**[" + e.Priority.String() + "] " + falcotext.Cut(e.Rule, maxTopic*4) + "**\n"
	text := clean(falcotext.Plain(e, c.OutputFormat))
	if text == "" {
		return head
	}
	text = falcotext.Cut(text, maxContent-1000)
	// A run of backquotes would close the block if it were as long as the fence.
	text = longRun.ReplaceAllString(text, strings.Repeat("`", maxRun))
	fence := strings.Repeat("`", maxRun+1)
	return head + fence + "text\n" + text + "\n" + fence
}

// maxRun is the longest run of backquotes that is shown.
const maxRun = 2

var longRun = regexp.MustCompile("`{3,}")
