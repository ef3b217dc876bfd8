// Package hostx is what outputs for metrics read of the forwarder's own: how many requests
// came in, and how often each output was tried.
//
// The counters are those of /metrics, which start at 0 with the process. An output that
// sends what has been added since the last time keeps a Deltas.
package hostx

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/saker-security/saker/event"
)

// The families that are read.
const (
	inputs   = "falcosecurity_falcosidekick_inputs_total"
	outputs  = "falcosecurity_falcosidekick_outputs_total"
	rejected = "saker_ingest_rejected_total"
	began    = "process_start_time_seconds"
)

// MaxSeries is the most series of one family that are read; those of a forwarder with more
// outputs are left out.
const MaxSeries = 4000

// Series is one counter.
type Series struct {
	// First and Second are its labels: source and status of an input, destination and status
	// of an output. Those of a rejection are its reason and "".
	First, Second string
	// Value is what has been counted since the process began.
	Value int64
}

// Counters are the forwarder's counters, each list sorted by its labels.
type Counters struct {
	// Inputs are requests, Rejections those of them that were not accepted, and Outputs
	// events that were handed to an output.
	Inputs, Rejections, Outputs []Series
	// Began is when the process began; zero if it does not say.
	Began time.Time
}

// Read reads the counters.
func Read(g prometheus.Gatherer) (Counters, error) {
	families, err := g.Gather()
	if err != nil && len(families) == 0 {
		return Counters{}, fmt.Errorf("read the forwarder's own metrics: %w", err)
	}
	var c Counters
	for _, f := range families {
		switch f.GetName() {
		case inputs:
			c.Inputs = series(f, "source", "status")
		case outputs:
			c.Outputs = series(f, "destination", "status")
		case rejected:
			c.Rejections = series(f, "reason", "")
		case began:
			for _, m := range f.GetMetric() {
				c.Began = time.UnixMilli(int64(m.GetGauge().GetValue() * 1000))
			}
		}
	}
	return c, nil
}

func series(f *dto.MetricFamily, first, second string) []Series {
	var all []Series
	for _, m := range f.GetMetric() {
		s := Series{Value: int64(m.GetCounter().GetValue())}
		for _, l := range m.GetLabel() {
			switch l.GetName() {
			case first:
				s.First = l.GetValue()
			case second:
				s.Second = l.GetValue()
			}
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Series) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Second, b.Second))
	})
	return all[:min(len(all), MaxSeries)]
}

// Deltas tells what has been added to counters since it was last told that what it said
// has been sent.
type Deltas struct{ sent map[[2]string]int64 }

// Since returns those of now that have grown, with what they have grown by.
func (d *Deltas) Since(now []Series) []Series {
	var all []Series
	for _, s := range now {
		s.Value -= d.sent[[2]string{s.First, s.Second}]
		if s.Value > 0 {
			all = append(all, s)
		}
	}
	return all
}

// Sent notes that what has been counted up to now is sent.
func (d *Deltas) Sent(now []Series) {
	d.sent = make(map[[2]string]int64, len(now))
	for _, s := range now {
		d.sent[[2]string{s.First, s.Second}] = s.Value
	}
}

// Events returns how many events e stands for: several when it is a summary.
func Events(e event.Event) int64 {
	if !e.IsSummary() {
		return 1
	}
	v, _ := e.Field(event.SummaryCount)
	n, err := strconv.ParseInt(v.Text(), 10, 32)
	if err != nil {
		return 1
	}
	return max(1, n)
}
