package otlptraces_test

import (
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/saker-security/saker/outputs/internal/otlpx/otlptest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/otlptraces"
)

const secret = "headers: 'authorization=Bearer%20s3cretT0ken,x-scope=tenant'"

var signal = otlptest.Signal{
	Method:   coltracepb.TraceService_Export_FullMethodName,
	Request:  &coltracepb.ExportTraceServiceRequest{},
	Response: &coltracepb.ExportTraceServiceResponse{},
	Events: func(m proto.Message) (n int) {
		for _, r := range m.(*coltracepb.ExportTraceServiceRequest).GetResourceSpans() {
			for _, s := range r.GetScopeSpans() {
				n += len(s.GetSpans())
			}
		}
		return n
	},
}

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "otlptraces",
		Config: "{endpoint: URL/v1/traces, " + secret + "}",
		Secret: "s3cretT0ken",
		Variants: map[string]string{
			"gzip": "{endpoint: URL/v1/traces, compression: gzip, duration: 5, synced: true}",
			"variables": "{endpoint: 'URL/v1/traces', extraenvvars: {OTEL_RESOURCE_ATTRIBUTES: 'k8s.cluster.name=prod,service.name=x', " +
				"OTEL_EXPORTER_OTLP_HEADERS: x-scope=all, OTEL_EXPORTER_OTLP_TRACES_HEADERS: x-scope=traces}}",
		},
		Wrong: map[string]string{
			"{}":                           "endpoint",
			"{endpoint: 'collector:4318'}": "endpoint: must be a URL",
			"{endpoint: 'http://u:s3cretT0ken@host/'}":                                                "without user and password",
			"{endpoint: 'http://host/?k=s3cretT0ken'}":                                                "without a query",
			"{endpoint: URL, protocol: udp}":                                                          "protocol: must be one of",
			"{endpoint: URL/v1, protocol: grpc}":                                                      "must have no path",
			"{endpoint: URL, headers: s3cretT0ken}":                                                   "headers: must be name=value",
			"{endpoint: URL, headers: 'a b=c'}":                                                       "no name of a header",
			"{endpoint: URL, headers: 'a=%zz'}":                                                       "not percent-encoded",
			"{endpoint: URL, compression: zstd}":                                                      "compression",
			"{endpoint: URL, proxy: 'host'}":                                                          "proxy",
			"{endpoint: URL, duration: -1}":                                                           "duration",
			"{endpoint: URL, protocol: grpc, proxy: 'http://p:1'}":                                    "HTTPS_PROXY",
			"{endpoint: URL, extraenvvars: {OTEL_EXPORTER_OTLP_INSECURE: maybe}}":                     "must be true or false",
			"{endpoint: URL, extraenvvars: {OTEL_EXPORTER_OTLP_CLIENT_KEY: /k}}":                      "CLIENT_KEY",
			"{endpoint: URL, extraenvvars: {OTEL_EXPORTER_OTLP_COMPRESSION: brotli}}":                 "gzip or none",
			"{endpoint: URL, extraenvvars: {OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE: /does/not/exist}}": "/does/not/exist",
		},
		Answer: otlptest.Accept(signal.Request),
		Clean:  func(text string) string { return otlptest.Text(signal.Request, text) },
	}.Run(t)
}

func TestOverGRPC(t *testing.T) {
	outputstest.Wire{
		Kind:   "otlptraces",
		Config: "{endpoint: 'http://ADDR', protocol: grpc, " + secret + "}",
		Secret: "s3cretT0ken",
		Variants: map[string]string{
			"grpc_gzip":      "{endpoint: 'http://ADDR', protocol: grpc, compression: gzip}",
			"grpc_plaintext": "{endpoint: 'https://ADDR', protocol: grpc, checkcert: false}",
		},
		Serve: func(t *testing.T) outputstest.Peer { return otlptest.Serve(t, signal).Peer() },
	}.Run(t)
}
