package probe

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// randomKinds are those that the random calls are of, and the clauses about.
var randomKinds = []Kind{
	KindOpen, KindOpenat, KindOpenat2, KindCreat,
	KindSocket, KindConnect, KindBind, KindListen, KindAccept4, KindSendto, KindDup,
}

const (
	seedVariable   = "SAKER_PROBE_TEST_SEED"
	randomCalls    = 300
	atFDCWD        = ^uintptr(99)
	unreadablePath = 8
)

// names are what random paths are made of.
var randomNames = []string{"etc", "shadow", "deep", "link", "x.so", ".ssh", "id_rsa", ".", "..", "", "a name that is quite long", "\xff\xfe"}

var randomly = action("random calls", func() error {
	seed, err := strconv.ParseUint(os.Getenv(seedVariable), 10, 64)
	if err != nil {
		return err
	}
	c := &caller{Rand: rand.New(rand.NewPCG(seed, 0))}
	if err := c.prepare(); err != nil {
		return err
	}
	for range randomCalls {
		c.call()
	}
	return nil
})

// A caller makes random calls in a folder of its own.
type caller struct {
	*rand.Rand
	root string
	fds  []uintptr
}

func (c *caller) prepare() error {
	var err error
	if c.root, err = os.Getwd(); err != nil {
		return err
	}
	for _, dir := range []string{"etc/deep/deep", "deep/.ssh"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for _, file := range []string{"shadow", "etc/shadow", "etc/deep/x.so", "deep/.ssh/id_rsa"} {
		if err := write(file); err != nil {
			return err
		}
	}
	if err := os.Symlink("etc", "link"); err != nil {
		return err
	}
	for _, dir := range []string{".", "etc/deep", "deep", "/"} {
		c.fds = append(c.fds, uintptr(openDir(dir)))
	}
	c.fds = append(c.fds, 999, uintptr(must(unix.Open("shadow", unix.O_RDONLY, 0))))
	return nil
}

func (c *caller) path() uintptr {
	if c.IntN(20) == 0 {
		return unreadablePath
	}
	var names []string
	for range 1 + c.IntN(4) {
		names = append(names, randomNames[c.IntN(len(randomNames))])
	}
	p := strings.Join(names, "/")
	switch c.IntN(6) {
	case 0:
		p = "/" + p
	case 1, 2:
		p = c.root + "/" + p
	case 3:
		p = strings.Repeat("deep/../", c.IntN(100)) + p
	}
	return ptr(p)
}

func (c *caller) call() {
	var fd uintptr
	var errno unix.Errno
	sys := func(trap uintptr, a ...uintptr) {
		var args [6]uintptr
		copy(args[:], a)
		fd, _, errno = unix.Syscall6(trap, args[0], args[1], args[2], args[3], args[4], args[5])
	}
	known := func() uintptr { return c.fds[c.IntN(len(c.fds))] }
	dir := known()
	if c.IntN(2) == 0 {
		dir = atFDCWD
	}
	flags := []uintptr{
		unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR, unix.O_RDONLY | unix.O_CREAT, unix.O_WRONLY | unix.O_TRUNC, unix.O_RDWR | unix.O_TMPFILE,
	}[c.IntN(6)]
	makes := false
	switch c.IntN(12) {
	case 0, 1, 2, 3:
		sys(unix.SYS_OPENAT, dir, c.path(), flags, 0o600)
		makes = true
	case 4:
		how := unix.OpenHow{Flags: uint64(flags)}
		if flags&(unix.O_CREAT|unix.O_TMPFILE) != 0 {
			how.Mode = 0o600
		}
		sys(unix.SYS_OPENAT2, dir, c.path(), pin(&how), unsafe.Sizeof(how))
		makes = true
	case 5:
		makes = c.legacyOpen(sys, flags)
	case 6:
		family := []uintptr{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK, unix.AF_PACKET, 63, 64, 1 << 20}[c.IntN(8)]
		sys(unix.SYS_SOCKET, family, []uintptr{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW}[c.IntN(3)]|unix.SOCK_NONBLOCK, uintptr(c.IntN(3)*3))
		if errno == 0 {
			c.fds = append(c.fds, fd)
		}
	case 7:
		to := &unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte{127, 0, 0, 1}, Port: uint16(c.IntN(2)) << 8}
		sys([]uintptr{unix.SYS_CONNECT, unix.SYS_BIND}[c.IntN(2)], known(), pin(to), unsafe.Sizeof(*to))
	case 8:
		sys([]uintptr{unix.SYS_LISTEN, unix.SYS_ACCEPT4}[c.IntN(2)], known(), 0, 0)
		makes = false
	case 9:
		sys(unix.SYS_SENDTO, known(), ptr("x"), 1, unix.MSG_DONTWAIT, 0, 0)
	case 10:
		sys(unix.SYS_DUP, known())
		makes = true
	case 11:
		_ = os.Chdir(c.root + []string{"", "/etc/deep", "/deep/.ssh", "/.."}[c.IntN(4)])
		return
	}
	if makes && errno == 0 {
		_ = unix.Close(int(fd))
	}
}

