package otlpmetrics

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	colmetricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func sent(m proto.Message) []*metricspb.Metric {
	return m.(*colmetricspb.ExportMetricsServiceRequest).GetResourceMetrics()[0].GetScopeMetrics()[0].GetMetrics()
}

// backend is an endpoint that keeps the points it has taken, and fails when it is told to.
type backend struct {
	address string
	mu      sync.Mutex
	points  []string // name, values of attributes, value
	status  int
	refuses int64 // points of each request
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{status: http.StatusOK}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request colmetricspb.ExportMetricsServiceRequest
		if err := errors.Join(err, proto.Unmarshal(body, &request)); err != nil {
			t.Error(err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, m := range sent(&request) {
			for _, p := range m.GetSum().GetDataPoints() {
				b.points = append(b.points, line(m.GetName(), p))
			}
		}
		answer := &colmetricspb.ExportMetricsServiceResponse{}
		if b.refuses > 0 {
			answer.PartialSuccess = &colmetricspb.ExportMetricsPartialSuccess{RejectedDataPoints: b.refuses, ErrorMessage: "no"}
		}
		text, err := proto.Marshal(answer)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
		w.WriteHeader(b.status)
		_, _ = w.Write(text)
	}))
	t.Cleanup(s.Close)
	b.address = s.URL
	return b
}

func line(name string, p *metricspb.NumberDataPoint) string {
	text := strings.TrimPrefix(name, "falcosecurity_")
	for _, a := range p.GetAttributes() {
		if v := a.GetValue().GetStringValue(); v != "" {
			text += " " + v
		}
		if a.GetValue().GetBoolValue() {
			text += " " + a.GetKey()
		}
	}
	return fmt.Sprintf("%s %d", text, p.GetAsInt())
}

func (b *backend) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := strings.Join(b.points, "\n")
	b.points = nil
	return text
}

func (b *backend) answer(status int, refuses int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status, b.refuses = status, refuses
}

