package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

func TestEventsOfARangeAreSentAgain(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       EventsReplayed
		first      int // the first and the last event that the output gets
		last       int
	}{
		{"all from a time on", `"since":"2026-01-02T04:00:00Z"`, EventsReplayed{Read: 1144, Matched: 1144, Appended: 1144}, 57, 1200},
		{
			"until a time", `"since":"2026-01-02T04:00:00Z","until":"2026-01-02T04:09:59Z"`,
			EventsReplayed{Read: 11, Matched: 10, Appended: 10},
			57, 66,
		},
		{"those that match", `"since":"2026-01-02T04:00:00Z","match":"rule == \"rule 0\""`, EventsReplayed{Read: 1144, Matched: 572, Appended: 572}, 58, 1200},
		{"no more than wanted", `"since":"2026-01-02T04:00:00Z","limit":3`, EventsReplayed{Read: 3, Matched: 3, Appended: 3}, 57, 59},
		{"none of them on trial", `"since":"2026-01-02T04:00:00Z","dryRun":true`, EventsReplayed{Read: 1144, Matched: 1144}, 0, 0},
		{
			"from before the oldest", `"since":"2026-01-01T00:00:00Z","until":"2026-01-02T03:04:05Z"`,
			EventsReplayed{Read: 2, Matched: 1, Appended: 1, Oldest: longAgo},
			1, 1,
		},
		{
			"what cannot be evaluated is left out", `"since":"2026-01-02T04:00:00Z","limit":9,"match":"fields[\"n\"] > 1"`,
			EventsReplayed{Read: 1144, Unclear: 1144},
			0, 0,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore()
			s.add(1200, longAgo)
			server, log := operated(t, s, nil)
			var got EventsReplayed
			ask(t, server, "POST", "/events/replay", `{"output":"slack",`+c.body+`}`, 200, &got)
			if !got.Complete || got.ID == "" || got.Since.IsZero() || got.Until.IsZero() {
				t.Errorf("got %+v", got)
			}
			counts := EventsReplayed{Read: got.Read, Matched: got.Matched, Appended: got.Appended, Unclear: got.Unclear, Oldest: got.Oldest}
			// How far behind its end a range is looked at is nothing that a user relies on.
			if strings.Contains(c.body, "until") {
				counts.Read, c.want.Read = 0, 0
			}
			if diff := cmp.Diff(c.want, counts); diff != "" {
				t.Error(diff)
			}
			given := s.given("slack")
			if len(given) != c.want.Appended {
				t.Fatalf("the output got %d", len(given))
			}
			if len(given) > 0 && (given[0] != uuidOf(c.first) || given[len(given)-1] != uuidOf(c.last)) {
				t.Errorf("the output got %s to %s", given[0], given[len(given)-1])
			}
			if logs := strings.Contains(log.String(), "events were sent again"); logs != (c.want.Appended > 0) {
				t.Errorf("the log says %s", log)
			}
		})
	}
}

func TestAReplayThatCannotBeIsRefusedWithTheReason(t *testing.T) {
	server, _ := operated(t, newStore(), nil)
	for body, want := range map[string]string{
		`{"output":"slack"}`: `\"since\" says where the replay starts`,
		`{"since":"1h"}`:     `\"output\" names the output`,
		`{"since":"1h","until":"2h","output":"slack"}`:      `\"until\" must be later`,
		`{"since":"soon","output":"slack"}`:                 `\"since\" must be a time such as`,
		`{"since":"1h","output":"slack","limit":-1}`:        `\"limit\" must not be negative`,
		`{"since":"1h","output":"slack","match":"rul==1"}`:  `\"match\": `,
		`{"since":"1h","output":"slack","id":"a b"}`:        `\"id\" must be`,
		`{"since":"1h","output":"slack","dryrum":true}`:     `unknown field \"dryrum\"`,
		`{"since":"1h","output":"slack","match":"output"}`:  `must be true or false`,
		`{"since":"1h","output":"slack","after":"a place"}`: `after cannot be a JSON string`,
	} {
		if text := ask(t, server, "POST", "/events/replay", body, 400, nil); !strings.Contains(text, want) {
			t.Errorf("%s: %s", body, text)
		}
	}
	text := ask(t, server, "POST", "/events/replay", `{"since":"1h","output":"pager"}`, 409, nil)
	if !strings.Contains(text, "those that are: alertmanager@a:9093, slack") {
		t.Errorf("got %s", text)
	}
}

