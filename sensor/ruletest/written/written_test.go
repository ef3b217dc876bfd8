package written_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/saker-security/saker/event"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/ruletest/written"
)

var registry = written.Registry(syscalls.NewRegistry(nil))

func read(tb testing.TB, text string) (*written.Event, error) {
	tb.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		tb.Fatal(err)
	}
	r := written.Reader{File: "t.yaml", Fields: registry}
	return r.Event(doc.Content[0], nil, 1)
}

// show is a value as text, <NA> for null.
func show(name string, v fields.Value) string {
	base, _, _ := strings.Cut(name, "[")
	f, ok := registry.Lookup(base)
	switch {
	case !ok:
		return "no such field"
	case !v.Valid:
		return "<NA>"
	case v.List != nil:
		var parts []string
		for _, e := range v.List {
			parts = append(parts, show(name, e))
		}
		return strings.Join(parts, " ")
	}
	switch f.Type {
	case fields.String, fields.Path, fields.Bytes:
		return v.Str
	case fields.Bool:
		return strconv.FormatBool(v.Num != 0)
	case fields.Int:
		return strconv.FormatInt(int64(v.Num), 10)
	case fields.IP, fields.Net:
		return v.Addr.String()
	}
	return strconv.FormatUint(v.Num, 10)
}

