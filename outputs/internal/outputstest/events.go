package outputstest

import (
	"fmt"
	"strings"
	"time"

	"github.com/saker-security/saker/event"
)

// Fixture is an event with a name for golden files and subtests.
type Fixture struct {
	Name  string
	Event event.Event
}

// Events are the events that every output must be able to send: Plain first, then one for
// each priority, and one for each thing that senders do and outputs forget. Each call
// returns new events.
func Events() []Fixture {
	all := []Fixture{{"plain", Plain()}}
	for p := event.Debug; p <= event.Emergency; p++ {
		e := minimal(p)
		e.Output = "an event of priority " + p.String()
		e.Tags = []string{"container", "mitre_execution"}
		e.Hostname = "node-2"
		e.UUID = uuid(0x10 + int(p))
		all = append(all, Fixture{"priority_" + strings.ToLower(p.String()), e})
	}
	return append(all,
		Fixture{"audit", audit()},
		Fixture{"bare", bare()},
		Fixture{"values", values()},
		Fixture{"dropped_syscalls", dropped()},
		Fixture{"unicode", unicode()},
		Fixture{"many_fields", many()},
		Fixture{"long", long()},
		Fixture{"summary", summary()},
	)
}

// Plain is an event as Falco sends it, with everything that is usual.
func Plain() event.Event {
	return event.Event{
		UUID:     uuid(1),
		Output:   "16:31:56.746609046: Error File <x> opened (user=root)",
		Priority: event.Error,
		Rule:     "Write below binary dir",
		Time:     time.Date(2019, 5, 17, 15, 31, 56, 746609046, time.UTC),
		Fields: event.SortFields([]event.Field{
			{Name: "evt.time", Value: event.NumberValue("1507591916746609046")},
			{Name: "fd.name", Value: event.StringValue("/bin/hack")},
			{Name: "k8s.ns.name", Value: event.StringValue("ns1")},
			{Name: "k8s.pod.name"},
			{Name: "proc.aname[2]", Value: event.StringValue("bash")},
			{Name: "proc.cmdline", Value: event.StringValue("touch /bin/hack")},
			{Name: "proc.pid", Value: event.NumberValue("1234")},
		}),
		Source:   "syscall",
		Tags:     []string{"T1059", "mitre_persistence"},
		Hostname: "node-1",
	}
}

func minimal(p event.Priority) event.Event {
	return event.Event{
		UUID:     uuid(2),
		Output:   "a shell was spawned",
		Priority: p,
		Rule:     "Terminal shell in container",
		Time:     time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Fields:   []event.Field{{Name: "proc.name", Value: event.StringValue("bash")}},
		Source:   "syscall",
	}
}

// audit has the other source, a time with an offset and a short fraction.
func audit() event.Event {
	e := minimal(event.Warning)
	e.UUID = uuid(3)
	e.Source = "k8s_audit"
	e.Rule = "Attach/Exec Pod"
	e.Output = "Attach/Exec to pod (user=admin pod=web-0 ns=prod action=exec command=sh)"
	e.Time = time.Date(2026, 1, 2, 5, 4, 5, 120000000, time.FixedZone("", 2*60*60))
	e.Tags = []string{"k8s"}
	e.Fields = event.SortFields([]event.Field{
		{Name: "ka.target.name", Value: event.StringValue("web-0")},
		{Name: "ka.target.namespace", Value: event.StringValue("prod")},
		{Name: "ka.uri.param[command]", Value: event.StringValue("sh")},
		{Name: "ka.user.name", Value: event.StringValue("admin")},
	})
	return e
}

// bare has nothing that may be absent: no output, tags, hostname or string field.
func bare() event.Event {
	e := minimal(event.Notice)
	e.UUID = uuid(4)
	e.Output = ""
	e.Fields = []event.Field{{Name: "n", Value: event.NumberValue("0")}}
	return e
}

