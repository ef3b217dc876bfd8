package syscalls

import (
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/probe"
)

// class is what a descriptor refers to, in fd.type's terms.
type class uint8

const (
	classUnsupported class = iota // fd.type <NA>
	classFile
	classDirectory
	classIPv4
	classIPv6
	classUnix
	classNetlink
	classPipe
	classEvent
	classSignalfd
	classEventpoll
	classInotify
	classTimerfd
	classBPF
	classUserfaultfd
	classIOUring
	classMemfd
	classPidfd
	classNone // a failed memfd_create
)

// classNames are fd.type and fd.typechar.
var classNames = [...]struct{ name, char string }{
	classUnsupported: {"<NA>", "o"},
	classFile:        {"file", "f"},
	classDirectory:   {"directory", "d"},
	classIPv4:        {"ipv4", "4"},
	classIPv6:        {"ipv6", "6"},
	classUnix:        {"unix", "u"},
	classNetlink:     {"netlink", "n"},
	classPipe:        {"pipe", "p"},
	classEvent:       {"event", "e"},
	classSignalfd:    {"signalfd", "s"},
	classEventpoll:   {"eventpoll", "l"},
	classInotify:     {"inotify", "i"},
	classTimerfd:     {"timerfd", "t"},
	classBPF:         {"bpf", "b"},
	classUserfaultfd: {"userfaultfd", "u"},
	classIOUring:     {"io_uring", "r"},
	classMemfd:       {"memfd", "m"},
	classPidfd:       {"pidfd", "P"},
	classNone:        {"<NA>", "?"},
}

var classOfKind = [...]class{
	probe.FileRegular:     classFile,
	probe.FileDirectory:   classDirectory,
	probe.FileIPv4:        classIPv4,
	probe.FileIPv6:        classIPv6,
	probe.FileUnix:        classUnix,
	probe.FileNetlink:     classNetlink,
	probe.FileSocket:      classUnsupported,
	probe.FilePipe:        classPipe,
	probe.FileEventfd:     classEvent,
	probe.FileSignalfd:    classSignalfd,
	probe.FileEventpoll:   classEventpoll,
	probe.FileInotify:     classInotify,
	probe.FileTimerfd:     classTimerfd,
	probe.FileBPF:         classBPF,
	probe.FileUserfaultfd: classUserfaultfd,
	probe.FileIOUring:     classIOUring,
	probe.FileMemfd:       classMemfd,
	probe.FilePidfd:       classPidfd,
	probe.FileOther:       classUnsupported,
}

func classOf(k probe.FileKind) class {
	if int(k) < len(classOfKind) {
		return classOfKind[k]
	}
	return classUnsupported
}

func isSocket(k probe.FileKind) bool {
	switch k {
	case probe.FileIPv4, probe.FileIPv6, probe.FileUnix, probe.FileNetlink, probe.FileSocket:
		return true
	}
	return false
}

// descriptor is the event's file descriptor as fd.* shows it.
type descriptor struct {
	// used is false for an event that has none: then every fd field is null.
	used bool
	// num is its number, negative for a failed call.
	num int64
	// known is false where there is nothing behind it, as after a failed open.
	known bool
	class class
	// listens says that it has an address of its own and no peer, that is source.
	listens bool
	// client and server are the two ends if the role is known; of a listening socket the
	// server is the address it is bound to.
	role           role
	client, server netip.AddrPort
	named          bool
	name           string
	nameNull       bool
}

// descriptor returns the event's, worked out on first use.
func (e *Event) descriptor() *descriptor {
	if !e.fdDone {
		e.fdDone = true
		e.fd = e.newDescriptor()
	}
	return &e.fd
}

