package otlplogs_test

import (
	"testing"

	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/saker-security/saker/outputs/internal/otlpx/otlptest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
	_ "github.com/saker-security/saker/outputs/otlplogs"
)

const secret = "headers: 'authorization=Bearer%20s3cretT0ken,x-scope=tenant'"

var signal = otlptest.Signal{
	Method:   collogspb.LogsService_Export_FullMethodName,
	Request:  &collogspb.ExportLogsServiceRequest{},
	Response: &collogspb.ExportLogsServiceResponse{},
	Events: func(m proto.Message) (n int) {
		for _, r := range m.(*collogspb.ExportLogsServiceRequest).GetResourceLogs() {
			for _, s := range r.GetScopeLogs() {
				n += len(s.GetLogRecords())
			}
		}
		return n
	},
}

func clean(text string) string {
	return otlptest.WithoutNow(otlptest.Text(signal.Request, text), false)
}

func Test(t *testing.T) {
	outputstest.HTTP{
		Kind:   "otlplogs",
		Config: "{endpoint: URL/v1/logs, " + secret + "}",
		Secret: "s3cretT0ken",
		Variants: map[string]string{
			"priority_fields": "{endpoint: URL/v1/logs, severity: priority, outputfields: true}",
			"gzip":            "{endpoint: URL/v1/logs, compression: gzip, synced: true}",
		},
		Wrong: map[string]string{
			"{}":                                       "endpoint",
			"{endpoint: URL, severity: high}":          "severity: must be one of",
			"{endpoint: URL, headers: s3cretT0ken}":    "headers: must be name=value",
			"{endpoint: 'http://u:s3cretT0ken@host/'}": "without user and password",
		},
		Answer: otlptest.Accept(signal.Request),
		Clean:  clean,
	}.Run(t)
}

func TestOverGRPC(t *testing.T) {
	outputstest.Wire{
		Kind:   "otlplogs",
		Config: "{endpoint: 'http://ADDR', protocol: grpc, " + secret + "}",
		Secret: "s3cretT0ken",
		Serve:  func(t *testing.T) outputstest.Peer { return otlptest.Serve(t, signal).Peer() },
		Clean:  clean,
	}.Run(t)
}
