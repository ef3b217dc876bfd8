// Package twilio sends events as text messages through Twilio.
package twilio

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
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
		Name:  "twilio",
		Title: "Twilio",
		Doc:   "Sends each event as a text message through Twilio; to each number, if there are several.",
		Page:  page,
		Batch: 1,
		New:   New,
		Split: split,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	AccountSID          string             `key:"accountsid" required:"true" doc:"SID of the account, AC…"`
	AuthToken           config.Secret      `key:"authtoken" required:"true" doc:"Auth token of the account, or the secret of the API key in apikeysid."`
	APIKeySID           string             `key:"apikeysid" doc:"SID of an API key, SK…, in place of the account's own token."`
	From                string             `key:"from" doc:"Sender: a number of the account in E.164 form (+15017122661), a short code or an alphanumeric sender."`
	MessagingServiceSID string             `key:"messagingservicesid" doc:"SID of a messaging service, MG…, in place of from."`
	To                  []string           `key:"to" required:"true" doc:"Numbers in E.164 form. Each of them gets every event, from a queue of its own."`
	MaxLength           int                `key:"maxlength" default:"320" doc:"Longest message in characters, 1600 at most. Twilio charges for each segment, of 153 characters or, if the text has others than GSM-7's, of 67."`
	MessageFormat       falcotext.Template `key:"messageformat" doc:"Go template of the message, in place of priority, host and the event's output."`
	APIURL              string             `key:"apiurl" default:"https://api.twilio.com" doc:"Base URL of the API, for another region or a proxy."`
}

var (
	sid    = regexp.MustCompile(`^[A-Za-z]{2}[0-9A-Za-z]{8,64}$`)
	number = regexp.MustCompile(`^(whatsapp:)?\+[1-9][0-9]{1,14}$`)
)

// maxBody is the longest body that Twilio takes, in characters.
const maxBody = 1600

// Validate checks names, numbers and the address.
func (c Config) Validate() error {
	var errs []error
	if !sid.MatchString(c.AccountSID) {
		errs = append(errs, config.At("accountsid", errors.New("must be a SID as the console shows it: AC and 32 digits")))
	}
	if (c.From == "") == (c.MessagingServiceSID == "") {
		errs = append(errs, config.At("from", errors.New("either this or messagingservicesid must be set")))
	}
	for _, to := range c.To {
		if !number.MatchString(to) {
			errs = append(errs, config.At("to", fmt.Errorf("%q is no number in E.164 form: +15558675310", to)))
		}
	}
	if c.MaxLength < 1 || c.MaxLength > maxBody {
		errs = append(errs, config.At("maxlength", fmt.Errorf("must be from 1 to %d", maxBody)))
	}
	return errors.Join(append(errs, config.At("apiurl", httpx.CheckURL(c.APIURL)))...)
}

// split gives each number a queue of its own: a message cannot be called back, so that a
// number that fails must not have the others told again.
func split(c Config) []outputs.Part[Config] {
	if len(c.To) < 2 {
		return nil
	}
	var parts []outputs.Part[Config]
	seen := map[string]int{}
	for _, to := range c.To {
		one := c
		one.To = []string{to}
		suffix := to
		if seen[to]++; seen[to] > 1 {
			suffix += "-" + strconv.Itoa(seen[to])
		}
		parts = append(parts, outputs.Part[Config]{Suffix: suffix, Config: one})
	}
	return parts
}

type sender struct {
	Config
	http    *http.Client
	address string
}

// New makes a Sender for the one number of c. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	if len(c.To) != 1 {
		return nil, fmt.Errorf("a sender has one number, not %d", len(c.To))
	}
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	address := strings.TrimRight(c.APIURL, "/") + "/2010-04-01/Accounts/" + c.AccountSID + "/Messages.json"
	return &sender{c, client, address}, nil
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	call := httpx.Call{
		Method: http.MethodPost, Address: s.address, Body: []byte(form(s.Config, batch[0]).Encode()), Judge: judge,
		Header: http.Header{
			"Authorization": {httpx.BasicAuth(cmp.Or(s.APIKeySID, s.AccountSID), s.AuthToken.Reveal())},
			"Content-Type":  {"application/x-www-form-urlencoded"},
			"Accept":        {"application/json"},
		},
	}
	answer, err := call.Do(ctx, s.http)
	if err != nil {
		return err
	}
	if m := parse(answer); m.SID == "" {
		return outputs.Hold(errors.New("the endpoint answered 2xx without a message's sid: is apiurl that of Twilio?"))
	}
	return nil
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// answer is a message or an error of the API.
type answer struct {
	SID  string `json:"sid"`
	Code int    `json:"code"`
}

// parse reads an answer; one that is something else is the zero answer.
func parse(body []byte) answer {
	var a answer
	if json.Unmarshal(body, &a) != nil {
		return answer{}
	}
	return a
}

// aboutBody are the codes of errors that are about the message's text. All others of status
// 400 are about numbers, permissions or the account.
var aboutBody = []int{0, 21602, 21605, 21617, 21619}

// judge is httpx.StatusError, but for a 400 that is not the event's fault.
func judge(status int, header http.Header, body []byte) error {
	err := httpx.StatusError(status, header, body)
	if status == http.StatusBadRequest && !slices.Contains(aboutBody, parse(body).Code) {
		return outputs.Hold(errors.New(err.Error()))
	}
	return err
}

// form is the message that the golden files pin.
func form(c Config, e event.Event) url.Values {
	f := url.Values{"To": c.To, "Body": {text(c, e)}}
	if c.MessagingServiceSID != "" {
		f.Set("MessagingServiceSid", c.MessagingServiceSID)
	} else {
		f.Set("From", c.From)
	}
	return f
}

// text is the message's body. NUL, which no phone shows, is left out.
func text(c Config, e event.Event) string {
	s := c.MessageFormat.Render(e)
	if s == "" {
		s = "[" + e.Priority.String() + "] "
		if e.Hostname != "" {
			s += e.Hostname + ": "
		}
		s += cmp.Or(e.Headline(), e.Rule)
	}
	return falcotext.Cut(strings.ReplaceAll(s, "\x00", ""), c.MaxLength)
}