// values has a field of every JSON type.
func values() event.Event {
	e := minimal(event.Critical)
	e.UUID = uuid(5)
	e.Output = "fields of every type"
	e.Fields = event.SortFields([]event.Field{
		{Name: "array", Value: event.CompositeValue(`["a",1,null,{"b":"\u003cc\u003e"}]`)},
		{Name: "bool.false", Value: event.BoolValue(false)},
		{Name: "bool.true", Value: event.BoolValue(true)},
		{Name: "empty", Value: event.StringValue("")},
		{Name: "null"},
		{Name: "number.big", Value: event.NumberValue("18446744073709551615")},
		{Name: "number.exp", Value: event.NumberValue("1.50e3")},
		{Name: "number.neg", Value: event.NumberValue("-12.75")},
		{Name: "object", Value: event.CompositeValue(`{"a":{"b":[true]},"c":"d"}`)},
		{Name: "proc.aname[2]", Value: event.StringValue("sh")},
		{Name: "proc__odd..name_", Value: event.StringValue("x")},
		{Name: "text", Value: event.StringValue("null")},
	})
	return e
}

// dropped is Falco's own report of dropped system calls.
func dropped() event.Event {
	e := minimal(event.Debug)
	e.UUID = uuid(6)
	e.Rule = "Falco internal: syscall event drop"
	e.Output = "Falco internal: syscall event drop. 1234 system calls dropped in last second."
	e.Source = "internal"
	e.Hostname = "node-1"
	e.Fields = event.SortFields([]event.Field{
		{Name: "ebpf_enabled", Value: event.NumberValue("1")},
		{Name: "n_drops", Value: event.NumberValue("1234")},
		{Name: "n_drops_buffer_total", Value: event.NumberValue("0")},
		{Name: "n_drops_bug", Value: event.StringValue("a few")},
		{Name: "n_evts", Value: event.NumberValue("100000")},
	})
	return e
}

// unicode has text that breaks careless quoting, cutting and templating.
func unicode() event.Event {
	e := minimal(event.Alert)
	e.UUID = uuid(7)
	e.Output = "naïve 名前 🦅 \"quoted\" back\\slash\ttab\nnewline \u2028 & <b> {{.Rule}} *_`~ @here"
	e.Rule = "Rule “with” quotes, commas & <tags>"
	e.Hostname = "nœud-1"
	e.Tags = []string{"a,b", "ünï"}
	e.Fields = event.SortFields([]event.Field{
		{Name: "proc.cmdline", Value: event.StringValue("sh -c 'echo \"$HOME\" > /tmp/日本'\n\tdone\x00\x1b[31m")},
		{Name: "ключ", Value: event.StringValue("значение")},
	})
	return e
}

// many has more fields than some destinations take.
func many() event.Event {
	e := minimal(event.Informational)
	e.UUID = uuid(8)
	e.Fields = nil
	for i := range 130 {
		e.Fields = append(e.Fields, event.Field{Name: fmt.Sprintf("field.%03d", i), Value: event.StringValue(fmt.Sprintf("value %d", i))})
	}
	return e
}

// long has texts longer than most destinations take, of characters of two bytes.
func long() event.Event {
	e := minimal(event.Emergency)
	e.UUID = uuid(9)
	e.Output = strings.Repeat("é", 40_000)
	e.Rule = strings.Repeat("rule ", 100)
	e.Fields = []event.Field{{Name: "proc.cmdline", Value: event.StringValue(strings.Repeat("ß", 20_000))}}
	return e
}

func uuid(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

// summary stands for several events, as the forwarder makes one of a group.
func summary() event.Event {
	e := minimal(event.Critical)
	e.UUID = uuid(10)
	e.Output = "12 × Terminal shell in container, k8s.ns.name=prod, from 03:04:05 to 03:08:59 UTC" +
		strings.Repeat("\n- 03:04:05.000000000: Critical A shell was spawned in a container with an attached terminal (user=root container=web)", 5) +
		"\nand 7 more"
	e.Tags = []string{"container", "mitre_execution"}
	e.Fields = event.SortFields([]event.Field{
		{Name: "k8s.ns.name", Value: event.StringValue("prod")},
		{Name: event.SummaryKind, Value: event.StringValue("group")},
		{Name: event.SummaryKey, Value: event.StringValue("rule=Terminal shell in container, k8s.ns.name=prod")},
		{Name: event.SummaryCount, Value: event.NumberValue("12")},
		{Name: event.SummaryFirst, Value: event.StringValue("2026-01-02T03:04:05Z")},
		{Name: event.SummaryLast, Value: event.StringValue("2026-01-02T03:08:59Z")},
	})
	return e
}
