package group_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/forwarder/group"
	"github.com/saker-security/saker/forwarder/journal"
	"github.com/saker-security/saker/forwarder/route"
)

// start is the clock of all scripts.
var start = time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)

// shell is the event number n: a rule, an optional pod, and what differs from event to
// event although it says nothing.
func shell(n int, rule, pod string, at time.Time) journal.Delivery {
	return journal.Delivery{
		Sequence: uint64(n), Stored: at, Attempt: 1, Size: 600,
		Event: event.Event{
			UUID: uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "event %d", n)).String(),
			Rule: rule, Priority: event.Notice, Time: at, Source: "syscall", Hostname: "node-1",
			Output: fmt.Sprintf("%s: Notice %s (pod=%s)", at.Format("15:04:05.000"), rule, pod),
			Tags:   []string{"container"},
			Fields: event.SortFields([]event.Field{
				{Name: "evt.time", Value: event.NumberValue(fmt.Sprint(at.UnixNano()))},
				{Name: "k8s.ns.name", Value: event.StringValue("prod")},
				{Name: "k8s.pod.name", Value: event.StringValue(pod)},
				{Name: "proc.pid", Value: event.NumberValue(fmt.Sprint(1000 + n))},
			}),
		},
	}
}

// settings returns the defaults with some changes.
func settings(change func(*group.Settings)) group.Settings {
	s := group.DefaultSettings()
	change(&s)
	return s
}

// A script says what happens at a second of the clock: events come ("A/web" is rule A in
// pod web, "A/web!" one of priority Critical), and what the Stage then hands over. A message
// is shown by its kind and count and the events that it covers; settled events follow.
type script []struct {
	at   int
	in   string
	want string
}

func (sc script) run(t *testing.T, s group.Settings) {
	t.Helper()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	stage := group.New(s, "slack")
	n := 0
	for _, step := range sc {
		now := start.Add(time.Duration(step.at) * time.Second)
		var ds []journal.Delivery
		for name := range strings.FieldsSeq(step.in) {
			n++
			name, critical := strings.CutSuffix(name, "!")
			rule, pod, _ := strings.Cut(name, "/")
			d := shell(n, rule, pod, now)
			if critical {
				d.Event.Priority = event.Critical
			}
			ds = append(ds, d)
		}
		act := stage.Due
		if len(ds) > 0 {
			act = func(now time.Time) ([]group.Item, []journal.Delivery) { return stage.Add(now, ds) }
		}
		ready, settled := act(now)
		if got := show(ready, settled); got != step.want {
			t.Errorf("at %d s, with %q: got %q, want %q", step.at, step.in, got, step.want)
		}
	}
}

func show(ready []group.Item, settled []journal.Delivery) string {
	var parts []string
	for _, it := range ready {
		name := ""
		if kind, ok := it.Event.Field(event.SummaryKind); ok {
			count, _ := it.Event.Field(event.SummaryCount)
			name = kind.Text() + " " + count.Text() + " "
		}
		parts = append(parts, name+numbers(it.Covers))
	}
	if len(settled) > 0 {
		parts = append(parts, "settled "+numbers(settled))
	}
	return strings.Join(parts, "; ")
}

func numbers(ds []journal.Delivery) string {
	var all []string
	for _, d := range ds {
		all = append(all, fmt.Sprint(d.Sequence))
	}
	return strings.Join(all, ",")
}

