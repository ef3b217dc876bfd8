package syscalls_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/saker-security/saker/sensor/container"
	"github.com/saker-security/saker/sensor/fields"
	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
)

func TestMain(m *testing.M) {
	time.Local = time.FixedZone("test", 2*60*60)
	goleak.VerifyTestMain(m)
}

const (
	second = uint64(time.Second)
	boot   = 1_700_000_000 * second
)

// world is a source without the machine's own processes and users.
type world struct {
	*syscalls.Source
	t          testing.TB
	containers *container.Resolver
}

func newWorld(t testing.TB) world {
	t.Helper()
	host := t.TempDir()
	if err := os.MkdirAll(filepath.Join(host, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"passwd": "root:x:0:0::/root:/bin/bash\nweb:x:33:33::/srv:/bin/sh\n",
		"group":  "root:x:0:\nstaff:x:50:\n",
	} {
		if err := os.WriteFile(filepath.Join(host, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	containers := container.NewResolver(0)
	return world{t: t, containers: containers, Source: syscalls.New(syscalls.Options{
		Processes:  process.NewTable(process.Options{Env: true, Proc: t.TempDir(), BootTime: boot}),
		Users:      process.NewUsers(process.UsersOptions{Root: host, Proc: t.TempDir()}),
		Containers: containers,
		Hostname:   "node1",
	})}
}

// get is the text of a field of an event: null, a quoted string, a number, true or false, an
// address, or a list of these.
func (w world) get(ev *syscalls.Event, field string) string {
	w.t.Helper()
	name, arg := field, fields.Arg{}
	if before, after, ok0 := strings.Cut(field, "["); ok0 {
		name, arg.Given, arg.Key = before, true, strings.TrimSuffix(after, "]")
		arg.Index, _ = strconv.Atoi(arg.Key)
	}
	f, ok := w.Registry().Lookup(name)
	if !ok {
		w.t.Fatalf("there is no field %q", name)
	}
	if !arg.Given && (f.Arg == fields.IndexArg || f.Arg == fields.KeyArg) {
		w.t.Fatalf("field %q needs an argument", name)
	}
	return text(f, f.Extract(ev, arg))
}

func text(f *fields.Field, v fields.Value) string {
	switch {
	case !v.Valid:
		return "null"
	case v.List != nil:
		var parts []string
		for _, e := range v.List {
			parts = append(parts, text(f, e))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	switch f.Type {
	case fields.String, fields.Path, fields.Bytes:
		return fmt.Sprintf("%q", v.Str)
	case fields.Int:
		return strconv.FormatInt(int64(v.Num), 10)
	case fields.Bool:
		return strconv.FormatBool(v.Num != 0)
	case fields.IP, fields.Net:
		return v.Addr.String()
	}
	return strconv.FormatUint(v.Num, 10)
}

// want is fields and their texts, alternating.
type want []string

func (w world) check(rec *probe.Record, expected want) {
	w.t.Helper()
	if rec.Time == 0 {
		rec.Time = boot + 100*second
	}
	if rec.PID == 0 {
		rec.PID, rec.TID = 10, 10
	}
	ev := w.Event(rec)
	for i := 0; i < len(expected); i += 2 {
		if got := w.get(ev, expected[i]); got != expected[i+1] {
			w.t.Errorf("%s is %s, want %s", expected[i], got, expected[i+1])
		}
	}
}

func block(ss ...string) []byte {
	var b []byte
	for _, s := range ss {
		b = append(append(b, s...), 0)
	}
	return b
}

// exec is a successful exec of a process on the host.
func exec(pid, ppid int32, argv ...string) *probe.Record {
	comm := filepath.Base(argv[0])
	return &probe.Record{
		Kind: probe.KindExecve, Time: boot + 2*second, PID: pid, TID: pid,
		Comm: comm[:min(15, len(comm))], Path: argv[0], PathValid: true,
		Exec: &probe.Exec{
			Argv: block(argv...), ExePath: "/usr/bin/" + comm, Cwd: "/root",
			Facts: probe.Facts{
				PPID: ppid, VPID: pid, PGID: pid, VPGID: pid, SID: ppid, VSID: ppid,
				LoginUID: ^uint32(0), StartTime: boot + second, HostPidns: true,
			},
		},
	}
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestEveryFieldOfEveryKindCanBeExtracted(t *testing.T) {
	w := newWorld(t)
	for _, k := range append(probe.Kinds(), probe.KindUnknown, 60000) {
		for _, ret := range []int64{-1 << 40, -115, -1, 0, 3} {
			for _, arg := range []uint64{0, 1, ^uint64(0), 0xffffff9c} {
				rec := &probe.Record{
					Kind: k, PID: 10, TID: 11, Ret: ret, Time: boot,
					Args: [6]uint64{arg, arg, arg, arg, arg, arg},
				}
				ev := w.Event(rec)
				if n := w.Registry().EventType(ev); n < 0 || n >= len(w.Registry().EventTypes) {
					t.Fatalf("kind %d has the type number %d", k, n)
				}
				for _, f := range w.Registry().All() {
					f.Extract(ev, fields.Arg{Key: "x"})
					f.Extract(ev, fields.Arg{Given: true, Index: 3, Key: "3"})
				}
			}
		}
	}
}

func TestTypesOfEvents(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		rec      probe.Record
		name     string
		category string
	}{
		{probe.Record{Kind: probe.KindOpenat}, `"openat"`, `"file"`},
		{probe.Record{Kind: probe.KindExecveat}, `"execve"`, `"process"`},
		{probe.Record{Kind: probe.KindExecveat, Ret: -2}, `"execveat"`, `"process"`},
		{probe.Record{Kind: probe.KindFork}, `"clone"`, `"process"`},
		{probe.Record{Kind: probe.KindProcexit}, `"procexit"`, `"process"`},
		{probe.Record{Kind: probe.KindSocketpair}, `"socketpair"`, `"IPC"`},
		{probe.Record{Kind: probe.KindSendto, File: probe.File{Kind: probe.FileIPv4}}, `"sendto"`, `"net"`},
		{probe.Record{Kind: probe.KindDup, Ret: 1, File: probe.File{Kind: probe.FileRegular}}, `"dup"`, `"file"`},
		{probe.Record{Kind: probe.KindUnknown}, "null", `"other"`},
	} {
		w.check(&c.rec, want{"evt.type", c.name, "evt.category", c.category})
	}
	w.check(&probe.Record{Kind: probe.KindProcexit}, want{
		"syscall.type", "null", "evt.res", "null", "evt.rawres", "null",
		"evt.type.is.procexit", "1", "evt.type.is.open", "0", "evt.type.is.mmap", "0",
	})
}

func TestATypesNumberTellsItsKinds(t *testing.T) {
	w := newWorld(t)
	for _, k := range probe.Kinds() {
		ev := w.Event(&probe.Record{Kind: k, PID: 10, Time: boot, Ret: -1})
		n := w.Registry().EventType(ev)
		found := false
		for _, of := range syscalls.Kinds(n) {
			found = found || of == k
		}
		if !found {
			t.Errorf("type %q does not tell the kind %v", w.Registry().EventTypes[n], k)
		}
	}
	if ks := syscalls.Kinds(int(probe.KindExecve)); len(ks) != 2 {
		t.Errorf("execve is made of %v", ks)
	}
	for _, n := range []int{-1, 0, 1 << 20} {
		if ks := syscalls.Kinds(n); ks != nil {
			t.Errorf("number %d has the kinds %v", n, ks)
		}
	}
}

func TestResults(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		ret         int64
		res, failed string
	}{
		{0, `"SUCCESS"`, "false"},
		{7, `"SUCCESS"`, "false"},
		{-2, `"ENOENT"`, "true"},
		{-11, `"EAGAIN"`, "true"},
		{-115, `"EINPROGRESS"`, "true"},
		{-512, `"-512"`, "true"},
		{-1 << 40, `"-1099511627776"`, "true"},
	} {
		w.check(&probe.Record{Kind: probe.KindConnect, Ret: c.ret}, want{
			"evt.res", c.res, "evt.failed", c.failed, "evt.rawres", strconv.FormatInt(c.ret, 10),
		})
	}
}

func TestTimes(t *testing.T) {
	w := newWorld(t)
	w.check(&probe.Record{Kind: probe.KindOpen, Time: boot}, want{"evt.num", "1", "evt.deltatime", "0"})
	rec := &probe.Record{Kind: probe.KindOpen, Time: boot + 3*second + 7, CPU: 2}
	w.check(rec, want{
		"evt.num", "2", "evt.cpu", "2", "evt.hostname", `"node1"`, "evt.source", `"syscall"`,
		"evt.time", "1700000003000000007", "evt.rawtime", "1700000003000000007",
		"evt.rawtime.s", "1700000003", "evt.rawtime.ns", "7",
		"evt.reltime", "3000000007", "evt.deltatime.s", "3", "evt.deltatime.ns", "7",
		"evt.dir", `"<"`, "evt.is_async", "false", "evt.pluginname", "null",
	})
	for name, printed := range map[string]string{
		"evt.time": "00:13:23.000000007", "evt.time.s": "00:13:23",
		"evt.time.iso8601": "2023-11-14T22:13:23.000000007+0000",
		"evt.datetime":     "2023-11-15 00:13:23.000000007", "evt.datetime.s": "2023-11-15 00:13:23",
	} {
		f, _ := w.Registry().Lookup(name)
		if got := f.Format(f.Extract(w.Event(rec), fields.Arg{})); got != printed {
			t.Errorf("%s is printed as %q, want %q", name, got, printed)
		}
	}
}

func TestProcessFields(t *testing.T) {
	w := newWorld(t)
	w.Event(exec(1, 0, "/sbin/init"))
	w.Event(exec(5, 1, "/usr/sbin/sshd", "-D"))
	w.Event(exec(7, 5, "-bash"))
	rec := exec(10, 7, "/bin/cat", "-n", "/etc/shadow")
	rec.UID, rec.GID, rec.UpperLayer = 33, 50, true
	rec.CapEffective, rec.CapPermitted = 1<<21|1<<12, 1<<0
	x := rec.Exec
	x.Env, x.LoginUID, x.TTY = block("A=1", "PATH=/bin:/x"), 33, 34816
	x.Inode, x.Ctime, x.Mtime, x.PidnsStart, x.Writable = 77, boot, boot-second, boot-5*second, true
	x.PGID, x.VPGID = 7, 7
	w.check(rec, want{
		"proc.pid", "10", "proc.name", `"cat"`, "proc.exe", `"/bin/cat"`, "proc.exepath", `"/usr/bin/cat"`,
		"proc.args", `"-n /etc/shadow"`, "proc.args[1]", `"/etc/shadow"`, "proc.args[2]", `""`,
		"proc.cmdline", `"cat -n /etc/shadow"`, "proc.exeline", `"/bin/cat -n /etc/shadow"`,
		"proc.cmdnargs", "2", "proc.cmdlenargs", "13",
		"proc.env", `"A=1 PATH=/bin:/x"`, "proc.env[PATH]", `"/bin:/x"`, "proc.env[NONE]", `""`,
		"proc.cwd", `"/root/"`, "proc.tty", "34816",
		"proc.ppid", "7", "proc.pname", `"-bash"`, "proc.pexe", `"-bash"`, "proc.pcmdline", `"-bash"`,
		"proc.pexepath", `"/usr/bin/-bash"`, "proc.pvpid", "7",
		"proc.aname", `["-bash" "sshd" "init"]`, "proc.aname[0]", `"cat"`, "proc.aname[2]", `"sshd"`, "proc.aname[4]", "null",
		"proc.apid", "[7 5 1]", "proc.aexe[3]", `"/sbin/init"`, "proc.aexepath[1]", `"/usr/bin/-bash"`,
		"proc.acmdline[2]", `"sshd -D"`, "proc.aargs", `["" "-D" ""]`,
		"proc.vpid", "10", "proc.vpgid", "7", "proc.pgid", "7", "proc.sid", "7",
		"proc.is_vpgid_leader", "false", "proc.is_pgid_leader", "false", "proc.is_sid_leader", "false",
		"proc.sname", `"-bash"`, "proc.sid.exe", `"-bash"`, "proc.vpgid.name", `"-bash"`, "proc.pgid.exepath", `"/usr/bin/-bash"`,
		"proc.loginshellid", "7",
		"proc.duration", "1000000000", "proc.pid.ts", fmt.Sprint(boot + second), "proc.ppid.duration", "1000000000",
		"proc.is_exe_writable", "true", "proc.is_exe_upper_layer", "true", "proc.is_exe_lower_layer", "false", "proc.is_exe_from_memfd", "false",
		"proc.exe_ino", "77", "proc.exe_ino.ctime", fmt.Sprint(boot), "proc.exe_ino.mtime", fmt.Sprint(boot - second),
		"proc.exe_ino.ctime_duration_proc_start", "1000000000", "proc.exe_ino.ctime_duration_pidns_start", "5000000000",
		"proc.pidns_init_start_ts", fmt.Sprint(boot - 5*second),
		"thread.tid", "10", "thread.ismain", "true", "thread.vtid", "10",
		"thread.cap_effective", `"CAP_NET_ADMIN CAP_SYS_ADMIN"`, "thread.cap_permitted", `"CAP_CHOWN"`, "thread.cap_inheritable", `""`,
		"user.uid", "33", "user.name", `"web"`, "user.homedir", `"/srv"`, "user.shell", `"/bin/sh"`,
		"user.loginuid", "33", "user.loginname", `"web"`, "group.gid", "50", "group.name", `"staff"`,
	})
}

func TestAProcessThatIsNotKnownIsNull(t *testing.T) {
	w := newWorld(t)
	w.check(&probe.Record{Kind: probe.KindOpen, PID: 99, TID: 100, Comm: "ghost", UID: 5}, want{
		"proc.pid", "99", "proc.name", `"ghost"`, "proc.exe", "null", "proc.args", "null", "proc.cmdline", "null",
		"proc.env", "null", "proc.env[A]", "null", "proc.cwd", "null", "proc.pname", "null", "proc.ppid", "null", "proc.aname", "null",
		"proc.duration", "null", "proc.is_exe_upper_layer", "null", "proc.exe_ino", "null",
		"proc.sname", `""`, "proc.loginshellid", "null", "thread.ismain", "false",
		"user.name", `"<NA>"`, "user.loginuid", "-1", "user.loginname", `"<NA>"`, "container.start_ts", "null",
	})
}

func TestAFailedExecShowsTheCaller(t *testing.T) {
	w := newWorld(t)
	w.Event(exec(10, 1, "/bin/bash"))
	w.check(&probe.Record{
		Kind: probe.KindExecve, Ret: -2, Comm: "bash", Path: "bin/none", PathValid: true, Dir: "/root",
		Exec: &probe.Exec{Argv: block("none", "-x")},
	}, want{
		"proc.name", `"bash"`, "proc.cmdline", `"bash"`, "evt.res", `"ENOENT"`,
		"evt.arg.exe", `"none"`, "evt.arg.args", `"-x"`, "evt.arg.filename", `"/root/bin/none"`, "evt.arg.flags", `"0"`,
	})
	w.check(&probe.Record{
		Kind: probe.KindExecveat, Ret: -2, Comm: "bash", Path: "none", PathValid: true,
		Exec: &probe.Exec{Argv: block("none")},
	}, want{"evt.type", `"execveat"`, "evt.arg.filename", "null"})
}

func TestAncestorsEnvironment(t *testing.T) {
	w := newWorld(t)
	parent := exec(7, 1, "/bin/bash")
	parent.Exec.Env = block("TERM=xterm", "X=parent")
	w.Event(parent)
	child := exec(10, 7, "/bin/cat")
	child.Exec.Env = block("X=own")
	w.check(child, want{
		"proc.aenv", `"X=own"`, "proc.aenv[1]", `"TERM=xterm X=parent"`, "proc.aenv[TERM]", `"xterm"`,
		"proc.aenv[X]", `"parent"`, "proc.aenv[NONE]", `""`, "proc.aenv[9]", "null",
	})
}

func TestContainers(t *testing.T) {
	const full = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	w := newWorld(t)
	w.check(exec(10, 1, "/bin/cat"), want{
		"container.id", `"host"`, "container.full_id", `""`, "container.type", `"host"`, "container.name", `"host"`,
		"container.image.repository", `""`, "container.privileged", "false", "container.mounts", `""`,
		"container.mount.dest[/etc]", "null", "container.label[a]", "null", "k8s.pod.name", "null", "k8s.ns.name", "null",
	})
	rec := exec(11, 1, "/bin/cat")
	rec.Exec.Cgroup, rec.Exec.PidnsStart = "/docker/"+full, boot
	w.check(rec, want{
		"container.id", `"0123456789ab"`, "container.full_id", `"` + full + `"`, "container.type", `"docker"`,
		"container.name", "null", "container.image.repository", "null", "container.privileged", "null",
		"container.mounts", "null", "k8s.pod.name", "null",
		"container.start_ts", fmt.Sprint(boot), "container.duration", "2000000000",
	})
	yes := true
	w.containers.Store(&container.Info{
		ID: container.FromCgroup("/docker/" + full), Name: "web", Image: "nginx:1", ImageRepository: "nginx", ImageTag: "1",
		Privileged: &yes, Labels: map[string]string{"b": "2", "a": "1"}, PodName: "web-0", PodNamespace: "prod", PodUID: "3e41dc6b-08a8",
		PodSandboxID: full, PodLabels: map[string]string{"app": "web"},
		Mounts: []container.Mount{
			{Source: "/var/lib/x", Dest: "/data", Mode: "rw", Writable: true, Propagation: "private"},
			{Source: "/etc/ssl", Dest: "/ssl"},
		},
	})
	w.check(rec, want{
		"container.name", `"web"`, "container.image", `"nginx:1"`, "container.image.repository", `"nginx"`, "container.image.tag", `"1"`,
		"container.image.digest", `""`, "container.privileged", "true", "container.host_pid", "null",
		"container.label[a]", `"1"`, "container.label[c]", "null", "container.labels", `"a:1, b:2"`,
		"container.mounts", `"/var/lib/x:/data:rw:true:private,/etc/ssl:/ssl::false:"`,
		"container.mount[1]", `"/etc/ssl:/ssl::false:"`, "container.mount.dest[/etc]", `"/ssl"`, "container.mount.dest[/]", `"/data"`,
		"container.mount.dest[7]", "null", "container.mount.dest[^ssl]", "null", "container.mount.source[/data]", `"/var/lib/x"`,
		"container.mount.rdwr[0]", `"true"`, "container.mount.mode[0]", `"rw"`, "container.mount.propagation[0]", `"private"`,
		"k8s.pod.name", `"web-0"`, "k8s.ns.name", `"prod"`, "k8s.pod.id", `"3e41dc6b-08a8"`, "k8s.pod.sandbox_id", `"0123456789ab"`, "k8s.pod.full_sandbox_id", `"` + full + `"`,
		"k8s.pod.label[app]", `"web"`, "k8s.pod.labels", `"app:web"`, "k8s.deployment.name", "null",
	})
}

func TestAMountsArgumentIsChecked(t *testing.T) {
	f, _ := newWorld(t).Registry().Lookup("container.mount.dest")
	for key, good := range map[string]bool{"0": true, "/etc": true, "/etc*": true, "[": false} {
		if err := f.CheckArg(fields.Arg{Given: true, Key: key}); (err == nil) != good {
			t.Errorf("argument %q: %v", key, err)
		}
	}
}

func TestUnknownParametersAreNoFields(t *testing.T) {
	r := newWorld(t).Registry()
	if _, ok := r.Lookup("evt.arg.nosuchthing"); ok {
		t.Error("a parameter that no event has is a field")
	}
	for _, name := range []string{"evt.arg.whence", "evt.arg.res_or_fd", "evt.rawarg.flags"} {
		if _, ok := r.Lookup(name); !ok {
			t.Errorf("%s is unknown", name)
		}
	}
}
