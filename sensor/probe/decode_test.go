package probe

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A message is a record as the programs write it.
type message []byte

func newMessage(h bpfHeader) message {
	return bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&h)), unsafe.Sizeof(h)))
}

func (m message) with(tag bpfSectionTag, flags bpfSectionFlag, body string) message {
	m = append(m, byte(tag), byte(flags))
	m = binary.NativeEndian.AppendUint16(m, uint16(len(body)))
	return append(m, body...)
}

func layout[T any](v T) string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)))
}

func openMessage() message {
	h := bpfHeader{Time: 1, Ret: 3, Pid: 7, Tid: 8, Kind: uint16(KindOpenat), FileNum: 3}
	h.Flags = uint32(bpfHeaderFlagHAS_FILE | bpfHeaderFlagOPEN_CREATED)
	copy(h.Comm[:], "cat")
	return newMessage(h).
		with(bpfSectionTagTAG_PATH, 0, "passwd").
		with(bpfSectionTagTAG_DIR, 0, "etc\x00root\x00").
		with(bpfSectionTagTAG_FILE, 0, layout(bpfFileInfo{Inode: 5, Mode: unix.S_IFREG})).
		with(bpfSectionTagTAG_FILE_PATH, 0, "passwd\x00etc\x00root\x00")
}

func execMessage() message {
	h := bpfHeader{Kind: uint16(KindExecve)}
	return newMessage(h).
		with(bpfSectionTagTAG_PATH, 0, "./x").
		with(bpfSectionTagTAG_FACTS, 0, layout(bpfFacts{Ppid: 1})).
		with(bpfSectionTagTAG_EXEC, 0, layout(bpfExecInfo{Flags: uint32(bpfExecFlagEXE_WRITABLE)})).
		with(bpfSectionTagTAG_EXE_PATH, bpfSectionFlagNAMES_PSEUDO, "memfd:x\x00").
		with(bpfSectionTagTAG_CWD, 0, "").
		with(bpfSectionTagTAG_CGROUP, bpfSectionFlagNAMES_TRUNCATED, "x\x00").
		with(bpfSectionTagTAG_ARGV, 0, "x\x00y\x00")
}

func socketMessage(family uint16, sockaddr string) message {
	return newMessage(bpfHeader{Kind: uint16(KindConnect)}).
		with(bpfSectionTagTAG_FILE, 0, layout(bpfFileInfo{Mode: unix.S_IFSOCK})).
		with(bpfSectionTagTAG_SOCKET, 0, layout(bpfSocketInfo{Family: family, RemotePort: 53})).
		with(bpfSectionTagTAG_UNIX_PATH, 0, "\x01\x00/run/x\x00").
		with(bpfSectionTagTAG_ADDRESS, 0, sockaddr)
}

func TestNamesFromLeafToRootBecomeAPath(t *testing.T) {
	for _, c := range []struct {
		names string
		flags bpfSectionFlag
		want  string
	}{
		{"", 0, "/"},
		{"a\x00", 0, "/a"},
		{"c\x00b\x00a\x00", 0, "/a/b/c"},
		{"memfd:x\x00", bpfSectionFlagNAMES_PSEUDO, "memfd:x"},
		{"\x00", bpfSectionFlagNAMES_PSEUDO, ""},
		{"c\x00b\x00", bpfSectionFlagNAMES_TRUNCATED, ""},
		{"no end", 0, "/no end"},
	} {
		check(t, c.names, newDecoder().names(c.flags, []byte(c.names)), c.want)
	}
}

