package forwarder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

// notebook is a journal that remembers what is appended.
type notebook struct {
	journal.Journal
	fault error
	got   []event.Event
}

func (n *notebook) Append(_ context.Context, batch []event.Event) error {
	if n.fault == nil {
		n.got = append(n.got, batch...)
	}
	return n.fault
}

func (n *notebook) Ready() error { return n.fault }

// told returns what has been appended since the last call, as text.
func (n *notebook) told() []string {
	var all []string
	for _, e := range n.got {
		text := e.Rule + ":"
		for _, f := range e.Fields {
			text += " " + f.Name + "=" + f.Value.Text()
		}
		all = append(all, text)
	}
	n.got = nil
	return all
}

// testReporter makes a reporter of a forwarder with the outputs a and b.
func testReporter(t *testing.T) (*reporter, *notebook, []*output) {
	t.Helper()
	l := mustLoad(t, "customfields: {cluster: prod}\noutputs: {a: {type: stdout, enabled: true}, b: {type: stdout, enabled: true}}")
	n := &notebook{}
	r := &reporter{
		journal: n, live: func() *Loaded { return l }, refusals: &refusals{}, log: quiet,
		hostname: "node-1", losses: map[string]*loss{},
	}
	return r, n, []*output{{Instance: l.Outputs[0]}, {Instance: l.Outputs[1]}}
}

func lags(outputs []*output, lost ...uint64) []outputLag {
	var all []outputLag
	for i, o := range outputs {
		all = append(all, outputLag{o, journal.Lag{Lost: lost[i]}})
	}
	return all
}

func TestEventsThatTheLimitsRemovedAreReportedByOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, n, outputs := testReporter(t)
		start := time.Now().UTC().Format(time.RFC3339)
		r.report(t.Context(), lags(outputs, 0, 0))
		if got := n.told(); got != nil {
			t.Errorf("without a loss %q is told", got)
		}
		r.report(t.Context(), lags(outputs, 7, 0))
		if len(n.got) == 1 {
			e := n.got[0]
			if e.Priority != event.Critical || e.Source != "internal" || e.Hostname != "node-1" || e.UUID == "" || e.Validate() != nil {
				t.Errorf("the event is %+v", e)
			}
		}
		want := []string{"Saker internal: events lost before delivery: cluster=prod saker.count=7 saker.output=a saker.since=" + start}
		if got := n.told(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}

		// What follows is told at most once a minute for each output, and all together.
		for lost := range uint64(20) {
			time.Sleep(2 * time.Second)
			r.report(t.Context(), lags(outputs, 10+lost, 0))
		}
		if got := n.told(); got != nil {
			t.Errorf("within a minute %q is told", got)
		}
		r.report(t.Context(), lags(outputs, 29, 4))
		if got := n.told(); len(got) != 1 {
			t.Errorf("of another output %q is told", got)
		}
		time.Sleep(time.Minute)
		r.report(t.Context(), lags(outputs, 30, 4))
		if got := n.told(); len(got) != 1 || got[0] != fmt.Sprintf("Saker internal: events lost before delivery: cluster=prod saker.count=23 saker.output=a saker.since=%s", start) {
			t.Errorf("after a minute %q is told", got)
		}
	})
}

// An output that takes nothing loses in time what is told of its losses, too.
func TestTheLossOfAReportIsNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, n, outputs := testReporter(t)
		lost := uint64(100)
		r.report(t.Context(), lags(outputs, lost, 0))
		if got := n.told(); len(got) != 1 {
			t.Fatalf("%q is told", got)
		}
		for range 3 {
			time.Sleep(time.Hour)
			lost = 101 // the report of before has gone the same way
			r.report(t.Context(), lags(outputs, lost, 0))
			if got := n.told(); got != nil {
				t.Fatalf("the loss of a report is told: %q", got)
			}
		}
		time.Sleep(time.Hour)
		r.report(t.Context(), lags(outputs, lost+5, 0))
		if got := n.told(); len(got) != 1 {
			t.Errorf("of a further loss %q is told", got)
		}
	})
}

func TestALossThatCannotBeToldYetIsToldLater(t *testing.T) {
	r, n, outputs := testReporter(t)
	n.fault = journal.ErrFull
	r.report(t.Context(), lags(outputs, 3, 0))
	n.fault = nil
	r.report(t.Context(), lags(outputs, 5, 0))
	if len(n.got) != 1 {
		t.Fatalf("%d events are told", len(n.got))
	}
	if v, _ := n.got[0].Field("saker.count"); v.Text() != "5" {
		t.Errorf("it counts %s", v.Text())
	}
}

// After a reload the journal counts anew from the opening of the cursor.
func TestTheLossesOfAnOutputThatWasReplacedCountFromZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, n, outputs := testReporter(t)
		r.report(t.Context(), lags(outputs, 10, 0))
		n.told()
		time.Sleep(2 * time.Minute)
		again := []*output{{Instance: outputs[0].Instance}, outputs[1]}
		r.report(t.Context(), lags(again, 4, 0))
		if got := n.told(); len(got) != 1 {
			t.Errorf("%q is told", got)
		}
		time.Sleep(2 * time.Minute)
		r.report(t.Context(), lags(again, 4, 0))
		if got := n.told(); got != nil {
			t.Errorf("without a further loss %q is told", got)
		}
	})
}

func TestRefusalsAreReportedOnceEventsAreTakenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, n, _ := testReporter(t)
		taken := r.refusals.watch(n)
		start := time.Now().UTC().Format(time.RFC3339)
		n.fault = fmt.Errorf("append: %w", journal.ErrFull)
		for range 31 {
			if err := taken.Append(t.Context(), []event.Event{{Rule: "r"}}); !errors.Is(err, journal.ErrFull) {
				t.Fatal(err)
			}
			r.report(t.Context(), nil)
			time.Sleep(3 * time.Second)
		}
		n.fault = nil
		r.report(t.Context(), nil)
		want := []string{"Saker internal: events refused for a time: cluster=prod saker.count=31 saker.reason=the journal's disk was full saker.seconds=90 saker.since=" + start}
		if got := n.told(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		r.report(t.Context(), nil)
		if got := n.told(); got != nil {
			t.Errorf("it is told again: %q", got)
		}
	})
}

func TestASenderWhoseEventIsWrongIsNoRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, n, _ := testReporter(t)
		n.fault = journal.ErrTooLarge
		if err := r.refusals.watch(n).Append(t.Context(), nil); err == nil {
			t.Fatal("it was taken")
		}
		n.fault = nil
		time.Sleep(time.Minute)
		r.report(t.Context(), nil)
		if got := n.told(); got != nil {
			t.Errorf("%q is told", got)
		}
	})
}
