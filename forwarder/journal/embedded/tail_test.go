package embedded

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/route"
)

func next(t *testing.T, tail *Tail, n int) (all []journal.Entry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range n {
		e, err := tail.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func outputsOf(all []journal.Entry) (out []string) {
	for _, e := range all {
		out = append(out, e.Event.Output)
	}
	return out
}

func TestTailStartsWhereItIsToldAndFollows(t *testing.T) {
	for _, c := range []struct {
		name string
		from journal.From
		want []string
	}{
		{"with what comes", journal.From{}, []string{"event 90", "event 91"}},
		{"with the last two", journal.From{Last: 2}, []string{"event 3", "event 4", "event 90", "event 91"}},
		{"with more than there are", journal.From{Last: 99}, []string{"event 0", "event 1", "event 2", "event 3", "event 4", "event 90", "event 91"}},
		{"behind a sequence", journal.From{After: 4}, []string{"event 4", "event 90", "event 91"}},
		{"behind the last sequence", journal.From{After: 5, Last: 3}, []string{"event 90", "event 91"}},
		{"behind a sequence of another journal", journal.From{After: 1000, Last: 1}, []string{"event 4", "event 90", "event 91"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := open(t, "")
			mustAppend(t, j, samples(5)...)
			tail, err := j.tail(t.Context(), c.from)
			if err != nil {
				t.Fatal(err)
			}
			defer tail.Close()
			mustAppend(t, j, sample(90, event.Warning), sample(91, event.Warning))
			got := next(t, tail, len(c.want))
			if diff := cmp.Diff(c.want, outputsOf(got)); diff != "" {
				t.Error(diff)
			}
			if last := got[len(got)-1]; last.Sequence != 7 || last.More != 0 || last.Stored.IsZero() {
				t.Errorf("the last entry is %+v", last)
			}
		})
	}
}

func TestNextEndsWithItsContextAndWithClose(t *testing.T) {
	j := open(t, "")
	tail, err := j.tail(t.Context(), journal.From{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := tail.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("next = %v, want the context's error", err)
	}
	mustAppend(t, j, samples(1)...)
	next(t, tail, 1)
	done := make(chan error)
	go func() {
		_, err := tail.Next(context.Background())
		done <- err
	}()
	tail.Close()
	if err := <-done; !errors.Is(err, journal.ErrClosed) {
		t.Errorf("next = %v, want ErrClosed", err)
	}
}

func TestRecentReturnsTheLastEventsOldestFirst(t *testing.T) {
	j := open(t, "")
	if all, err := j.Recent(t.Context(), 10); err != nil || len(all) != 0 {
		t.Errorf("recent of an empty journal = %d entries, %v", len(all), err)
	}
	mustAppend(t, j, samples(300)...)
	all, err := j.Recent(t.Context(), 3)
	if err != nil || !cmp.Equal(outputsOf(all), []string{"event 297", "event 298", "event 299"}) {
		t.Errorf("recent = %q, %v", outputsOf(all), err)
	}
	if all, err = j.Recent(t.Context(), 1000); err != nil || len(all) != 300 {
		t.Errorf("recent = %d entries, %v, want all", len(all), err)
	}
}

// inject stores the line of an event that cannot be decoded.
func inject(t *testing.T, j *Journal, line string) {
	t.Helper()
	j.storing.Lock()
	defer j.storing.Unlock()
	c := chunk{classes: []byte{uint8(event.Warning)}, text: []byte(line + "\n"), stored: time.Now()}
	c.first, _, c.before = j.head.state()
	n, err := j.link.Load().publish(t.Context(), logSubject, c.appendTrailer(c.text))
	if err != nil {
		t.Fatal(err)
	}
	c.message = n
	j.head.pass(&c)
}

func TestWhatCannotBeDecodedBecomesADeadLetterAndHoldsUpNothing(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "out", event.None)
	mustAppend(t, j, sample(0, event.Warning))
	inject(t, j, `{"rule": 12`)
	mustAppend(t, j, sample(1, event.Warning))
	inject(t, j, "no json at all")
	got := fetch(t, c, 2)
	if !cmp.Equal(texts(got), []string{"event 0", "event 1"}) {
		t.Errorf("got %q", texts(got))
	}
	ack(t, got)
	nothingLeft(t, c)
	closeConsumer(t, c)
	letters, err := j.DeadLetters().List(t.Context(), journal.DeadLetterQuery{Output: "out"})
	if err != nil || len(letters) != 2 || letters[0].Raw != `{"rule": 12` || letters[1].Raw != "no json at all" || letters[0].LastError == "" {
		t.Errorf("letters are %+v, %v", letters, err)
	}
	if all, err := j.Recent(t.Context(), 10); err != nil || len(all) != 2 {
		t.Errorf("recent = %d entries, %v, want the 2 events", len(all), err)
	}
	if lag, err := c.Lag(t.Context()); err != nil || lag.Pending != 0 {
		t.Errorf("lag = %+v, %v", lag, err)
	}
}

func TestWhatTheLimitsRemoveIsCountedForEachOutput(t *testing.T) {
	j := open(t, "", func(c *journal.Config) { c.MaxBytes = 16 << 20 })
	all, high := consumer(t, j, "all", event.None), consumer(t, j, "high", event.Error)
	done := consumer(t, j, "done", event.None)
	const total = 40
	big := func(i int) event.Event {
		p := event.Notice
		if i%4 == 0 {
			p = event.Critical
		}
		e := sample(i, p)
		e.Fields = append(e.Fields, event.Field{Name: "zzz", Value: event.StringValue(string(make([]byte, 100<<10)))})
		return e
	}
	for i := range total {
		mustAppend(t, j, big(i))
		ack(t, fetch(t, done, 1))
	}
	s, err := j.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	removed := int(s.First - 1)
	if removed < 5 {
		t.Fatalf("only %d events were removed", removed)
	}
	wantHigh := (removed + 3) / 4
	for _, c := range []struct {
		consumer *Consumer
		want     int
	}{{all, removed}, {high, wantHigh}, {done, 0}} {
		lag, err := c.consumer.Lag(t.Context())
		if err != nil || lag.Lost != uint64(c.want) {
			t.Errorf("%s has lost %d, %v, want %d of %d", c.consumer.Name(), lag.Lost, err, c.want, total)
		}
	}
	ack(t, fetch(t, all, total-removed))
	ack(t, fetch(t, high, total/4-wantHigh))
	for i := range 3 {
		mustAppend(t, j, sample(i, event.Critical))
	}
	ack(t, fetch(t, all, 3))
	ack(t, fetch(t, high, 3))
	for c, want := range map[*Consumer]int{all: removed, high: wantHigh} {
		if lag, err := c.Lag(t.Context()); err != nil || lag.Lost != uint64(want) {
			t.Errorf("after catching up: %s has lost %d, %v, want %d", c.Name(), lag.Lost, err, want)
		}
	}
}

func TestTheFilterSaysWhatTheRouteSays(t *testing.T) {
	now := time.Now()
	for minimum := event.None; minimum <= event.Emergency; minimum++ {
		f := filter{output: "out", minimum: minimum}
		for p := event.None; p <= event.Emergency; p++ {
			for _, rule := range []string{"r", "Test rule"} {
				e := event.Event{UUID: uuid.NewString(), Rule: rule, Priority: p}
				r := route.Route{MinimumPriority: minimum}
				want := r.Decide(&e, now) == route.Deliver
				if got := f.passes(classOf(&e), ""); got != want {
					t.Errorf("minimum %v, priority %v, rule %q: the filter says %v and the route %v", minimum, p, rule, got, want)
				}
				var n counts
				n.add(classOf(&e))
				if got := f.between(&counts{}, &n) == 1; got != want {
					t.Errorf("minimum %v, priority %v, rule %q: counted %v and the route says %v", minimum, p, rule, got, want)
				}
			}
		}
	}
}

func TestTheAnswerOfABrokenLogIsAnError(t *testing.T) {
	for data, want := range map[string]string{
		"": "write the log: it has no storage at the moment",
		`{"error":{"code":503,"description":"insufficient resources"},"stream":"LOG","seq":0}`: "write the log: insufficient resources",
	} {
		if _, err := readAnswer([]byte(data)); err == nil || err.Error() != want {
			t.Errorf("answer %q: %v, want %q", data, err, want)
		}
	}
	if n, err := readAnswer([]byte(`{"stream":"LOG", "seq":7}`)); n != 7 || err != nil {
		t.Errorf("an answer is %v, %v", n, err)
	}
}
