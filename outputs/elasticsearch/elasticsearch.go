// Package elasticsearch writes events as documents to Elasticsearch, OpenSearch or what
// else speaks their API.
//
// It uses the requests and the transport of go-elasticsearch without that library's
// client, which refuses to talk to OpenSearch. Documents are created under the event's
// UUID, so that one that is sent twice is there once: the answer that it exists already
// counts as delivered.
package elasticsearch

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
)

// maxBatch is the most documents of one bulk request.
const maxBatch = 500

//go:embed page.md
var page string

func init() {
	outputs.Register(outputs.Kind[Config]{
		Name:    "elasticsearch",
		Title:   "Elasticsearch",
		Doc:     "Writes each event as a document to Elasticsearch or OpenSearch.",
		Page:    page,
		Batch:   maxBatch,
		Archive: true,
		New:     New,
	})
}

// Config is what a user sets.
type Config struct {
	httpx.Config
	HostPort            string        `key:"hostport" required:"true" doc:"Base URL of the cluster, for example https://elasticsearch:9200."`
	Index               string        `key:"index" default:"falco" doc:"Name of the index, before the suffix."`
	Type                string        `key:"type" default:"_doc" doc:"Last part of a single document's path; other than _doc only for clusters older than version 7. Without effect with batching, and not settable for a named output."`
	Suffix              string        `key:"suffix" default:"daily" oneof:"daily,monthly,annually,none" doc:"What follows the index's name: -2006.01.02, -2006.01, -2006 or nothing, by the forwarder's local time of sending."`
	DataStream          bool          `key:"datastream" default:"false" doc:"Write to the data stream that index names, which the cluster rolls over by itself: nothing follows the name. With createindextemplate the template is one for a data stream."`
	Pipeline            string        `key:"pipeline" doc:"Ingest pipeline of the cluster that processes the documents."`
	Username            string        `key:"username" doc:"User name for basic authentication, with password. It comes before apikey."`
	Password            config.Secret `key:"password" doc:"Password for basic authentication."`
	APIKey              config.Secret `key:"apikey" doc:"API key, in the encoded form."`
	FlattenFields       bool          `key:"flattenfields" default:"false" doc:"Write _ for each dot in the names of output fields."`
	CreateIndexTemplate bool          `key:"createindextemplate" default:"false" doc:"Before the first document, create the index template falco if there is none of that name. It turns flattenfields on."`
	NumberOfShards      int           `key:"numberofshards" default:"3" doc:"Shards of each index made from the template; 0 is 3."`
	NumberOfReplicas    int           `key:"numberofreplicas" default:"3" doc:"Replicas of each index made from the template; 0 is 3."`
	CustomHeaders       httpx.Headers `key:"customheaders" doc:"Headers added to each request. They may replace Authorization and Content-Type."`
	EnableCompression   bool          `key:"enablecompression" default:"false" doc:"Compress the requests with gzip."`
	Batching            Batching      `key:"batching"`
}

// Batching says how documents are put together.
type Batching struct {
	Enabled   bool         `key:"enabled" default:"false" doc:"Send what there is in bulk requests of up to 500 documents. Advisable unless events are few; without it each document is a request of its own."`
	BatchSize config.Bytes `key:"batchsize" default:"5MiB" doc:"Most bytes of a bulk request, before compression. A single larger document is sent alone."`
}

var (
	indexName = regexp.MustCompile(`^[^-_+.A-Z"*\\<|,>/?#:\s][^A-Z"*\\<|,>/?#:\s]{0,200}$`)
	typeName  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)
)

// Validate checks what the keys hold and that they agree.
func (c Config) Validate() error {
	errs := []error{
		config.At("hostport", checkHost(c.HostPort)),
		config.At("customheaders", httpx.CheckHeaders(c.CustomHeaders)),
	}
	if !indexName.MatchString(c.Index) {
		errs = append(errs, config.At("index", errors.New("must be the name of an index: in lower case, without spaces and without any of these signs: \" * \\ < > | , / ? : #")))
	}
	if !typeName.MatchString(c.Type) {
		errs = append(errs, config.At("type", errors.New("must be a name such as _doc")))
	}
	if c.Username != "" && c.Password.IsZero() {
		errs = append(errs, config.At("password", errors.New("is required with username")))
	}
	if c.Username == "" && !c.Password.IsZero() {
		errs = append(errs, config.At("username", errors.New("is required with password")))
	}
	if c.Batching.BatchSize < 1 {
		errs = append(errs, config.At("batching.batchsize", errors.New("must be at least 1")))
	}
	return errors.Join(errs...)
}

// checkHost is httpx.CheckURL for a URL that paths are appended to and that is shown.
func checkHost(address string) error {
	if err := httpx.CheckURL(address); err != nil {
		return err
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("must be a URL")
	case u.User != nil:
		return errors.New("must be a URL without user and password; set username and password")
	case u.RawQuery != "":
		return errors.New("must be a URL without a query")
	}
	return nil
}

type sender struct {
	Config
	http      *http.Client
	transport *elastictransport.Client
	now       func() time.Time
	template  template
}

// New makes a Sender. It does not touch the network.
func New(c Config, env outputs.Env) (outputs.Sender, error) {
	client, err := httpx.New(c.Config, env)
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(strings.TrimRight(c.HostPort, "/"))
	if err != nil {
		return nil, errors.New("hostport is not a URL")
	}
	options := []elastictransport.Option{
		elastictransport.WithURLs(base),
		elastictransport.WithTransport(exchanger{c, client}),
		elastictransport.WithDisableRetry(),
	}
	if c.EnableCompression {
		options = append(options, elastictransport.WithCompression())
	}
	transport, err := elastictransport.NewClient(options...)
	if err != nil {
		return nil, err
	}
	return &sender{c, client, transport, time.Now, newTemplate()}, nil
}

// MaxBatch implements outputs.Limited.
func (s *sender) MaxBatch() int {
	if s.Batching.Enabled {
		return maxBatch
	}
	return 1
}

// Send creates the documents.
func (s *sender) Send(ctx context.Context, batch []event.Event) error {
	if s.CreateIndexTemplate {
		if err := s.template.ensure(ctx, s); err != nil {
			return err
		}
	}
	docs := make([]document, len(batch))
	for i, e := range batch {
		docs[i] = newDocument(s.Config, i, e)
	}
	return s.create(ctx, docs)
}

// Close lets go of idle connections.
func (s *sender) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// maxAnswer is the longest answer that is read, in bytes: some kilobytes for each document
// of a bulk request.
const maxAnswer = 8 << 20

// exchanger sends the requests that go-elasticsearch has built.
type exchanger struct {
	Config
	http *http.Client
}

// RoundTrip implements http.RoundTripper.
func (x exchanger) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	if req.Body != nil {
		req.Header.Set("Content-Type", httpx.ContentType)
	}
	var secrets []string
	if !x.APIKey.IsZero() {
		req.Header.Set("Authorization", "APIKey "+x.APIKey.Reveal())
		secrets = append(secrets, x.APIKey.Reveal())
	}
	if x.Username != "" {
		req.SetBasicAuth(x.Username, x.Password.Reveal())
		_, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
		secrets = append(secrets, x.Password.Reveal(), token)
	}
	httpx.SetHeaders(req.Header, x.CustomHeaders)
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	for _, value := range x.CustomHeaders {
		secrets = append(secrets, value.Reveal())
	}
	return httpx.Exchange(x.http, req, maxAnswer, secrets...)
}
