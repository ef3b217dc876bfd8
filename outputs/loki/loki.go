// Package loki pushes events to Grafana Loki, or to what else takes its push API.
//
// A batch becomes one push: a stream for each set of labels, its entries in order of time.
// Loki takes an entry that it has already only once, so that a retry leaves no repeats.
package loki

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"strings"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

const (
	// maxBatch is the most entries of a push.
	maxBatch = 1000
	// maxBody is the most bytes of a push, before compression and without the labels that
	// entries share. Loki's limit is 15 MiB unless set otherwise, a gateway's often 4.
	maxBody = 3 << 20
)

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "loki",
		Title:   "Loki",
		Doc:     "Pushes each event as an entry to Grafana Loki.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort           string        `key:"hostport" required:"true" doc:"Base URL of Loki, for example http://loki:3100."`
	User               string        `key:"user" doc:"User name for basic authentication, with apikey. For Grafana Cloud the number of the instance."`
	APIKey             config.Secret `key:"apikey" doc:"Password or API key for basic authentication."`
	Tenant             string        `key:"tenant" doc:"Tenant, sent as X-Scope-OrgID. Needed where Loki has several."`
	Format             string        `key:"format" default:"text" oneof:"text,json" doc:"What an entry's line is: text is the event's output, json the whole event."`
	Endpoint           string        `key:"endpoint" default:"/loki/api/v1/push" doc:"Path of the push API."`
	ExtraLabels        []string      `key:"extralabels" doc:"Output fields that become labels, beside rule, source, priority, hostname, tags, namespace and pod. Each set of values is a stream of its own, so that only fields with few values are fit for it."`
	StructuredMetadata []string      `key:"structuredmetadata" doc:"Output fields that are attached to the entry without being labels. Loki 3 takes them, and earlier versions that allow structured metadata."`
	CustomHeaders      httpx.Headers `key:"customheaders" doc:"Headers added to each request. They may replace Authorization and Content-Type."`
	EnableCompression  bool          `key:"enablecompression" default:"true" doc:"Compress requests of several events with gzip."`
}

// Validate checks what the keys hold and that they agree.
func (c Config) Validate() error {
	errs := []error{
		config.At("hostport", httpx.CheckBase(c.HostPort, "user and apikey")),
		config.At("customheaders", httpx.CheckHeaders(c.CustomHeaders)),
		httpx.CheckPair("user", c.User, "apikey", c.APIKey),
	}
	if c.Endpoint != "" && !strings.HasPrefix(c.Endpoint, "/") {
		errs = append(errs, config.At("endpoint", errors.New("must be a path that begins with /")))
	}
	return errors.Join(errs...)
}

type sender struct {
	Config
	http   *http.Client
	labels labeller
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	return &sender{c, client, newLabeller(c, env.CustomFields)}, nil
}

// header are the headers of every push.
func header(c Config) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	if c.Tenant != "" {
		h.Set("X-Scope-OrgID", c.Tenant)
	}
	if c.User != "" {
		h.Set("Authorization", httpx.BasicAuth(c.User, c.APIKey.Reveal()))
	}
	httpx.SetHeaders(h, c.CustomHeaders)
	return h
}

// Send pushes the events.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	return httpx.Pieces(len(batch), func(from int) (int, error) {
		p := newPush()
		to := from
		for ; to < len(batch); to++ {
			e := s.labels.entry(s.Config, batch[to])
			if to > from && p.size+len(e.line) > maxBody {
				break
			}
			p.add(e)
		}
		return to, s.push(ctx, p.body(), to-from)
	})
}

// push sends one request of n events.
func (s *sender) push(ctx context.Context, body []byte, n int) error {
	h := header(s.Config)
	if n > 1 && s.EnableCompression {
		h.Set("Content-Encoding", "gzip")
		body = httpx.Gzip(body)
	}
	answer, err := httpx.Do(ctx, s.http, http.MethodPost, httpx.Join(s.HostPort, s.Endpoint), body, h)
	if err != nil {
		return classify(err)
	}
	return blocked(answer)
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}
