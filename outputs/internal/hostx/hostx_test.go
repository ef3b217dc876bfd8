package hostx

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs/internal/outputstest"
)

func TestTheForwardersCountersAreReadSorted(t *testing.T) {
	registry := prometheus.NewRegistry()
	counter := func(name string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name}, labels)
		registry.MustRegister(c)
		return c
	}
	counter(outputs, "status", "destination").WithLabelValues("ok", "slack").Add(3)
	in := counter(inputs, "source", "status")
	in.WithLabelValues("requests", "rejected").Add(2)
	in.WithLabelValues("requests", "accepted").Add(5)
	counter(rejected, "reason").WithLabelValues("invalid").Inc()
	counter("another_total", "x").WithLabelValues("y").Inc()
	start := prometheus.NewGauge(prometheus.GaugeOpts{Name: began})
	registry.MustRegister(start)
	start.Set(1_700_000_000.5)

	got, err := Read(registry)
	if err != nil {
		t.Fatal(err)
	}
	want := Counters{
		Inputs:     []Series{{"requests", "accepted", 5}, {"requests", "rejected", 2}},
		Rejections: []Series{{"invalid", "", 1}},
		Outputs:    []Series{{"slack", "ok", 3}},
		Began:      time.UnixMilli(1_700_000_000_500),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

type broken struct{}

func (broken) Gather() ([]*dto.MetricFamily, error) { return nil, errors.New("no metrics") }

func TestAHostWithoutMetricsIsAnError(t *testing.T) {
	if _, err := Read(broken{}); err == nil {
		t.Error("there is no error")
	}
}

func TestOnlyWhatHasBeenAddedIsNew(t *testing.T) {
	var d Deltas
	first := []Series{{"a", "ok", 3}, {"b", "ok", 0}}
	if diff := cmp.Diff([]Series{{"a", "ok", 3}}, d.Since(first)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Series{{"a", "ok", 3}}, d.Since(first)); diff != "" {
		t.Errorf("what was not sent is not new any more: %s", diff)
	}
	d.Sent(first)
	second := []Series{{"a", "ok", 5}, {"b", "ok", 1}, {"c", "error", 7}}
	if diff := cmp.Diff([]Series{{"a", "ok", 2}, {"b", "ok", 1}, {"c", "error", 7}}, d.Since(second)); diff != "" {
		t.Error(diff)
	}
	d.Sent(second)
	if got := d.Since(second); len(got) != 0 {
		t.Errorf("%v is new", got)
	}
}

func TestASummaryStandsForSeveralEvents(t *testing.T) {
	for _, f := range outputstest.Events() {
		want := int64(1)
		if f.Name == "summary" {
			want = 12
		}
		if got := Events(f.Event); got != want {
			t.Errorf("%s counts as %d, want %d", f.Name, got, want)
		}
	}
	odd := outputstest.Plain()
	odd.Fields = event.SortFields([]event.Field{
		{Name: event.SummaryKind, Value: event.StringValue("group")},
		{Name: event.SummaryCount, Value: event.StringValue("-5")},
	})
	if got := Events(odd); got != 1 {
		t.Errorf("a summary of -5 events counts as %d", got)
	}
}
