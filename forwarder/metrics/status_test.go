package metrics

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/saker-security/saker/config"
	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/deliver"
	"github.com/saker-security/saker/forwarder/ingest"
	"github.com/saker-security/saker/forwarder/journal"
)

func TestTheStatusIsPartOfTheMetrics(t *testing.T) {
	m := newMetrics(Options{Version: "v9", Journal: journal.Config{
		MaxBytes: config.Bytes(1000), MaxAge: time.Hour, DeadLetters: journal.DeadLettersConfig{MaxBytes: 100},
	}})
	m.Watch(func() Status {
		return Status{
			Journal: journal.Stats{Events: 5, Bytes: 600, DeadLetters: map[string]uint64{"slack": 2}, DeadLetterBytes: 70},
			Disk:    Disk{Free: 30, Size: 40},
			Outputs: []OutputStatus{{
				Name: "slack", Kind: "slack", MatchFailures: 6,
				State: deliver.State{
					Healthy: true, Held: true, Delivered: 3, Retries: 4, DeadLetters: 2, Redelivered: 1, Replayed: 11, InFlight: 1,
					HeldBack: 12, Filtered: 13, Silenced: 14, Suppressed: 15, Summaries: 16, Breaker: deliver.BreakerProbing, Limit: 17,
					LastSuccess: time.UnixMilli(1700000000500),
				},
				Lag: journal.Lag{Pending: 9, Lost: 8},
			}},
			Silences: Silences{Active: 18, Pending: 19},
			Tracing:  true, Spans: Spans{Exported: 20, Dropped: 21},
		}
	})
	expect(t, scrape(t, m),
		`saker_journal_ready 1`, `saker_journal_fault{reason="full"} 0`, `saker_journal_events 5`, `saker_journal_bytes 600`,
		`saker_journal_max_bytes 1000`, `saker_journal_max_age_seconds 3600`, `saker_journal_dead_letter_max_bytes 100`,
		`saker_journal_dead_letter_bytes 70`, `saker_journal_dead_letters{output="slack"} 2`,
		`saker_journal_disk_free_bytes 30`, `saker_journal_disk_size_bytes 40`, `saker_journal_oldest_event_age_seconds 0`,
		`saker_output_info{kind="slack",output="slack"} 1`,
		`saker_output_pending_events{output="slack"} 9`, `saker_output_oldest_event_age_seconds{output="slack"} 0`,
		`saker_output_in_flight_events{output="slack"} 1`, `saker_output_grouped_events{output="slack"} 12`,
		`saker_output_healthy{output="slack"} 1`, `saker_output_held{output="slack"} 1`,
		`saker_output_breaker_state{output="slack",state="closed"} 0`, `saker_output_breaker_state{output="slack",state="open"} 0`,
		`saker_output_breaker_state{output="slack",state="probing"} 1`, `saker_output_concurrency_limit{output="slack"} 17`,
		`saker_output_last_success_timestamp_seconds{output="slack"} 1.7000000005e+09`,
		`saker_output_delivered_events_total{output="slack"} 3`, `saker_output_retried_events_total{output="slack"} 4`,
		`saker_output_redelivered_events_total{output="slack"} 1`, `saker_output_replayed_events_total{output="slack"} 11`,
		`saker_output_dead_letters_total{output="slack"} 2`, `saker_output_lost_events_total{output="slack"} 8`,
		`saker_output_filtered_events_total{output="slack"} 13`, `saker_output_silenced_events_total{output="slack"} 14`,
		`saker_output_suppressed_events_total{output="slack"} 15`, `saker_output_summaries_total{output="slack"} 16`,
		`saker_output_match_failures_total{output="slack"} 6`,
		`saker_silences{state="active"} 18`, `saker_silences{state="pending"} 19`,
		`saker_trace_spans_total{result="exported"} 20`, `saker_trace_spans_total{result="dropped"} 21`,
	)
}

