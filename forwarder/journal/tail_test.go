package journal

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/route"
)

func next(t *testing.T, tail *Tail, n int) (all []Entry) {
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

func outputsOf(all []Entry) (out []string) {
	for _, e := range all {
		out = append(out, e.Event.Output)
	}
	return out
}

func TestTailStartsWhereItIsToldAndFollows(t *testing.T) {
	for _, c := range []struct {
		name string
		from From
		want []string
	}{
		{"with what comes", From{}, []string{"event 90", "event 91"}},
		{"with the last two", From{Last: 2}, []string{"event 3", "event 4", "event 90", "event 91"}},
		{"with more than there are", From{Last: 99}, []string{"event 0", "event 1", "event 2", "event 3", "event 4", "event 90", "event 91"}},
		{"behind a sequence", From{After: 4}, []string{"event 4", "event 90", "event 91"}},
		{"behind the last sequence", From{After: 5, Last: 3}, []string{"event 90", "event 91"}},
		{"behind a sequence of another journal", From{After: 1000, Last: 1}, []string{"event 4", "event 90", "event 91"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := open(t, "")
			mustAppend(t, j, samples(5)...)
			tail, err := j.Tail(t.Context(), c.from)
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
	tail, err := j.Tail(t.Context(), From{})
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
	if err := <-done; !errors.Is(err, ErrClosed) {
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

// inject stores bytes that are no event.
func inject(t *testing.T, j *Journal, data string) {
	t.Helper()
	if _, err := j.js.Publish(t.Context(), subjectNames[4], []byte(data)); err != nil {
		t.Fatal(err)
	}
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
	letters, err := j.DeadLetters(t.Context(), "out", 0, 10)
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

func TestDeadLettersAreListedByOutputFromAnyPlaceOn(t *testing.T) {
	j := open(t, "")
	a, b := consumer(t, j, "a.b", event.None), consumer(t, j, "b", event.None)
	sent := samples(5)
	for i, e := range sent {
		c := a
		if i%2 == 1 {
			c = b
		}
		d := DeadLetter{
			Event: e, Sequence: uint64(i + 1), Stored: e.Time, Attempts: i, Time: e.Time,
			LastError: fmt.Sprint("error ", i),
		}
		for range 2 { // the second is the same letter after a crash
			if err := c.Bury(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
	}
	list := func(output string, after uint64, limit int) (places []uint64) {
		t.Helper()
		letters, err := j.DeadLetters(t.Context(), output, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range letters {
			i := int(d.Sequence) - 1
			if diff := cmp.Diff(sent[i], d.Event, cmp.AllowUnexported(event.Value{})); diff != "" || d.LastError != fmt.Sprint("error ", i) || d.Attempts != i {
				t.Errorf("letter %+v: %s", d, diff)
			}
			if want := []string{"a.b", "b"}[i%2]; d.Output != want {
				t.Errorf("output is %q, want %q", d.Output, want)
			}
			places = append(places, d.ID)
		}
		return places
	}
	for _, c := range []struct {
		output string
		after  uint64
		limit  int
		want   []uint64
	}{
		{"a.b", 0, 100, []uint64{1, 3, 5}},
		{"b", 0, 100, []uint64{2, 4}},
		{"", 0, 100, []uint64{1, 2, 3, 4, 5}},
		{"a.b", 1, 1, []uint64{3}},
		{"", 5, 100, nil},
		{"nobody", 0, 100, nil},
	} {
		if got := list(c.output, c.after, c.limit); !cmp.Equal(got, c.want) {
			t.Errorf("DeadLetters(%q, %d, %d) = %d, want %d", c.output, c.after, c.limit, got, c.want)
		}
	}
	s, err := j.Stats(t.Context())
	if err != nil || !cmp.Equal(s.DeadLetters, map[string]uint64{"a.b": 3, "b": 2}) {
		t.Errorf("stats = %+v, %v", s, err)
	}
}

func TestADeadLettersTextsAreCut(t *testing.T) {
	j := open(t, "")
	c := consumer(t, j, "a", event.None)
	long := string(make([]rune, 0)) + "é"
	for len(long) < maxErrorText+10 {
		long += "é"
	}
	if err := c.Bury(t.Context(), DeadLetter{Event: sample(1, event.Debug), Sequence: 1, LastError: "x" + long}); err != nil {
		t.Fatal(err)
	}
	letters, err := j.DeadLetters(t.Context(), "a", 0, 1)
	if err != nil || len(letters) != 1 || len(letters[0].LastError) != maxErrorText-1 {
		t.Errorf("letters = %+v, %v", letters, err)
	}
}

func TestWhatTheLimitsRemoveIsCountedForEachOutput(t *testing.T) {
	j := open(t, "", func(c *Config) { c.MaxBytes = minBytes })
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

func TestNamesSurviveEscaping(t *testing.T) {
	for _, name := range []string{"slack", "aws.lambda", "a=2eb", "é b>*", "=", "==2"} {
		s, err := escape(name)
		if err != nil || unescape(s) != name {
			t.Errorf("%q becomes %q and %q again, %v", name, s, unescape(s), err)
		}
	}
}

func TestTheFilterAndTheSubjectsSayWhatTheRouteSays(t *testing.T) {
	for minimum := event.None; minimum <= event.Emergency; minimum++ {
		for p := event.None; p <= event.Emergency; p++ {
			for _, rule := range []string{"r", "Test rule"} {
				e := event.Event{UUID: uuid.NewString(), Rule: rule, Priority: p}
				passes := false
				for _, f := range filters(minimum) {
					passes = passes || f == allEvents || f == subjectNames[subjectIndex(&e)]
				}
				if want := decide(minimum, &e); passes != want {
					t.Errorf("minimum %v, priority %v, rule %q: the filter says %v and the route %v", minimum, p, rule, passes, want)
				}
			}
		}
	}
}

func TestTheAnswerOfABrokenLogIsAnError(t *testing.T) {
	for data, want := range map[string]string{
		"": "the log has no storage at the moment",
		`{"error":{"code":503,"description":"insufficient resources"},"stream":"EVENTS","seq":0}`: "insufficient resources",
	} {
		if _, err := readAnswer(&nats.Msg{Data: []byte(data)}); err == nil || err.Error() != want {
			t.Errorf("answer %q: %v, want %q", data, err, want)
		}
	}
	if duplicate, err := readAnswer(&nats.Msg{Data: []byte(`{"stream":"EVENTS","seq":7,"duplicate": true}`)}); !duplicate || err != nil {
		t.Errorf("a duplicate is %v, %v", duplicate, err)
	}
}

func decide(minimum event.Priority, e *event.Event) bool {
	return route.Route{MinimumPriority: minimum}.Decide(e)
}
