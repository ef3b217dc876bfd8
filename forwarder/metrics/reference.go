package metrics

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/deliver"
	"github.com/saker-security/saker/forwarder/ingest"
	"github.com/saker-security/saker/forwarder/journal"
)

// Metric is what a scrape has under one name.
type Metric struct {
	Name string
	// Type is counter, gauge or histogram. A histogram's series end in _bucket, _sum and
	// _count.
	Type   string
	Labels []string
	Help   string
}

// List returns all metrics of the forwarder's own, sorted by name: those that a scrape has
// once everything has happened that is counted.
func List() ([]Metric, error) {
	families, err := eventful().registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("list metrics: %w", err)
	}
	var all []Metric
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "saker_") && !strings.HasPrefix(f.GetName(), "falcosecurity_") {
			continue // of the Go runtime and the process
		}
		m := Metric{Name: f.GetName(), Type: strings.ToLower(f.GetType().String()), Help: f.GetHelp()}
		for _, pair := range mostLabels(f.GetMetric()) {
			m.Labels = append(m.Labels, pair.GetName())
		}
		all = append(all, m)
	}
	return all, nil
}

// mostLabels returns the labels of the metric that has most.
func mostLabels(all []*dto.Metric) []*dto.LabelPair {
	return slices.MaxFunc(all, func(a, b *dto.Metric) int { return len(a.GetLabel()) - len(b.GetLabel()) }).GetLabel()
}

// eventful returns a Metrics to which everything has happened.
func eventful() *Metrics {
	m := New(Options{Journal: journal.DefaultConfig(), Version: "v1", Log: slog.New(slog.DiscardHandler)})
	m.Configured(time.Unix(1, 0))
	m.NotConfigured()
	m.Accepted([]event.Event{{Rule: "r"}}, "sender", time.Millisecond)
	m.Rejected(ingest.ReasonRateLimit, "sender")
	m.Attempted(deliver.Attempt{Output: "output", Outcome: deliver.Partly, Events: 2, Failed: 1})
	m.Watch(func() Status {
		return Status{
			Journal: journal.Stats{DeadLetters: map[string]uint64{"output": 1}},
			Disk:    Disk{Free: 1, Size: 2},
			Outputs: []OutputStatus{{Name: "output", Kind: "kind", State: deliver.State{LastSuccess: time.Unix(1, 0)}}},
			Tracing: true,
		}
	})
	return m
}

// WriteReference writes a page that lists all metrics.
func WriteReference(w io.Writer) error {
	all, err := List()
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	_, _ = out.WriteString("<!-- Generated from the metrics themselves by `make gen`; do not edit. -->\n\n# Metrics\n\n" +
		"The forwarder serves these at `/metrics` on its ingest port, in the Prometheus text format, beside the usual `go_*`, `process_*` and `promhttp_*`. " +
		"How to watch it with them: [Monitor](../monitor.md).\n\n| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n")
	for _, m := range all {
		_, _ = fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, quoted(m.Labels), strings.ReplaceAll(m.Help, "|", `\|`))
	}
	return out.Flush()
}

func quoted(labels []string) string {
	var all []string
	for _, l := range labels {
		all = append(all, "`"+l+"`")
	}
	return strings.Join(all, ", ")
}
