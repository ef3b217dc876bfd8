package probe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// decoder turns the ring's bytes into one Record that it uses again and again. Strings and
// slices of the record point into the bytes or into the decoder's arena, so that decoding
// does not allocate.
type decoder struct {
	record Record
	exec   Exec
	fork   Fork
	header bpfHeader
	arena  []byte
	clock  clock
}

func newDecoder() *decoder {
	d := &decoder{arena: make([]byte, 0, 32<<10)}
	d.clock.adjust()
	return d
}

func (d *decoder) adjustClock() { d.clock.adjustSometimes(time.Now()) }

// decode returns the record in b, valid until the next call or until b changes.
func (d *decoder) decode(b []byte) (*Record, error) {
	h := &d.header
	rest, ok := load(h, b)
	if !ok {
		return nil, fmt.Errorf("record of %d bytes is shorter than its header", len(b))
	}
	if Kind(h.Kind) >= kindCount || Kind(h.Kind) == KindUnknown {
		return nil, fmt.Errorf("record has the unknown kind %d", h.Kind)
	}
	flags := bpfHeaderFlag(h.Flags)
	d.arena = d.arena[:0]
	d.record = Record{
		Kind: Kind(h.Kind), CPU: h.Cpu, Time: d.clock.epoch(h.Time),
		PID: h.Pid, TID: h.Tid, UID: h.Uid, GID: h.Gid,
		Comm: text(untilNUL(h.Comm[:])),
		Ret:  h.Ret, Args: h.Args,
		Start: h.Start, ExecID: h.ExecId,
		OpenFlags: h.OpenFlags, Mode: h.Mode,
		Created:      flags&bpfHeaderFlagOPEN_CREATED != 0,
		UpperLayer:   flags&bpfHeaderFlagUPPER_LAYER != 0,
		LowerLayer:   flags&bpfHeaderFlagLOWER_LAYER != 0,
		CapEffective: h.CapEffective, CapPermitted: h.CapPermitted, CapInheritable: h.CapInheritable,
	}
	d.begin(flags)
	for len(rest) > 0 {
		var head bpfSection
		body, ok := load(&head, rest)
		if !ok || len(body) < int(head.Len) {
			return nil, fmt.Errorf("section %d of a record of kind %d is cut off", head.Tag, h.Kind)
		}
		if !d.section(bpfSectionTag(head.Tag), bpfSectionFlag(head.Flags), body[:head.Len]) {
			return nil, fmt.Errorf("section %d of a record of kind %d cannot be read", head.Tag, h.Kind)
		}
		rest = body[head.Len:]
	}
	d.finish()
	return &d.record, nil
}

// begin sets what depends on the kind alone.
func (d *decoder) begin(flags bpfHeaderFlag) {
	r := &d.record
	if flags&bpfHeaderFlagHAS_FILE != 0 {
		r.File.Num = d.header.FileNum
	}
	switch r.Kind {
	case KindClose:
		r.File.Num = int32(r.Args[0])
	case KindExecve, KindExecveat:
		d.exec = Exec{}
		r.Exec = &d.exec
	case KindFork:
		d.beginFork()
	}
}

// beginFork sets what the registers of the system call tell.
func (d *decoder) beginFork() {
	const compat = 1 << 31
	number, known := d.header.ForkCall, forkCalls
	if number&compat != 0 {
		number, known = number&^compat, compatForkCalls
	}
	call, ok := known[number]
	d.fork = Fork{Call: call}
	if ok && (call == ForkByClone || call == ForkByClone3) {
		d.fork.Flags = d.record.Args[0]
	}
	if !ok {
		d.record.Args = [6]uint64{}
	}
	d.record.Fork = &d.fork
}

// section adds one section to the record; false if it makes no sense.
func (d *decoder) section(tag bpfSectionTag, flags bpfSectionFlag, b []byte) bool {
	r := &d.record
	switch tag {
	case bpfSectionTagTAG_PATH:
		r.Path, r.PathValid = text(b), true
	case bpfSectionTagTAG_PATH2:
		r.Path2, r.Path2Valid = text(b), true
	case bpfSectionTagTAG_DIR:
		r.Dir = d.names(flags, b)
	case bpfSectionTagTAG_DIR2:
		r.Dir2 = d.names(flags, b)
	case bpfSectionTagTAG_FILE:
		return d.file(b)
	case bpfSectionTagTAG_FILE_PATH:
		r.File.Path = d.names(flags, b)
		if flags&bpfSectionFlagNAMES_PSEUDO != 0 {
			r.File.Kind = pseudoFile(r.File.Kind, r.File.Path)
		}
	case bpfSectionTagTAG_SOCKET:
		return d.socket(b)
	case bpfSectionTagTAG_UNIX_PATH:
		_, r.File.UnixPath = d.sockaddr(b)
	case bpfSectionTagTAG_ADDRESS:
		r.Addr, r.AddrPath = d.sockaddr(b)
	case bpfSectionTagTAG_DATA:
		r.Data = b
	case bpfSectionTagTAG_FACTS:
		return d.facts(b)
	case bpfSectionTagTAG_CHILD:
		return d.child(b)
	case bpfSectionTagTAG_CGROUP:
		path := d.names(flags, b)
		d.exec.Cgroup, d.fork.Cgroup = path, path
	default:
		return d.execSection(tag, flags, b)
	}
	return true
}

