package syscalls_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
	"github.com/saker-security/saker/sensor/process"
)

func TestStandardDescriptors(t *testing.T) {
	proc := t.TempDir()
	w := newWorld(t)
	w.Source = syscalls.New(syscalls.Options{
		Processes: process.NewTable(process.Options{Proc: proc, BootTime: boot}),
	})
	dir := filepath.Join(proc, "10", "fd")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	links := []string{"socket:[7]", "pipe:[8]", "/dev/null", "anon_inode:[eventpoll]", "/memfd:x (deleted)", "socket:[9]", "net:[1]", "pipe:[10]"}
	for fd, link := range links {
		if err := os.Symlink(link, filepath.Join(dir, fmt.Sprint(fd))); err != nil {
			t.Fatal(err)
		}
	}
	w.Event(connect(tcp(7, "10.0.0.2:40000", "10.0.0.9:4444"), "10.0.0.9:4444", 0))
	w.check(exec(10, 1, "/bin/sh"), want{
		"proc.stdin.type", `"ipv4"`, "proc.stdin.name", `"10.0.0.2:40000->10.0.0.9:4444"`,
		"proc.stdout.type", `"pipe"`, "proc.stdout.name", `""`,
		"proc.stderr.type", `"file"`, "proc.stderr.name", `"/dev/null"`,
		"fd.types[0]", `["ipv4"]`, "fd.types[3]", `["eventpoll"]`, "fd.types[4]", `["memfd"]`,
		"fd.types[5]", "null", "fd.types[6]", "null", "fd.types[99]", "null",
	})
	ev := w.Event(exec(10, 1, "/bin/sh"))
	if got := len(w.get(ev, "fd.types")); got != len(`["ipv4" "pipe" "file" "eventpoll" "memfd"]`) {
		t.Errorf("fd.types is %s", w.get(ev, "fd.types"))
	}
	w.check(&probe.Record{Kind: probe.KindProcexit}, want{"proc.stdin.type", "null", "proc.stdin.name", "null", "fd.types", "null"})
}

func TestAServersStandardInput(t *testing.T) {
	proc := t.TempDir()
	w := newWorld(t)
	w.Source = syscalls.New(syscalls.Options{Processes: process.NewTable(process.Options{Proc: proc, BootTime: boot})})
	dir := filepath.Join(proc, "10", "fd")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("socket:[7]", filepath.Join(dir, "0")); err != nil {
		t.Fatal(err)
	}
	w.Event(&probe.Record{Kind: probe.KindAccept, Ret: 3, PID: 10, File: tcp(7, "10.0.0.2:22", "10.0.0.9:40000")})
	w.check(exec(10, 1, "/bin/sh"), want{"proc.stdin.name", `"10.0.0.9:40000->10.0.0.2:22"`})
}