func TestSocketAddressesAreRead(t *testing.T) {
	for _, c := range []struct {
		name, bytes, addr, path string
	}{
		{"v4", "\x02\x00\x01\xbb\x01\x02\x03\x04", "1.2.3.4:443", ""},
		{"v6", "\x0a\x00\x00\x50\x00\x00\x00\x00" + strings.Repeat("\x00", 15) + "\x01", "[::1]:80", ""},
		{
			"mapped v4", "\x0a\x00\x00\x50\x00\x00\x00\x00" + strings.Repeat("\x00", 10) + "\xff\xff\x01\x02\x03\x04",
			"1.2.3.4:80", "",
		},
		{"unix", "\x01\x00/run/x\x00rest", "", "/run/x"},
		{"abstract unix", "\x01\x00\x00name", "", "@name"},
		{"unnamed unix", "\x01\x00", "", ""},
		{"cut v4", "\x02\x00\x01", "", ""},
		{"cut v6", "\x0a\x00\x00\x50", "", ""},
		{"empty", "", "", ""},
		{"another family", "\x10\x00\x01\x02\x03\x04", "", ""},
	} {
		addr, path := newDecoder().sockaddr([]byte(c.bytes))
		var want netip.AddrPort
		if c.addr != "" {
			want = netip.MustParseAddrPort(c.addr)
		}
		check(t, c.name, addr, want)
		check(t, c.name, path, c.path)
	}
}

func TestFilesWithoutAPathAreKnownByName(t *testing.T) {
	for name, want := range map[string]FileKind{
		"memfd:x": FileMemfd, "[eventfd]": FileEventfd, "[signalfd]": FileSignalfd,
		"[eventpoll]": FileEventpoll, "inotify": FileInotify, "[timerfd]": FileTimerfd,
		"[userfaultfd]": FileUserfaultfd, "[io_uring]": FileIOUring, "[pidfd]": FilePidfd,
		"bpf-map": FileBPF, "bpf-prog": FileBPF, "bpf_link": FileBPF, "[perf_event]": FileOther, "": FileOther,
	} {
		check(t, name, pseudoFile(FileOther, name), want)
	}
	check(t, "a pipe without a name", pseudoFile(FilePipe, ""), FilePipe)
}

func TestARecordIsDecodedAgainAndAgain(t *testing.T) {
	d := newDecoder()
	for range 2 {
		r, err := d.decode(execMessage())
		if err != nil {
			t.Fatal(err)
		}
		check(t, "Dir", r.Dir, "/")
		check(t, "FromMemfd", r.Exec.FromMemfd, true)
		check(t, "Cgroup beyond the limits", r.Exec.Cgroup, "")
		r, err = d.decode(openMessage())
		if err != nil {
			t.Fatal(err)
		}
		check(t, "Exec", r.Exec, nil)
		check(t, "Dir", r.Dir, "/root/etc")
		check(t, "File.Path", r.File.Path, "/root/etc/passwd")
		check(t, "Comm", r.Comm, "cat")
		check(t, "Created", r.Created, true)
	}
}

func TestACloneOutlivesTheNextRecord(t *testing.T) {
	d := newDecoder()
	m := execMessage()
	r, err := d.decode(m)
	if err != nil {
		t.Fatal(err)
	}
	kept := r.Clone()
	clear(m)
	if _, err := d.decode(openMessage()); err != nil {
		t.Fatal(err)
	}
	check(t, "Path", kept.Path, "./x")
	check(t, "Argv", string(kept.Exec.Argv), "x\x00y\x00")
	check(t, "Dir", kept.Dir, "/")
	check(t, "PPID", kept.Exec.PPID, 1)
}