func (e *Event) newDescriptor() descriptor {
	rec := e.Rec
	ofFile := rec.File.Kind != probe.NoFile
	d := descriptor{used: true}
	switch e.kind() {
	case probe.KindOpen, probe.KindOpenat, probe.KindOpenat2, probe.KindCreat:
		d.num, d.known, d.class = max(rec.Ret, -1), rec.Ret >= 0, classFile
		if rec.OpenFlags&unix.O_DIRECTORY != 0 {
			d.class = classDirectory
		}
		return d
	case probe.KindSocket, probe.KindAccept, probe.KindAccept4:
		d.num, d.known = max(rec.Ret, -1), rec.Ret >= 0 && ofFile
	case probe.KindDup, probe.KindDup2, probe.KindDup3:
		d.num, d.known = rec.Ret, ofFile
		if rec.Ret < 0 {
			d.num = int64(int32(rec.Args[0]))
		}
	case probe.KindBpf, probe.KindUserfaultfd:
		d.num, d.known = rec.Ret, rec.Ret >= 0 && ofFile
	case probe.KindMemfdCreate:
		d.num, d.known = rec.Ret, true
		d.class = classMemfd
		if rec.Ret < 0 {
			d.class = classNone
		}
		return d
	case probe.KindPipe, probe.KindPipe2, probe.KindSocketpair:
		d.num, d.known = -1, rec.Ret >= 0 && ofFile
		if d.known {
			d.num = int64(rec.File.Num)
		}
	case probe.KindConnect, probe.KindBind, probe.KindListen, probe.KindSendto,
		probe.KindSendmsg, probe.KindRecvfrom, probe.KindRecvmsg, probe.KindClose,
		probe.KindFchmod, probe.KindFchown, probe.KindFchdir, probe.KindSetns,
		probe.KindFinitModule:
		d.num, d.known = int64(int32(rec.Args[0])), ofFile
	case probe.KindUnlinkat, probe.KindMkdirat, probe.KindFchmodat, probe.KindFchownat:
		return e.folderDescriptor(firstPath)
	case probe.KindSymlinkat:
		return e.folderDescriptor(secondPath)
	default:
		at, ok := rec.Kind.FD()
		folder, inFolder := rec.Kind.Folder(false)
		switch {
		case !ok:
			return descriptor{}
		case inFolder && folder == at:
			return e.folderDescriptor(firstPath)
		case at == probe.Returned:
			d.num, d.known = rec.Ret, rec.Ret >= 0 && ofFile
		default:
			d.num, d.known = int64(int32(rec.Args[at])), ofFile
		}
	}
	if d.known {
		d.class = classOf(rec.File.Kind)
		e.addEnds(&d)
	}
	return d
}

// folderDescriptor is the descriptor of the folder that a path starts from. The working
// directory has none.
func (e *Event) folderDescriptor(p pathArg) descriptor {
	fd, _ := e.dirfd(p)
	d := descriptor{used: true, num: int64(fd), class: classDirectory}
	if f := &e.Rec.File; fd != unix.AT_FDCWD && f.Kind != probe.NoFile {
		d.known, d.class = true, classOf(f.Kind)
		d.named, d.name = true, f.Path
	}
	return d
}

// addEnds works out the addresses of an internet socket and which end is which.
func (e *Event) addEnds(d *descriptor) {
	if d.class != classIPv4 && d.class != classIPv6 {
		return
	}
	f, st := &e.Rec.File, &e.socket
	switch {
	case e.kind() == probe.KindBind && e.Rec.Addr.Port() == 0:
		// A bind to any port shows what was asked for.
	case st.role == roleClient:
		d.role, d.client, d.server = roleClient, f.Local, e.remote()
	case st.role == roleServer:
		d.role, d.client, d.server = roleServer, e.remote(), f.Local
	case st.bound:
		d.listens, d.server = true, f.Local
		if !assigned(d.server) {
			d.server = unmap(e.Rec.Addr)
		}
	}
	if a := d.server.Addr(); d.role != roleNone && a.Is4() && (d.client.Addr().Is4() || !d.client.IsValid()) {
		d.class = classIPv4
	}
}

// remote is the peer of the event's socket.
func (e *Event) remote() netip.AddrPort {
	if e.socket.remote.IsValid() {
		return e.socket.remote
	}
	return e.Rec.File.Remote
}

// l4proto is fd.l4proto.
func (e *Event) l4proto() string {
	d := e.descriptor()
	if d.class != classIPv4 && d.class != classIPv6 {
		return "<NA>"
	}
	f := &e.Rec.File
	proto := "<NA>"
	switch {
	case f.SockType == unix.SOCK_RAW, f.Proto == unix.IPPROTO_RAW:
		return "raw"
	case f.Proto == unix.IPPROTO_TCP, f.Proto == 0 && f.SockType == unix.SOCK_STREAM:
		proto = "tcp"
	case f.Proto == unix.IPPROTO_UDP, f.Proto == 0 && f.SockType == unix.SOCK_DGRAM:
		proto = "udp"
	case f.Proto == unix.IPPROTO_ICMP, f.Proto == unix.IPPROTO_ICMPV6:
		proto = "icmp"
	}
	if d.role == roleNone && !d.listens {
		return "<NA>"
	}
	return proto
}

