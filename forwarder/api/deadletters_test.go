package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/journal"
)

var longAgo = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestDeadLettersAreListedPageByPage(t *testing.T) {
	s := newStore()
	s.short = 20 // a journal may return fewer than it was asked for
	for id := range uint64(130) {
		s.bury(id+1, []string{"slack", "webhook"}[id%2], longAgo)
	}
	server, _ := operated(t, s, nil)
	var ids []uint64
	for path, pages := "/deadletters?output=webhook&limit=30", 0; path != ""; pages++ {
		var page DeadLetterList
		text := ask(t, server, "GET", path, "", 200, &page)
		if pages == 0 {
			if want := map[string]uint64{"slack": 65, "webhook": 65}; cmp.Diff(want, page.Counts) != "" {
				t.Errorf("counts %v", page.Counts)
			}
			if strings.Contains(text, `"event":`) {
				t.Error("the list has whole events")
			}
			first := page.DeadLetters[0]
			if first.ID != 2 || first.Rule != "r" || first.Priority != event.Error || first.LastError != "last" || first.Attempts != 3 {
				t.Errorf("the first is %+v", first)
			}
		}
		for _, l := range page.DeadLetters {
			ids = append(ids, l.ID)
		}
		path = ""
		if page.Next > 0 {
			path = fmt.Sprintf("/deadletters?output=webhook&limit=30&after=%d", page.Next)
		}
		if pages > 10 {
			t.Fatal("there is always another page")
		}
	}
	if len(ids) != 65 || ids[64] != 130 {
		t.Errorf("%d dead letters, the last %v", len(ids), ids)
	}
	if text := ask(t, server, "GET", "/deadletters?output=none", "", 200, nil); !strings.Contains(text, `"deadLetters":[]`) {
		t.Errorf("no dead letters are %s", text)
	}
}

func TestADeadLetterIsShownWhole(t *testing.T) {
	s := newStore()
	s.bury(7, "slack", longAgo)
	s.letters[8] = journal.DeadLetter{ID: 8, Output: "slack", Raw: "{broken", LastError: "not an event", Time: longAgo}
	server, _ := operated(t, s, nil)
	var l DeadLetter
	ask(t, server, "GET", "/deadletters/7", "", 200, &l)
	if l.Event == nil || l.Event.Output != "text" || l.FirstError != "first" || l.Unreadable {
		t.Errorf("got %+v", l)
	}
	l = DeadLetter{}
	ask(t, server, "GET", "/deadletters/8", "", 200, &l)
	if l.Event != nil || l.Raw != "{broken" || !l.Unreadable {
		t.Errorf("what is no event shows as %+v", l)
	}
	ask(t, server, "GET", "/deadletters/9", "", 404, nil)
	ask(t, server, "GET", "/deadletters/x", "", 400, nil)
	ask(t, server, "DELETE", "/deadletters/9", "", 404, nil)
}

func TestAReplayedDeadLetterGoesToItsOutputAndIsGone(t *testing.T) {
	s := newStore()
	s.bury(7, "slack", longAgo)
	s.bury(8, "slack", longAgo)
	server, log := operated(t, s, nil)
	ask(t, server, "POST", "/deadletters/7/replay", "", 200, nil)
	ask(t, server, "POST", "/deadletters/8/replay", `{"to":"alertmanager@a:9093"}`, 200, nil)
	if got := append(s.given("slack"), s.given("alertmanager@a:9093")...); cmp.Diff([]string{uuidOf(7), uuidOf(8)}, got) != "" {
		t.Errorf("stored %v", got)
	}
	if len(s.letters) != 0 {
		t.Errorf("%d dead letters are left", len(s.letters))
	}
	if !strings.Contains(log.String(), `msg="a dead letter was sent again" by=anybody from=127.0.0.1:`) {
		t.Errorf("the log says %s", log)
	}
}

func TestADeadLetterThatCannotBeReplayedStays(t *testing.T) {
	s := newStore()
	s.bury(7, "gone", longAgo)
	s.bury(9, "slack", longAgo)
	s.letters[8] = journal.DeadLetter{ID: 8, Output: "slack", Raw: "{broken"}
	server, _ := operated(t, s, nil)
	text := ask(t, server, "POST", "/deadletters/7/replay", "", 409, nil)
	if !strings.Contains(text, `output \"gone\" is not configured; those that are: alertmanager@a:9093, slack`) {
		t.Errorf("got %s", text)
	}
	text = ask(t, server, "POST", "/deadletters/8/replay", "", 422, nil)
	if !strings.Contains(text, "not an event") {
		t.Errorf("got %s", text)
	}
	s.fail = fmt.Errorf("append: %w", journal.ErrFull)
	ask(t, server, "POST", "/deadletters/9/replay", "", 503, nil)
	ask(t, server, "POST", "/deadletters/replay", `{"all":true,"output":"slack"}`, 200, nil) // 8 cannot, then 9 meets the full disk
	if len(s.letters) != 3 {
		t.Errorf("%d dead letters are left", len(s.letters))
	}
}

