package interest_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/interest"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/rules"
)

// The proof obligation of the whole package: a call is dropped only if no rule matches it.
// Conditions are made at random of all fields there are, among them many that the kernel
// cannot test and many that have no value, and held against random records.
func TestWhatARuleMatchesIsNeverDropped(t *testing.T) {
	sets, records := 800, 60
	if testing.Short() {
		sets = 150
	}
	rng := rand.New(rand.NewPCG(20, 4))
	g := conditions{Rand: rng, registry: syscalls.NewRegistry(nil)}
	var matched, narrowed, judged int
	for n := range sets {
		var content strings.Builder
		count := 1 + rng.IntN(4)
		if n%100 == 0 {
			count = 150 // more than there is room for
		}
		for i := range count {
			fmt.Fprintf(&content, "- rule: R%d\n  desc: d\n  condition: >-\n    %s\n  output: o\n  priority: NOTICE\n", i, g.rule())
		}
		rs, err := g.load(content.String())
		if err != nil {
			t.Fatalf("set %d: %v\n%s", n, err, content.String())
		}
		in, judge := interest.From(rs)
		if len(in.Clauses) > probe.MaxClauses {
			t.Fatalf("set %d has %d clauses", n, len(in.Clauses))
		}
		h := newHolder(rs, in, judge)
		for range records {
			if err := h.hold(randomRecord(rng)); err != nil {
				t.Fatalf("set %d: %v\n%s", n, err, content.String())
			}
		}
		matched, narrowed, judged = matched+h.matched, narrowed+h.dropped, judged+h.judged
	}
	t.Logf("%d events matched, %d were dropped, %d had a verdict", matched, narrowed, judged)
	if matched < sets || narrowed < sets || judged < sets {
		t.Errorf("only %d events matched, %d were dropped and %d had a verdict: the test proves little", matched, narrowed, judged)
	}
}

// The same for every comparison on its own, which a larger condition would often hide.
func TestNoComparisonDropsWhatItMatches(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	g := conditions{Rand: rng, registry: syscalls.NewRegistry(nil)}
	if testing.Short() {
		t.Skip("it takes several seconds")
	}
	const types = "evt.type in (open,openat,creat,connect,accept,socket,sendto,bind,dup,execve,execveat,unlink,rename)"
	operators := []string{"=", "!=", "in", "startswith", "endswith", "contains", "glob", "pmatch", "<", ">="}
	// Loading a rule takes most of the time: every third is taken, and all in a long run.
	every, least := 3, 3000
	if os.Getenv("SAKER_SOAK") != "" {
		every, least = 1, 10000
	}
	matched, n := 0, 0
	for _, f := range pushed {
		for name := range strings.FieldsSeq(f.names) {
			for _, operator := range operators {
				for _, value := range f.values {
					value = strings.Trim(value, `"`)
					for _, not := range []string{"", "not "} {
						if n++; n%every != 0 {
							continue
						}
						right := fmt.Sprintf("%q", value)
						switch operator {
						case "in", "pmatch":
							right = "(" + right + ")"
						case "<", ">=":
							right = value
						}
						rule := fmt.Sprintf("- rule: R\n  desc: d\n  condition: >-\n    %s and %s%s %s %s\n  output: o\n  priority: NOTICE\n", types, not, name, operator, right)
						rs, err := g.load(rule)
						if err != nil {
							continue // the field does not take the operator
						}
						in, judge := interest.From(rs)
						h := newHolder(rs, in, judge)
						for range 40 {
							if err := h.hold(randomRecord(rng)); err != nil {
								t.Fatalf("%v\n%s", err, rule)
							}
						}
						matched += h.matched
					}
				}
			}
		}
	}
	if matched < least {
		t.Errorf("only %d events matched: the test proves little", matched)
	}
}

// holder holds records against rules and against the interest that was derived from them.
type holder struct {
	in                       probe.Interest
	judge                    *interest.Judge
	source                   *syscalls.Source
	evaluator                *rules.Evaluator
	matched, dropped, judged int
}

func newHolder(rs *rules.Ruleset, in probe.Interest, judge *interest.Judge) *holder {
	h := &holder{
		in: in, judge: judge, source: syscalls.New(syscalls.Options{Hostname: "node"}),
		evaluator: rs.NewEvaluator(syscalls.SourceName),
	}
	makeProcesses(h.source)
	return h
}

