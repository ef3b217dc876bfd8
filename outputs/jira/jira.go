// Package jira creates an issue in Jira for each event.
package jira

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
		Name:  "jira",
		Title: "Jira",
		Doc:   "Creates an issue in Jira for each event.",
		Page:  page,
		Batch: 1,
		New:   New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort   string                    `key:"hostport" required:"true" doc:"Base URL of Jira: https://example.atlassian.net."`
	User       string                    `key:"user" doc:"E-mail address of the account (Cloud) or name of the user (Data Center) of apitoken."`
	APIToken   config.Secret             `key:"apitoken" doc:"API token of the account (Cloud), or the user's password (Data Center)."`
	Token      config.Secret             `key:"token" doc:"Personal access token (Data Center) or OAuth token, in place of user and apitoken."`
	APIVersion string                    `key:"apiversion" default:"3" oneof:"3,2" doc:"Version of the REST API: 3 for Cloud, 2 for Data Center, which takes the description as plain text."`
	Project    string                    `key:"project" required:"true" doc:"Key of the project: SEC."`
	IssueType  string                    `key:"issuetype" default:"Task" doc:"Name of the type of the issues."`
	Labels     []string                  `key:"labels" default:"falco" doc:"Labels of the issues. Spaces in them become _."`
	TagLabels  bool                      `key:"taglabels" default:"false" doc:"Make labels of the event's tags, too."`
	Priorities map[event.Priority]string `key:"priorities" doc:"Names of Jira's priorities by the event's, for projects whose issues have that field: critical: High."`
	Fields     map[string]string         `key:"fields" doc:"Fields added to each issue by their ids, in place of our own of the same name. A value that is a JSON object or array is sent as such: customfield_10010: '{\"value\": \"prod\"}'."`
}

var (
	projectKey = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,99}$`)
	fieldID    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,254}$`)
)

// Validate checks address, credentials and names.
func (c Config) Validate() error {
	errs := []error{config.At("hostport", httpx.CheckURL(c.HostPort))}
	byToken, byUser := c.Token.Reveal() != "", c.User != "" || c.APIToken.Reveal() != ""
	switch {
	case byToken == byUser:
		errs = append(errs, config.At("user", errors.New("either user and apitoken must be set or token")))
	case byUser && (c.User == "" || c.APIToken.Reveal() == ""):
		errs = append(errs, config.At("user", errors.New("user and apitoken go together")))
	}
	if !projectKey.MatchString(c.Project) {
		errs = append(errs, config.At("project", fmt.Errorf("%q is no key of a project: SEC", c.Project)))
	}
	if c.IssueType == "" {
		errs = append(errs, config.At("issuetype", errors.New("must not be empty")))
	}
	for _, id := range slices.Sorted(maps.Keys(c.Fields)) {
		if !fieldID.MatchString(id) {
			errs = append(errs, config.At("fields", fmt.Errorf("%q is no id of a field: customfield_10010", id)))
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
	return &sender{c, client, strings.TrimRight(c.HostPort, "/") + "/rest/api/" + c.APIVersion + "/issue"}, nil
}

func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	body, err := httpx.Encode(payload(s.Config, batch[0]))
	if err != nil {
		return err
	}
	auth := "Bearer " + s.Token.Reveal()
	if s.User != "" {
		auth = httpx.BasicAuth(s.User, s.APIToken.Reveal())
	}
	call := httpx.Call{
		Method: http.MethodPost, Address: s.address, Body: body, Judge: judge,
		Header: http.Header{
			"Authorization": {auth},
			"Accept":        {"application/json"},
		},
	}
	said, err := call.Do(ctx, s.http)
	if err != nil {
		return err
	}
	if parse(said).Key == "" {
		return outputs.Hold(errors.New("the endpoint answered 2xx without an issue's key: is hostport that of Jira?"))
	}
	return nil
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// answer is a created issue or an error of the REST API.
type answer struct {
	Key    string            `json:"key"`
	Errors map[string]string `json:"errors"`
}

// parse reads an answer; one that is something else is the zero answer.
func parse(body []byte) answer {
	var a answer
	if json.Unmarshal(body, &a) != nil {
		return answer{}
	}
	return a
}

// judge is httpx.StatusError, but for a 400 that is not the event's fault: only summary,
// description and labels are made of the event.
func judge(status int, header http.Header, body []byte) error {
	err := httpx.StatusError(status, header, body)
	if status != http.StatusBadRequest {
		return err
	}
	for name := range parse(body).Errors {
		if name != "summary" && name != "description" && name != "labels" {
			return outputs.Hold(errors.New(err.Error()))
		}
	}
	return err
}