func (d *decoder) execSection(tag bpfSectionTag, flags bpfSectionFlag, b []byte) bool {
	e := &d.exec
	switch tag {
	case bpfSectionTagTAG_ARGV:
		e.Argv = b
	case bpfSectionTagTAG_ENV:
		e.Env = b
	case bpfSectionTagTAG_EXE_PATH:
		e.ExePath = d.names(flags, b)
		e.FromMemfd = flags&bpfSectionFlagNAMES_PSEUDO != 0 && isMemfd(e.ExePath)
	case bpfSectionTagTAG_CWD:
		e.Cwd = d.names(flags, b)
	case bpfSectionTagTAG_EXEC:
		var info bpfExecInfo
		if _, ok := load(&info, b); !ok {
			return false
		}
		e.Inode, e.Ctime, e.Mtime = info.Inode, info.Ctime, info.Mtime
		e.Writable = bpfExecFlag(info.Flags)&bpfExecFlagEXE_WRITABLE != 0
	default:
		return false
	}
	return true
}

// finish sets what several sections decide together.
func (d *decoder) finish() {
	r := &d.record
	if r.Exec != nil && r.Ret >= 0 && len(r.Path) > 0 && r.Path[0] != '/' {
		r.Dir = r.Exec.Cwd
	}
}

func (d *decoder) facts(b []byte) bool {
	var f bpfFacts
	if _, ok := load(&f, b); !ok {
		return false
	}
	facts := Facts{
		PPID: f.Ppid, LoginUID: f.Loginuid, TTY: f.Tty,
		SID: f.Sid, PGID: f.Pgid, VPID: f.Vpid, VTID: f.Vtid, VSID: f.Vsid, VPGID: f.Vpgid,
		StartTime:  d.clock.epoch(f.Start),
		PidnsStart: d.clock.epoch(f.PidnsStart),
		HostPidns:  f.PidnsLevel == 0,
		BootStart:  f.Start,
		ExecID:     f.ExecId,
	}
	d.exec.Facts, d.fork.Facts = facts, facts
	return true
}

func (d *decoder) child(b []byte) bool {
	var c bpfChild
	if _, ok := load(&c, b); !ok {
		return false
	}
	d.fork.ChildPID, d.fork.ChildTID = c.Pid, c.Tid
	// The section's bytes outlive the copy.
	d.fork.Comm = text(untilNUL(b[unsafe.Offsetof(c.Comm):]))
	return true
}

// names turns names from leaf to root, each ended by NUL, into a path; empty if the kernel
// did not reach the root. What is no path, such as a memfd's name, stays as it is.
func (d *decoder) names(flags bpfSectionFlag, b []byte) string {
	if flags&bpfSectionFlagNAMES_TRUNCATED != 0 {
		return ""
	}
	if flags&bpfSectionFlagNAMES_PSEUDO != 0 {
		return text(untilNUL(b))
	}
	if len(b) == 0 {
		return "/"
	}
	start := len(d.arena)
	for end := len(b); end > 0; {
		at := bytes.LastIndexByte(b[:end-1], 0) + 1
		d.arena = append(d.arena, '/')
		d.arena = append(d.arena, untilNUL(b[at:end])...)
		end = at
	}
	return text(d.arena[start:])
}

// sockaddr reads a struct sockaddr. An abstract unix address shows with a leading @.
func (d *decoder) sockaddr(b []byte) (netip.AddrPort, string) {
	if len(b) < 2 {
		return netip.AddrPort{}, ""
	}
	switch binary.NativeEndian.Uint16(b) {
	case unix.AF_INET:
		if len(b) >= 8 {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:])), ""
		}
	case unix.AF_INET6:
		if len(b) >= 24 {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])).Unmap(), binary.BigEndian.Uint16(b[2:])), ""
		}
	case unix.AF_UNIX:
		path := b[2:]
		if len(path) > 1 && path[0] == 0 {
			start := len(d.arena)
			d.arena = append(d.arena, '@')
			d.arena = append(d.arena, path[1:]...)
			return netip.AddrPort{}, text(d.arena[start:])
		}
		return netip.AddrPort{}, text(untilNUL(path))
	}
	return netip.AddrPort{}, ""
}

// load copies a value of the machine's layout from the front of b and returns what
// follows it.
func load[T bpfHeader | bpfSection | bpfFileInfo | bpfSocketInfo | bpfExecInfo | bpfFacts | bpfChild](v *T, b []byte) ([]byte, bool) {
	size := int(unsafe.Sizeof(*v))
	if len(b) < size {
		return nil, false
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(v)), size), b)
	return b[size:], true
}

// text is a string of the same bytes, without a copy.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func untilNUL(b []byte) []byte {
	before, _, _ := bytes.Cut(b, []byte{0})
	return before
}