func TestAReplayOfAnEmptyJournalIsNothing(t *testing.T) {
	server, _ := operated(t, newStore(), nil)
	var got EventsReplayed
	ask(t, server, "POST", "/events/replay", `{"since":"1h","output":"slack"}`, 200, &got)
	if !got.Complete || got.Read != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestAReplayThatBreaksOffSendsNothingTwiceWhenItGoesOn(t *testing.T) {
	s := newStore()
	s.add(1800, longAgo)
	s.fail, s.failAfter = journal.ErrFull, 2
	server, _ := operated(t, s, nil)
	var got EventsReplayed
	ask(t, server, "POST", "/events/replay", `{"since":"2026-01-01T00:00:00Z","output":"slack"}`, 200, &got)
	if got.Complete || got.Appended != 1000 || got.After != 1000 || !strings.Contains(got.Stopped, "disk is full") {
		t.Fatalf("got %+v", got)
	}
	s.fail = nil
	body := fmt.Sprintf(`{"since":%q,"until":%q,"output":"slack","id":%q,"after":%%d}`,
		got.Since.Format(time.RFC3339Nano), got.Until.Format(time.RFC3339Nano), got.ID)
	// The first attempt to go on is answered, and the answer lost.
	for range 2 {
		var then EventsReplayed
		ask(t, server, "POST", "/events/replay", fmt.Sprintf(body, got.After), 200, &then)
		if !then.Complete || then.Appended != 800 {
			t.Errorf("then %+v", then)
		}
	}
	if given := s.given("slack"); len(given) != 1800 {
		t.Errorf("the output got %d", len(given))
	}
}

// endless is a tail that never comes to its end, an event a millisecond.
type endless struct {
	*store
	at uint64
}

func (e *endless) Tail(context.Context, journal.From) (journal.Tail, error) { return e, nil }

func (e *endless) Next(ctx context.Context) (journal.Entry, error) {
	select {
	case <-time.After(time.Millisecond):
		e.at++
		return journal.Entry{Sequence: e.at, Stored: time.Now(), Event: event.Event{UUID: uuidOf(int(e.at)), Rule: "r"}}, nil
	case <-ctx.Done():
		return journal.Entry{}, ctx.Err()
	}
}

func (*endless) Close() {}

func (e *endless) Stats(context.Context) (journal.Stats, error) {
	return journal.Stats{Events: 1 << 40, Last: 1 << 40}, nil
}

func (*endless) Recent(context.Context, int) ([]journal.Entry, error) {
	return []journal.Entry{{Sequence: 1 << 40, Stored: time.Now()}}, nil
}

func TestAReplayAnswersInTimeWithWhereToGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &endless{store: newStore()}
		p := &replay{journal: s, output: "slack", EventsReplayed: EventsReplayed{ID: "x", Since: time.Now(), Until: time.Now().Add(time.Hour)}}
		ctx, cancel := context.WithTimeout(t.Context(), workTime)
		defer cancel()
		start := time.Now()
		if err := p.run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the replay ends with %v", err)
		}
		if took := time.Since(start); took != workTime {
			t.Errorf("it took %v", took)
		}
		if len(s.given("slack")) != p.Read || p.After != uint64(p.Read) || p.Read < 30_000 {
			t.Errorf("read %d, stored %d, and goes on after %d", p.Read, len(s.given("slack")), p.After)
		}
	})
}

func TestAReplayStoresNothingMoreOnceTheClientHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &endless{store: newStore()}
		p := &replay{journal: s, output: "slack", EventsReplayed: EventsReplayed{ID: "x", Since: time.Now(), Until: time.Now().Add(time.Hour)}}
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		leaving, leave := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			<-ctx.Done()
			leave()
		}()
		if err := p.run(leaving); !errors.Is(err, context.Canceled) {
			t.Errorf("the replay ends with %v", err)
		}
		if n := len(s.given("slack")); n != replayChunk {
			t.Errorf("%d are stored", n)
		}
	})
}

// What cannot be decoded is left out by a Tail, and may stand at the journal's end.
func TestAReplayDoesNotWaitForAnEventThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.add(10, time.Now())
		tail, err := s.Tail(t.Context(), journal.From{Since: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		p := &replay{journal: s, output: "slack", EventsReplayed: EventsReplayed{ID: "x", Since: time.Now(), Until: time.Now().Add(time.Hour)}}
		start := time.Now()
		if err := p.read(t.Context(), tail, 12); err != nil || time.Since(start) != replayIdle {
			t.Errorf("read: %v after %v", err, time.Since(start))
		}
		if err := p.store(t.Context()); err != nil || len(s.given("slack")) != 10 {
			t.Errorf("stored %d: %v", len(s.given("slack")), err)
		}
	})
}
