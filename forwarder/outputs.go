package forwarder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/deliver"
	"github.com/saker-security/saker/forwarder/ingest"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/outputs"
)

// output is an instance that is being delivered to.
type output struct {
	Instance
	sender outputs.Sender
	cursor *journal.Consumer
	worker *deliver.Worker
}

// buildOutputs makes the senders of all outputs; the error has everything wrong with any.
func (f *forwarder) buildOutputs() error {
	env := f.env(f.Version, f.Log)
	var errs []error
	for _, in := range f.Outputs {
		env.Log = f.Log.With("output", in.Name)
		sender, err := in.Kind.Build(in.config, env)
		if err != nil {
			errs = append(errs, fmt.Errorf("set up output %q: %w", in.Name, err))
			continue
		}
		f.outputs = append(f.outputs, &output{Instance: in, sender: sender})
	}
	if len(errs) > 0 {
		f.closeOutputs()
		f.outputs = nil
	}
	return errors.Join(errs...)
}

// closeOutputs drops the outputs' connections.
func (f *forwarder) closeOutputs() {
	for _, o := range f.outputs {
		if c, ok := o.sender.(io.Closer); ok {
			if err := c.Close(); err != nil {
				f.Log.Warn("an output did not close well", "output", o.Name, "error", err)
			}
		}
	}
}

// openCursors finds each output's place in the journal and makes its worker.
func (f *forwarder) openCursors(ctx context.Context) error {
	var keep []string
	for _, o := range f.outputs {
		keep = append(keep, o.Name)
		cursor, err := f.journal.Consumer(ctx, o.Name, o.Settings.MinimumPriority)
		if err != nil {
			return fmt.Errorf("find the place of output %q in the journal: %w", o.Name, err)
		}
		o.cursor = cursor
		o.worker, err = deliver.New(deliver.Options{
			Name: o.Name, Sender: o.sender, Batch: o.Kind.Batch, Serial: o.Kind.Serial,
			Source: cursor, Settings: o.Settings, Observer: f.metrics, Log: f.Log, Grace: f.grace(),
		})
		if err != nil {
			return err
		}
	}
	deleted, waiting, err := f.journal.Prune(ctx, keep)
	if err != nil {
		return fmt.Errorf("look for outputs that are no longer configured: %w", err)
	}
	if len(waiting) > 0 {
		f.Log.Info("outputs that are no longer configured keep their place for 7 days", "outputs", waiting)
	}
	if len(deleted) > 0 {
		f.Log.Info("the places of outputs no longer configured were given up", "outputs", deleted)
	}
	return nil
}

// closeCursors writes down how far each output has got.
func (f *forwarder) closeCursors(ctx context.Context) error {
	var errs []error
	for _, o := range f.outputs {
		if o.cursor != nil {
			errs = append(errs, o.cursor.Close(ctx))
		}
	}
	return errors.Join(errs...)
}

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