func TestBytesThatAreNoRecordAreRefused(t *testing.T) {
	whole := openMessage()
	for n := range whole {
		r, err := newDecoder().decode(whole[:n])
		if err == nil && n != len(newMessage(bpfHeader{})) && !endsAtSection(whole, n) {
			t.Errorf("the first %d bytes are the record %+v", n, r)
		}
	}
	for name, m := range map[string]message{
		"no kind":           newMessage(bpfHeader{}),
		"unknown kind":      newMessage(bpfHeader{Kind: uint16(kindCount)}),
		"unknown section":   newMessage(bpfHeader{Kind: 1}).with(200, 0, ""),
		"short file":        newMessage(bpfHeader{Kind: 1}).with(bpfSectionTagTAG_FILE, 0, "x"),
		"short socket":      newMessage(bpfHeader{Kind: 1}).with(bpfSectionTagTAG_SOCKET, 0, "x"),
		"short facts":       newMessage(bpfHeader{Kind: 1}).with(bpfSectionTagTAG_FACTS, 0, "x"),
		"short exec":        newMessage(bpfHeader{Kind: 1}).with(bpfSectionTagTAG_EXEC, 0, "x"),
		"short child":       newMessage(bpfHeader{Kind: 1}).with(bpfSectionTagTAG_CHILD, 0, "x"),
		"section's own end": append(newMessage(bpfHeader{Kind: 1}), 1, 0, 5, 0, 'x'),
	} {
		if _, err := newDecoder().decode(m); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// endsAtSection says whether a message cut after n bytes is whole sections.
func endsAtSection(m message, n int) bool {
	at := len(newMessage(bpfHeader{}))
	for at < n {
		at += 4 + int(binary.NativeEndian.Uint16(m[at+2:]))
	}
	return at == n
}

func TestDecodingDoesNotAllocate(t *testing.T) {
	d := newDecoder()
	messages := []message{openMessage(), execMessage(), socketMessage(unix.AF_INET, "\x02\x00\x01\xbb\x01\x02\x03\x04")}
	allocations := testing.AllocsPerRun(100, func() {
		for _, m := range messages {
			if _, err := d.decode(m); err != nil {
				t.Fatal(err)
			}
		}
	})
	check(t, "allocations", allocations, 0)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(openMessage()))
	f.Add([]byte(execMessage()))
	f.Add([]byte(socketMessage(unix.AF_INET6, "\x0a\x00\x00\x50")))
	f.Add([]byte(socketMessage(unix.AF_UNIX, "\x01\x00\x00name")))
	f.Add([]byte(newMessage(bpfHeader{Kind: uint16(KindFork)}).with(bpfSectionTagTAG_CHILD, 0, layout(bpfChild{Pid: 1}))))
	d := newDecoder()
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := d.decode(b)
		if err != nil {
			return
		}
		// Reads every byte that the record points to.
		kept := r.Clone()
		if kept.Path != r.Path || kept.File != r.File || !bytes.Equal(kept.Data, r.Data) {
			t.Error("the copy differs")
		}
		if r.Kind == KindUnknown || r.Kind >= kindCount {
			t.Errorf("kind %d", r.Kind)
		}
		if len(d.arena) > 2*len(b)+16 {
			t.Errorf("%d bytes became %d of paths", len(b), len(d.arena))
		}
	})
}

func TestTimesSinceBootBecomeTimesSinceTheEpoch(t *testing.T) {
	var c clock
	c.adjust()
	got := c.epoch(uint64(readClock(unix.CLOCK_BOOTTIME)))
	if off := time.Since(time.Unix(0, int64(got))); off < 0 || off > 5*time.Second {
		t.Errorf("now is %v ago", off)
	}
}

func TestTheClockFollowsTheWallClockNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		c.adjustSometimes(time.Now())
		right := c.offset
		c.offset += int64(time.Hour)
		c.adjustSometimes(time.Now())
		check(t, "offset before the period is over", c.offset-right, int64(time.Hour))
		time.Sleep(clockPeriod)
		c.adjustSometimes(time.Now())
		if off := time.Duration(c.offset - right).Abs(); off > time.Second {
			t.Errorf("the offset is still %v off", off)
		}
	})
}

func TestSmallDriftLeavesStartTimesAlone(t *testing.T) {
	var c clock
	c.adjust()
	c.offset += clockSlack / 4
	before := c.offset
	c.adjust()
	check(t, "offset", c.offset, before)
}

func BenchmarkDecode(b *testing.B) {
	for name, m := range map[string]message{"open": openMessage(), "exec": execMessage()} {
		b.Run(name, func(b *testing.B) {
			d := newDecoder()
			b.ReportAllocs()
			b.SetBytes(int64(len(m)))
			for b.Loop() {
				if _, err := d.decode(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
