package metrics

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/deliver"
	"github.com/saker-security/saker/forwarder/ingest"
)

func newMetrics(o Options) *Metrics {
	o.Log = slog.New(slog.DiscardHandler)
	return New(o)
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", http.NoBody))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func expect(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no line %s", line)
		}
	}
}

func alert(fields ...event.Field) event.Event {
	return event.Event{
		Rule: "r", Priority: event.Informational, Source: "syscall", Output: "o", Time: time.Now(),
	}.WithFields(fields...)
}

func TestEventsAreCountedUnderFalcosidekicksLabels(t *testing.T) {
	m := newMetrics(Options{
		Config:      Config{ExtraLabels: []string{"proc.name", "k8s.ns.name", "proc.pid"}},
		EventFields: []string{"cluster", "bad-name", "k8s.ns.name"},
	})
	full := alert(
		event.Field{Name: "k8s.ns.name", Value: event.StringValue("ns1")},
		event.Field{Name: "k8s.pod.name", Value: event.StringValue("pod1")},
		event.Field{Name: "proc.name", Value: event.StringValue("cat")},
		event.Field{Name: "proc.pid", Value: event.NumberValue("12")},
		event.Field{Name: "cluster", Value: event.StringValue("prod")},
	)
	full.Hostname = "node-1"
	odd := alert(
		event.Field{Name: "k8s.ns.name", Value: event.NumberValue("5")},
		event.Field{Name: "k8s.pod.name", Value: event.Value{}},
	)
	m.Accepted([]event.Event{full, full, odd}, "", time.Millisecond)
	expect(t, scrape(t, m),
		`falcosecurity_falcosidekick_falco_events_total{cluster="prod",hostname="node-1",k8s_ns_name="ns1",k8s_pod_name="pod1",priority="2",priority_raw="informational",proc_name="cat",proc_pid="",rule="r",source="syscall"} 2`,
		`falcosecurity_falcosidekick_falco_events_total{cluster="",hostname="unknown",k8s_ns_name="",k8s_pod_name="",priority="2",priority_raw="informational",proc_name="",proc_pid="",rule="r",source="syscall"} 1`,
		`falcosecurity_falcosidekick_inputs_total{source="requests",status="accepted"} 1`,
		`saker_ingest_events_sum 3`,
	)
}

func TestRefusedRequestsCountButMakeNoSeriesOfTheirContent(t *testing.T) {
	m := newMetrics(Options{})
	m.Rejected(ingest.ReasonInvalid, "")
	text := scrape(t, m)
	expect(t, text,
		`falcosecurity_falcosidekick_inputs_total{source="requests",status="rejected"} 1`,
		`falcosecurity_falcosidekick_inputs_total{source="requests",status="accepted"} 0`,
		`saker_ingest_rejected_total{reason="invalid"} 1`,
		`saker_ingest_rejected_total{reason="journal"} 0`,
	)
	if strings.Contains(text, "falco_events_total{") {
		t.Error("a refused event was counted")
	}
}

func TestSeriesBeyondTheLimitAreCountedTogether(t *testing.T) {
	m := newMetrics(Options{})
	for i := range MaxSeries + 25 {
		e := alert()
		e.Hostname = fmt.Sprintf("host-%d", i)
		m.Accepted([]event.Event{e}, "", 0)
	}
	again := alert()
	again.Hostname = "host-7"
	m.Accepted([]event.Event{again}, "", 0)
	text := scrape(t, m)
	if n := strings.Count(text, "falco_events_total{"); n != MaxSeries+1 {
		t.Errorf("there are %d series", n)
	}
	expect(t, text,
		`falcosecurity_falcosidekick_falco_events_total{hostname="other",k8s_ns_name="other",k8s_pod_name="other",priority="2",priority_raw="informational",rule="other",source="other"} 25`,
		`falcosecurity_falcosidekick_falco_events_total{hostname="host-7",k8s_ns_name="",k8s_pod_name="",priority="2",priority_raw="informational",rule="r",source="syscall"} 2`,
	)
}

func TestLabelValuesAreBoundedAndValid(t *testing.T) {
	m := newMetrics(Options{})
	e := alert()
	e.Rule = "x" + strings.Repeat("é", 300)
	e.Hostname = "a\xffb"
	m.Accepted([]event.Event{e}, "", 0)
	rule := regexp.MustCompile(`rule="([^"]*)"`).FindStringSubmatch(scrape(t, m))[1]
	if len(rule) != 255 || !utf8.ValidString(rule) {
		t.Errorf("the label has %d bytes", len(rule))
	}
}

func TestExtraLabelsThatCannotBeLabelsAreConfigurationErrors(t *testing.T) {
	for _, tc := range []struct {
		labels []string
		ok     bool
	}{
		{nil, true},
		{[]string{"proc.name", "fd_name", "a:b"}, true},
		{[]string{"k8s.ns.name"}, true},
		{[]string{"a-b"}, false},
		{[]string{"proc.aname[2]"}, false},
		{[]string{"2x"}, false},
		{[]string{""}, false},
		{[]string{"proc.name", "proc_name"}, false},
	} {
		if err := (Config{ExtraLabels: tc.labels}).Validate(); (err == nil) != tc.ok {
			t.Errorf("%q: %v", tc.labels, err)
		}
	}
}

func TestAttemptsCountEventsAsFalcosidekickDoes(t *testing.T) {
	m := newMetrics(Options{})
	m.Attempted(deliver.Attempt{Output: "slack", Outcome: deliver.Delivered, Events: 1, Latency: time.Second})
	m.Attempted(deliver.Attempt{Output: "elasticsearch", Outcome: deliver.Partly, Events: 10, Failed: 3, Err: errors.New("x")})
	m.Attempted(deliver.Attempt{Output: "slack", Outcome: deliver.Failed, Events: 1, Failed: 1, Err: errors.New("x")})
	expect(t, scrape(t, m),
		`falcosecurity_falcosidekick_outputs_total{destination="slack",status="ok"} 1`,
		`falcosecurity_falcosidekick_outputs_total{destination="slack",status="error"} 1`,
		`falcosecurity_falcosidekick_outputs_total{destination="elasticsearch",status="ok"} 7`,
		`falcosecurity_falcosidekick_outputs_total{destination="elasticsearch",status="error"} 3`,
		`saker_output_attempts_total{outcome="partly",output="elasticsearch"} 1`,
		`saker_output_attempt_duration_seconds_sum{output="slack"} 1`,
	)
}

func BenchmarkAccepted(b *testing.B) {
	m := newMetrics(Options{})
	batch := []event.Event{alert(event.Field{Name: "k8s.ns.name", Value: event.StringValue("ns1")})}
	b.ReportAllocs()
	for b.Loop() {
		m.Accepted(batch, "", time.Millisecond)
	}
}
