//go:build amd64

package probe

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCallsOf32BitProgramsAreSeen(t *testing.T) {
	w := startWatch(t, Interest{Kinds: []Kind{
		KindOpen, KindOpenat, KindSocket, KindConnect, KindSendmsg, KindExecve,
	}})
	dir := tempDir(t)
	program := filepath.Join(dir, "compat")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/compat")
	build.Env = append(os.Environ(), "GOARCH=386", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("no 32-bit program can be built: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Dir = dir
	records := w.command(t, cmd)

	openat := only(t, records, KindOpenat, pathIs("thirty-two"))
	check(t, "Dir", openat.Dir, dir)
	check(t, "OpenFlags", openat.OpenFlags, unix.O_CREAT|unix.O_WRONLY)
	check(t, "Mode", openat.Mode, 0o600)
	check(t, "Created", openat.Created, true)
	check(t, "File.Path", openat.File.Path, dir+"/thirty-two")
	check(t, "old open's result", only(t, records, KindOpen, pathIs("thirty-two")).File.Path, dir+"/thirty-two")

	to := netip.MustParseAddrPort("127.0.0.1:9")
	check(t, "socket's domain", only(t, records, KindSocket, anyRecord).Args[0], unix.AF_INET)
	check(t, "connect's address", only(t, records, KindConnect, anyRecord).Addr, to)
	message := only(t, records, KindSendmsg, anyRecord)
	check(t, "message's address", message.Addr, to)
	check(t, "message", string(message.Data), "from 32 bits")

	failed := only(t, records, KindExecve, func(r *Record) bool { return r.Ret < 0 })
	check(t, "Path", failed.Path, "nothing-here")
	check(t, "Argv", string(failed.Exec.Argv), "argument\x00")
}
