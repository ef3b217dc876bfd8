package otlptest

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

// Collector runs OpenTelemetry's collector with one protocol, http or grpc, and returns its
// base URL and what returns all that it has printed of the data it took.
func Collector(t *testing.T, protocol string) (base string, printed func() string) {
	t.Helper()
	var log string
	base = outputstest.Start(t, outputstest.Program{
		Module: "otelcol",
		Prepare: func(t *testing.T, address, dir string) {
			log = filepath.Join(dir, "log")
			text := fmt.Sprintf(`
receivers: {otlp: {protocols: {%s: {endpoint: %q}}}}
exporters: {debug: {verbosity: detailed}}
service:
  telemetry: {metrics: {level: none}, logs: {output_paths: [%q]}}
  pipelines:
    traces: {receivers: [otlp], exporters: [debug]}
    logs: {receivers: [otlp], exporters: [debug]}
    metrics: {receivers: [otlp], exporters: [debug]}
`, protocol, address, log)
			if err := os.WriteFile(filepath.Join(dir, "collector.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		Args: func(_, dir string) []string { return []string{"--config", filepath.Join(dir, "collector.yaml")} },
		IsUp: outputstest.Accepts,
	})
	return base, func() string {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Error(err)
		}
		return strings.ReplaceAll(string(text), `\n`, "\n")
	}
}

// Real sends all events with the output of the given kind to OpenTelemetry's collector, over
// each protocol with and without compression, and looks for the wanted texts in what it has
// printed. Path is the signal's path over HTTP.
func Real(t *testing.T, kind, path string, want ...string) {
	t.Helper()
	for key, value := range map[string]string{"http": "http/protobuf", "grpc": "grpc"} {
		t.Run(key, func(t *testing.T) {
			base, printed := Collector(t, key)
			if key == "http" {
				base += path
			}
			compressions := []string{"none", "gzip"}
			for _, compression := range compressions {
				send(t, kind, fmt.Sprintf("{endpoint: '%s', protocol: %s, compression: %s}", base, value, compression))
			}
			for _, w := range want {
				outputstest.Eventually(t, fmt.Sprintf("the collector has printed %q for each request", w), func() bool {
					return strings.Count(printed(), w) >= len(compressions)
				})
			}
		})
	}
}

// send sends all events in one batch.
func send(t *testing.T, kind, text string) {
	t.Helper()
	s, err := outputstest.New(kind, text, outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	var batch []event.Event
	for _, f := range outputstest.Events() {
		batch = append(batch, f.Event)
	}
	if err := s.Send(t.Context(), batch); err != nil {
		t.Errorf("%s: %v", text, err)
	}
	if err := s.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
}
