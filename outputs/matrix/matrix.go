// Package matrix sends events as messages to a room of Matrix.
package matrix

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"html"
	"net/http"
	"net/url"
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
		Name:  "matrix",
		Title: "Matrix",
		Doc:   "Sends each event as a message to a room of Matrix.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort      string             `key:"hostport" required:"true" doc:"Base URL of the homeserver: https://matrix.example.com."`
	AccessToken   config.Secret      `key:"accesstoken" required:"true" doc:"Access token of the user who sends."`
	RoomID        string             `key:"roomid" required:"true" doc:"Internal id of the room, which begins with an exclamation mark: !abc:example.com."`
	MsgType       string             `key:"msgtype" default:"m.text" oneof:"m.text,m.notice" doc:"Type of the messages. Clients show m.notice without notifying anybody."`
	OutputFormat  string             `key:"outputformat" default:"all" oneof:"all,text,fields" doc:"What a message shows: text is the event's output, fields are its rule, priority, tags, output fields and so on, all is both."`
	MessageFormat falcotext.Template `key:"messageformat" doc:"Go template of the message, as plain text, in place of what outputformat says."`
}

// Validate checks address and room.
func (c Config) Validate() error {
	errs := []error{config.At("hostport", httpx.CheckURL(c.HostPort))}
	if !strings.HasPrefix(c.RoomID, "!") || len(c.RoomID) > 255 {
		errs = append(errs, config.At("roomid", errors.New("must be the room's internal id, which begins with !, and not an alias")))
	}
	return errors.Join(errs...)
}

type sender struct {
	Config
	http *http.Client
	room string
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	room := strings.TrimRight(c.HostPort, "/") + "/_matrix/client/v3/rooms/" + url.PathEscape(c.RoomID) + "/send/m.room.message/"
	return &sender{c, client, room}, nil
}

// Send sends one message. The event's UUID is the id of the transaction, so that an event
// sent twice is one message.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	body, err := httpx.Encode(payload(s.Config, batch[0]))
	if err != nil {
		return err
	}
	call := httpx.Call{
		Method: http.MethodPut, Address: s.room + url.PathEscape(batch[0].UUID), Body: body, Judge: judge,
		Header: http.Header{"Authorization": {"Bearer " + s.AccessToken.Reveal()}},
	}
	said, err := call.Do(ctx, s.http)
	if err != nil {
		return err
	}
	if parse(said).EventID == "" {
		return outputs.Hold(errors.New("the endpoint answered 2xx without an event_id: is hostport that of the homeserver?"))
	}
	return nil
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// answer is an accepted message or an error of the Client-Server API.
type answer struct {
	EventID      string  `json:"event_id"`
	ErrCode      string  `json:"errcode"`
	RetryAfterMs float64 `json:"retry_after_ms"`
}

// parse reads an answer; one that is something else is the zero answer.
func parse(body []byte) answer {
	var a answer
	if json.Unmarshal(body, &a) != nil {
		return answer{}
	}
	return a
}

// maxPause is the longest pause that a homeserver can ask for.
const maxPause = time.Hour

// judge is httpx.StatusError with the pause that older homeservers state in the body only.
func judge(status int, header http.Header, body []byte) error {
	err := httpx.StatusError(status, header, body)
	a := parse(body)
	if status != http.StatusTooManyRequests || outputs.Delay(err) > 0 || a.RetryAfterMs <= 0 {
		return err
	}
	return outputs.RetryAfter(time.Duration(min(a.RetryAfterMs, float64(maxPause.Milliseconds())))*time.Millisecond, err)
}

// Limits of a message. A homeserver refuses an event of more than 65536 bytes, of which
// these leave some for what it adds, even if every character has to be escaped.
const (
	maxBody  = 8 << 10  // bytes of plain text
	maxHTML  = 16 << 10 // bytes of HTML
	maxValue = 2 << 10  // bytes of a field's value in HTML
)

// message is the content of an event m.room.message.
type message struct {
	MsgType       string `json:"msgtype"`
	Body          string `json:"body"`
	Format        string `json:"format,omitempty"`
	FormattedBody string `json:"formatted_body,omitempty"`
}

// payload is the message that the golden files pin.
func payload(c Config, e event.Event) message {
	if text := clean(c.MessageFormat.Render(e)); text != "" {
		return message{MsgType: c.MsgType, Body: falcotext.CutBytes(text, maxBody)}
	}
	title := title(e)
	text := title
	if plain := falcotext.Plain(e, c.OutputFormat); plain != "" {
		text += "\n" + plain
	}
	return message{
		MsgType:       c.MsgType,
		Body:          falcotext.CutBytes(clean(text), maxBody),
		Format:        "org.matrix.custom.html",
		FormattedBody: formatted(c, e, title),
	}
}

func title(e event.Event) string {
	const maxTitle = 1 << 10 // bytes
	return falcotext.CutBytes(clean("["+e.Priority.String()+"] "+e.Rule), maxTitle)
}

// clean removes NUL, which homeservers cannot store.
func clean(s string) string { return strings.ReplaceAll(s, "\x00", "") }

// formatted is the message as HTML, of the elements that the specification allows.
func formatted(c Config, e event.Event, title string) string {
	var b strings.Builder
	b.WriteString(`<strong><font data-mx-color="` + falcotext.Colour(e.Priority) + `">` + html.EscapeString(title) + "</font></strong>")
	if c.OutputFormat != "fields" && e.Output != "" {
		text := escaped(e.Output, maxBody)
		b.WriteString("<br>" + strings.ReplaceAll(text, "\n", "<br>"))
	}
	if c.OutputFormat == "text" {
		return b.String()
	}
	b.WriteString("<ul>")
	for name, value := range falcotext.Details(e) {
		item := "<li><strong>" + escaped(name, maxValue) + "</strong>: <code>" + escaped(value, maxValue) + "</code></li>"
		if b.Len()+len(item) > maxHTML {
			b.WriteString("<li>" + falcotext.Ellipsis + "</li>")
			break
		}
		b.WriteString(item)
	}
	b.WriteString("</ul>")
	return b.String()
}

// escaped is s for HTML, cut so that it has at most n bytes.
func escaped(s string, n int) string {
	s = clean(s)
	for limit := n; ; limit /= 2 {
		if text := html.EscapeString(falcotext.CutBytes(s, limit)); len(text) <= n {
			return text
		}
	}
}