// randomClause returns a clause that some of the random calls meet.
func randomClause(r *rand.Rand, root string) Clause {
	c := Clause{Results: Results(r.IntN(3))}
	for range 1 + r.IntN(5) {
		c.Kinds = append(c.Kinds, randomKinds[r.IntN(len(randomKinds))])
	}
	if r.IntN(3) == 0 {
		c.Opens = OpenClass(r.IntN(8))
	}
	if r.IntN(4) == 0 {
		c.Values = []int64{0, 1, -int64(unix.ENOENT), -int64(unix.EBADF), -int64(unix.EINPROGRESS)}[:1+r.IntN(5)]
	}
	if r.IntN(3) == 0 {
		c.Families = []uint64{1 << unix.AF_INET, 1<<unix.AF_INET6 | 1<<unix.AF_INET, 1 << unix.AF_UNIX, 1 << unix.AF_PACKET}[r.IntN(4)]
	}
	if r.IntN(3) == 0 {
		c.Protocols = Protocols(r.IntN(8))
	}
	if r.IntN(4) > 0 {
		c.Paths = &Paths{}
		for _, list := range []*[]string{&c.Paths.Equal, &c.Paths.Prefixes, &c.Paths.Suffixes, &c.Paths.Parts, &c.Paths.Directories, &c.Paths.Names} {
			if r.IntN(3) > 0 {
				continue
			}
			s := []string{"/etc/shadow", root + "/etc", root + "/etc/deep", root + "/shadow", "id_rsa", "/x.so", root + "/etc/shadow"}[r.IntN(7)]
			if list == &c.Paths.Names {
				s = s[strings.LastIndexByte(s, '/')+1:]
			}
			*list = append(*list, s)
		}
	}
	return c
}

func TestTheFilterDropsWhatNoClauseHoldsForAndNothingElse(t *testing.T) {
	everything := startWatch(t, Interest{Kinds: randomKinds})
	filtered := newWatch(t)
	t.Cleanup(func() {
		if err := filtered.stop(); err != nil {
			t.Error(err)
		}
	})
	var dropped, kept, spurious int
	for seed := range uint64(16) {
		r := rand.New(rand.NewPCG(seed, 1))
		dir := tempDir(t)
		i := Interest{Kinds: slices.Concat(randomKinds, []Kind{KindFork, KindProcexit})}
		for range 1 + r.IntN(6) {
			i.Clauses = append(i.Clauses, randomClause(r, dir))
		}
		if err := filtered.probe.SetInterest(i); err != nil {
			t.Fatal(err)
		}
		all := everything.run(t, randomly, dir, seedVariable+"="+strconv.FormatUint(seed, 10))
		some := filtered.of(t, all[0].PID)
		for _, rec := range all {
			if rec.Kind == KindFork || rec.Kind == KindProcexit {
				continue
			}
			want := i.holds(rec)
			got := len(some) > 0
			for got && (some[0].Kind == KindFork || some[0].Kind == KindProcexit) {
				some = some[1:]
				got = len(some) > 0
			}
			got = got && describe(some[0]) == describe(rec)
			if got {
				some = some[1:]
			}
			switch {
			case want && !got:
				t.Errorf("seed %d: %s is dropped", seed, describe(rec))
			case want:
				kept++
			case got:
				spurious++
			default:
				dropped++
			}
		}
		if t.Failed() {
			t.Fatalf("clauses: %+v", i.Clauses)
		}
	}
	t.Logf("%d records were kept rightly, %d for nothing, %d dropped", kept, spurious, dropped)
	if spurious > dropped/20 {
		t.Errorf("%d records were kept for nothing, %d dropped", spurious, dropped)
	}
}

// holds says whether the interest wants a record.
func (i Interest) holds(r *Record) bool {
	if i.clausesOf(r.Kind) == 0 {
		return true
	}
	return slices.ContainsFunc(i.Clauses, func(c Clause) bool { return c.Holds(r) })
}

// describe says what two records of the same call have in common.
func describe(r *Record) string {
	return fmt.Sprintf("%d %s(%x) = %d of %q in %q, valid %t, flags %o, family %d of %d",
		r.TID, r.Kind, r.Args, r.Ret, r.Path, r.Dir, r.PathValid, r.OpenFlags, r.File.Family, r.File.Kind)
}
