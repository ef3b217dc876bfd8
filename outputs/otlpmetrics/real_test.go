package otlpmetrics_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/otlpx/otlptest"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestRealCollectorTakesCounters(t *testing.T) {
	otlptest.Real(t, "otlpmetrics", "/v1/metrics",
		"Name: falcosecurity_falco_rules_matches_total", "rule: Str(Write below binary dir)", "AggregationTemporality: Cumulative", "IsMonotonic: true")
}

func TestRealVictoriaMetricsHasTheCounters(t *testing.T) {
	base := outputstest.Start(t, outputstest.Program{
		Module: "victoria-metrics",
		Args: func(address, dir string) []string {
			return []string{"-httpListenAddr=" + address, "-storageDataPath=" + dir, "-retentionPeriod=100y", "-search.latencyOffset=0s"}
		},
		Ready: "/health",
	})
	s, err := outputstest.New("otlpmetrics", "{endpoint: '"+base+"/opentelemetry/v1/metrics', extraattributes: k8s.ns.name, compression: gzip}", outputstest.Env(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.(io.Closer).Close()
	for range 3 {
		if err := s.Send(t.Context(), []event.Event{outputstest.Plain()}); err != nil {
			t.Fatal(err)
		}
	}
	match := url.QueryEscape(`falcosecurity_falco_rules_matches_total{rule="Write below binary dir",k8s_ns_name="ns1",hostname="node-1"}`)
	outputstest.Eventually(t, "the counter is 3", func() bool {
		res, err := http.Get(base + "/api/v1/export?match[]=" + match)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		return err == nil && strings.Contains(string(text), `"values":[1,2,3]`)
	})
}
