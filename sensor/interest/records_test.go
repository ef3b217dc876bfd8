package interest_test

import (
	"math/rand/v2"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/fields/syscalls"
	"github.com/saker-security/saker/sensor/probe"
)

// The processes of the random records: two on the host, two in a container, and some that
// nothing is known of.
var processNames = []string{"ssh", "nginx", "b", "sshd"}

const firstPID = 4000100

func makeProcesses(source *syscalls.Source) {
	for i, name := range processNames {
		cgroup := "/user.slice"
		if i >= 2 {
			cgroup = "/docker/" + strings.Repeat("0123456789abcdef", 4)
		}
		pid := int32(firstPID + i)
		source.Event(&probe.Record{
			Kind: probe.KindExecve, PID: pid, TID: pid, Comm: name, Time: 1_700_000_000_000_000_000, Path: "/usr/bin/" + name, PathValid: true,
			Exec: &probe.Exec{
				Argv: []byte(name + "\x00-v\x00"), Env: []byte("A=b\x00"), ExePath: "/usr/bin/" + name, Cwd: "/home/u", Cgroup: cgroup,
				Facts: probe.Facts{PPID: 1, LoginUID: uint32(1000 * i), VPID: pid, StartTime: 1_600_000_000_000_000_000},
			},
		})
	}
}

// recordKinds has the kinds as often as they are worth a test.
var recordKinds = []probe.Kind{
	probe.KindOpen, probe.KindOpen, probe.KindOpenat, probe.KindOpenat, probe.KindOpenat, probe.KindOpenat2, probe.KindCreat,
	probe.KindConnect, probe.KindConnect, probe.KindAccept, probe.KindAccept4, probe.KindSocket, probe.KindSendto, probe.KindRecvfrom,
	probe.KindBind, probe.KindListen, probe.KindDup, probe.KindDup2, probe.KindDup3, probe.KindExecve, probe.KindExecveat,
	probe.KindUnlink, probe.KindRename, probe.KindChdir, probe.KindSetuid, probe.KindUnshare, probe.KindPtrace,
}

// randomRecord is a record such as the probe makes, of a kind and result at random.
func randomRecord(rng *rand.Rand) *probe.Record {
	pid := int32(firstPID + rng.IntN(len(processNames)+2))
	rec := &probe.Record{
		Kind: pick(rng, recordKinds), PID: pid, TID: pid, Comm: "x", Time: 1_700_000_000_000_000_000 + rng.Uint64N(1e9),
		UID: pick(rng, []uint32{0, 1000}), Ret: pick(rng, []int64{0, 1, 2, 3, 7, 40, -1, -2, -13, -11, -115, -5000}),
		CapEffective: rng.Uint64N(1 << 40),
	}
	for i := range rec.Args {
		rec.Args[i] = pick(rng, []uint64{0, 1, 2, 3, 7, ^uint64(99), 10, 16, 17, 0o1101})
	}
	switch rec.Kind {
	case probe.KindOpen, probe.KindOpenat, probe.KindOpenat2, probe.KindCreat:
		randomOpen(rng, rec)
	case probe.KindConnect, probe.KindAccept, probe.KindAccept4, probe.KindSocket, probe.KindSendto, probe.KindRecvfrom,
		probe.KindBind, probe.KindListen, probe.KindDup, probe.KindDup2, probe.KindDup3:
		randomSocket(rng, rec)
	case probe.KindExecve, probe.KindExecveat:
		rec.Path, rec.PathValid = randomPath(rng), true
		rec.Exec = &probe.Exec{Argv: []byte("b\x00ssh\x00"), Env: []byte("A=ssh\x00")}
		if rec.Ret >= 0 {
			rec.Ret = 0
			rec.Comm = pick(rng, processNames)
			rec.Exec.ExePath, rec.Exec.Cwd, rec.Exec.Cgroup = "/usr/bin/"+rec.Comm, "/home/u", "/user.slice"
			rec.Exec.StartTime = 1_600_000_000_000_000_000
		}
	case probe.KindUnlink, probe.KindRename, probe.KindChdir:
		rec.Ret = min(rec.Ret, 0)
		rec.Path, rec.PathValid = randomPath(rng), rng.IntN(8) > 0
		rec.Path2, rec.Path2Valid = randomPath(rng), rng.IntN(8) > 0
	}
	return rec
}