func TestWhatIsNotGivenFollowsFromWhatIs(t *testing.T) {
	for _, c := range []struct {
		name, event string
		want        map[string]string
	}{
		{"an open", `{evt.type: openat, fd.name: /etc/cron.d/x}`, map[string]string{
			"fd.num": "3", "fd.typechar": "f", "fd.type": "file", "fd.directory": "/etc/cron.d", "fd.filename": "x",
			"fs.path.name": "/etc/cron.d/x", "evt.abspath": "/etc/cron.d/x", "evt.arg.name": "/etc/cron.d/x", "evt.rawres": "3",
			"evt.res": "SUCCESS", "evt.failed": "false", "evt.is_open_write": "false", "syscall.type": "openat",
			"evt.category": "file", "evt.source": "syscall", "evt.num": "1", "evt.type.is.openat": "1", "evt.type.is.open": "0",
		}},
		{"an open that fails", `{evt.type: open, fd.name: /x, evt.res: ENOENT}`, map[string]string{
			"fd.num": "-1", "evt.rawres": "-2", "evt.failed": "true", "fd.type": "<NA>", "fd.filename": "<NA>", "evt.count.error": "1",
		}},
		{"a result by its number", `{evt.type: unlink, evt.rawres: -13}`, map[string]string{
			"evt.res": "EACCES", "evt.failed": "true",
		}},
		{"a failure without its reason", `{evt.type: unlink, evt.failed: true}`, map[string]string{
			"evt.res": "EPERM", "evt.rawres": "-1",
		}},
		{"a file that is removed", `{evt.type: unlinkat, fs.path.name: /var/log/auth.log}`, map[string]string{
			"evt.abspath": "/var/log/auth.log", "fs.path.nameraw": "/var/log/auth.log", "fd.name": "<NA>", "fd.num": "<NA>",
		}},
		{"a path by its argument", `{evt.type: mkdir, evt.arg.path: /a}`, map[string]string{"fs.path.name": "/a"}},
		{"a rename", `{evt.type: rename, fs.path.source: /a, fs.path.target: /b}`, map[string]string{
			"evt.arg.oldpath": "/a", "evt.arg.newpath": "/b", "evt.abspath.src": "/a", "evt.abspath.dst": "/b",
		}},
		{"a hard link", `{evt.type: linkat, evt.arg.oldpath: /etc/shadow, evt.arg.newpath: /tmp/x}`, map[string]string{
			"fs.path.target": "/etc/shadow", "fs.path.source": "/tmp/x",
		}},
		{"a symbolic link that fails", `{evt.type: symlink, evt.arg.target: /a, evt.arg.linkpath: /b, evt.res: EEXIST}`, map[string]string{
			"fs.path.target": "<NA>", "fs.path.source": "<NA>",
		}},
		{"a folder", `{evt.type: open, fd.name: /etc, fd.type: directory}`, map[string]string{
			"fd.typechar": "d", "fd.directory": "/etc", "fd.filename": "<NA>",
		}},
		{"a connection by its name", `{evt.type: connect, fd.name: "10.0.0.5:41000->192.0.2.7:443"}`, map[string]string{
			"fd.cip": "10.0.0.5", "fd.cport": "41000", "fd.sip": "192.0.2.7", "fd.sport": "443", "fd.rip": "192.0.2.7",
			"fd.lip": "10.0.0.5", "fd.rport": "443", "fd.ip": "10.0.0.5 192.0.2.7", "fd.port": "41000 443", "fd.snet": "192.0.2.7",
			"fd.typechar": "4", "fd.type": "ipv4", "fd.l4proto": "tcp", "fd.sproto": "443", "fd.sockfamily": "ip",
			"fd.is_server": "false", "fd.connected": "true", "fd.directory": "<NA>",
		}},
		{"a connection by its ends", `{evt.type: connect, fd.rip: "2001:db8::1", fd.sport: 22, fd.lip: "2001:db8::2", fd.cport: 4000, fd.l4proto: udp}`, map[string]string{
			"fd.name": "2001:db8::2:4000->2001:db8::1:22", "fd.sip": "2001:db8::1", "fd.typechar": "6", "fd.l4proto": "udp",
		}},
		{"a connection of which one end is known", `{evt.type: connect, fd.sip: 192.0.2.7, fd.sport: 80}`, map[string]string{
			"fd.name": "192.0.2.7:80", "fd.ip": "192.0.2.7", "fd.port": "80", "fd.cip": "<NA>",
		}},
		{"a connection that is accepted", `{evt.type: accept4, fd.rip: 198.51.100.1, fd.lport: 22}`, map[string]string{
			"fd.cip": "198.51.100.1", "fd.sport": "22", "fd.is_server": "true",
		}},
		{"loopback", `{evt.type: connect, fd.name: "127.0.0.1:1->127.0.0.1:2"}`, map[string]string{"fd.lport": "2", "fd.rport": "1"}},
		{"a unix socket", `{evt.type: connect, fd.name: /run/docker.sock}`, map[string]string{
			"fd.typechar": "u", "fd.type": "unix", "fd.directory": "<NA>", "fd.l4proto": "<NA>",
		}},
		{"a program by its command line", `{evt.type: execve, proc.cmdline: "sh -c id"}`, map[string]string{
			"proc.name": "sh", "proc.args": "-c id", "proc.args[1]": "id", "proc.args[2]": "", "proc.cmdnargs": "2",
			"proc.cmdlenargs": "4", "proc.exeline": "sh -c id", "proc.exe": "sh", "proc.tty": "0",
		}},
		{"a program by its path", `{evt.type: execve, proc.exepath: /usr/bin/a-very-long-program, proc.args: -x}`, map[string]string{
			"proc.name": "a-very-long-pro", "proc.cmdline": "a-very-long-pro -x", "proc.exeline": "/usr/bin/a-very-long-program -x",
		}},
		{"a program without arguments", `{evt.type: execve, proc.name: id}`, map[string]string{
			"proc.cmdline": "id", "proc.args": "", "proc.is_exe_writable": "false",
		}},
		{"ancestors", `{evt.type: execve, proc.name: sh, proc.aname: [nginx, systemd]}`, map[string]string{
			"proc.pname": "nginx", "proc.aname[0]": "sh", "proc.aname[1]": "nginx", "proc.aname[2]": "systemd", "proc.aname[3]": "<NA>",
		}},
		{"a parent", `{evt.type: execve, proc.pname: nginx, proc.ppid: 7}`, map[string]string{
			"proc.aname": "nginx", "proc.aname[1]": "nginx", "proc.apid[1]": "7",
		}},
		{"ancestors one by one", `{evt.type: execve, "proc.aname[1]": a, "proc.aname[2]": b, "proc.aname[4]": d}`, map[string]string{
			"proc.aname": "a b", "proc.pname": "a", "proc.aname[3]": "<NA>",
		}},
		{"a parent by its command line", `{evt.type: execve, proc.pcmdline: "nginx -g x"}`, map[string]string{"proc.pname": "nginx"}},
		{"root", `{evt.type: setuid, user.name: root}`, map[string]string{"user.uid": "0", "user.loginuid": "-1"}},
		{"root by number", `{evt.type: setuid, user.uid: 0}`, map[string]string{"user.name": "root"}},
		{"the host", `{evt.type: setuid}`, map[string]string{
			"container.id": "host", "container.name": "host", "container.type": "host", "container.privileged": "false",
		}},
		{"a container without id", `{evt.type: setuid, container.image: "registry:5000/web:1.2@sha256:00"}`, map[string]string{
			"container.id": "c0ffee5a8e12", "container.image.repository": "registry:5000/web", "container.image.tag": "1.2",
			"container.name": "<NA>",
		}},
		{"an image by its parts", `{evt.type: setuid, container.id: abc, container.image.repository: web, container.image.tag: v1}`, map[string]string{
			"container.image": "web:v1", "container.full_id": "abc",
		}},
		{"a pod", `{evt.type: setuid, k8s.ns.name: prod}`, map[string]string{"container.id": "c0ffee5a8e12"}},
		{"null on purpose", `{evt.type: execve, proc.cmdline: sh -i, proc.name: ~, container.id: ~}`, map[string]string{
			"proc.name": "<NA>", "container.id": "<NA>",
		}},
		{"the end of a process", `{evt.type: procexit}`, map[string]string{
			"evt.res": "<NA>", "evt.rawres": "<NA>", "syscall.type": "<NA>",
		}},
		{"a time", `{evt.type: open, evt.time: 2026-01-31T12:00:00.5Z}`, map[string]string{
			"evt.rawtime.s": "1769860800", "evt.rawtime.ns": "500000000",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := read(t, c.event)
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range c.want {
				if got := show(name, e.Field(name)); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestEveryFieldOfAnEventCanBeAskedForInAnyOrder(t *testing.T) {
	const text = `{evt.type: connect, fd.name: "10.0.0.5:41000->192.0.2.7:443", proc.cmdline: "sh -i", proc.aname: [a, b], container.image: "a:b"}`
	forward, err := read(t, text)
	if err != nil {
		t.Fatal(err)
	}
	backward, err := read(t, text)
	if err != nil {
		t.Fatal(err)
	}
	all := registry.All()
	found := map[string]string{}
	for _, f := range all {
		found[f.Name] = show(f.Name, forward.Field(f.Name))
	}
	for i := range all {
		name := all[len(all)-1-i].Name
		if got := show(name, backward.Field(name)); got != found[name] {
			t.Errorf("%s is %q when it is asked for late, %q when early", name, found[name], got)
		}
	}
}

func TestMistakesHaveTheirPlaceAndSayWhatIsRight(t *testing.T) {
	for _, c := range []struct{ event, want string }{
		{`{evt.typ: open}`, `t.yaml:1:2: unknown field "evt.typ" (did you mean "evt.type"?)`},
		{`{evt.type: opn}`, `t.yaml:1:12: unknown event type "opn" (did you mean "open"?)`},
		{`{evt.type: page_fault}`, `t.yaml:1:12: events of type "page_fault" are not watched, so no rule can match one`},
		{`{fd.num: 3}`, `t.yaml:1:1: the event has no evt.type`},
		{`{evt.type: open, fd.num: three}`, `t.yaml:1:26: fd.num: must be a whole number, not "three"`},
		{`{evt.type: open, fd.sport: 70000}`, `t.yaml:1:28: fd.sport: must be a port number, not "70000"`},
		{`{evt.type: open, fd.sip: localhost}`, `t.yaml:1:26: fd.sip: must be an address, not "localhost"`},
		{`{evt.type: open, evt.failed: perhaps}`, `t.yaml:1:30: evt.failed: must be true or false, not "perhaps"`},
		{`{evt.type: open, evt.time: noon}`, `must be a time such as 2026-01-31T12:00:00Z or a number of nanoseconds, not "noon"`},
		{`{evt.type: open, proc.duration: long}`, `must be a duration such as 5s or a number of nanoseconds, not "long"`},
		{`{evt.type: open, proc.name: [a]}`, `t.yaml:1:29: proc.name: must be text, not a list`},
		{`{evt.type: open, proc.name: {a: b}}`, `proc.name: must be text, not a mapping`},
		{`{evt.type: open, "proc.name[1]": a}`, `field "proc.name" takes no argument`},
		{`{evt.type: open, "proc.aname[x]": a}`, `field "proc.aname" takes a number as its argument, not "x"`},
		{`{evt.type: open, evt.arg: a}`, `field "evt.arg" lacks its argument in brackets`},
		{`{evt.type: open, evt.type: close}`, `t.yaml:1:18: the key "evt.type" is there twice`},
		{`[evt.type]`, `t.yaml:1:1: must be a mapping`},
		{`{evt.type: open, evt.buffer: !!binary "*"}`, `evt.buffer: is not base64`},
	} {
		_, err := read(t, c.event)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want %s", c.event, err, c.want)
		}
	}
	_, err := read(t, `{evt.typ: open, fd.nam: x}`)
	if err == nil || strings.Count(err.Error(), "did you mean") != 2 {
		t.Errorf("not all mistakes are told at once: %v", err)
	}
}

func TestValuesAreReadByTheTypeOfTheField(t *testing.T) {
	e, err := read(t, `{evt.type: sendto, evt.buffer: !!binary yv66vg==, proc.duration: 2m, fd.num: 0x10, proc.name: 007}`)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Field("evt.buffer").Str; got != "\xca\xfe\xba\xbe" {
		t.Errorf("the buffer is %q", got)
	}
	if got := e.Field("proc.duration").Num; got != uint64(2*time.Minute) {
		t.Errorf("the duration is %d", got)
	}
	if got := e.Field("fd.num").Num; got != 16 {
		t.Errorf("the descriptor is %d", got)
	}
	if got := e.Field("proc.name").Str; got != "007" {
		t.Errorf("the name is %q: it is text as it was written", got)
	}
}

func TestMergesAndAliasesAreFollowed(t *testing.T) {
	const text = `
base: &base {evt.type: open, proc.name: cat, user.name: root}
more: &more {proc.name: dog}
event: {<<: [*base, *more], user.name: eve}
`
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	pairs, err := written.Pairs("t.yaml", doc.Content[0])
	if err != nil {
		t.Fatal(err)
	}
	r := written.Reader{File: "t.yaml", Fields: registry}
	e, err := r.Event(pairs[2].Value, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	if name, user := e.Field("proc.name").Str, e.Field("user.name").Str; name != "cat" || user != "eve" {
		t.Errorf("name %q, user %q", name, user)
	}
}

func TestADocumentThatIsLargeOnceItsAliasesAreWrittenOutIsRefused(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	for name, text := range map[string]string{
		"a bomb": b.String(), "a loop": "a: &a {b: *a}", "deep": strings.Repeat("[", 300) + strings.Repeat("]", 300),
	} {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			continue // refused as well
		}
		if err := written.Check("t.yaml", &doc); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestHostNamesNeedNoResolver(t *testing.T) {
	e, err := read(t, `{evt.type: connect, fd.sip.name: pool.example}`)
	if err != nil {
		t.Fatal(err)
	}
	v := e.Field("fd.sip.name")
	if v.Str != "pool.example" || !registry.Resolve("pool.example")(v.Addr) || registry.Resolve("other.example")(v.Addr) {
		t.Errorf("the name is %+v", v)
	}
	if !registry.Resolve("192.0.2.7")(netip.MustParseAddr("192.0.2.7")) {
		t.Error("an address is not its own name")
	}
}

func TestOfAnAlertOnlyItsFieldsAreKnown(t *testing.T) {
	alert := &event.Event{Time: time.Unix(5, 0), Fields: []event.Field{
		{Name: "fd.name", Value: event.StringValue("/etc/x")},
		{Name: "proc.aname[2]", Value: event.StringValue("sshd")},
		{Name: "proc.pname", Value: event.Value{}},
		{Name: "user.uid", Value: event.NumberValue("0")},
		{Name: "custom", Value: event.StringValue("x")},
	}}
	e := written.Of(alert, registry)
	for name, want := range map[string]bool{
		"fd.name": true, "fd.directory": true, "proc.aname[2]": true, "proc.pname": true, "user.name": true, "evt.time": true,
		"evt.type": false, "evt.res": false, "container.id": false, "proc.name": false, "custom": false,
	} {
		if e.Known(name) != want {
			t.Errorf("%s is known: %v", name, !want)
		}
	}
}

func FuzzEvent(f *testing.F) {
	for _, s := range []string{
		`{evt.type: open, fd.name: /x, proc.aname: [a, b]}`, `{<<: {evt.type: open}, proc.cmdline: a b}`,
		`{evt.type: connect, fd.name: "1.2.3.4:5->[::1]:6"}`, `{evt.type: x, evt.buffer: !!binary AA==}`, `a: &a [*a]`,
	} {
		f.Add(s)
	}
	all := registry.All()
	f.Fuzz(func(_ *testing.T, text string) {
		var doc yaml.Node
		if yaml.Unmarshal([]byte(text), &doc) != nil || doc.Kind != yaml.DocumentNode || written.Check("t", &doc) != nil {
			return
		}
		r := written.Reader{File: "t", Fields: registry}
		e, err := r.Event(doc.Content[0], nil, 1)
		if err != nil {
			return
		}
		for _, field := range all {
			e.Field(field.Name)
		}
	})
}
