package api

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/journal/embedded"
)

// onDisk serves an API over a real journal that has an output's cursor open.
func onDisk(t *testing.T) (*httptest.Server, journal.Journal, journal.Consumer) {
	t.Helper()
	j, err := embedded.Open(t.Context(), t.TempDir(), journal.DefaultConfig(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	cursor, err := j.Consumer(t.Context(), "slack", event.Emergency)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := cursor.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := j.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	server, _ := operated(t, newStore(), func(o *Options) { o.Journal = j })
	return server, j, cursor
}

func anEvent(n int) event.Event {
	return event.Event{
		UUID: uuidOf(n), Output: "text", Priority: event.Warning, Rule: fmt.Sprintf("rule %d", n%2), Time: longAgo,
		Fields: []event.Field{{Name: "n", Value: event.NumberValue(fmt.Sprint(n))}},
	}
}

// fetched takes n events from a cursor and returns their UUIDs.
func fetched(t *testing.T, cursor journal.Consumer, n int) map[string]int {
	t.Helper()
	got := map[string]int{}
	for len(got) < n {
		ds, err := cursor.Fetch(t.Context(), 1000, 64<<20, 10*time.Second)
		if err != nil || len(ds) == 0 {
			t.Fatalf("after %d of %d events there are no more: %v", len(got), n, err)
		}
		for _, d := range ds {
			got[d.Event.UUID]++
			if !d.Replayed {
				t.Errorf("%s does not count as replayed", d.Event.UUID)
			}
			if err := d.Ack(); err != nil {
				t.Error(err)
			}
		}
	}
	return got
}

func TestAReplayFromARealJournalReachesItsOutputOnce(t *testing.T) {
	server, j, cursor := onDisk(t)
	const n = 2*replayChunk + 100
	var events []event.Event
	for i := range 2 * n {
		events = append(events, anEvent(i+1))
	}
	if err := j.Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	var got EventsReplayed
	ask(t, server, "POST", "/events/replay", `{"since":"1h","output":"slack","match":"rule == \"rule 1\""}`, 200, &got)
	if got.Read != 2*n || got.Matched != n || got.Appended != n || !got.Complete {
		t.Errorf("got %+v", got)
	}
	for uuid, times := range fetched(t, cursor, n) {
		if times != 1 {
			t.Errorf("%s came %d times", uuid, times)
		}
	}
	// Replayed events are for one output alone, and no further replay finds them.
	ask(t, server, "POST", "/events/replay", `{"since":"1h","output":"slack","dryRun":true}`, 200, &got)
	if got.Read != 2*n {
		t.Errorf("then %+v", got)
	}
}

func TestARealDeadLetterIsReplayedAndGone(t *testing.T) {
	server, j, cursor := onDisk(t)
	for i := range 3 {
		err := cursor.Bury(t.Context(), journal.DeadLetter{
			Output: "slack", Event: anEvent(i + 1), Sequence: uint64(i + 1), Stored: longAgo, Attempts: 1, LastError: "no", Time: longAgo,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var list DeadLetterList
	ask(t, server, "GET", "/deadletters", "", 200, &list)
	if len(list.DeadLetters) != 3 || list.Counts["slack"] != 3 {
		t.Fatalf("listed %+v", list)
	}
	ask(t, server, "POST", fmt.Sprintf("/deadletters/%d/replay", list.DeadLetters[0].ID), "", 200, nil)
	var w Work
	ask(t, server, "POST", "/deadletters/replay", `{"all":true}`, 200, &w)
	if w.Done != 2 || !w.Complete {
		t.Errorf("got %+v", w)
	}
	if got := fetched(t, cursor, 3); got[uuidOf(1)] != 1 || got[uuidOf(2)] != 1 || got[uuidOf(3)] != 1 {
		t.Errorf("the output got %v", got)
	}
	ask(t, server, "GET", "/deadletters", "", 200, &list)
	if len(list.DeadLetters) != 0 {
		t.Errorf("then there are %+v", list)
	}
	// Given up once more soon after, it is a dead letter again and not taken for a duplicate.
	if err := cursor.Bury(t.Context(), journal.DeadLetter{Output: "slack", Event: anEvent(1), Sequence: 4, LastError: "no", Time: longAgo}); err != nil {
		t.Fatal(err)
	}
	if letters, err := j.DeadLetters().List(t.Context(), journal.DeadLetterQuery{}); err != nil || len(letters) != 1 {
		t.Errorf("buried again: %d, %v", len(letters), err)
	}
	ask(t, server, "DELETE", "/deadletters/4", "", 200, nil)
	ask(t, server, "DELETE", "/deadletters/4", "", 404, nil)
}
