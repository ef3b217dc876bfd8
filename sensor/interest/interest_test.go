package interest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/interest"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/rules"
)

// derive returns what rules of the given conditions need.
func derive(t testing.TB, conditions ...string) (probe.Interest, *interest.Judge) {
	t.Helper()
	var content strings.Builder
	for i, c := range conditions {
		fmt.Fprintf(&content, "- {rule: R%d, desc: d, condition: '%s', output: o, priority: NOTICE}\n", i, c)
	}
	return interest.From(load(t, rules.File{Name: "rules.yaml", Content: []byte(content.String())}))
}

// onOpenat is what the clauses on openat ask, a line each, without those for other kinds.
func onOpenat(in probe.Interest, j *interest.Judge) string {
	_, text, _ := strings.Cut(interest.Text(in, j), "\n\n")
	var lines []string
	for part := range strings.SplitSeq(text, "\n\n") {
		head, asks, _ := strings.Cut(strings.TrimSpace(part), "\n")
		if strings.Contains(head+",", " openat,") {
			lines = append(lines, strings.Join(strings.Fields(strings.ReplaceAll(asks, "\n", " and")), " "))
		}
	}
	return strings.Join(lines, "; ")
}

func TestConditionsOnOpensBecomeClauses(t *testing.T) {
	for _, tt := range []struct{ condition, want string }{
		{"evt.is_open_write=true", "for writing"},
		{"evt.is_open_write=false", "for reading"},
		{"not evt.is_open_write=true", "for reading"},
		{"(evt.is_open_write=true or evt.is_open_read=true)", ""},
		{"evt.is_open_exec=true", "for creating"},
		{"evt.arg.flags contains O_TRUNC", "for writing"},
		{"not evt.arg.flags contains O_TRUNC", ""},
		{"fd.num >= 0", "succeeded"},
		{"fd.num = -1", "failed"},
		{"not fd.num >= 0", "failed"},
		{"fd.type = file", "succeeded"},
		{"not fd.type = file", ""}, // a failed open has no type
		{"fd.typechar = 4", "none"},
		{"evt.res = SUCCESS", "succeeded"},
		{"evt.res = ENOENT", "returned -2"},
		{"evt.res in (ENOENT, EACCES, SUCCESS)", "succeeded; returned -13 -2"},
		{"evt.res startswith E", "failed"},
		{"evt.rawres in (0, 1, 2)", "returned 0 1 2"},
		{"evt.rawres > 7", "succeeded"},
		{"evt.failed = true and fd.num >= 0", "none"},
		{"fd.name = /etc/shadow", "path /etc/shadow"},
		{"fd.name startswith /etc/", "path begins with /etc/"},
		{"not fd.name startswith /etc/", ""},
		{"fd.name != /etc/shadow", ""},
		{"fd.name endswith .ssh and fd.name startswith /root/", "path begins with /root/"},
		{"fd.name contains /.ssh/ or fd.name contains /.ssh/id_rsa", "path contains /.ssh/"},
		{"fd.name in (/etc/a, /srv/b) and fd.name startswith /etc", "path /etc/a"},
		{"fd.name icontains ssh", ""},
		{"fd.name glob \"/proc/*/environ\"", "path ends with /environ"},
		{"fd.name pmatch (/etc, /usr/bin)", "path /etc, /usr/bin and path begins with /etc/, /usr/bin/"},
		{"fd.directory = /etc", "path /etc and directly in /etc"},
		{"fd.filename = id_rsa", "succeeded and last component id_rsa"},
		{"fd.nameraw contains \"../\"", "path contains ../"},
		{"fd.nameraw = passwd", "path ends with /passwd"},
		{"tolower(fd.name) = /etc/shadow", ""},
		{"fd.name = val(proc.cwd)", ""},
		{"proc.pname = x", ""},
		{"proc.name = ssh", "process: proc.name = ssh"},
		{"not proc.name in (a, b)", "process: not proc.name in (a, b)"},
		{"not container.id != host", "process: container.id = host"},
		{"(proc.name = a and fd.name = /x or proc.name = b and fd.name = /x)", "path /x and process: proc.name = a or proc.name = b"},
	} {
		in, j := derive(t, "evt.type=openat and "+strings.ReplaceAll(tt.condition, "'", "''"))
		got := onOpenat(in, j)
		if !slices.Contains(in.Kinds, probe.KindOpenat) {
			got = "none"
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.condition, got, tt.want)
		}
	}
}

