package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

func next(t *testing.T, tail journal.Tail, n int) (all []journal.Entry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
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
	j := openJournal(t, newPrefix())
	// Between the third and the fourth event stand three for one output alone.
	mustAppend(t, j, samples(3)...)
	if err := j.AppendFor(t.Context(), "out", "call", samples(3)); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, j, sample(3, event.Warning), sample(4, event.Warning))
	all, err := j.Recent(t.Context(), 10)
	if err != nil || len(all) != 5 {
		t.Fatalf("recent = %d entries, %v", len(all), err)
	}
	cases := []struct {
		name string
		from journal.From
		want []string
	}{
		{"with what comes", journal.From{}, nil},
		{"with the last two", journal.From{Last: 2}, []string{"event 3", "event 4"}},
		{"with the last three", journal.From{Last: 3}, []string{"event 2", "event 3", "event 4"}},
		{"with more than there are", journal.From{Last: 99}, []string{"event 0", "event 1", "event 2", "event 3", "event 4"}},
		{"behind a sequence", journal.From{After: 7}, []string{"event 4"}},
		{"behind a sequence of another output", journal.From{After: 4, Last: 1}, []string{"event 3", "event 4"}},
		{"behind the last sequence", journal.From{After: 8, Last: 3}, nil},
		{"behind a sequence of another journal", journal.From{After: 1000, Last: 1}, []string{"event 4"}},
		{"since a time", journal.From{Since: all[3].Stored, Last: 1}, []string{"event 3", "event 4"}},
		{"since a time to come", journal.From{Since: time.Now().Add(time.Hour)}, nil},
	}
	tails := make([]journal.Tail, len(cases))
	for i, c := range cases {
		tails[i], err = j.Tail(t.Context(), c.from)
		if err != nil {
			t.Fatal(err)
		}
		defer tails[i].Close()
	}
	mustAppend(t, j, sample(90, event.Warning), sample(91, event.Warning))
	for i, c := range cases {
		want := append(c.want, "event 90", "event 91")
		if c.from.Since.After(time.Now()) {
			continue // the servers count from that time on
		}
		got := next(t, tails[i], len(want))
		if diff := cmp.Diff(want, outputsOf(got)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if last := got[len(got)-1]; last.Sequence != 10 || last.More != 0 || last.Stored.IsZero() {
			t.Errorf("%s: the last entry is %+v", c.name, last)
		}
	}
}

func TestNextEndsWithItsContextAndWithClose(t *testing.T) {
	j := openJournal(t, newPrefix())
	tail, err := j.Tail(t.Context(), journal.From{})
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
	j := openJournal(t, newPrefix())
	if all, err := j.Recent(t.Context(), 10); err != nil || len(all) != 0 {
		t.Errorf("recent of an empty journal = %d entries, %v", len(all), err)
	}
	mustAppend(t, j, samples(700)...)
	all, err := j.Recent(t.Context(), 3)
	if err != nil || !cmp.Equal(outputsOf(all), []string{"event 697", "event 698", "event 699"}) {
		t.Errorf("recent = %q, %v", outputsOf(all), err)
	}
	if all, err = j.Recent(t.Context(), 1000); err != nil || len(all) != 700 {
		t.Errorf("recent = %d entries, %v, want all", len(all), err)
	}
	s, err := j.Stats(t.Context())
	if err != nil || s.Events != 700 || s.First != 1 || s.Last != 700 || s.Oldest.IsZero() || s.Bytes == 0 {
		t.Errorf("stats = %+v, %v", s, err)
	}
}

func TestWhatCannotBeDecodedBecomesADeadLetterAndHoldsUpNothing(t *testing.T) {
	j := openJournal(t, newPrefix())
	c := consumer(t, j, "a.b", event.None)
	inject := func(data string) {
		t.Helper()
		if _, err := j.js.Publish(t.Context(), j.names.bySubject[4], []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	mustAppend(t, j, sample(0, event.Warning))
	inject(`{"rule": 12`)
	mustAppend(t, j, sample(1, event.Warning))
	inject("no json at all")
	got := fetch(t, c, 2)
	if !cmp.Equal(texts(got), []string{"event 0", "event 1"}) {
		t.Errorf("got %q", texts(got))
	}
	ack(t, got)
	settled(t, c, func(l journal.Lag) bool { nothingLeft(t, c); return l.Pending == 0 })
	letters, err := j.DeadLetters().List(t.Context(), journal.DeadLetterQuery{Output: "a.b"})
	if err != nil || len(letters) != 2 || letters[0].Raw != `{"rule": 12` || letters[1].Raw != "no json at all" || letters[0].LastError == "" {
		t.Errorf("letters are %+v, %v", letters, err)
	}
	if all, err := j.Recent(t.Context(), 10); err != nil || len(all) != 2 {
		t.Errorf("recent = %d entries, %v, want the 2 events", len(all), err)
	}
}

func TestAnAnswerThatSaysErrorIsAnError(t *testing.T) {
	for data, want := range map[string]error{
		"": errNoStream,
		`{"error":{"code":503,"err_code":10023,"description":"insufficient resources"},"stream":"S","seq":0}`: journal.ErrFull,
		`{"stream":"S","seq":7,"duplicate": true}`:                                                            nil,
		`{"stream":"S","seq":7}`: nil,
	} {
		if err := readAnswer(&nats.Msg{Data: []byte(data)}); !errors.Is(err, want) {
			t.Errorf("answer %q: %v, want %v", data, err, want)
		}
	}
	if err := readAnswer(&nats.Msg{Data: []byte(`"error"`)}); err == nil {
		t.Error("an answer that cannot be read is none")
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte(`{"stream":"S","seq":7,"duplicate":true}`))
	f.Add([]byte(`{"error":{"description":"x"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := readAnswer(&nats.Msg{Data: data}); err == nil && len(data) == 0 {
			t.Error("nothing counts as an answer")
		}
	})
}
