package otlpmetrics

import (
	"testing"

	colmetricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/saker-security/saker/outputs/internal/otlpx/otlptest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

const secret = "headers: 'authorization=Bearer%20s3cretT0ken'"

var signal = otlptest.Signal{
	Method:   colmetricspb.MetricsService_Export_FullMethodName,
	Request:  &colmetricspb.ExportMetricsServiceRequest{},
	Response: &colmetricspb.ExportMetricsServiceResponse{},
	Events: func(m proto.Message) (n int) {
		for _, metric := range sent(m) {
			for _, p := range metric.GetSum().GetDataPoints() {
				n += int(p.GetAsInt())
			}
		}
		return n
	},
}

func clean(text string) string {
	return otlptest.WithoutNow(otlptest.Text(signal.Request, text), true)
}

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "otlpmetrics",
		Config: "{endpoint: URL/v1/metrics, " + secret + "}",
		Secret: "s3cretT0ken",
		Variants: map[string]string{
			"attributes": "{endpoint: URL/v1/metrics, extraattributes: 'k8s.ns.name,proc.name', compression: gzip}",
			"delta":      "{endpoint: URL/v1/metrics, extraenvvars: {otel_exporter_otlp_metrics_temporality_preference: LowMemory, OTEL_METRIC_EXPORT_INTERVAL: 5000}}",
		},
		Wrong: map[string]string{
			"{}":                                     "endpoint",
			"{endpoint: 'collector:4318'}":           "endpoint: must be a URL",
			"{endpoint: URL, temporality: low}":      "temporality: must be one of",
			"{endpoint: URL, interval: 10ms}":        "interval: must be between",
			"{endpoint: URL, extraattributes: a-b}":  "cannot be an attribute",
			"{endpoint: URL, extraattributes: rule}": "cannot be an attribute",
			"{endpoint: URL, headers: s3cretT0ken}":  "headers: must be name=value",
			"{endpoint: URL, extraenvvars: {OTEL_METRIC_EXPORT_INTERVAL: s3cretT0ken}}":                       "OTEL_METRIC_EXPORT_INTERVAL must be",
			"{endpoint: URL, extraenvvars: {OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: s3cretT0ken}}": "TEMPORALITY_PREFERENCE must be",
			"{endpoint: URL/v1/metrics, protocol: grpc}":                                                      "must have no path",
		},
		Answer: otlptest.Accept(signal.Request),
		Clean:  clean,
	}.Run(t)
}

func TestOverGRPC(t *testing.T) {
	outputstest.Wire{
		Kind:   "otlpmetrics",
		Config: "{endpoint: 'http://ADDR', protocol: grpc, temporality: delta, " + secret + "}",
		Secret: "s3cretT0ken",
		Serve:  func(t *testing.T) outputstest.Peer { return otlptest.Serve(t, signal).Peer() },
		Clean:  clean,
	}.Run(t)
}
