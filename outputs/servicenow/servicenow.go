// Package servicenow makes a record of each event in ServiceNow: in a table, as an incident
// for example, or as an event of Event Management.
package servicenow

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:  "servicenow",
		Title: "ServiceNow",
		Doc:   "Makes a record of each event in a table of ServiceNow, as an incident for example, or an event of its Event Management.",
		Page:  page,
		Batch: maxEvents,
		New:   New,
	})
}

// maxEvents is the most events of one request to Event Management.
const maxEvents = 100

// The values of api.
const (
	apiTable  = "table"
	apiEvents = "events"
)

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort    string            `key:"hostport" required:"true" doc:"URL of the instance: https://example.service-now.com."`
	User        string            `key:"user" doc:"User of the integration."`
	Password    config.Secret     `key:"password" doc:"The user's password."`
	Token       config.Secret     `key:"token" doc:"OAuth access token, in place of user and password."`
	APIKey      config.Secret     `key:"apikey" doc:"API key for the header x-sn-apikey, in place of user and password."`
	API         string            `key:"api" default:"table" oneof:"table,events" doc:"What is made of an event: table makes a record in a table, events sends it to Event Management, which makes alerts of events."`
	Table       string            `key:"table" default:"incident" doc:"Table of the records, with api: table."`
	EventSource string            `key:"eventsource" default:"Falco" doc:"Source of the events, with api: events."`
	Fields      map[string]string `key:"fields" doc:"Fields added to each record, in place of our own of the same name: assignment_group, category, caller_id and so on."`
}

// tableName is what the instance allows as the name of a table or field.
var tableName = regexp.MustCompile(`^[a-z0-9_]{1,80}$`)

// Validate checks address, credentials and names.
func (c Config) Validate() error {
	errs := []error{config.At("hostport", httpx.CheckURL(c.HostPort))}
	ways := 0
	for _, set := range []bool{c.User != "", c.Token.Reveal() != "", c.APIKey.Reveal() != ""} {
		if set {
			ways++
		}
	}
	if ways != 1 {
		errs = append(errs, config.At("user", errors.New("one of user, token and apikey must be set")))
	}
	if !tableName.MatchString(c.Table) {
		errs = append(errs, config.At("table", fmt.Errorf("%q is no name of a table: it must be of lower-case letters, digits and _", c.Table)))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Fields)) {
		if !tableName.MatchString(name) {
			errs = append(errs, config.At("fields", fmt.Errorf("%q is no name of a field: it must be of lower-case letters, digits and _", name)))
		}
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
	path := "/api/now/table/" + c.Table
	if c.API == apiEvents {
		path = "/api/global/em/jsonv2"
	}
	return &sender{c, client, strings.TrimRight(c.HostPort, "/") + path}, nil
}

// MaxBatch is 1 for a table, whose API takes one record at a time.
func (s *sender) MaxBatch() int {
	if s.API == apiEvents {
		return maxEvents
	}
	return 1
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	var payload any
	if s.API == apiEvents {
		payload = eventsPayload(s.Config, batch)
	} else {
		payload = recordPayload(s.Config, batch[0])
	}
	body, err := httpx.Encode(payload)
	if err != nil {
		return err
	}
	call := httpx.Call{Method: http.MethodPost, Address: s.address, Body: body, Header: s.header(), Judge: judge}
	said, err := call.Do(ctx, s.http)
	if err != nil {
		return err
	}
	return accepted(said)
}

func (s *sender) header() http.Header {
	h := http.Header{"Accept": {"application/json"}}
	switch {
	case s.Token.Reveal() != "":
		h.Set("Authorization", "Bearer "+s.Token.Reveal())
	case s.APIKey.Reveal() != "":
		h.Set("x-sn-apikey", s.APIKey.Reveal())
	default:
		h.Set("Authorization", httpx.BasicAuth(s.User, s.Password.Reveal()))
	}
	return h
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// accepted looks into the answer of a 2xx: an instance that hibernates or wants a log-in
// answers 200 with a page.
func accepted(said []byte) error {
	var a map[string]json.RawMessage
	if json.Unmarshal(said, &a) != nil {
		return errors.New("the instance answered 2xx without JSON: it hibernates, or hostport is not that of an instance")
	}
	if e := parse(said); e.Error.Message != "" {
		return outputs.Hold(fmt.Errorf("the instance answered 2xx with an error: %s", httpx.OneLine(e.Error.Message+" "+e.Error.Detail)))
	}
	return nil
}

// answer is an error of the instance.
type answer struct {
	Error struct {
		Message string `json:"message"`
		Detail  string `json:"detail"`
	} `json:"error"`
}

// parse reads an answer; one that is something else is the zero answer.
func parse(body []byte) answer {
	var a answer
	if json.Unmarshal(body, &a) != nil {
		return answer{}
	}
	return a
}

// aboutSettings matches what a 400 says when not the record is at fault but where it goes.
var aboutSettings = regexp.MustCompile(`(?i)invalid table|does not represent any resource|requested uri`)

// judge is httpx.StatusError, but for a 400 that is not the event's fault.
func judge(status int, header http.Header, body []byte) error {
	err := httpx.StatusError(status, header, body)
	a := parse(body)
	if status == http.StatusBadRequest && aboutSettings.MatchString(a.Error.Message+" "+a.Error.Detail) {
		return outputs.Hold(errors.New(err.Error()))
	}
	return err
}