func TestRulesOfOneTypeShareClauses(t *testing.T) {
	in, j := derive(t,
		"evt.type=openat and evt.is_open_write=true and fd.name startswith /etc/",
		"evt.type=openat and evt.is_open_write=true and fd.name startswith /etc/ssh/",
		"evt.type=openat and evt.is_open_write=true and fd.name = /boot/vmlinuz",
		"evt.type=openat and evt.is_open_write=true and fd.name = /etc/passwd and proc.name = x",
	)
	if got, want := onOpenat(in, j), "for writing and path /boot/vmlinuz and path begins with /etc/"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What the process table is made of is reported whatever the rules say, and for processes of
// every verdict.
func TestTheProcessTableGetsWhatItIsMadeOf(t *testing.T) {
	in, _ := derive(t, "evt.type in (execve, chdir) and proc.name = x and evt.failed = true")
	for _, rec := range []probe.Record{
		{Kind: probe.KindExecve},
		{Kind: probe.KindExecveat},
		{Kind: probe.KindFork},
		{Kind: probe.KindProcexit},
		{Kind: probe.KindChdir},
		{Kind: probe.KindFchdir},
		{Kind: probe.KindSetsid, Ret: 7},
	} {
		if !reported(in, &rec, ^uint64(0)) {
			t.Errorf("%s is dropped", rec.Kind)
		}
	}
	if rec := (probe.Record{Kind: probe.KindSetsid, Ret: -1}); reported(in, &rec, 0) {
		t.Error("a failed setsid is reported")
	}
}

func TestConnectionsAreFollowedForLaterEventsOfTheirSockets(t *testing.T) {
	connect := probe.Record{Kind: probe.KindConnect, File: probe.File{Kind: probe.FileIPv4, Family: 2}}
	onlySome := "evt.type = connect and fd.sport = 1 and evt.rawres = -115"
	for _, tt := range []struct {
		other string
		want  bool
	}{
		{"evt.type = openat", false},
		{"evt.type = dup and fd.sip = 10.0.0.1", true},
		{"evt.type = recvfrom", true},
		{"evt.type = openat and proc.stdin.type = ipv4", true},
	} {
		in, _ := derive(t, onlySome, tt.other)
		if got := reported(in, &connect, 0); got != tt.want {
			t.Errorf("beside %q a successful connect is reported: %v, want %v", tt.other, got, tt.want)
		}
	}
}

func TestAnInterestHasNoMoreClausesThanTheKernelTakes(t *testing.T) {
	var conditions []string
	for i := range 400 {
		conditions = append(conditions, fmt.Sprintf("evt.type in (openat, %s) and proc.name = p%d and fd.name startswith /d%d/",
			pickType(i), i, i))
	}
	in, _ := derive(t, conditions...)
	if n := len(in.Clauses); n == 0 || n > probe.MaxClauses {
		t.Errorf("there are %d clauses, want 1 to %d", n, probe.MaxClauses)
	}
}

func pickType(i int) string {
	types := syscalls.EventTypes()
	return types[1+i%(len(types)-1)]
}

func TestAJudgeKnowsWhatAProcessCannotDo(t *testing.T) {
	in, judge := derive(t,
		"evt.type = openat and proc.name = ssh and fd.name = /a",
		"evt.type = openat and container.id != host and fd.name = /b",
		"evt.type = connect and fd.sport = 22",
	)
	source := syscalls.New(syscalls.Options{})
	makeProcesses(source)
	cannot := func(place int) string {
		rec := probe.Record{Kind: probe.KindOpenat, PID: int32(firstPID + place), Path: "/c", PathValid: true}
		mask := judge.Cannot(source.Event(&rec))
		var names []string
		for i, c := range in.Clauses {
			if mask>>i&1 != 0 {
				names = append(names, c.Paths.Equal[0])
			}
		}
		return strings.Join(names, " ")
	}
	for place, want := range []string{"/b", "/a /b", "/a", "/a", ""} {
		if got := cannot(place); got != want {
			t.Errorf("process %d: it cannot match clauses of %q, want %q", place, got, want)
		}
	}
	if !judge.Concerns(probe.KindOpenat) || judge.Concerns(probe.KindConnect) || judge.Concerns(9999) {
		t.Error("verdicts concern opens, and nothing else")
	}
	rec := probe.Record{Kind: probe.KindOpenat, PID: firstPID, Path: "/c", PathValid: true}
	event := source.Event(&rec)
	if n := testing.AllocsPerRun(100, func() { judge.Cannot(event) }); n != 0 {
		t.Errorf("a verdict allocates %v times", n)
	}
}

func BenchmarkFrom(b *testing.B) {
	rs := load(b, upstreamFiles(b, "falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml")...)
	b.ReportAllocs()
	for b.Loop() {
		interest.From(rs)
	}
}

func BenchmarkVerdict(b *testing.B) {
	_, judge := interest.From(load(b, upstreamFiles(b, "falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml")...))
	source := syscalls.New(syscalls.Options{})
	makeProcesses(source)
	event := source.Event(&probe.Record{Kind: probe.KindOpenat, PID: firstPID, Path: "/c", PathValid: true})
	b.ReportAllocs()
	for b.Loop() {
		judge.Cannot(event)
	}
}
