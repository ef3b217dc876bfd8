// Package otlpx is what the outputs for OpenTelemetry's protocol share: the keys of their
// configuration, one client for OTLP over HTTP and over gRPC, and the pieces that all
// requests are made of.
//
// An output embeds Config, makes a Client when it is built, and gives it the request of its
// signal in Send. The error it gets back is of the class that deliver expects. There is no
// SDK: a request is built from the events of one Send and kept nowhere.
//
// Invariants: New does not connect and starts no goroutine; no error shows a header.
package otlpx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/httpx"
	"github.com/saker-security/saker/outputs/internal/tlsx"
)

// The values of the key protocol. HTTP is always protobuf, as it is in Falcosidekick.
const protocolGRPC = "grpc"

// Config are the keys that the outputs of all signals have.
type Config struct {
	Endpoint     string        `key:"endpoint" required:"true" doc:"URL that the data is sent to, used as it is: no path is added. http:// is plaintext and https:// is TLS. For grpc it has no path, for example http://collector:4317."`
	Protocol     string        `key:"protocol" default:"http/protobuf" oneof:"http/protobuf,http/json,grpc" doc:"Protocol of the endpoint. http/json is taken for http/protobuf, which is what is sent."`
	Headers      config.Secret `key:"headers" doc:"Headers of each request, or metadata for grpc: name=value,name=value. Values are percent-encoded."`
	ExtraEnvVars Variables     `key:"extraenvvars" doc:"OpenTelemetry's variables for this output: OTEL_RESOURCE_ATTRIBUTES, and of OTEL_EXPORTER_OTLP_* those that end in HEADERS, COMPRESSION, CERTIFICATE, CLIENT_CERTIFICATE, CLIENT_KEY and INSECURE. Others have no effect, and a warning says so. The forwarder's own environment is not read for them."`
	TLS          bool          `key:"tls" default:"false" doc:"With checkcert off: use TLS without verifying the endpoint's certificate. With checkcert on, the endpoint's scheme decides."`
	CheckCert    bool          `key:"checkcert" default:"true" doc:"Verify the endpoint's certificate. Off with tls off is plaintext, whatever the endpoint's scheme."`
	MutualTLS    bool          `key:"mutualtls" default:"false" doc:"Show the client certificate of mutualtlsclient or mutualtlsfilespath to the endpoint, whose certificate is then always verified."`
	Proxy        config.Secret `key:"proxy" doc:"URL of the proxy for this output: http, https or socks5, with user and password if need be. Empty for what HTTPS_PROXY and NO_PROXY say, none for no proxy. For grpc only these two."`
	Compression  string        `key:"compression" default:"none" oneof:"none,gzip" doc:"Compression of the requests."`
}

// Validate checks what the keys hold and that they agree.
func (c Config) Validate() error {
	errs := []error{config.At("endpoint", c.checkEndpoint()), config.At("proxy", c.checkProxy())}
	if _, err := parseHeaders(c.Headers.Reveal()); err != nil {
		errs = append(errs, config.At("headers", err))
	}
	for _, s := range []Signal{Traces, Logs, Metrics} {
		if _, err := c.ExtraEnvVars.read(s); err != nil {
			errs = append(errs, config.At("extraenvvars", err))
			break
		}
	}
	return errors.Join(errs...)
}

func (c Config) checkEndpoint() error {
	if err := httpx.CheckURL(c.Endpoint); err != nil {
		return err
	}
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil:
		return errors.New("must be a URL")
	case u.User != nil:
		return errors.New("must be a URL without user and password; set headers")
	case u.RawQuery != "":
		return errors.New("must be a URL without a query; set headers")
	case c.Protocol == protocolGRPC && strings.Trim(u.Path, "/") != "":
		return errors.New("must have no path with protocol grpc")
	}
	return nil
}

func (c Config) checkProxy() error {
	if p := c.Proxy.Reveal(); c.Protocol == protocolGRPC && p != "" && p != "none" {
		return errors.New("must be empty or none with protocol grpc, which takes its proxy from HTTPS_PROXY")
	}
	return httpx.CheckProxy(c.Proxy.Reveal())
}

// plaintext reports whether the connection is without TLS.
func (c Config) plaintext(v settings) bool {
	switch {
	case c.MutualTLS:
		return false
	case !c.CheckCert:
		return !c.TLS
	case v.insecure != nil:
		return *v.insecure
	}
	return strings.HasPrefix(strings.ToLower(c.Endpoint), "http:")
}

// Signal is one of OpenTelemetry's kinds of data.
type Signal struct {
	// name is the signal's part of OpenTelemetry's variables.
	name string
	// method is the full name of the gRPC method that takes it.
	method string
	// version is the version of the service falco as Falcosidekick names it.
	version string
}

