package deliver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/outputs"
)

// byRule gathers events by their rules.
func byRule(o *Options) {
	o.Settings.GroupBy = []string{"rule"}
	o.Settings.MaxConcurrentRequests = 0
}

// uuids gives events the UUIDs that ingest would.
func uuids(all []event.Event) []event.Event {
	for i := range all {
		all[i].UUID = fmt.Sprintf("00000000-0000-4000-8000-%012d", i+1)
		all[i].Fields = []event.Field{{Name: "proc.name", Value: event.StringValue(fmt.Sprint("p", i))}}
	}
	return all
}

func TestASummaryIsOneMessageForAllThatItCovers(t *testing.T) {
	work(t, 0, byRule, nil, func(f *fixture) {
		f.source.append(uuids(named(1, 20))...)
		f.after(9 * time.Second)
		f.want("before its time", f.sender.batches(), [][]string(nil))
		if s := f.worker.State(); s.InFlight != 20 || s.HeldBack != 20 {
			t.Errorf("state is %+v", s)
		}
		f.after(2 * time.Second)
		if n := len(f.sender.batches()); n != 1 {
			t.Fatalf("%d messages, want one", n)
		}
		f.wantOpen()
		if s := f.worker.State(); s.InFlight != 0 || s.HeldBack != 0 || s.Delivered != 20 || s.Suppressed == 0 {
			t.Errorf("state is %+v", s)
		}
	})
}

func TestEventsThatWaitForTheirGroupAreKeptAliveAndGivenBackAtAStop(t *testing.T) {
	work(t, 0, func(o *Options) { byRule(o); o.Settings.GroupWait = 10 * time.Minute }, nil, func(f *fixture) {
		f.source.append(uuids(named(1, 20))...)
		f.after(5 * time.Minute)
		f.want("redelivered", f.worker.State().Redelivered, uint64(0))
		f.end()
		f.want("open", len(f.source.open()), 20)
		f.want("messages", f.sender.batches(), [][]string(nil))
	})
}

func TestARejectedSummaryIsADeadLetterForEachEventItCovers(t *testing.T) {
	work(t, 0, byRule, func(context.Context, int, []event.Event) error {
		return outputs.Reject(errors.New("413 Request Entity Too Large"))
	}, func(f *fixture) {
		f.source.append(uuids(named(1, 5))...)
		f.after(time.Minute)
		f.want("letters", f.source.letters(), names(1, 5))
		f.wantOpen()
		for i, l := range f.source.buried {
			if l.Sequence != uint64(i+1) || !strings.Contains(l.LastError, "413 Request Entity Too Large (sent as one message about 5 events)") {
				t.Errorf("letter %d is %+v", i, l)
			}
		}
	})
}

func TestASummarysAgeCountsFromWhenItWasMade(t *testing.T) {
	work(t, 0, func(o *Options) {
		byRule(o)
		o.Settings.GroupWait, o.Settings.Retry.MaxAge = time.Hour, 10*time.Minute
	}, func(_ context.Context, n int, _ []event.Event) error {
		if n < 3 {
			return errDown
		}
		return nil
	}, func(f *fixture) {
		f.source.append(uuids(named(1, 5))...)
		f.after(61 * time.Minute)
		f.wantOpen()
		f.want("letters", f.source.letters(), []string(nil))
	})
}

func TestReplayedEventsPassTheGrouping(t *testing.T) {
	work(t, 0, byRule, nil, func(f *fixture) {
		f.source.replay(uuids(named(1, 3))...)
		f.after(time.Second)
		f.want("messages", len(f.sender.batches()), 3)
		f.wantOpen()
		f.want("replayed", f.worker.State().Replayed, uint64(3))
	})
}

func TestRepetitionsAreAcknowledgedUnsent(t *testing.T) {
	work(t, 0, func(o *Options) { o.Settings.DedupWindow, o.Settings.DedupSummary = time.Hour, false }, nil, func(f *fixture) {
		for range 10 {
			f.source.append(event.Event{Output: "again", Rule: "r", Priority: event.Error})
		}
		f.after(time.Second)
		f.want("messages", f.sender.batches(), [][]string{{"again"}})
		f.wantOpen()
		f.want("suppressed", f.worker.State().Suppressed, uint64(9))
	})
}