// descriptorName is fd.name; false for null.
func (e *Event) descriptorName() (string, bool) {
	d := e.descriptor()
	if !d.used {
		return "", false
	}
	if !d.named {
		d.named = true
		var ok bool
		d.name, ok = e.newName(d)
		d.nameNull = !ok
	}
	return d.name, !d.nameNull
}

func (e *Event) newName(d *descriptor) (string, bool) {
	rec := e.Rec
	switch e.kind() {
	case probe.KindOpen, probe.KindOpenat, probe.KindOpenat2, probe.KindCreat:
		return e.openName(d)
	case probe.KindPipe, probe.KindPipe2, probe.KindSocketpair:
		return "", true
	case probe.KindMemfdCreate:
		return rec.Path, rec.PathValid || !e.failed()
	case probe.KindAccept, probe.KindAccept4, probe.KindConnect:
		if !d.known {
			return "NULL", true
		}
	}
	if !d.known {
		return "", true
	}
	switch d.class {
	case classIPv4, classIPv6:
		return e.internetName(d), true
	case classUnix:
		return e.unixName(), true
	case classNetlink:
		return "", true
	default:
		return rec.File.Path, true
	}
}

// openName is the name of what an open opened or was to open: the path as it was passed,
// made absolute.
func (e *Event) openName(d *descriptor) (string, bool) {
	path, ok := e.raw(firstPath)
	plain := e.kind() == probe.KindOpen || e.kind() == probe.KindCreat
	switch {
	case !ok && plain:
		return "<NA>", true
	case !ok:
		return "", false
	case path == "":
		return "", true
	case plain && !d.known:
		return e.resolved(firstPath)
	}
	v := e.absolute(firstPath)
	return v.Str, v.Valid
}

// internetName is client->server, or the address that a socket listens on.
func (e *Event) internetName(d *descriptor) string {
	from := len(e.text)
	switch proto := e.l4proto(); {
	case d.listens:
		return e.made(appendEnd(e.text, d.server, true), from)
	case d.role == roleNone:
		if k := e.kind(); k == probe.KindBind && e.Rec.Ret == 0 && e.Rec.Addr.IsValid() {
			return e.made(appendEnd(e.text, unmap(e.Rec.Addr), true), from)
		}
		return ""
	default:
		ports := proto != "icmp" && proto != "raw"
		b := appendEnd(e.text, d.client, ports)
		b = append(b, "->"...)
		return e.made(appendEnd(b, d.server, ports), from)
	}
}

func appendEnd(b []byte, a netip.AddrPort, port bool) []byte {
	if a.Addr().IsValid() {
		b = a.Addr().WithZone("").AppendTo(b)
	} else {
		b = append(b, "0.0.0.0"...)
	}
	if port {
		b = append(b, ':')
		b = strconv.AppendUint(b, uint64(a.Port()), 10)
	}
	return b
}

// unixName has the form of two sockets and a path. The first is the socket's inode, the
// second, the peer, is not known.
func (e *Event) unixName() string {
	path := e.Rec.File.UnixPath
	if e.Rec.AddrPath != "" {
		path = e.Rec.AddrPath
	}
	if e.socket.refused || path == "" && !e.socket.connected {
		return ""
	}
	from := len(e.text)
	b := strconv.AppendUint(e.text, e.Rec.File.Inode, 16)
	b = append(b, "->0 "...)
	return e.made(append(b, path...), from)
}

// typeChar is fd.typechar, which a failed call has too.
func (e *Event) typeChar() string {
	d := e.descriptor()
	if d.known {
		return classNames[d.class].char
	}
	switch e.kind() {
	case probe.KindOpenat, probe.KindOpenat2, probe.KindCreat:
		return "f"
	case probe.KindSocket, probe.KindAccept, probe.KindAccept4:
		return "4"
	case probe.KindPipe, probe.KindPipe2:
		return "p"
	}
	return "o"
}
