// Package influxdb writes events to InfluxDB as points of line protocol, through its API
// of version 1 or 2. InfluxDB 3 takes both.
package influxdb

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

const (
	// maxBatch is the most events of one Send.
	maxBatch = 500
	// maxBody is the most bytes of one request of several points, before compression.
	maxBody = 4 << 20
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "influxdb",
		Title:   "Influxdb",
		Doc:     "Writes each event to InfluxDB as a point of the measurement events.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort          string        `key:"hostport" required:"true" doc:"Base URL, for example http://influxdb:8086."`
	Database          string        `key:"database" default:"falco" doc:"Database to write to, for the API of version 1."`
	Organization      string        `key:"organization" doc:"Organization. With it and a bucket the API of version 2 is used."`
	Bucket            string        `key:"bucket" default:"falco" doc:"Bucket to write to, for the API of version 2."`
	Precision         string        `key:"precision" default:"ns" oneof:"ns,us,ms,s,n,u,m,h" doc:"Unit of the points' times. n and u are other names of ns and us, and m and h minutes and hours, for the API of version 1."`
	User              string        `key:"user" doc:"User name, with password. Without effect with a token."`
	Password          config.Secret `key:"password" doc:"Password of the user."`
	Token             config.Secret `key:"token" doc:"API token. It takes the place of user and password."`
	EventTime         bool          `key:"eventtime" default:"false" doc:"Write each point with the event's own time, and many of them in one request. Without it the server stamps a point when it arrives, and each is a request of its own, because points of one series and one time overwrite each other."`
	EnableCompression bool          `key:"enablecompression" default:"false" doc:"Compress the requests with gzip."`
}

// Validate checks the address and that there is a place to write to.
func (c Config) Validate() error {
	errs := []error{config.At("hostport", httpx.CheckBase(c.HostPort, "user and password"))}
	if !c.version2() && c.Database == "" {
		errs = append(errs, config.At("database", errors.New("is required without organization and bucket")))
	}
	return errors.Join(errs...)
}

func (c Config) version2() bool { return c.Organization != "" && c.Bucket != "" }

// address is where points are posted to. It may hold a password.
func (c Config) address() string {
	var query strings.Builder
	add := func(name, value string) {
		if query.Len() > 0 {
			query.WriteByte('&')
		}
		query.WriteString(name + "=" + url.QueryEscape(value))
	}
	path := "/write?"
	if c.version2() {
		path = "/api/v2/write?"
		add("org", c.Organization)
		add("bucket", c.Bucket)
	} else {
		add("db", c.Database)
	}
	if c.User != "" && !c.Password.IsZero() && c.Token.IsZero() {
		add("u", c.User)
		add("p", c.Password.Reveal())
	}
	if c.Precision != "" {
		add("precision", c.precision())
	}
	return httpx.Join(c.HostPort, path+query.String())
}

// precision is the unit as the API names it. That of version 1 takes us for ns.
func (c Config) precision() string {
	if c.Precision == "us" && !c.version2() {
		return "u"
	}
	return c.Precision
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

// MaxBatch implements outputs.Limited.
func (s *sender) MaxBatch() int {
	if s.EventTime {
		return maxBatch
	}
	return 1
}

// Send writes the points: all together when they have times of their own, else one by one.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		n := len(batch)
		if !s.EventTime {
			n = from + 1
		}
		body, to := httpx.Fill(nil, from, n, maxBody, func(dst []byte, i int) []byte {
			if i > from {
				dst = append(dst, '\n')
			}
			return appendPoint(dst, s.Config, batch[i])
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
	header := http.Header{"Accept": {"application/json"}}
	if !s.Token.IsZero() {
		header.Set("Authorization", "Token "+s.Token.Reveal())
	}
	if s.EnableCompression {
		header.Set("Content-Encoding", "gzip")
		body = httpx.Gzip(body)
	}
	answer, err := httpx.Call{
		Method: http.MethodPost, Address: s.address(), Body: body, Header: header, Judge: judge,
	}.Do(ctx, s.http)
	if err == nil && bytes.HasPrefix(bytes.TrimSpace(answer), []byte("<")) {
		return outputs.Hold(errors.New("the endpoint is not InfluxDB: it answered with a page"))
	}
	return err
}

// ofDatabase are parts of refusals with the status 400 or 422 that somebody has to mend the
// database or the settings for: the measurement has a field of another type, a limit of
// the database is reached, the retention policy is missing, the bucket's name is wrong.
var ofDatabase = []string{
	"field type conflict", "limit exceeded", "retention policy not found", "database is required",
	"database not found", "bucket not found", "organization not found", "invalid precision",
}

// judge returns what a refusal means.
func judge(status int, header http.Header, answer []byte) error {
	err := httpx.StatusError(status, header, answer)
	if !outputs.Rejected(err) {
		return err
	}
	for _, part := range ofDatabase {
		if strings.Contains(string(answer), part) {
			return outputs.Hold(errors.New(err.Error()))
		}
	}
	return err
}
