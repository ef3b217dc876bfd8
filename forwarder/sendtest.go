package forwarder

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/api"
	"github.com/saker-security/saker/forwarder/ingest"
	"github.com/saker-security/saker/outputs"
)

// TestResult is what became of a test event.
type TestResult struct {
	// Output is the instance's name, Kind what it is one of.
	Output, Kind string
	// Event is what was sent.
	Event event.Event
	Took  time.Duration
	// Err is nil when the destination has accepted the event, and else what it said.
	Err error
	// Permanent tells that the destination would refuse the event however often it is sent.
	Permanent bool
}

// SendTest sends Falcosidekick's test event to the output called name, once and past the
// journal. The error is for a test that could not be made; what the destination said is in
// the result.
func SendTest(ctx context.Context, l *Loaded, name string, o Options) (TestResult, error) {
	i := slices.IndexFunc(l.Outputs, func(in Instance) bool { return in.Name == name })
	if i < 0 {
		return TestResult{}, l.notConfigured(name)
	}
	in := l.Outputs[i]
	sender, err := in.Kind.Build(in.config, l.env(o.Version, o.Log))
	if err != nil {
		return TestResult{}, fmt.Errorf("set up output %q: %w", name, err)
	}
	if c, ok := sender.(io.Closer); ok {
		defer c.Close()
	}
	enricher, err := ingest.NewEnricher(l.Enrichment)
	if err != nil {
		return TestResult{}, err
	}
	start := time.Now()
	e := enricher.Enrich(ingest.TestEvent(start), false)
	attempt, cancel := context.WithTimeout(ctx, in.Settings.Timeout)
	defer cancel()
	err = sender.Send(attempt, []event.Event{e})
	return TestResult{
		Output: name, Kind: in.Kind.Name, Event: e, Took: time.Since(start),
		Err: err, Permanent: outputs.Rejected(err),
	}, nil
}

// testOutput sends a test event to the output called name of the configuration in force.
func (f *forwarder) testOutput(ctx context.Context, name string) (api.TestResult, error) {
	r, err := SendTest(ctx, f.live.Load(), name, f.Options)
	if err != nil {
		return api.TestResult{}, err
	}
	shown := api.TestResult{Output: r.Output, Accepted: r.Err == nil, TookMS: r.Took.Milliseconds(), Permanent: r.Permanent}
	if r.Err != nil {
		shown.Error = r.Err.Error()
	}
	return shown, nil
}

// Named returns the names of the outputs that name stands for: itself, or, for a section
// with several destinations, each of them.
func (l *Loaded) Named(name string) []string {
	var all []string
	for _, in := range l.Outputs {
		if in.Name == name || strings.HasPrefix(in.Name, name+outputs.PartSeparator) {
			all = append(all, in.Name)
		}
	}
	if len(all) == 0 {
		return []string{name}
	}
	return all
}

// notConfigured says which outputs there are.
func (l *Loaded) notConfigured(name string) error {
	names := map[string]bool{}
	for _, in := range l.Outputs {
		names[in.Name] = true
	}
	if len(names) == 0 {
		return fmt.Errorf("output %q is not configured, and no other is", name)
	}
	return fmt.Errorf("output %q is not configured; those that are: %s", name, strings.Join(slices.Sorted(maps.Keys(names)), ", "))
}
