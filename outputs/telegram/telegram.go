// Package telegram sends events to a Telegram chat through a bot.
package telegram

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:  "telegram",
		Title: "Telegram",
		Doc:   "Sends each event as a message of a bot to a Telegram chat.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// defaultHost is Telegram's own server of the Bot API.
const defaultHost = "https://api.telegram.org"

// Config is what a user sets.
type Config struct {
	httpx.Config
	Host            string        `key:"host" default:"https://api.telegram.org" doc:"Base URL of the Bot API; empty for Telegram's own."`
	Token           config.Secret `key:"token" required:"true" doc:"Token of the bot."`
	ChatID          string        `key:"chatid" required:"true" doc:"Chat to write to: its number, or @name of a public channel."`
	MessageThreadID string        `key:"messagethreadid" doc:"Number of the topic to write to, for a group with topics."`
}

// Validate checks the base URL and the token.
func (c Config) Validate() error {
	var host, token error
	if c.Host != "" {
		host = config.At("host", httpx.CheckURL(c.Host))
	}
	if strings.ContainsAny(c.Token.Reveal(), "/?# \t\r\n") {
		token = config.At("token", errors.New("must be a bot's token, such as 123456:ABC-DEF"))
	}
	return errors.Join(host, token)
}

type sender struct {
	Config
	address config.Secret
	http    *http.Client
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	host := c.Host
	if host == "" {
		host = defaultHost
	}
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	address := strings.TrimRight(host, "/") + "/bot" + url.PathEscape(c.Token.Reveal()) + "/sendMessage"
	return &sender{c, config.NewSecret(address), client}, nil
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	body, err := httpx.Encode(payload(s.Config, batch[0]))
	if err != nil {
		return err
	}
	call := httpx.Call{
		Method: http.MethodPost, Address: s.address.Reveal(), Body: body, Judge: judge,
		Secrets: []string{s.Token.Reveal()},
	}
	_, err = call.Do(ctx, s.http)
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// maxPause is the longest pause that an answer can ask for.
const maxPause = time.Hour

// aboutEvent are the beginnings of what Telegram says, behind "Bad Request: ", of a message
// that it will never take. All else it answers with 400 is about the chat or the bot.
var aboutEvent = []string{"message is too long", "message text is empty", "text must be", "can't parse", "entity", "entities", "strings must be encoded", "message_too_long"}

// judge is httpx.StatusError, but for what Telegram says in the answer's body: how long a
// rate limit lasts, and that the chat is what is wrong.
func judge(status int, header http.Header, answer []byte) error {
	err := httpx.StatusError(status, header, answer)
	var said struct {
		Description string `json:"description"`
		Parameters  struct {
			RetryAfter int64 `json:"retry_after"` // seconds
		} `json:"parameters"`
	}
	if json.Unmarshal(answer, &said) != nil {
		return err
	}
	if asked := said.Parameters.RetryAfter; asked > 0 && status == http.StatusTooManyRequests {
		pause := time.Duration(min(asked, int64(maxPause/time.Second))) * time.Second
		return outputs.RetryAfter(max(pause, outputs.Delay(err)), err)
	}
	about, bad := strings.CutPrefix(strings.ToLower(said.Description), "bad request: ")
	if status != http.StatusBadRequest || !bad {
		return err
	}
	for _, start := range aboutEvent {
		if strings.HasPrefix(about, start) {
			return err
		}
	}
	return outputs.Hold(errors.New(err.Error()))
}