func TestADeadLetterWhoseRemovalFailedIsStoredOnceOnly(t *testing.T) {
	s := newStore()
	s.bury(7, "slack", longAgo)
	s.failDrop = journal.Unavailable(fmt.Errorf("no storage"))
	server, _ := operated(t, s, nil)
	ask(t, server, "POST", "/deadletters/7/replay", "", 503, nil)
	s.failDrop = nil
	ask(t, server, "POST", "/deadletters/7/replay", "", 200, nil)
	if got := s.given("slack"); len(got) != 1 {
		t.Errorf("stored %v", got)
	}
}

func TestAllDeadLettersOfAnOutputAreReplayed(t *testing.T) {
	s := newStore()
	for id := range uint64(120) {
		s.bury(id+1, []string{"slack", "gone"}[id%2], longAgo)
	}
	// What is given up again while the replay runs must not keep it going.
	s.appended = func() { s.bury(uint64(1000+len(s.letters)), "slack", time.Now().Add(time.Hour)) }
	server, log := operated(t, s, nil)
	var w Work
	ask(t, server, "POST", "/deadletters/replay", `{"all":true,"output":"slack"}`, 200, &w)
	if w.Done != 60 || w.Failed != 0 || !w.Complete || w.Later == 0 {
		t.Errorf("got %+v", w)
	}
	if !strings.Contains(log.String(), `msg="dead letters were sent again" by=anybody`) || !strings.Contains(log.String(), "count=60") {
		t.Errorf("the log says %s", log)
	}
	s.appended = nil
	ask(t, server, "POST", "/deadletters/replay", `{"all":true,"output":"gone"}`, 409, nil)
	w = Work{}
	ask(t, server, "POST", "/deadletters/replay", `{"all":true,"output":"gone","to":"slack"}`, 200, &w)
	if w.Done != 60 || len(s.given("slack")) != 120 {
		t.Errorf("got %+v, and %d are stored", w, len(s.given("slack")))
	}
}

func TestFailuresAreNamedAndTheOthersGoOn(t *testing.T) {
	s := newStore()
	s.bury(1, "slack", longAgo)
	s.bury(2, "gone", longAgo)
	s.bury(3, "slack", longAgo)
	server, _ := operated(t, s, nil)
	var w Work
	ask(t, server, "POST", "/deadletters/replay", `{"ids":[1,2,99,3]}`, 200, &w)
	if w.Done != 2 || w.Failed != 2 || !w.Complete || w.Failures[0].ID != 2 || w.Failures[1].ID != 99 {
		t.Errorf("got %+v", w)
	}
}

func TestAReplayThatTheJournalEndsGoesOnWhereItStopped(t *testing.T) {
	s := newStore()
	for id := range uint64(70) {
		s.bury(id+1, "slack", longAgo)
	}
	s.fail, s.failAfter = journal.ErrFull, 60
	server, _ := operated(t, s, nil)
	var w Work
	ask(t, server, "POST", "/deadletters/replay", `{"all":true}`, 200, &w)
	if w.Done != 60 || w.Complete || w.After != 60 || !strings.Contains(w.Stopped, "disk is full") {
		t.Errorf("got %+v", w)
	}
	s.fail = nil
	ask(t, server, "POST", "/deadletters/replay", fmt.Sprintf(`{"all":true,"after":%d,"before":%q}`, w.After, w.Before.Format(time.RFC3339Nano)), 200, &w)
	if w.Done != 10 || !w.Complete {
		t.Errorf("then %+v", w)
	}
}

func TestDeadLettersAreDropped(t *testing.T) {
	s := newStore()
	for id := range uint64(10) {
		s.bury(id+1, []string{"slack", "gone"}[id%2], longAgo)
	}
	server, log := operated(t, s, nil)
	ask(t, server, "DELETE", "/deadletters/1", "", 200, nil)
	var w Work
	ask(t, server, "POST", "/deadletters/drop", `{"ids":[3,5]}`, 200, &w)
	ask(t, server, "POST", "/deadletters/drop", `{"all":true,"output":"gone"}`, 200, &w)
	if w.Done != 5 || len(s.letters) != 2 {
		t.Errorf("got %+v, %d are left", w, len(s.letters))
	}
	for _, line := range []string{`"a dead letter was dropped" by=anybody`, `"dead letters were dropped" by=anybody`} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log has no line %s: %s", line, log)
		}
	}
}

func TestASelectionSaysClearlyWhatItMeans(t *testing.T) {
	server, _ := operated(t, newStore(), nil)
	for body, want := range map[string]string{
		``:                             `\"ids\" must name dead letters, or \"all\" be true`,
		`{"output":"slack"}`:           `\"ids\" must name`,
		`{"ids":[1],"all":true}`:       `\"ids\" goes with nothing else`,
		`{"ids":[1],"output":"slack"}`: `\"ids\" goes with nothing else`,
		`{"alll":true}`:                `unknown field \"alll\"`,
		`{"all":"yes"}`:                `all cannot be a JSON string`,
		`{"ids":[-1]}`:                 `cannot be a JSON number`,
		`{"all":true} {}`:              `nothing behind it`,
		`{"all":`:                      `ends too soon`,
		`[1]`:                          `cannot be a JSON array`,
	} {
		if text := ask(t, server, "POST", "/deadletters/drop", body, 400, nil); !strings.Contains(text, want) {
			t.Errorf("%s: %s", body, text)
		}
	}
}
