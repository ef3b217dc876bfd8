// Package wavefront reports each event as a point of a metric to Wavefront, to its proxy or
// to the service itself.
package wavefront

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

//go:embed page.md
var page string

// maxBatch is the most points of one request.
const maxBatch = 1000

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "wavefront",
		Title:   "Wavefront",
		Doc:     "Reports each event as a point of a metric to Wavefront.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// The values of the key endpointtype.
const (
	direct = "direct"
	proxy  = "proxy"
)

// Config is what a user sets.
type Config struct {
	httpx.Config
	EndpointType         string        `key:"endpointtype" required:"true" oneof:"direct,proxy" doc:"direct for the service itself, proxy for a Wavefront proxy."`
	EndpointHost         string        `key:"endpointhost" required:"true" doc:"Host of the service or of the proxy. A URL sets scheme, port and path, too; without one it is https for direct and http for proxy."`
	EndpointToken        config.Secret `key:"endpointtoken" doc:"API token, for direct."`
	EndpointMetricPort   uint16        `key:"endpointmetricport" default:"2878" doc:"Port of the proxy, unless endpointhost has one."`
	MetricName           string        `key:"metricname" default:"falco.alert" doc:"Name of the metric."`
	FlushIntervalSeconds int           `key:"flushintervalseconds" default:"0" inert:"points are sent at once, and batch.age is how long they wait for others" doc:"Time between two requests."`
	BatchSize            int           `key:"batchsize" default:"10000" doc:"Most points of one request, for direct. There are never more than 1000."`
}

// Validate checks what the keys hold and that they agree.
func (c Config) Validate() error {
	var errs []error
	_, err := c.address()
	errs = append(errs, config.At("endpointhost", err))
	if c.EndpointType == direct && c.EndpointToken.IsZero() {
		errs = append(errs, config.At("endpointtoken", errors.New("is required with endpointtype direct")))
	}
	if strings.TrimSpace(c.MetricName) == "" || len(c.MetricName) > maxName {
		errs = append(errs, config.At("metricname", fmt.Errorf("must have between 1 and %d characters", maxName)))
	}
	if c.EndpointMetricPort == 0 {
		errs = append(errs, config.At("endpointmetricport", errors.New("must be a port")))
	}
	return errors.Join(errs...)
}

// address is the URL that points are reported to.
func (c Config) address() (string, error) {
	scheme, port := "http", strconv.Itoa(int(c.EndpointMetricPort))
	if c.EndpointType == direct {
		scheme, port = "https", ""
	}
	text := c.EndpointHost
	if !strings.Contains(text, "://") {
		text = scheme + "://" + text
	}
	if err := httpx.CheckBase(text, "endpointtoken"); err != nil {
		return "", err
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", errors.New("must be a host or a URL")
	}
	if u.Port() == "" && port != "" {
		u.Host += ":" + port
	}
	return httpx.Join(u.String(), "/report?f=wavefront"), nil
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
	address, err := c.address()
	if err != nil {
		return nil, fmt.Errorf("endpointhost %w", err)
	}
	return &sender{c, client, address}, nil
}

// MaxBatch implements outputs.Limited.
func (s *sender) MaxBatch() int {
	if s.EndpointType == proxy || s.BatchSize < 1 {
		return maxBatch
	}
	return min(s.BatchSize, maxBatch)
}

// Send reports a point for each event.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	var lines []byte
	for _, e := range batch {
		lines = appendPoint(lines, s.MetricName, e)
	}
	header := http.Header{"Content-Type": {"application/octet-stream"}, "Content-Encoding": {"gzip"}}
	if s.EndpointType == direct {
		header.Set("Authorization", "Bearer "+s.EndpointToken.Reveal())
	}
	call := httpx.Call{Method: http.MethodPost, Address: s.address, Body: httpx.Gzip(lines), Header: header, Judge: judge}
	_, err := call.Do(ctx, s.http)
	return err
}

// judge knows 406, with which Wavefront throttles an account.
func judge(status int, header http.Header, answer []byte) error {
	err := httpx.StatusError(status, header, answer)
	if status == http.StatusNotAcceptable && outputs.Held(err) {
		return errors.New(err.Error())
	}
	return err
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}
