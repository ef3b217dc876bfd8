package rules_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/rules"
)

// occurrence is an event of the tests: its fields by name, with argument where they have
// one.
type occurrence map[string]fields.Value

// extracted counts extractions, to show how often a field is asked for.
var extracted = map[string]int{}

func field(name string, typ fields.Type, change ...func(*fields.Field)) fields.Field {
	f := fields.Field{Name: name, Type: typ, Doc: name}
	f.Extract = func(ev any, arg fields.Arg) fields.Value {
		key := name
		switch {
		case arg.Given && arg.Key != "":
			key += "[" + arg.Key + "]"
		case arg.Given:
			key += "[" + string(rune('0'+arg.Index)) + "]"
		}
		extracted[key]++
		return ev.(occurrence)[key]
	}
	for _, c := range change {
		c(&f)
	}
	return f
}

func isList(f *fields.Field)  { f.List = true }
func isAnyOf(f *fields.Field) { f.AnyOf, f.List = true, true }
func noUse(f *fields.Field)   { f.NoRHS, f.NoTransform = true, true }

func takes(kind fields.ArgKind) func(*fields.Field) {
	return func(f *fields.Field) { f.Arg = kind }
}

var testTypes = []string{"unknown", "open", "openat", "openat2", "execve", "execveat", "connect", "close", "read"}

// testRegistry has one field of each kind.
func testRegistry() *fields.Registry {
	r := fields.NewRegistry("syscall", []fields.Field{
		field("evt.type", fields.String),
		field("syscall.type", fields.String),
		field("evt.num", fields.Uint),
		field("evt.time", fields.Time, func(f *fields.Field) {
			f.Format = func(v fields.Value) string {
				return time.Unix(0, int64(v.Num)).UTC().Format("15:04:05.000000000")
			}
		}),
		field("evt.rawres", fields.Int),
		field("evt.res", fields.String),
		field("evt.is_open_write", fields.Bool),
		field("evt.buffer", fields.Bytes),
		field("evt.dir", fields.String, func(f *fields.Field) { f.Deprecated = "there are no enter events" }),
		field("evt.arg.flags", fields.String),
		field("proc.name", fields.String),
		field("proc.pname", fields.String),
		field("proc.cmdline", fields.String),
		field("proc.args", fields.String),
		field("proc.arglist", fields.String, isList),
		field("proc.numbers", fields.Uint, isList),
		field("proc.exepath", fields.Path),
		field("proc.duration", fields.Duration),
		field("proc.tty", fields.Int),
		field("proc.env", fields.String, takes(fields.OptionalKeyArg)),
		field("proc.aname", fields.String, isAnyOf, noUse, takes(fields.OptionalIndexArg), func(f *fields.Field) {
			f.NotEqualAny = true
			f.CheckArg = func(a fields.Arg) error {
				if a.Index > 50 {
					return errors.New("there are no more than 50 ancestors")
				}
				return nil
			}
		}),
		field("evt.arg", fields.String, takes(fields.IndexArg)),
		field("jevt.value", fields.String, takes(fields.KeyArg)),
		field("user.name", fields.String),
		field("user.uid", fields.Uint),
		field("user.loginuid", fields.Int),
		field("fd.name", fields.Path),
		field("fd.directory", fields.Path),
		field("fd.num", fields.Int),
		field("fd.typechar", fields.String),
		field("fd.sip", fields.IP),
		field("fd.cip", fields.IP),
		field("fd.ip", fields.IP, isAnyOf, noUse),
		field("fd.snet", fields.Net, noUse),
		field("fd.net", fields.Net, isAnyOf, noUse),
		field("fd.sport", fields.Port),
		field("fd.port", fields.Port, isAnyOf, noUse),
		field("fd.sip.name", fields.String, noUse, func(f *fields.Field) { f.Resolves = true }),
		field("container.id", fields.String),
		field("container.name", fields.String),
		field("container.image.repository", fields.String),
		field("container.image.tag", fields.String),
		field("k8s.pod.name", fields.String),
		field("k8s.ns.name", fields.String),
	})
	r.EventTypes = testTypes
	r.EventType = func(ev any) int { return slices.Index(testTypes, ev.(occurrence)["evt.type"].Str) }
	r.Resolve = func(host string) func(netip.Addr) bool {
		return func(a netip.Addr) bool { return host == "pool.example" && a == netip.MustParseAddr("203.0.113.5") }
	}
	return r
}

func auditRegistry() *fields.Registry {
	return fields.NewRegistry("k8s_audit", []fields.Field{
		field("ka.verb", fields.String),
		field("ka.target.name", fields.String),
		field("ka.req.pod.containers.image", fields.String, isList),
		field("jevt.value", fields.String, takes(fields.KeyArg)),
		field("jevt.rawtime", fields.String),
	})
}