func TestWhatIsNotKnownHasNoSeries(t *testing.T) {
	m := newMetrics(Options{})
	m.Watch(func() Status { return Status{Outputs: []OutputStatus{{Name: "slack"}}} })
	text := scrape(t, m)
	for _, name := range []string{"saker_journal_disk_", "saker_trace_", "saker_output_last_success_"} {
		if strings.Contains(text, name) {
			t.Errorf("there is a series of %s", name)
		}
	}
}

func TestTheJournalsFaultIsNamed(t *testing.T) {
	faults := regexp.MustCompile(`saker_journal_fault\{[^}]*\} 1\n`)
	for _, tc := range []struct {
		fault  error
		reason string
	}{
		{fmt.Errorf("open: %w", journal.ErrFull), "full"},
		{journal.Unavailable(errors.New("x")), "unavailable"},
		{journal.ErrClosed, "closed"},
		{errors.New("x"), "other"},
	} {
		m := newMetrics(Options{})
		m.Watch(func() Status { return Status{Fault: tc.fault} })
		text := scrape(t, m)
		expect(t, text, "saker_journal_ready 0", fmt.Sprintf("saker_journal_fault{reason=%q} 1", tc.reason))
		if n := len(faults.FindAllString(text, -1)); n != 1 {
			t.Errorf("%s: there are %d reasons", tc.reason, n)
		}
	}
}

func TestAnOutputsNameInTheJournalMayBeAnything(t *testing.T) {
	m := newMetrics(Options{})
	m.Watch(func() Status { return Status{Journal: journal.Stats{DeadLetters: map[string]uint64{"a\xff\"\n": 1}}} })
	expect(t, scrape(t, m), `saker_journal_dead_letters{output="a\"\n"} 1`)
}

func TestTheAgeOfTheOldestEventNeverGoesBelowZero(t *testing.T) {
	now := time.Now()
	if got := age(now, now.Add(time.Minute)); got != 0 {
		t.Errorf("got %v", got)
	}
	if got := age(now, now.Add(-time.Minute)); got != 60 {
		t.Errorf("got %v", got)
	}
}

func TestTheRoomOnADiskIsKnown(t *testing.T) {
	d, err := DiskOf(t.TempDir())
	if err != nil || d.Size == 0 || d.Free > d.Size {
		t.Errorf("got %+v, %v", d, err)
	}
	if _, err := DiskOf(t.TempDir() + "/none"); err == nil {
		t.Error("a folder that is not there has room")
	}
}

func TestSendersAreCountedByTheirCredential(t *testing.T) {
	m := newMetrics(Options{})
	m.Accepted([]event.Event{alert(), alert()}, "node", 0)
	m.Accepted([]event.Event{alert()}, "", 0)
	m.Rejected(ingest.ReasonRateLimit, "node")
	m.Rejected(ingest.ReasonUnauthorized, "")
	text := scrape(t, m)
	expect(t, text,
		`saker_ingest_sender_events_total{sender="node"} 2`,
		`saker_ingest_sender_rejected_total{reason="rate_limit",sender="node"} 1`,
	)
	if strings.Contains(text, `sender=""`) {
		t.Error("requests without a credential have a series")
	}
}

func TestSendersBeyondTheLimitAreCountedTogether(t *testing.T) {
	m := newMetrics(Options{})
	for i := range maxSenders + 20 {
		m.Accepted([]event.Event{alert()}, fmt.Sprintf("node-%d", i), 0)
		m.Rejected(ingest.ReasonInvalid, fmt.Sprintf("node-%d", i))
	}
	text := scrape(t, m)
	expect(t, text,
		`saker_ingest_sender_events_total{sender="other"} 20`,
		`saker_ingest_sender_rejected_total{reason="invalid",sender="other"} 20`,
	)
	if n := strings.Count(text, "saker_ingest_sender_events_total{"); n != maxSenders+1 {
		t.Errorf("there are %d series", n)
	}
}