// randomPath joins components in all the ways that a path can be written.
func randomPath(rng *rand.Rand) string {
	if rng.IntN(3) == 0 {
		return pick(rng, []string{"", "/", ".", "..", "/etc/passwd", "/etc", "etc/passwd", "/root/.ssh/id_rsa", "/proc/1/environ", "/etc/"})
	}
	var b strings.Builder
	if rng.IntN(2) == 0 {
		b.WriteByte('/')
	}
	for i := range 1 + rng.IntN(4) {
		if i > 0 {
			b.WriteString(pick(rng, []string{"/", "/", "/", "/", "/", "//"}))
		}
		b.WriteString(pick(rng, []string{"etc", "passwd", "home", "u", ".ssh", "id_rsa", "log", "proc", "..", ".", "a", "x"}))
	}
	if rng.IntN(8) == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

func randomOpen(rng *rand.Rand, rec *probe.Record) {
	rec.Path, rec.PathValid = randomPath(rng), true
	if rng.IntN(12) == 0 {
		rec.Path, rec.PathValid = "", false
	}
	if !strings.HasPrefix(rec.Path, "/") {
		rec.Dir = pick(rng, []string{"/", "/etc", "/home/u", "/root", ""})
	}
	rec.Args[0] = pick(rng, []uint64{^uint64(99), 5})
	rec.Mode = pick(rng, []uint32{0, 0o644, 0o755})
	if rec.Kind == probe.KindCreat {
		rec.OpenFlags = unix.O_CREAT | unix.O_WRONLY | unix.O_TRUNC
	} else {
		rec.OpenFlags = pick(rng, []uint32{
			unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR, 3, unix.O_RDONLY | unix.O_TRUNC, unix.O_WRONLY | unix.O_CREAT,
			unix.O_RDONLY | unix.O_CREAT | unix.O_EXCL, unix.O_DIRECTORY, unix.O_TMPFILE | unix.O_RDWR, unix.O_CREAT | unix.O_DIRECTORY,
		})
	}
	if rec.Ret >= 0 {
		rec.File = probe.File{Kind: pick(rng, []probe.FileKind{probe.FileRegular, probe.FileDirectory, probe.FilePipe}), Num: int32(rec.Ret), Inode: 1, Dev: 2}
		rec.Created = rec.OpenFlags&unix.O_CREAT != 0 && rng.IntN(2) == 0
	}
}

// randomSocket gives the record a descriptor: mostly a socket, sometimes a file or none.
func randomSocket(rng *rand.Rand, rec *probe.Record) {
	rec.Args[0] = pick(rng, []uint64{unix.AF_INET, unix.AF_INET6, unix.AF_UNIX, unix.AF_PACKET, unix.AF_NETLINK, 40})
	if rec.Ret < 0 {
		switch rec.Kind {
		case probe.KindSocket, probe.KindAccept, probe.KindAccept4, probe.KindDup, probe.KindDup2, probe.KindDup3:
			return
		}
	}
	if rng.IntN(12) == 0 {
		return
	}
	f := &rec.File
	f.Num, f.Inode = int32(rec.Args[0]), 100+rng.Uint64N(6)
	// A new socket is of the family that was asked for.
	defer func() {
		if rec.Kind == probe.KindSocket {
			rec.Args[0] = uint64(f.Family)
		}
	}()
	what := rng.IntN(7)
	if rec.Kind == probe.KindSocket {
		what = 1 + rng.IntN(6)
	}
	switch what {
	case 0:
		f.Kind = pick(rng, []probe.FileKind{probe.FileRegular, probe.FilePipe, probe.FileEventfd, probe.FileOther})
		f.Path = "/etc/passwd"
		return
	case 1:
		f.Kind, f.Family, f.UnixPath, f.SockType = probe.FileUnix, unix.AF_UNIX, "/run/x", unix.SOCK_STREAM
		return
	case 2:
		f.Kind, f.Family = probe.FileNetlink, unix.AF_NETLINK
		return
	case 3:
		f.Kind, f.Family = probe.FileSocket, pick(rng, []uint16{unix.AF_PACKET, 40})
		return
	case 4:
		f.Kind, f.Family = probe.FileIPv6, unix.AF_INET6
	default:
		f.Kind, f.Family = probe.FileIPv4, unix.AF_INET
	}
	address := func() netip.AddrPort {
		addresses := []string{"127.0.0.1", "10.1.2.3", "8.8.8.8", "0.0.0.0"}
		if f.Kind == probe.FileIPv6 {
			addresses = append(addresses, "::1", "2001:db8::1")
		}
		return netip.AddrPortFrom(netip.MustParseAddr(pick(rng, addresses)), pick(rng, []uint16{0, 22, 443, 40000}))
	}
	f.SockType = pick(rng, []uint16{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW})
	f.Proto = pick(rng, []uint16{unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMP, 132, 0})
	f.Local, f.Remote = address(), address()
	if rng.IntN(2) == 0 {
		rec.Addr = address()
	}
	if rng.IntN(4) == 0 {
		rec.Data = []byte("GET /")
	}
}