func testSources() map[string]*fields.Registry {
	return map[string]*fields.Registry{"syscall": testRegistry(), "k8s_audit": auditRegistry()}
}

func texts(ss ...string) fields.Value {
	vs := []fields.Value{}
	for _, s := range ss {
		vs = append(vs, fields.Text(s))
	}
	return fields.Elements(vs)
}

func addrs(ss ...string) fields.Value {
	vs := []fields.Value{}
	for _, s := range ss {
		vs = append(vs, fields.Address(netip.MustParseAddr(s)))
	}
	return fields.Elements(vs)
}

func ports(ns ...uint64) fields.Value {
	vs := []fields.Value{}
	for _, n := range ns {
		vs = append(vs, fields.Unsigned(n))
	}
	return fields.Elements(vs)
}

// shell is bash, started by sshd, that writes a file.
func shell() occurrence {
	return occurrence{
		"evt.type":          fields.Text("openat"),
		"syscall.type":      fields.Text("openat"),
		"evt.num":           fields.Unsigned(7),
		"evt.time":          fields.Unsigned(1_700_000_000_123_456_789),
		"evt.rawres":        fields.Signed(-2),
		"evt.res":           fields.Text("ENOENT"),
		"evt.is_open_write": fields.Boolean(true),
		"evt.buffer":        fields.Text("\xca\xfe\xba\xbe\x00GET /"),
		"evt.arg.flags":     fields.Text("O_CREAT|O_WRONLY"),
		"evt.arg[0]":        fields.Text("zero"),
		"proc.name":         fields.Text("bash"),
		"proc.cmdline":      fields.Text("bash -c Echo"),
		"proc.args":         fields.Text(""),
		"proc.arglist":      texts("-n", "-tfile", "-x", "--long", "rest"),
		"proc.numbers":      ports(1, 2),
		"proc.exepath":      fields.Text("/usr/bin/bash"),
		"proc.duration":     fields.Unsigned(5_000_000_000),
		"proc.tty":          fields.Signed(34816),
		"proc.env":          fields.Text("A=b"),
		"proc.env[A]":       fields.Text("b"),
		"proc.aname":        texts("sshd", "systemd"),
		"proc.aname[2]":     fields.Text("systemd"),
		"user.name":         fields.Text("<NA>"),
		"user.uid":          fields.Unsigned(1000),
		"user.loginuid":     fields.Signed(-1),
		"fd.name":           fields.Text("/etc/ssh/sshd_config"),
		"fd.directory":      fields.Text("/etc/ssh"),
		"fd.num":            fields.Signed(-1),
		"fd.typechar":       fields.Text("f"),
		"fd.sip":            fields.Address(netip.MustParseAddr("203.0.113.5")),
		"fd.cip":            fields.Address(netip.MustParseAddr("2001:db8::1")),
		"fd.ip":             addrs("10.1.2.3", "192.0.2.1"),
		"fd.snet":           fields.Address(netip.MustParseAddr("10.1.2.3")),
		"fd.net":            addrs("10.1.2.3", "192.0.2.1"),
		"fd.sport":          fields.Unsigned(22),
		"fd.port":           ports(22, 50000),
		"fd.sip.name":       {Valid: true, Addr: netip.MustParseAddr("203.0.113.5")},
		"container.id":      fields.Text("host"),
		"container.name":    fields.Text("host"),
	}
}

func yamlRule(condition string) string {
	return "- rule: R\n  desc: d\n  condition: |\n    " + strings.ReplaceAll(condition, "\n", "\n    ") +
		"\n  output: o\n  priority: NOTICE\n  warn_evttypes: false\n"
}

func load(tb testing.TB, opts rules.Options, contents ...string) (*rules.Ruleset, *rules.Report, error) {
	tb.Helper()
	files := make([]rules.File, len(contents))
	for i, c := range contents {
		name := "rules.yaml"
		if i > 0 {
			name = "rules" + string(rune('1'+i)) + ".yaml"
		}
		files[i] = rules.File{Name: name, Content: []byte(c)}
	}
	return rules.Load(files, testSources(), opts)
}

func mustLoad(tb testing.TB, opts rules.Options, contents ...string) *rules.Ruleset {
	tb.Helper()
	rs, _, err := load(tb, opts, contents...)
	if err != nil {
		tb.Fatal(err)
	}
	return rs
}

// matches names the rules that ev matches.
func matches(rs *rules.Ruleset, ev occurrence) []string {
	var names []string
	for _, m := range rs.NewEvaluator("syscall").Evaluate(ev) {
		names = append(names, m.Rule.Name)
	}
	return names
}

// unsafeString returns a string that changes with b, as those of a ring buffer's records do.
func unsafeString(b []byte) string { return unsafe.String(&b[0], len(b)) }