// The signals.
var (
	Traces  = Signal{"TRACES", "/opentelemetry.proto.collector.trace.v1.TraceService/Export", "v0.1.0"}
	Logs    = Signal{"LOGS", "/opentelemetry.proto.collector.logs.v1.LogsService/Export", "v0.1.0"}
	Metrics = Signal{"METRICS", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "0.1.0"}
)

// SchemaURL is that of the resource, as Falcosidekick names it.
const SchemaURL = "https://opentelemetry.io/schemas/1.23.1"

// Client sends the requests of one signal. It may be used concurrently.
type Client struct {
	exporter
	resource  *resourcepb.Resource
	variables settings
	log       *slog.Logger

	mu   sync.Mutex
	said string // the last remark that was logged
}

// exporter sends one encoded or unencoded request and fills the answer.
type exporter interface {
	export(ctx context.Context, request, answer proto.Message) error
	close() error
}

// New makes a Client. It reads certificate files, warns of variables without effect, and
// does not touch the network.
func New(c Config, s Signal, env outputs.Env) (*Client, error) {
	v, err := c.ExtraEnvVars.read(s)
	if err != nil {
		return nil, fmt.Errorf("extraenvvars %w", err)
	}
	headers, err := parseHeaders(c.Headers.Reveal())
	if err != nil {
		return nil, fmt.Errorf("headers %w", err)
	}
	if len(headers) == 0 {
		headers = v.headers
	}
	warn(c, v, env.Log)
	compress := c.Compression == "gzip" || c.Compression == "none" && v.compression == "gzip"
	client := &Client{resource: resource(s.version, v.resource), variables: v, log: env.Log}
	if c.Protocol == protocolGRPC {
		client.exporter, err = newGRPC(c, s, v, headers, compress, env)
	} else {
		client.exporter, err = newHTTP(c, v, headers, compress, env)
	}
	return client, err
}

// warn says what of the configuration has no effect.
func warn(c Config, v settings, log *slog.Logger) {
	if log == nil {
		return
	}
	if len(v.ignored) > 0 {
		log.Warn("extraenvvars has variables without effect", "variables", v.ignored)
	}
	if c.TLS && c.CheckCert && c.plaintext(v) {
		log.Warn("data is sent in plaintext in spite of tls, because the endpoint begins with http://")
	}
}

// Export sends request and fills answer, which are those of the client's signal.
func (c *Client) Export(ctx context.Context, request, answer proto.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.export(ctx, request, answer)
}

// Close ends all connections.
func (c *Client) Close() error { return c.close() }

// Resource is where the data comes from: the service falco, and what
// OTEL_RESOURCE_ATTRIBUTES of extraenvvars adds.
func (c *Client) Resource() *resourcepb.Resource { return c.resource }

// Variable returns the value of one of extraenvvars that an output has a use of its own
// for, and whether there is one.
func (c *Client) Variable(name string) (string, bool) {
	v, ok := c.variables.others[name]
	return v, ok
}

// Partial returns the error for an answer that says how many of the sent things it refused.
// Which ones nobody says, so that a batch has to be halved until the bad one is alone;
// the others of such a batch arrive more than once. A remark without a refusal is logged.
func (c *Client) Partial(refused int64, message string, sent int, things string) error {
	message = httpx.OneLine(message)
	if refused > 0 {
		text := fmt.Sprintf("the endpoint refused %d of %d %s", refused, sent, things)
		if message != "" {
			text += ": " + message
		}
		return outputs.Reject(errors.New(text))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if message != "" && message != c.said && c.log != nil {
		c.log.Warn("the endpoint accepted the data with a remark", "remark", message)
		c.said = message
	}
	return nil
}

// tlsSource returns where the client's TLS settings come from.
func tlsSource(c Config, v settings, env outputs.Env) (*tlsx.Source, error) {
	return tlsx.New(tlsx.Settings{
		Insecure: !c.CheckCert, MutualTLS: c.MutualTLS || v.certFile != "",
		CertFile: v.certFile, KeyFile: v.keyFile, CACertFile: v.caFile,
	}, env)
}

// httpConfig is the configuration of the HTTP client, and env with the files of v.
func httpConfig(c Config, v settings, env outputs.Env) (httpx.Config, outputs.Env) {
	mutual := c.MutualTLS
	if v.certFile != "" {
		mutual = true
		env.TLS.MutualCertFile, env.TLS.MutualKeyFile = v.certFile, v.keyFile
	}
	if v.caFile != "" {
		env.TLS.CACertFile = v.caFile
	}
	return httpx.Config{CheckCert: c.CheckCert, MutualTLS: mutual, Proxy: c.Proxy}, env
}

// secretsOf are the parts of headers that no error may show.
func secretsOf(headers http.Header) []string {
	var all []string
	for _, values := range headers {
		for _, v := range values {
			_, token, _ := strings.Cut(v, " ")
			all = append(all, v, token)
		}
	}
	return slices.DeleteFunc(all, func(s string) bool { return len(s) < 4 })
}
