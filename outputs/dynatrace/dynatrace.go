// Package dynatrace sends events to Dynatrace as log records.
package dynatrace

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

const (
	// maxBatch is the most events of one Send.
	maxBatch = 500
	// maxBody is the most bytes of one request of several events, before compression:
	// Dynatrace takes 10 MB, an ActiveGate 5 MB.
	maxBody = 4 << 20
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "dynatrace",
		Title:   "Dynatrace",
		Doc:     "Sends each event to Dynatrace as a log record.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	APIToken          config.Secret `key:"apitoken" required:"true" doc:"Access token with the scope logs.ingest."`
	APIURL            string        `key:"apiurl" required:"true" doc:"URL of the API: https://ENVIRONMENT.live.dynatrace.com/api for SaaS, https://DOMAIN/e/ENVIRONMENT/api for Managed and ActiveGates."`
	EnableCompression bool          `key:"enablecompression" default:"false" doc:"Compress the requests with gzip."`
}

// Validate checks the address.
func (c Config) Validate() error {
	return config.At("apiurl", httpx.CheckBase(c.APIURL, "apitoken"))
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
	return &sender{c, client, httpx.Join(c.APIURL, "/v2/logs/ingest")}, nil
}

// Send posts the events as one array, or as several where their size demands it.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		var encoding error
		body, to := httpx.Fill([]byte{'['}, from, len(batch), maxBody, func(dst []byte, i int) []byte {
			if i > from {
				dst = append(dst, ',')
			}
			text, err := json.Marshal(newRecord(batch[i]))
			encoding = errors.Join(encoding, err)
			return append(dst, text...)
		})
		if encoding != nil {
			return to, outputs.Reject(encoding)
		}
		return to, s.post(ctx, append(body, "]\n"...))
	})
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

func (s *sender) post(ctx context.Context, body []byte) error {
	header := http.Header{"Authorization": {"Api-Token " + s.APIToken.Reveal()}}
	if s.EnableCompression {
		header.Set("Content-Encoding", "gzip")
		body = httpx.Gzip(body)
	}
	answer, err := httpx.Call{
		Method: http.MethodPost, Address: s.address, Body: body, Header: header,
	}.Do(ctx, s.http)
	if err != nil {
		return err
	}
	if bytes.HasPrefix(bytes.TrimSpace(answer), []byte("<")) {
		return outputs.Hold(errors.New("the endpoint is not Dynatrace's API: it answered with a page"))
	}
	if said := leftOut(answer); said != "" {
		// Halving the batch finds the records that Dynatrace does not take.
		said = strings.ReplaceAll(httpx.OneLine(said), s.APIToken.Reveal(), "[hidden]")
		return outputs.Reject(errors.New("the endpoint did not take all records: " + said))
	}
	return nil
}

// leftOut is what Dynatrace says when it took only a part of the records, "" when it took
// all: then there is an answer with details, and the status is 200 in place of 204.
func leftOut(body []byte) string {
	var answer struct {
		Details struct {
			Message string `json:"message"`
		} `json:"details"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	return answer.Details.Message
}
