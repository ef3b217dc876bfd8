package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// saker runs a command that asks the site's forwarder, and returns what it prints.
func (s *site) saker(args ...string) string {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), programs["saker"], args...)
	cmd.Env = append(cmd.Environ(), "SAKER_TOKEN="+token, "SAKER_URL="+s.page(), "SAKER_INGEST_URL="+s.ingest(""))
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		s.Fatalf("saker %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), complaint.String())
	}
	return out.String()
}

// What a destination refuses for good is kept for each such event alone, survives a kill,
// and can be sent again once the destination takes it, or dropped.
func TestRefusedEventsAreKeptUntilTheyAreReplayedOrDropped(t *testing.T) {
	const total = 200
	e := newEndpoint(t, "picky", nil)
	e.refuse = func(n int) bool { return n%50 == 7 }
	s := newSite(t, "outputs:\n  picky: {type: webhook, address: %q}\n", e.url)
	s.run()
	source := newSender(s)
	source.mustSend(total)
	refused := []int{7, 57, 107, 157}
	letters := func(count int) {
		s.eventually(fmt.Sprintf("%d dead letters", count), func() error {
			if n := s.count("saker_journal_dead_letters{"); n != float64(count) {
				return fmt.Errorf("there are %v", n)
			}
			return nil
		})
	}
	letters(len(refused))
	s.eventually("all others arrive", func() error {
		if n := len(source.missing(e)); n != len(refused) {
			return fmt.Errorf("%d are missing", n)
		}
		return nil
	})
	s.kill()
	s.run()
	letters(len(refused))
	list := s.saker("deadletters", "list", "--output", "picky")
	if n := strings.Count(list, "400"); n < len(refused) {
		t.Errorf("the list shows %d errors:\n%s", n, list)
	}

	e.mu.Lock()
	e.refuse = nil
	e.mu.Unlock()
	first, _, _ := strings.Cut(strings.SplitN(list, "\n", 3)[1], " ")
	if shown := s.saker("deadletters", "show", first); !strings.Contains(shown, source.uuid(7)) {
		t.Errorf("the first dead letter is not event 7:\n%s", shown)
	}
	s.saker("deadletters", "drop", first)
	letters(len(refused) - 1)
	s.saker("deadletters", "replay", "--all", "--output", "picky")
	letters(0)
	s.eventually("the replayed events arrive", func() error {
		if n := len(source.missing(e)); n != 1 {
			return fmt.Errorf("%d are missing", n)
		}
		return nil
	})
	s.stop()
	if lost := source.missing(e); len(lost) != 1 || lost[0] != 7 {
		t.Errorf("events %d are missing, want only the dropped event 7", lost)
	}
	if n := e.duplicates(); n > 64 {
		t.Errorf("%d events came again", n)
	}
}