// hold returns an error if a rule matches the record and the probe would drop it.
func (h *holder) hold(rec *probe.Record) error {
	event := h.source.Event(rec)
	cannot := h.judge.Cannot(event)
	if cannot != 0 {
		h.judged++
	}
	kept := reported(h.in, rec, cannot)
	if !kept {
		h.dropped++
	}
	if len(h.evaluator.Evaluate(event)) == 0 {
		return nil
	}
	h.matched++
	if kept {
		return nil
	}
	return fmt.Errorf("a call that a rule matches is dropped\ninterest:\n%s\ncannot %x\nrecord: %+v\nfile: %+v",
		interest.Text(h.in, h.judge), cannot, *rec, rec.File)
}

// reported says whether the probe reports a call, by the reference for clauses.
func reported(in probe.Interest, rec *probe.Record, cannot uint64) bool {
	if !slices.Contains(in.Kinds, rec.Kind) {
		return false
	}
	some := false
	for i, c := range in.Clauses {
		if !slices.Contains(c.Kinds, rec.Kind) {
			continue
		}
		some = true
		if c.Judged && cannot>>i&1 != 0 {
			continue
		}
		if c.Holds(rec) {
			return true
		}
	}
	return !some
}

// conditions makes random conditions.
type conditions struct {
	*rand.Rand
	registry *fields.Registry
	// steady leaves out fields that depend on the moment or on which other events there were.
	steady bool
}

