package probe

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// clauseCalls opens what there is and what there is not, and makes sockets, in a folder of
// its own.
var clauseCalls = action("calls that clauses tell apart", func() error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	_ = os.MkdirAll("etc/pam.d", 0o700)
	_ = write("etc/shadow")
	_ = write("etc/pam.d/su")
	_ = os.Symlink("etc/shadow", "alias")
	folder := uintptr(openDir("etc"))
	for _, path := range []string{
		dir + "/etc/shadow", dir + "/etc/pam.d/su", dir + "/etc/none", "etc/shadow", "alias", "etc//shadow", "./etc/pam.d/su",
		dir + "/" + strings.Repeat("x", pathLimit),
	} {
		_ = call1(unix.SYS_OPENAT, atFDCWD, ptr(path), unix.O_RDONLY, 0)
	}
	_ = call1(unix.SYS_OPENAT, folder, ptr("pam.d/su"), unix.O_RDONLY, 0)
	_ = call1(unix.SYS_OPENAT, 999, ptr("pam.d/su"), unix.O_RDONLY, 0)
	_ = call1(unix.SYS_OPENAT, atFDCWD, unreadablePath, unix.O_RDONLY, 0)

	tcp := uintptr(must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)))
	udp := uintptr(must(unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM, 0)))
	local := uintptr(must(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)))
	file := uintptr(openDir("."))
	for _, fd := range []uintptr{tcp, udp, local, file, 999} {
		_ = call1(unix.SYS_LISTEN, fd, 1)
	}
	_ = call1(unix.SYS_SOCKET, unix.AF_INET, 99, 0)
	_ = call1(unix.SYS_SOCKET, unix.AF_UNIX, 99, 0)
	return nil
})

// label tells the calls above apart; it is empty for those of the Go runtime.
func label(r *Record, dir string) string {
	path := strings.ReplaceAll(strings.ReplaceAll(r.Path, dir, "D"), strings.Repeat("x", pathLimit), "long")
	switch {
	case r.Kind == KindListen || r.Kind == KindSocket && r.Ret < 0:
		family := r.File.Family
		if r.Kind == KindSocket {
			family = uint16(r.Args[0])
		}
		name := map[uint16]string{unix.AF_INET: "tcp", unix.AF_INET6: "udp", unix.AF_UNIX: "unix"}[family]
		if name == "" {
			name = map[FileKind]string{NoFile: "bad", FileDirectory: "file"}[r.File.Kind]
		}
		return r.Kind.String() + " " + name
	case r.Kind == KindOpenat && !r.PathValid:
		return "unreadable"
	case r.Kind == KindOpenat && r.Dir != "" && strings.HasPrefix(r.Dir, dir+"/etc"):
		return "etc:" + path
	case r.Kind == KindOpenat && int32(r.Args[0]) == 999:
		return "bad:" + path
	case r.Kind == KindOpenat && r.Args[2]&unix.O_CLOEXEC == 0 && r.Args[2]&unix.O_DIRECTORY == 0 && (strings.HasPrefix(path, "D/") || path[0] != '/'):
		return path
	}
	return ""
}

func TestEachMemberOfAClauseNarrowsIt(t *testing.T) {
	// What the kernel cannot tell of an open is in every set of paths.
	untold := []string{"etc//shadow", "./etc/pam.d/su", "D/long", "bad:pam.d/su", "unreadable"}
	dir := tempDir(t)
	for _, c := range []struct {
		name   string
		kind   Kind
		clause Clause
		want   []string
		untold bool
	}{
		{"equal", KindOpenat, Clause{Paths: &Paths{Equal: []string{dir + "/etc/shadow"}}}, []string{"D/etc/shadow", "etc/shadow"}, true},
		{"prefix", KindOpenat, Clause{Paths: &Paths{Prefixes: []string{dir + "/etc/pam"}}}, []string{"D/etc/pam.d/su", "etc:pam.d/su"}, true},
		{"suffix", KindOpenat, Clause{Paths: &Paths{Suffixes: []string{"ow"}}}, []string{"D/etc/shadow", "etc/shadow"}, true},
		{"part", KindOpenat, Clause{Paths: &Paths{Parts: []string{"tc/pa"}}}, []string{"D/etc/pam.d/su", "etc:pam.d/su"}, true},
		{"directory", KindOpenat, Clause{Paths: &Paths{Directories: []string{dir + "/etc"}}}, []string{"D/etc/shadow", "D/etc/none", "etc/shadow"}, true},
		{"name", KindOpenat, Clause{Paths: &Paths{Names: []string{"su", "hadow"}}}, []string{"D/etc/pam.d/su", "etc:pam.d/su"}, true},
		{"no path", KindOpenat, Clause{Paths: &Paths{}}, nil, true},
		{"failed", KindOpenat, Clause{Results: Failed}, []string{"D/etc/none", "D/long", "bad:pam.d/su", "unreadable"}, false},
		{"a value", KindOpenat, Clause{Values: []int64{-int64(unix.EFAULT), -int64(unix.ENOENT)}}, []string{"D/etc/none", "unreadable"}, false},
		{"writing", KindOpenat, Clause{Opens: OpenWriting}, nil, false},
		{"failed, by name", KindOpenat, Clause{Results: Failed, Paths: &Paths{Names: []string{"none"}}}, []string{"D/etc/none", "D/long", "bad:pam.d/su", "unreadable"}, false},

		{"family", KindListen, Clause{Families: 1<<unix.AF_INET6 | 1<<unix.AF_UNIX}, []string{"listen udp", "listen unix", "listen bad"}, false},
		{"family of a failed socket", KindSocket, Clause{Families: 1 << unix.AF_UNIX, Results: Failed}, []string{"socket unix"}, false},
		{"tcp", KindListen, Clause{Protocols: TCP}, []string{"listen tcp", "listen bad"}, false},
		{"udp or other", KindListen, Clause{Protocols: UDP | OtherProtocol}, []string{"listen udp", "listen bad"}, false},
		{"protocol of a failed socket", KindSocket, Clause{Protocols: TCP, Results: Failed}, []string{"socket tcp"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.clause.Kinds = []Kind{c.kind}
			w := startWatch(t, Interest{Kinds: c.clause.Kinds, Clauses: []Clause{c.clause}})
			var got []string
			for _, r := range w.run(t, clauseCalls, dir) {
				if r.Kind != c.kind {
					continue
				}
				if name := label(r, dir); name != "" {
					got = append(got, name)
					check(t, name+" holds", c.clause.Holds(r), true)
				}
			}
			if c.untold {
				c.want = slices.Concat(c.want, untold)
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("reported are\n%q, want\n%q", got, c.want)
			}
		})
	}
}

func TestTheZeroClauseHolds(t *testing.T) {
	for _, k := range Kinds() {
		check(t, k.String(), Clause{Kinds: []Kind{k}}.Holds(&Record{Kind: k, Ret: -1}), true)
	}
}