func TestGroups(t *testing.T) {
	by := func(names ...string) func(*group.Settings) {
		return func(s *group.Settings) { s.GroupBy = names }
	}
	tests := []struct {
		name     string
		settings func(*group.Settings)
		script   script
	}{
		{"events that come within group_wait are one message", by("rule"), script{
			{0, "A/web", ""},
			{3, "A/db B/web", ""},
			{9, "A/x", ""},
			{10, "", "group 3 1,2,4"},
			{13, "", "3"},
		}},
		{"events that come together without a wait are one message", func(s *group.Settings) {
			s.GroupBy, s.GroupWait = []string{"rule"}, 0
		}, script{
			{0, "A/web A/db B/x", "group 2 1,2; 3"},
			{1, "A/y", ""},
			{300, "", "4"},
		}},
		{"what is new in a group is told after group_interval", by("rule"), script{
			{0, "A/web", ""},
			{10, "", "1"},
			{11, "A/db", ""},
			{200, "A/x", ""},
			{309, "", ""},
			{310, "", "group 2 2,3"},
			{900, "A/y", ""},
			{909, "", ""},
			{910, "", "4"},
		}},
		{"what was told before is told again after repeat_interval, with its count", by("rule"), script{
			{0, "A/web", ""},
			{10, "", "1"},
			{11, "A/web", ""},
			{400, "A/web", "settled 2"},
			{5000, "A/web A/web", "settled 3,4"},
			{14409, "", ""},
			{14410, "", "repetition 4 5"},
			{14420, "A/web", ""},
			{28810, "", "repetition 1 6"},
		}},
		{"what is new takes the repetitions along", by("rule"), script{
			{0, "A/web", ""},
			{10, "", "1"},
			{11, "A/web A/web", "settled 2"},
			{12, "A/db", ""},
			{310, "", "group 3 4,3"},
			{311, "A/db", ""},
			{14710, "", "repetition 1 5"},
		}},
		{"repetitions before the first message are part of it", by("rule"), script{
			{0, "A/web A/web", ""},
			{1, "A/web", ""},
			{10, "", "group 3 1,2,3"},
		}},
		{"without a repeat_interval every event is new", func(s *group.Settings) {
			s.GroupBy, s.RepeatInterval = []string{"rule"}, 0
		}, script{
			{0, "A/web", ""},
			{10, "", "1"},
			{11, "A/web A/web", ""},
			{310, "", "group 2 2,3"},
		}},
		{"a group that was quiet for repeat_interval is a new one", by("rule"), script{
			{0, "A/web", ""},
			{10, "", "1"},
			{14410, "A/web", ""},
			{14419, "", ""},
			{14420, "", "2"},
		}},
		{"several names and absent fields", by("k8s.pod.name", "no.such", "priority"), script{
			{0, "A/web B/web A/db A/web!", ""},
			{10, "", "group 2 1,2; 3; 4"},
		}},
		{"dots alone gather only what says the same", by("..."), script{
			{0, "A/web A/db A/web", ""},
			{10, "", "group 2 1,3; 2"},
			{11, "A/web", ""},
			{14410, "", "repetition 1 4"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.script.run(t, settings(tt.settings)) })
	}
}

func TestDeduplication(t *testing.T) {
	window := func(s *group.Settings) { s.DedupWindow = time.Minute }
	tests := []struct {
		name     string
		settings func(*group.Settings)
		script   script
	}{
		{"the first is sent, the others are counted and summed up once a window", window, script{
			{0, "A/web A/db", "1; 2"},
			{1, "A/web", ""},
			{30, "A/web A/db", "settled 3"},
			{59, "", ""},
			{60, "", "repetition 2 4; repetition 1 5"},
			{70, "A/web", ""},
			{119, "A/web", "settled 6"},
			{120, "", "repetition 2 7"},
			{180, "A/web", "8"},
		}},
		{"without a summary the first after the window is sent", func(s *group.Settings) {
			s.DedupWindow, s.DedupSummary = time.Minute, false
		}, script{
			{0, "A/web", "1"},
			{1, "A/web A/web", "settled 2,3"},
			{60, "", ""},
			{60, "A/web", "4"},
		}},
		{"only what dedup_by names counts", func(s *group.Settings) {
			s.DedupWindow, s.DedupBy = time.Minute, []string{"rule"}
		}, script{
			{0, "A/web A/db B/web", "1; 3"},
			{60, "", "repetition 1 2"},
		}},
		{"the events that are left are grouped", func(s *group.Settings) {
			s.DedupWindow, s.GroupBy = time.Minute, []string{"rule"}
		}, script{
			{0, "A/web A/web A/db", ""},
			{10, "", "group 2 1,3"},
			{60, "", "repetition 1 2"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.script.run(t, settings(tt.settings)) })
	}
}

func TestRateLimit(t *testing.T) {
	limit := func(n int) func(*group.Settings) {
		return func(s *group.Settings) { s.RateLimit.Events = n }
	}
	tests := []struct {
		name     string
		settings func(*group.Settings)
		script   script
	}{
		{"what is beyond the limit comes in one digest, which counts for the next period", limit(2), script{
			{0, "A/1 A/2 A/3", "1; 2"},
			{59, "B/4", ""},
			{60, "", "digest 2 3,4"},
			{61, "A/5 A/6", "5"},
			{119, "", ""},
			{120, "", "6"},
			{180, "A/7 A/8", "7; 8"},
			{300, "A/9", "9"},
		}},
		{"severe events pass and do not count", func(s *group.Settings) {
			s.RateLimit.Events, s.RateLimit.Except = 1, event.Critical
		}, script{
			{0, "A/1! A/2 A/3 A/4!", "1; 2; 4"},
			{60, "", "3"},
		}},
		{"a group is one message", func(s *group.Settings) {
			s.RateLimit.Events, s.GroupBy = 1, []string{"rule"}
		}, script{
			{0, "A/1 A/2 B/3 B/4 C/5", ""},
			{10, "", "group 2 1,2"},
			{69, "", ""},
			{70, "", "digest 3 3,4,5"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.script.run(t, settings(tt.settings)) })
	}
}

func everything(s *group.Settings) {
	s.GroupBy, s.DedupWindow, s.RateLimit.Events = []string{"rule"}, time.Minute, 1
}

func TestReplayedAndTestEventsPassUntouched(t *testing.T) {
	stage := group.New(settings(everything), "slack")
	replayed, test := shell(1, "A", "web", start), shell(2, route.TestRule, "web", start)
	replayed.Replayed = true
	ready, settled := stage.Add(start, []journal.Delivery{replayed, test, replayed, test})
	if got := show(ready, settled); got != "1; 2; 1; 2" {
		t.Errorf("got %q", got)
	}
	if diff := cmp.Diff(replayed.Event, ready[0].Event, cmp.AllowUnexported(event.Value{})); diff != "" {
		t.Error(diff)
	}
}

func TestNextSaysWhenSomethingIsDue(t *testing.T) {
	stage := group.New(settings(everything), "slack")
	if next := stage.Next(); !next.IsZero() {
		t.Errorf("an empty stage has something at %v", next)
	}
	now := start
	check := func(want int, do string) {
		t.Helper()
		if next := stage.Next(); !next.Equal(start.Add(time.Duration(want) * time.Second)) {
			t.Errorf("after %s: %v", do, next)
		}
	}
	stage.Add(now, []journal.Delivery{shell(1, "A", "web", now), shell(2, "B", "web", now)})
	check(10, "a group began")
	stage.Add(now, []journal.Delivery{shell(3, "A", "web", now)})
	stage.Due(start.Add(10 * time.Second))
	check(60, "the group was told and repetitions wait")
	stage.Due(start.Add(60 * time.Second))
	check(70, "only the digest waits")
	if ready, _ := stage.Due(start.Add(70 * time.Second)); len(ready) != 1 {
		t.Errorf("the digest is not there when it is due")
	}
	if next := stage.Next(); !next.IsZero() {
		t.Errorf("a stage that holds nothing has something at %v", next)
	}
}

func TestTheClockMayJump(t *testing.T) {
	for name, jump := range map[string]time.Duration{"back": -100 * time.Hour, "ahead": 100 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			stage := group.New(settings(func(s *group.Settings) {
				everything(s)
				s.RateLimit.Events = 2
			}), "slack")
			now := start
			var ds []journal.Delivery
			for i := range 50 {
				ds = append(ds, shell(i+1, "A", fmt.Sprint(i), now))
			}
			stage.Add(now, ds)
			now = now.Add(jump)
			messages := 0
			// Afterwards no more may come, and all must come in the time it would have taken.
			for range 200 {
				ready, _ := stage.Due(now)
				messages += len(ready)
				now = now.Add(time.Second)
			}
			if messages != 1 || stage.Held() != 0 {
				t.Errorf("%d messages, %d deliveries still wait; want one message", messages, stage.Held())
			}
		})
	}
}

func TestDrainGivesBackWhatWaits(t *testing.T) {
	stage := group.New(settings(everything), "slack")
	var ds []journal.Delivery
	for i, name := range []string{"A", "B", "A", "C", "B"} {
		ds = append(ds, shell(i+1, name, "web", start))
	}
	stage.Add(start, ds)
	if n := stage.Held(); n != 5 {
		t.Errorf("%d are held", n)
	}
	if got := numbers(stage.Drain()); got != "1,2,3,4,5" {
		t.Errorf("given back: %s", got)
	}
	if stage.Held() != 0 || !stage.Next().IsZero() || len(stage.Drain()) != 0 {
		t.Error("the stage is not empty")
	}
	ready, settled := stage.Add(start, ds[:1])
	if got := show(ready, settled); got != "" || stage.Held() != 1 {
		t.Errorf("a repetition of what was given back: %q, %d held; want a new group", got, stage.Held())
	}
}

func TestStatsCountWhatGotNoMessage(t *testing.T) {
	stage := group.New(settings(func(s *group.Settings) { s.DedupWindow = time.Minute }), "slack")
	for i := range 5 {
		stage.Add(start, []journal.Delivery{shell(i+1, "A", "web", start)})
	}
	if got, want := stage.Stats(), (group.Stats{Suppressed: 3, Held: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	stage.Due(start.Add(time.Minute))
	if got, want := stage.Stats(), (group.Stats{Suppressed: 4, Summaries: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestNoiseDoesNotTellEventsApart(t *testing.T) {
	tests := []struct {
		name string
		a, b event.Field
		same bool
	}{
		{"process ids", field("proc.pid", "1"), field("proc.pid", "2"), true},
		{"ancestors' ids", field("proc.apid[2]", "1"), field("proc.apid[2]", "2"), true},
		{"times", field("evt.time.iso8601", "1"), field("evt.time.iso8601", "2"), true},
		{"latencies", field("evt.latency.ns", "1"), field("evt.latency.ns", "2"), true},
		{"the client's port", field("fd.name", "10.0.0.1:4711->10.0.0.2:22"), field("fd.name", "10.0.0.1:4712->10.0.0.2:22"), true},
		{"the client's port with IPv6", field("fd.name", "::1:4711->::1:22"), field("fd.name", "::1:4712->::1:22"), true},
		{"the server's port", field("fd.name", "10.0.0.1:4711->10.0.0.2:22"), field("fd.name", "10.0.0.1:4711->10.0.0.2:23"), false},
		{"the client's address", field("fd.name", "10.0.0.1:4711->10.0.0.2:22"), field("fd.name", "10.0.0.3:4711->10.0.0.2:22"), false},
		{"files", field("fd.name", "/etc/shadow"), field("fd.name", "/etc/passwd"), false},
		{"files with arrows", field("fd.name", "/a:->x"), field("fd.name", "/a->x"), false},
		{"commands", field("proc.cmdline", "ls"), field("proc.cmdline", "ls -l"), false},
		{"names like those of times", field("evt.timer", "1"), field("evt.timer", "2"), false},
		{"other fields", field("a", "x"), field("b", "x"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stage := group.New(settings(func(s *group.Settings) { s.DedupWindow = time.Minute }), "slack")
			a, b := shell(1, "A", "web", start), shell(2, "A", "web", start)
			a.Event, b.Event = a.Event.WithFields(tt.a), b.Event.WithFields(tt.b)
			ready, _ := stage.Add(start, []journal.Delivery{a, b})
			if same := len(ready) == 1; same != tt.same {
				t.Errorf("they say the same: %v, want %v", same, tt.same)
			}
		})
	}
	for name, change := range map[string]func(*event.Event){
		"rule":     func(e *event.Event) { e.Rule = "B" },
		"priority": func(e *event.Event) { e.Priority = event.Error },
		"source":   func(e *event.Event) { e.Source = "k8s_audit" },
		"hostname": func(e *event.Event) { e.Hostname = "node-2" },
	} {
		stage := group.New(settings(func(s *group.Settings) { s.DedupWindow = time.Minute }), "slack")
		a, b := shell(1, "A", "web", start), shell(2, "A", "web", start)
		change(&b.Event)
		if ready, _ := stage.Add(start, []journal.Delivery{a, b}); len(ready) != 2 {
			t.Errorf("events that differ in their %s say the same", name)
		}
	}
}

func field(name, value string) event.Field {
	return event.Field{Name: name, Value: event.StringValue(value)}
}
