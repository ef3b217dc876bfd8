package otlpx

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/config"
)

func TestASignalsOwnVariableComesFirst(t *testing.T) {
	got, err := Variables{
		"OTEL_EXPORTER_OTLP_HEADERS":                        config.NewSecret("a=all"),
		"otel_exporter_otlp_logs_headers":                   config.NewSecret(" a=logs, b=x%20y "),
		"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION":             config.NewSecret("gzip"),
		"OTEL_EXPORTER_OTLP_CERTIFICATE":                    config.NewSecret("/ca.pem"),
		"OTEL_EXPORTER_OTLP_INSECURE":                       config.NewSecret("true"),
		"OTEL_RESOURCE_ATTRIBUTES":                          config.NewSecret("cluster=c1"),
		"OTEL_EXPORTER_OTLP_ENDPOINT":                       config.NewSecret("http://h"),
		"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": config.NewSecret("delta"),
	}.read(Logs)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(http.Header{"A": {"logs"}, "B": {"x y"}}, got.headers); diff != "" {
		t.Error(diff)
	}
	if got.compression != "" || got.caFile != "/ca.pem" || got.insecure == nil || !*got.insecure || got.resource["cluster"] != "c1" {
		t.Errorf("got %+v", got)
	}
	want := []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
	}
	if diff := cmp.Diff(want, got.ignored); diff != "" {
		t.Error(diff)
	}
}

func TestVariablesOfMetricsAreKnownToMetrics(t *testing.T) {
	got, err := Variables{VariableTemporality: config.NewSecret("delta")}.read(Metrics)
	if err != nil || len(got.ignored) != 0 || got.others[VariableTemporality] != "delta" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWrongVariablesAreNamed(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_HEADERS":            "s3cret",
		"OTEL_EXPORTER_OTLP_COMPRESSION":        "s3cret",
		"OTEL_EXPORTER_OTLP_INSECURE":           "s3cret",
		"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/s3cret",
		"OTEL_RESOURCE_ATTRIBUTES":              "s3cret",
	} {
		_, err := Variables{name: config.NewSecret(value)}.read(Traces)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTooManyHeadersAreRefused(t *testing.T) {
	var text strings.Builder
	for i := range maxHeaders + 1 {
		text.WriteString(strings.Repeat("x", i+1) + "=1,")
	}
	if _, err := parseHeaders(text.String()); err == nil {
		t.Error("they are taken")
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("authorization=Bearer%20x,b=c")
	f.Add(" = ,%")
	f.Fuzz(func(t *testing.T, text string) {
		headers, err := parseHeaders(text)
		if err != nil {
			return
		}
		for name, values := range headers {
			if name == "" || len(values) != 1 || strings.ContainsAny(values[0], "\r\n") {
				t.Errorf("%q: %q", name, values)
			}
		}
	})
}
