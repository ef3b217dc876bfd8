package forwarder

import (
	"slices"

	dto "github.com/prometheus/client_model/go"

	"github.com/saker-security/saker/outputs"
)

// host is what outputs may ask of the forwarder.
type host struct{ f *forwarder }

var _ outputs.Host = host{}

// env is what the constructors of outputs get while the forwarder runs.
func (f *forwarder) env(c Config) outputs.Env {
	e := c.env(f.Version, f.Log)
	e.Host = host{f}
	return e
}

// Outputs implements outputs.Host.
func (h host) Outputs() []string {
	var titles []string
	for _, o := range h.f.live.Load().Outputs {
		titles = append(titles, o.Kind.Title)
	}
	slices.Sort(titles)
	return slices.Compact(titles)
}

// Gather implements outputs.Host.
func (h host) Gather() ([]*dto.MetricFamily, error) { return h.f.metrics.Gather() }
