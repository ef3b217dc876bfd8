// Package splunk sends events to Splunk's HTTP Event Collector.
package splunk

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

const (
	// maxBatch is the most events of one Send.
	maxBatch = 500
	// maxBody is the most bytes of one request of several events, before compression:
	// Splunk Cloud takes 1 MB.
	maxBody = 900_000
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "splunk",
		Title:   "Splunk",
		Doc:     "Sends events to the HTTP Event Collector of Splunk.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	Host              config.Secret `key:"host" required:"true" doc:"Whole URL of the HTTP Event Collector, for example https://splunk.example.com:8088/services/collector/event. It counts as a secret because it may hold a token."`
	Token             config.Secret `key:"token" doc:"Token of the HTTP Event Collector."`
	CustomHeaders     httpx.Headers `key:"customheaders" doc:"Headers added to each request. With a token, Authorization is the token's."`
	Index             string        `key:"index" doc:"Index to store events in; empty for the token's default. The token must allow it."`
	Source            string        `key:"source" doc:"Splunk's source of each event; empty for the token's default."`
	SourceType        string        `key:"sourcetype" default:"falcosidekick" doc:"Splunk's source type of each event."`
	Metadata          bool          `key:"metadata" default:"false" doc:"Send the event's time and host name as Splunk's time and host. Without it they are the time of arrival and the token's default."`
	EnableCompression bool          `key:"enablecompression" default:"false" doc:"Compress the requests with gzip."`
}

// Validate checks the address and the headers.
func (c Config) Validate() error {
	return errors.Join(
		config.At("host", httpx.CheckURL(c.Host.Reveal())),
		config.At("customheaders", httpx.CheckHeaders(c.CustomHeaders)),
	)
}

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

// Send posts the events one behind the other, in as few requests as their size allows.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		body, to := httpx.Fill(nil, from, len(batch), maxBody, func(dst []byte, i int) []byte {
			return appendPayload(dst, s.Config, batch[i])
		})
		return to, s.post(ctx, body)
	})
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

func (s *sender) post(ctx context.Context, body []byte) error {
	header := http.Header{}
	httpx.SetHeaders(header, s.CustomHeaders)
	if !s.Token.IsZero() {
		header.Set("Authorization", "Splunk "+s.Token.Reveal())
	}
	if s.EnableCompression {
		header.Set("Content-Encoding", "gzip")
		body = httpx.Gzip(body)
	}
	answer, err := httpx.Call{
		Method: http.MethodPost, Address: s.Host.Reveal(), Body: body, Header: header, Judge: judge,
	}.Do(ctx, s.http)
	if err != nil {
		return err
	}
	return checkSuccess(answer)
}

// checkSuccess returns an error when a success is none: what stands before the collector
// may have made one of its refusal, and a page of another site is no collector.
func checkSuccess(answer []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(answer), []byte("<")) {
		return outputs.Hold(errors.New("the endpoint is not a collector: it answered with a page"))
	}
	if code := codeOf(answer); code != 0 {
		return fmt.Errorf("the collector refused the events with the code %d", code)
	}
	return nil
}

// settingCodes are the collector's codes that come with the status 400 and are not the
// event's fault: an index that the token does not allow, a channel that is missing or
// wrong, acknowledgements that are off, tokens in the URL that are.
var settingCodes = []int{7, 10, 11, 14, 16}

// judge returns what a refusal means: the collector's code says more than the status.
func judge(status int, header http.Header, answer []byte) error {
	err := httpx.StatusError(status, header, answer)
	if outputs.Rejected(err) && slices.Contains(settingCodes, codeOf(answer)) {
		return outputs.Hold(errors.New(err.Error()))
	}
	return err
}

// codeOf is the code in an answer of the collector, 0 for success and where there is none.
func codeOf(body []byte) int {
	var answer struct {
		Code int `json:"code"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return 0
	}
	return answer.Code
}

// appendPayload appends what the collector gets for one event, and a newline. Several of
// them one behind the other are a batch.
func appendPayload(dst []byte, c Config, e event.Event) []byte {
	dst = append(dst, `{"event":`...)
	dst = e.AppendJSON(dst)
	dst = append(dst, `,"sourcetype":`...)
	dst = event.AppendJSONString(dst, c.SourceType)
	if c.Index != "" {
		dst = append(dst, `,"index":`...)
		dst = event.AppendJSONString(dst, c.Index)
	}
	if c.Source != "" {
		dst = append(dst, `,"source":`...)
		dst = event.AppendJSONString(dst, c.Source)
	}
	if c.Metadata {
		dst = appendMetadata(dst, e)
	}
	return append(dst, "}\n"...)
}

// appendMetadata appends time and host. Splunk's time is seconds with a fraction; more
// digits than those of a nanosecond it does not keep.
func appendMetadata(dst []byte, e event.Event) []byte {
	dst = append(dst, `,"time":`...)
	dst = strconv.AppendInt(dst, e.Time.Unix(), 10)
	if ns := e.Time.Nanosecond(); ns != 0 {
		dst = append(dst, '.')
		dst = append(dst, strconv.Itoa(1_000_000_000 + ns)[1:]...)
	}
	if e.Hostname != "" {
		dst = append(dst, `,"host":`...)
		dst = event.AppendJSONString(dst, e.Hostname)
	}
	return dst
}