func open(t *testing.T, b *backend, more string, env outputs.Env) *sender {
	t.Helper()
	made, err := outputstest.New("otlpmetrics", "{endpoint: '"+b.address+"', interval: 1h"+more+"}", env)
	if err != nil {
		t.Fatal(err)
	}
	s := made.(*sender)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func matches(rule string) event.Event {
	return event.Event{Rule: rule, Priority: event.Error, Source: "syscall", Hostname: "h"}
}

func want(t *testing.T, got string, lines ...string) {
	t.Helper()
	if w := strings.Join(lines, "\n"); got != w {
		t.Errorf("got\n%s\nwant\n%s", got, w)
	}
}

func TestWhatIsSentAgainDoesNotCountTwice(t *testing.T) {
	outputstest.NoLeak(t)
	b := newBackend(t)
	s := open(t, b, "", outputstest.Env(t))
	batch := []event.Event{matches("a"), matches("b"), matches("a")}
	for _, status := range []int{503, 503, 200} {
		b.answer(status, 0)
		if err := s.Send(t.Context(), batch); (err != nil) != (status != 200) {
			t.Errorf("%d: %v", status, err)
		}
		want(t, b.take(), "falco_rules_matches_total h Error a syscall 2", "falco_rules_matches_total h Error b syscall 1")
	}
	if err := s.Send(t.Context(), batch[:1]); err != nil {
		t.Error(err)
	}
	want(t, b.take(), "falco_rules_matches_total h Error a syscall 3")
}

func TestARefusedPointIsRejectedAndNotCounted(t *testing.T) {
	outputstest.NoLeak(t)
	b := newBackend(t)
	s := open(t, b, "", outputstest.Env(t))
	b.answer(200, 1)
	if err := s.Send(t.Context(), []event.Event{matches("a")}); !outputs.Rejected(err) {
		t.Errorf("got %v", err)
	}
	b.answer(200, 0)
	b.take()
	if err := s.Send(t.Context(), []event.Event{matches("a")}); err != nil {
		t.Error(err)
	}
	want(t, b.take(), "falco_rules_matches_total h Error a syscall 1")
}

// host is a forwarder with counters.
type host struct {
	*prometheus.Registry
	inputs, outputs *prometheus.CounterVec
}

func (host) Outputs() []string { return nil }

func newHost() host {
	h := host{
		prometheus.NewRegistry(),
		prometheus.NewCounterVec(prometheus.CounterOpts{Name: "falcosecurity_falcosidekick_inputs_total"}, []string{"source", "status"}),
		prometheus.NewCounterVec(prometheus.CounterOpts{Name: "falcosecurity_falcosidekick_outputs_total"}, []string{"destination", "status"}),
	}
	h.MustRegister(h.inputs, h.outputs)
	h.inputs.WithLabelValues("requests", "accepted").Add(5)
	h.inputs.WithLabelValues("requests", "rejected").Add(0)
	h.outputs.WithLabelValues("slack", "ok").Add(4)
	return h
}

func TestTheIntervalRepeatsEverythingWithTheForwardersCounters(t *testing.T) {
	outputstest.NoLeak(t)
	b, h := newBackend(t), newHost()
	env := outputstest.Env(t)
	env.Host = h
	s := open(t, b, "", env)
	s.interval = time.Millisecond
	if err := s.Send(t.Context(), []event.Event{matches("a")}); err != nil {
		t.Fatal(err)
	}
	var seen string
	all := "falco_rules_matches_total h Error a syscall 1\nfalcosidekick_inputs requests accepted 5\nfalcosidekick_outputs slack ok 4"
	outputstest.Eventually(t, "all counters are sent together", func() bool {
		seen += b.take() + "\n"
		return strings.Contains(seen, all)
	})
}

func TestDeltasAreWhatHasBeenAdded(t *testing.T) {
	outputstest.NoLeak(t)
	b, h := newBackend(t), newHost()
	env := outputstest.Env(t)
	env.Host = h
	s := open(t, b, ", temporality: delta", env)
	for range 2 {
		if err := s.Send(t.Context(), []event.Event{matches("a")}); err != nil {
			t.Fatal(err)
		}
		want(t, b.take(), "falco_rules_matches_total h Error a syscall 1")
	}
	s.repeat(t.Context(), exportTime, true)
	want(t, b.take(), "falcosidekick_inputs requests accepted 5", "falcosidekick_outputs slack ok 4")
	h.outputs.WithLabelValues("slack", "ok").Add(2)
	b.answer(503, 0)
	s.repeat(t.Context(), exportTime, true)
	b.take()
	b.answer(200, 0)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	want(t, b.take(), "falcosidekick_outputs slack ok 2")
	if err := s.Send(t.Context(), nil); err == nil {
		t.Error("a closed output takes events")
	}
}

func TestAnIntervalThatFailsIsToldOfOnce(t *testing.T) {
	outputstest.NoLeak(t)
	b := newBackend(t)
	var log bytes.Buffer
	env := outputstest.Env(t)
	env.Host, env.Log = newHost(), slog.New(slog.NewTextHandler(&log, nil))
	s := open(t, b, "", env)
	b.answer(503, 0)
	for range 3 {
		s.repeat(t.Context(), exportTime, true)
	}
	if n := strings.Count(log.String(), "later ones will include them"); n != 1 {
		t.Errorf("the log has %d warnings: %s", n, log.String())
	}
}

func TestThereIsALimitOfSeries(t *testing.T) {
	outputstest.NoLeak(t)
	b := newBackend(t)
	s := open(t, b, "", outputstest.Env(t))
	const rules = maxSeries + 500
	for from := 0; from < rules; from += maxBatch {
		var batch []event.Event
		for i := from; i < min(from+maxBatch, rules); i++ {
			batch = append(batch, matches(fmt.Sprintf("rule %04d", i)))
		}
		if err := s.Send(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	b.take()
	if n := len(s.counts.series); n != maxSeries {
		t.Errorf("there are %d series", n)
	}
	s.repeat(t.Context(), exportTime, true)
	all := b.take()
	if n := strings.Count(all, "\n") + 1; n != maxSeries {
		t.Errorf("%d points are sent", n)
	}
	if w := fmt.Sprintf("otel.metric.overflow %d", rules-maxSeries+1); !strings.Contains(all, w) {
		t.Errorf("there is no point %q", w)
	}
	if err := s.Send(t.Context(), []event.Event{matches("rule 0000"), matches("another")}); err != nil {
		t.Fatal(err)
	}
	want(t, b.take(), "falco_rules_matches_total h Error rule 0000 syscall 2", fmt.Sprintf("falco_rules_matches_total otel.metric.overflow %d", rules-maxSeries+2))
}

func TestCustomFieldsAreAttributesUnlessTheirNamesCannotBe(t *testing.T) {
	env := outputs.Env{CustomFields: []string{"cluster.name", "a-b", "rule", "x"}}
	got := fieldsOf(Config{ExtraAttributes: []string{"x", "k8s.ns.name"}}, env)
	if s := fmt.Sprint(got); s != "[{cluster.name cluster_name} {x x} {k8s.ns.name k8s_ns_name}]" {
		t.Errorf("got %s", s)
	}
}

func TestDifferentAttributesAreDifferentSeries(t *testing.T) {
	fields := []field{{"a", "a"}, {"b", "b"}}
	seen := map[string]int{}
	for i, e := range []event.Event{
		{},
		{Rule: "x"},
		{Source: "x"},
		{Tags: []string{"x"}},
		{Tags: []string{"x", "y"}},
		{Tags: []string{"x y"}},
		{Tags: []string{`x"y`}},
		{Rule: `";`},
		{Rule: `"`, Source: ";"},
		{Fields: []event.Field{{Name: "a", Value: event.StringValue("x")}}},
		{Fields: []event.Field{{Name: "b", Value: event.StringValue("x")}}},
	} {
		key := keyOf(attributesOf(fields, e))
		if j, there := seen[key]; there {
			t.Errorf("events %d and %d are one series", i, j)
		}
		seen[key] = i
	}
}

func TestLongAttributesAreCut(t *testing.T) {
	e := event.Event{Rule: strings.Repeat("é", 1000), Tags: slices.Repeat([]string{strings.Repeat("t", 1000)}, 100)}
	for _, a := range attributesOf(nil, e) {
		for _, v := range append(a.GetValue().GetArrayValue().GetValues(), a.GetValue()) {
			if n := len([]rune(v.GetStringValue())); n > maxValue {
				t.Errorf("%s has %d characters", a.GetKey(), n)
			}
		}
		if n := len(a.GetValue().GetArrayValue().GetValues()); n > maxTags {
			t.Errorf("there are %d tags", n)
		}
	}
}