func (g conditions) load(content string) (*rules.Ruleset, error) {
	rs, _, err := rules.Load([]rules.File{{Name: "random.yaml", Content: []byte(content)}},
		map[string]*fields.Registry{syscalls.SourceName: g.registry}, rules.Options{All: g.IntN(2) == 0})
	return rs, err
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// typeSets are the event types that rules ask for together.
var typeSets = []string{
	"evt.type in (open,openat,openat2)", "evt.type in (open,openat,openat2,creat)", "evt.type=openat",
	"evt.type=creat", "evt.type=open", "evt.type=connect", "evt.type in (accept,accept4)", "evt.type in (sendto,recvfrom)",
	"evt.type in (dup,dup2,dup3)", "evt.type=socket", "evt.type in (bind,listen)", "evt.type=execve",
	"evt.type in (execve,execveat)", "evt.type in (unlink,rename,chdir)", "evt.type in (openat,connect,unlink,socket)",
	"not evt.type in (execve,connect,dup)", "syscall.type in (openat,dup)", "evt.type exists",
}

func (g conditions) rule() string {
	return fmt.Sprintf("%s and %s", pick(g.Rand, typeSets), g.expression(3))
}

func (g conditions) expression(depth int) string {
	if depth == 0 || g.IntN(3) == 0 {
		return g.comparison()
	}
	parts := make([]string, 2+g.IntN(2))
	for i := range parts {
		parts[i] = g.expression(depth - 1)
	}
	joined := "(" + strings.Join(parts, pick(g.Rand, []string{" and ", " and ", " or "})) + ")"
	if g.IntN(4) == 0 {
		return "not " + joined
	}
	return joined
}

// pushed are fields that the kernel's filter is about, with what they are compared with.
var pushed = []struct {
	names  string
	values []string
	texts  bool // takes operators on text too
}{
	{"evt.failed evt.is_open_read evt.is_open_write evt.is_open_exec evt.is_open_create fd.is_server", []string{"true", "false"}, false},
	{"evt.rawres fd.num evt.rawarg.res", []string{"0", "1", "2", "-1", "3", "-115", "-2", "7"}, false},
	{"evt.res", []string{"SUCCESS", "ENOENT", "EINPROGRESS", "EACCES", "E", "EAGAIN", "-5000"}, true},
	{"fd.type", []string{"file", "directory", "ipv4", "ipv6", "unix", "<NA>", "netlink"}, true},
	{"fd.typechar", []string{"f", "d", "4", "6", "u", "o", "n"}, true},
	{"fd.l4proto", []string{"tcp", "udp", "raw", "icmp", "<NA>"}, true},
	{"fd.sockfamily", []string{"ip", "unix"}, true},
	{"fd.ip fd.sip fd.cip fd.rip fd.lip", []string{"127.0.0.1", "10.1.2.3", `"::1"`}, false},
	{"fd.port fd.sport fd.cport fd.rport", []string{"22", "443", "40000", "0"}, false},
	{"fd.sproto fd.cproto", []string{`"22"`, `"443"`}, true},
	{"evt.arg.flags", []string{"O_TRUNC", "O_CREAT", "O_RDONLY", "O_WRONLY", "O_RDWR", "O_EXCL", "O_F_CREATED", "EXE"}, true},
	{"evt.arg.domain", []string{"AF_INET", "AF_UNIX", "AF_PACKET", "6", "AF_"}, true},
	{
		"fd.name fd.directory fd.filename fd.nameraw evt.arg.name evt.rawarg.name evt.abspath fs.path.name fs.path.nameraw evt.arg.path",
		[]string{
			"/", "/etc", "/etc/", "/etc/passwd", "passwd", "etc", ".", "..", "../", "./", "/.", "ssh", ".ssh", "/home/u", "u/.ssh",
			"/root/.ssh/id_rsa", "", "/proc", "<NA>", "<UNKNOWN>", "id_", "/e", "//", "log", "/x", "etc/passwd", "rsa", "a",
		},
		true,
	},
	{"proc.name proc.exe proc.cmdline proc.args proc.exepath proc.env[A]", []string{"ssh", "nginx", "", "/usr/bin/ssh", "-v", "sshd", "b"}, true},
	{"container.id container.type", []string{"host", "0123456789ab", "docker"}, true},
	{"user.loginuid proc.tty proc.vpid proc.cmdnargs", []string{"-1", "0", "1000", "1"}, false},
	{"proc.pname proc.aname user.name thread.cap_effective proc.cwd", []string{"ssh", "systemd", "root", "<NA>", "CAP"}, true},
	{"user.uid thread.tid proc.ppid proc.sid", []string{"0", "1000", "1"}, false},
}

func (g conditions) comparison() string {
	s := g.positive()
	if g.IntN(3) == 0 {
		return "not " + s
	}
	return s
}

func (g conditions) positive() string {
	if !g.steady && g.IntN(6) == 0 {
		return g.anyField()
	}
	f := pick(g.Rand, pushed)
	name := pick(g.Rand, strings.Fields(f.names))
	known, _ := g.registry.Lookup(strings.TrimSuffix(name, "[A]"))
	numeric := slices.Contains([]fields.Type{fields.Int, fields.Uint, fields.Port}, known.Type)
	value := func() string {
		v := pick(g.Rand, f.values)
		if strings.HasPrefix(v, `"`) {
			return v
		}
		return `"` + v + `"`
	}
	list := func() string {
		values := make([]string, 1+g.IntN(4))
		for i := range values {
			values[i] = value()
		}
		return "(" + strings.Join(values, ",") + ")"
	}
	switch g.IntN(8) {
	case 0:
		return name + " exists"
	case 1, 2:
		return name + " in " + list()
	case 3:
		if !known.NoTransform && known.Arg == fields.NoArg && g.IntN(3) == 0 && f.texts {
			return "tolower(" + name + ") = " + value()
		}
		return name + " != " + value()
	case 4, 5:
		switch {
		case f.texts:
			op := pick(g.Rand, []string{"startswith", "endswith", "contains", "icontains", "glob", "iglob"})
			if strings.HasSuffix(op, "glob") {
				return name + " " + op + ` "` + pick(g.Rand, []string{"*", ""}) + strings.Trim(value(), `"`) + pick(g.Rand, []string{"*", "?", ""}) + `"`
			}
			if g.IntN(4) == 0 {
				return name + " " + op + " " + pick(g.Rand, []string{"anyof", "allof", "oneof"}) + " " + list()
			}
			return name + " " + op + " " + value()
		case numeric:
			return name + " " + pick(g.Rand, []string{"<", "<=", ">", ">="}) + " " + strings.Trim(value(), `"`)
		}
	case 6:
		if f.texts {
			return name + " pmatch " + list()
		}
	}
	return name + " = " + value()
}

// anyField compares any field of the registry.
func (g conditions) anyField() string {
	for {
		f := pick(g.Rand, g.registry.All())
		name := f.Name
		switch f.Arg {
		case fields.IndexArg:
			name += "[1]"
		case fields.KeyArg:
			name += "[1]"
		}
		if f.Deprecated != "" || strings.HasPrefix(name, "evt.type") || f.Name == "syscall.type" || f.List && !f.AnyOf {
			continue
		}
		if g.IntN(2) == 0 {
			return name + " exists"
		}
		switch {
		case f.Resolves:
			return name + " = localhost"
		case f.Type == fields.String || f.Type == fields.Path:
			return name + " " + pick(g.Rand, []string{"=", "!=", "startswith", "contains"}) + ` "` + pick(g.Rand, []string{"0", "<NA>", "a", "", "/"}) + `"`
		case f.Type == fields.Bool:
			return name + " = true"
		case f.Type == fields.Int, f.Type == fields.Uint, f.Type == fields.Port:
			return name + " " + pick(g.Rand, []string{"=", "!=", "<", ">="}) + " 1"
		}
	}
}
