// Package sentinel sends events to a table of Microsoft Sentinel through the Logs Ingestion
// API of Azure Monitor.
package sentinel

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/falcotext"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

const (
	// maxBatch is the most events of one Send.
	maxBatch = 500
	// maxBody is the most bytes of a request; the service takes 1 MB, before compression.
	maxBody = 900_000
	// maxEvent is the longest JSON of an event in bytes. The service cuts what a column
	// holds at 64 KB, which would spoil objects.
	maxEvent = 60_000
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "sentinel",
		Title:   "Sentinel",
		Doc:     "Sends each event as a row to a table of Microsoft Sentinel.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	Endpoint     string        `key:"endpoint" required:"true" doc:"Logs ingestion endpoint of the data collection rule or data collection endpoint, for example https://NAME.westeurope-1.ingest.monitor.azure.com."`
	RuleID       string        `key:"ruleid" required:"true" doc:"Immutable ID of the data collection rule: dcr- and 32 digits."`
	Stream       string        `key:"stream" required:"true" doc:"Stream of the rule, for example Custom-Saker_CL."`
	TenantID     string        `key:"tenantid" doc:"Tenant of the application in Microsoft Entra, with clientid and clientsecret. Without them the account is what AZURE_CLIENT_ID and its like name, workload identity, or the managed identity of the machine."`
	ClientID     string        `key:"clientid" doc:"ID of the application."`
	ClientSecret config.Secret `key:"clientsecret" doc:"Secret of the application."`
	Authority    string        `key:"authority" default:"https://login.microsoftonline.com" doc:"Where the application signs in; another one in national clouds."`
	Scope        string        `key:"scope" default:"https://monitor.azure.com/.default" doc:"Scope of its tokens; another one in national clouds."`
}

var (
	ruleName   = regexp.MustCompile(`^[A-Za-z0-9-]{1,100}$`)
	streamName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)
	tenantName = regexp.MustCompile(`^[A-Za-z0-9.-]{0,100}$`)
)

// Validate checks what the keys hold and that they agree.
func (c Config) Validate() error {
	errs := []error{
		config.At("endpoint", httpx.CheckBase(c.Endpoint, "clientid and clientsecret")),
		config.At("authority", httpx.CheckBase(c.Authority, "clientid and clientsecret")),
		config.At("clientsecret", httpx.CheckPair("clientid", c.ClientID, "clientsecret", c.ClientSecret)),
	}
	for key, check := range map[string]struct {
		value string
		form  *regexp.Regexp
	}{"ruleid": {c.RuleID, ruleName}, "stream": {c.Stream, streamName}, "tenantid": {c.TenantID, tenantName}} {
		if check.value != "" && !check.form.MatchString(check.value) {
			errs = append(errs, config.At(key, errors.New("must be of letters, digits and hyphens")))
		}
	}
	if (c.ClientID == "") != (c.TenantID == "") {
		errs = append(errs, config.At("tenantid", errors.New("is required with clientid, and only with it")))
	}
	return errors.Join(errs...)
}

type sender struct {
	Config
	http    *http.Client
	address string
	account account
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	address := httpx.Join(c.Endpoint, "/dataCollectionRules/"+url.PathEscape(c.RuleID)+"/streams/"+url.PathEscape(c.Stream)+"?api-version=2023-01-01")
	return &sender{c, client, address, newAccount(c, client)}, nil
}

// Send posts the events as one array, or as several where their size demands it.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	token, err := s.account.token(ctx)
	if err != nil {
		return err
	}
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		body, to := httpx.Fill([]byte{'['}, from, len(batch), maxBody, func(dst []byte, i int) []byte {
			if i > from {
				dst = append(dst, ',')
			}
			return appendRow(dst, batch[i])
		})
		return to, s.post(ctx, token, append(body, ']'))
	})
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

func (s *sender) post(ctx context.Context, token string, body []byte) error {
	answer, err := httpx.Call{
		Method: http.MethodPost, Address: s.address, Body: httpx.Gzip(body),
		Header: http.Header{"Authorization": {"Bearer " + token}, "Content-Encoding": {"gzip"}},
		Judge: func(status int, header http.Header, answer []byte) error {
			if status == http.StatusUnauthorized {
				s.account.forget()
			}
			return judge(status, header, answer)
		},
	}.Do(ctx, s.http)
	if err == nil && bytes.HasPrefix(bytes.TrimSpace(answer), []byte("<")) {
		return outputs.Hold(errors.New("the endpoint is not the Logs Ingestion API: it answered with a page"))
	}
	return err
}

// judge returns what a refusal means. A stream or rule that is wrong comes with the same
// status as rows that are.
func judge(status int, header http.Header, answer []byte) error {
	err := httpx.StatusError(status, header, answer)
	var said struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if !outputs.Rejected(err) || json.Unmarshal(answer, &said) != nil {
		return err
	}
	for _, setting := range []string{"Stream", "Rule", "Dcr", "Api"} {
		if strings.Contains(said.Error.Code, setting) {
			return outputs.Hold(errors.New(err.Error()))
		}
	}
	return err
}

// row is an event as the stream declares it.
type row struct {
	TimeGenerated time.Time       `json:"TimeGenerated"`
	EventID       string          `json:"EventId"`
	Rule          string          `json:"Rule"`
	Priority      string          `json:"Priority"`
	EventSource   string          `json:"EventSource"`
	Hostname      string          `json:"Hostname"`
	Output        string          `json:"Output"`
	OutputFields  json.RawMessage `json:"OutputFields"`
	Tags          json.RawMessage `json:"Tags"`
}

func appendRow(dst []byte, e event.Event) []byte {
	e = falcotext.Shorten(e, maxEvent)
	text, err := json.Marshal(row{
		e.Time.UTC(), e.UUID, e.Rule, e.Priority.String(), e.Source, e.Hostname, e.Output,
		event.AppendJSONFields(nil, e.Fields), event.AppendJSONStrings(nil, e.Tags),
	})
	if err != nil {
		// Only a time beyond the year 9999 has no JSON, and ingest takes no such event.
		return append(dst, '{', '}')
	}
	return append(dst, text...)
}
