package deadletter_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/journal/deadletter"
	"github.com/saker-security/saker/forwarder/journal/internal/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, js jetstream.JetStream) *deadletter.Letters {
	t.Helper()
	l := deadletter.New(js, deadletter.Options{
		Stream: "DEADLETTERS", Subject: "dead.", Replicas: 1, Limits: journal.DefaultConfig().DeadLetters,
		DuplicateWindow: time.Minute, Log: slog.New(slog.DiscardHandler),
	})
	if err := l.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func sample(i int) event.Event {
	return event.Event{
		UUID: uuid.NewString(), Output: fmt.Sprint("event ", i), Rule: "r", Priority: event.Warning,
		Time: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC),
	}
}

func bury(t *testing.T, l *deadletter.Letters, d journal.DeadLetter) {
	t.Helper()
	if err := l.Bury(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

func TestLettersAreListedByOutputFromAnyPlaceOn(t *testing.T) {
	l := open(t, streamtest.Start(t).Connect())
	outputs := []string{"a.b", "b"}
	var sent []journal.DeadLetter
	for i := range 5 {
		d := journal.DeadLetter{
			ID: uint64(i + 1), Output: outputs[i%2], Event: sample(i), Sequence: uint64(i + 1), Stored: sample(i).Time,
			Attempts: i, FirstError: "first", LastError: fmt.Sprint("error ", i), Time: sample(i).Time,
		}
		for range 2 { // the second is the same letter after a crash
			bury(t, l, d)
		}
		sent = append(sent, d)
	}
	for _, c := range []struct {
		q    journal.DeadLetterQuery
		want []uint64
	}{
		{journal.DeadLetterQuery{Output: "a.b"}, []uint64{1, 3, 5}},
		{journal.DeadLetterQuery{Output: "b"}, []uint64{2, 4}},
		{journal.DeadLetterQuery{}, []uint64{1, 2, 3, 4, 5}},
		{journal.DeadLetterQuery{Limit: 5000}, []uint64{1, 2, 3, 4, 5}},
		{journal.DeadLetterQuery{Limit: 2}, []uint64{1, 2}},
		{journal.DeadLetterQuery{Output: "a.b", After: 1, Limit: 1}, []uint64{3}},
		{journal.DeadLetterQuery{After: 5}, nil},
		{journal.DeadLetterQuery{After: 500}, nil},
		{journal.DeadLetterQuery{Output: "nobody"}, nil},
		{journal.DeadLetterQuery{Output: strings.Repeat("x", 100)}, nil},
	} {
		got, err := l.List(t.Context(), c.q)
		if err != nil {
			t.Errorf("%+v: %v", c.q, err)
		}
		var want []journal.DeadLetter
		for _, id := range c.want {
			want = append(want, sent[id-1])
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(event.Value{})); diff != "" {
			t.Errorf("%+v: %s", c.q, diff)
		}
	}
	counts, bytes, err := l.Counts(t.Context())
	if err != nil || !cmp.Equal(counts, map[string]uint64{"a.b": 3, "b": 2}) || bytes == 0 {
		t.Errorf("counts = %v, %d bytes, %v", counts, bytes, err)
	}
}

func TestALetterIsReadAndDroppedByItsID(t *testing.T) {
	l := open(t, streamtest.Start(t).Connect())
	for i := range 3 {
		bury(t, l, journal.DeadLetter{Output: "a", Event: sample(i), Sequence: uint64(i + 1)})
	}
	d, err := l.Get(t.Context(), 2)
	if err != nil || d.Event.Output != "event 1" || d.ID != 2 || d.Output != "a" {
		t.Errorf("get = %+v, %v", d, err)
	}
	if err := l.Drop(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uint64{0, 2, 99} {
		if _, err := l.Get(t.Context(), id); !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("get %d = %v, want ErrNotFound", id, err)
		}
		if err := l.Drop(t.Context(), id); !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("drop %d = %v, want ErrNotFound", id, err)
		}
	}
	all, err := l.List(t.Context(), journal.DeadLetterQuery{})
	if err != nil || len(all) != 2 || all[0].ID != 1 || all[1].ID != 3 {
		t.Errorf("list = %+v, %v", all, err)
	}
}

func TestTextsAreCutAtWholeCharacters(t *testing.T) {
	l := open(t, streamtest.Start(t).Connect())
	long := "x" + strings.Repeat("é", 2000)
	bury(t, l, journal.DeadLetter{Output: "a", FirstError: long, LastError: long, Raw: "\xff" + strings.Repeat("y", 1<<20)})
	d, err := l.Get(t.Context(), 1)
	if err != nil || len(d.FirstError) != 2047 || len(d.LastError) != 2047 || !strings.HasPrefix(long, d.LastError) {
		t.Errorf("texts of %d and %d bytes, %v", len(d.FirstError), len(d.LastError), err)
	}
	if len(d.Raw) > 128<<10 || len(d.Raw) < 127<<10 {
		t.Errorf("raw has %d bytes", len(d.Raw))
	}
}

func TestTheLargestEventIsBuriedAndLargeLettersAreListedInParts(t *testing.T) {
	l := open(t, streamtest.Start(t).Connect())
	e := sample(1)
	e.Output = ""
	e.Output = strings.Repeat("<", (event.MaxEventBytes-len(e.AppendJSON(nil)))/6)
	const total = 40
	for i := range total {
		bury(t, l, journal.DeadLetter{Output: "a", Event: e, Sequence: uint64(i + 1), LastError: strings.Repeat("\x01", 3000)})
	}
	var after uint64
	n, calls := 0, 0
	for {
		part, err := l.List(t.Context(), journal.DeadLetterQuery{After: after})
		if err != nil {
			t.Fatal(err)
		}
		if len(part) == 0 {
			break
		}
		n, calls, after = n+len(part), calls+1, part[len(part)-1].ID
	}
	if n != total || calls < 2 {
		t.Errorf("%d letters in %d parts, want %d in more than one", n, calls, total)
	}
}

func TestALetterThatCannotBeReadIsShownAsText(t *testing.T) {
	js := streamtest.Start(t).Connect()
	l := open(t, js)
	if _, err := js.Publish(t.Context(), "dead.a=2eb", []byte(`{"output":"x", no json`)); err != nil {
		t.Fatal(err)
	}
	bury(t, l, journal.DeadLetter{Output: "a.b", Event: sample(1)})
	all, err := l.List(t.Context(), journal.DeadLetterQuery{Output: "a.b"})
	if err != nil || len(all) != 2 {
		t.Fatalf("list = %+v, %v", all, err)
	}
	if d := all[0]; d.Raw != `{"output":"x", no json` || d.Output != "a.b" || d.LastError == "" || d.ID != 1 {
		t.Errorf("the first is %+v", d)
	}
}

func TestWhileTheServerIsAwayCallsSayUnavailableAndAfterwardsAllIsThere(t *testing.T) {
	s := streamtest.Start(t)
	l := open(t, s.Connect())
	bury(t, l, journal.DeadLetter{Output: "a", Event: sample(1)})
	s.Stop()
	if _, err := l.List(t.Context(), journal.DeadLetterQuery{}); !errors.Is(err, journal.ErrUnavailable) {
		t.Errorf("list = %v, want ErrUnavailable", err)
	}
	s.Restart()
	deadline := time.Now().Add(30 * time.Second)
	for {
		all, err := l.List(t.Context(), journal.DeadLetterQuery{})
		if err == nil && len(all) == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("list = %+v, %v", all, err)
		}
	}
}
