package group_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/group"
	"github.com/saker-security/saker/forwarder/journal"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// summary returns the one message that ds become.
func summary(t *testing.T, s group.Settings, ds ...journal.Delivery) event.Event {
	t.Helper()
	stage := group.New(s, "slack")
	stage.Add(start, ds)
	ready, _ := stage.Due(start.Add(24 * time.Hour))
	if len(ready) != 1 {
		t.Fatalf("%d messages, want 1", len(ready))
	}
	if err := ready[0].Event.Validate(); err != nil {
		t.Error(err)
	}
	return ready[0].Event
}

func grouped(names ...string) group.Settings {
	return settings(func(s *group.Settings) { s.GroupBy = names })
}

func limited() group.Settings {
	return settings(func(s *group.Settings) { s.RateLimit.Events, s.RateLimit.Except = 1, event.Emergency })
}

// seconds returns an event for each of rules, a second after the other.
func seconds(rules ...string) []journal.Delivery {
	var ds []journal.Delivery
	for i, rule := range rules {
		ds = append(ds, shell(i+1, rule, fmt.Sprintf("web-%d", i), start.Add(time.Duration(i)*time.Second)))
	}
	return ds
}

func TestSummariesAreReadable(t *testing.T) {
	mixed := seconds("A shell", "A shell", "Shadow read", "A shell", "Shadow read", "Miner")
	mixed[1].Event.Hostname = "node-2"
	mixed[2].Event.Source = "k8s_audit"
	mixed[2].Event.Priority = event.Critical
	mixed[3].Event.Tags = []string{"shell", "container"}
	mixed[4].Event.Output = ""
	mixed[5].Event.Output = "several\r\nlines\tand a character: é\u2028"
	mixed[5].Event.Time = start.Add(-11 * time.Hour)

	told := group.New(settings(func(s *group.Settings) { s.DedupWindow = time.Minute }), "slack")
	for i := range 13 {
		told.Add(start, []journal.Delivery{shell(i+1, "A shell", "web", start.Add(time.Duration(i)*time.Second))})
	}
	repetition, _ := told.Due(start.Add(time.Minute))

	again := group.New(grouped("rule"), "slack")
	again.Add(start, []journal.Delivery{shell(1, "A shell", "web", start)})
	again.Due(start.Add(10 * time.Second))
	again.Add(start.Add(11*time.Second), []journal.Delivery{
		shell(2, "A shell", "web", start.Add(11*time.Second)), shell(3, "A shell", "db", start.Add(11*time.Second)),
	})
	both, _ := again.Due(start.Add(310 * time.Second))

	for name, e := range map[string]event.Event{
		"group":      summary(t, grouped("rule", "k8s.ns.name", "proc.name"), seconds(strings.Fields(strings.Repeat("Shell ", 12))...)...),
		"same":       summary(t, grouped("hostname"), shell(1, "A", "x", start), shell(2, "A", "x", start)),
		"mixed":      summary(t, grouped("k8s.ns.name"), mixed...),
		"repetition": repetition[0].Event,
		"both":       both[0].Event,
		"digest":     digest(t),
	} {
		t.Run(name, func(t *testing.T) {
			var text bytes.Buffer
			if err := json.Indent(&text, e.AppendJSON(nil), "", "  "); err != nil {
				t.Fatal(err)
			}
			got := e.Output + "\n\n" + text.String() + "\n"
			path := "testdata/" + name + ".golden"
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// digest returns the digest of 37 events of two rules.
func digest(t *testing.T) event.Event {
	t.Helper()
	stage := group.New(limited(), "slack")
	ds := seconds(append(strings.Fields("First "+strings.Repeat("A B A A A ", 7)), "A", "A")...)
	ready, _ := stage.Add(start, ds)
	if len(ready) != 1 {
		t.Fatalf("%d messages before the limit", len(ready))
	}
	ready, _ = stage.Due(start.Add(time.Minute))
	return ready[0].Event
}

func TestASingleEventIsSentAsItIs(t *testing.T) {
	for name, s := range map[string]group.Settings{"group": grouped("rule"), "group of its own": grouped("...")} {
		d := shell(1, "A", "web", start)
		if diff := cmp.Diff(d.Event, summary(t, s, d), cmp.AllowUnexported(event.Value{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestTheUUIDFollowsFromTheEvents(t *testing.T) {
	ds := seconds("A", "A", "A")
	first := summary(t, grouped("rule"), ds...)
	if again := summary(t, grouped("rule"), ds[2], ds[0], ds[1]); again.UUID != first.UUID {
		t.Errorf("the same events make the message %s and then %s", first.UUID, again.UUID)
	}
	for name, other := range map[string]event.Event{
		"fewer events": summary(t, grouped("rule"), ds[:2]...),
		"another key":  summary(t, grouped("rule", "hostname"), ds...),
		"one event":    ds[0].Event,
	} {
		if other.UUID == first.UUID {
			t.Errorf("a message with %s has the same UUID", name)
		}
	}
	if decoded, err := event.Decode(first.AppendJSON(nil)); err != nil || decoded.UUID != first.UUID {
		t.Errorf("%q is no UUID that a receiver keeps (%v)", first.UUID, err)
	}
}

// Whatever is in the events, a summary is small.
func TestSummariesAreBounded(t *testing.T) {
	long := strings.Repeat("é", 100_000)
	var ds []journal.Delivery
	for i := range 300 {
		d := shell(i+1, "A", "web", start)
		e := &d.Event
		e.Rule = fmt.Sprint(i) + long
		e.Output, e.Source, e.Hostname = long, long, long
		e.Tags = nil
		for j := range event.MaxTags {
			e.Tags = append(e.Tags, fmt.Sprintf("%d-%d-%s", i, j, long[:1000]))
		}
		var fields []event.Field
		for j := range event.MaxFields {
			fields = append(fields, event.Field{Name: fmt.Sprintf("f%04d", j), Value: event.StringValue(long[:200])})
		}
		e.Fields = append(fields, event.Field{Name: "long", Value: event.StringValue(long)})
		ds = append(ds, d)
	}
	e := summary(t, grouped("source", "hostname", "long"), ds...)
	if n := len(e.AppendJSON(nil)); n > 40<<10 {
		t.Errorf("the summary has %d bytes", n)
	}
	if first, _, _ := strings.Cut(e.Output, "\n"); len(first) > 4<<10 {
		t.Errorf("the headline has %d bytes", len(first))
	}
}
