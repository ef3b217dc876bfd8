package probe

import (
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// pidfsMagic is the file system of process descriptors since Linux 6.9.
const pidfsMagic = 0x50494446

// file adds what a descriptor refers to. Its path, which comes later, may tell more.
func (d *decoder) file(b []byte) bool {
	var info bpfFileInfo
	if _, ok := load(&info, b); !ok {
		return false
	}
	f := &d.record.File
	f.Inode, f.Dev = info.Inode, userDevice(info.Dev)
	switch {
	case info.Magic == pidfsMagic:
		f.Kind = FilePidfd
	case info.Magic == unix.ANON_INODE_FS_MAGIC:
		f.Kind = FileOther
	default:
		f.Kind = kindOfMode(info.Mode)
	}
	return true
}

// userDevice turns the kernel's encoding of a device number into that of stat(2).
func userDevice(dev uint32) uint32 {
	return uint32(unix.Mkdev(dev>>20, dev&(1<<20-1)))
}

// kindOfMode follows Falco in taking a device for a file: it is opened by its path.
func kindOfMode(mode uint32) FileKind {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFCHR, unix.S_IFBLK:
		return FileRegular
	case unix.S_IFDIR:
		return FileDirectory
	case unix.S_IFIFO:
		return FilePipe
	case unix.S_IFSOCK:
		return FileSocket
	}
	return FileOther
}

// pseudoFile is the kind of a file that has a name but no path, by that name.
func pseudoFile(known FileKind, name string) FileKind {
	if known == FilePipe || known == FilePidfd {
		return known
	}
	if isMemfd(name) {
		return FileMemfd
	}
	if strings.HasPrefix(name, "bpf") || strings.HasPrefix(name, "[bpf") {
		return FileBPF
	}
	switch strings.Trim(name, "[]") {
	case "eventfd":
		return FileEventfd
	case "signalfd":
		return FileSignalfd
	case "eventpoll":
		return FileEventpoll
	case "inotify":
		return FileInotify
	case "timerfd":
		return FileTimerfd
	case "userfaultfd":
		return FileUserfaultfd
	case "io_uring":
		return FileIOUring
	case "pidfd":
		return FilePidfd
	}
	return FileOther
}

func isMemfd(name string) bool { return strings.HasPrefix(name, "memfd:") }

func (d *decoder) socket(b []byte) bool {
	var info bpfSocketInfo
	if _, ok := load(&info, b); !ok {
		return false
	}
	f := &d.record.File
	f.Family, f.SockType, f.Proto, f.State = info.Family, info.Type, info.Protocol, info.State
	switch info.Family {
	case unix.AF_INET:
		f.Kind = FileIPv4
		f.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte(info.Local[:4])), info.LocalPort)
		f.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte(info.Remote[:4])), info.RemotePort)
	case unix.AF_INET6:
		f.Kind = FileIPv6
		f.Local = netip.AddrPortFrom(netip.AddrFrom16(info.Local).Unmap(), info.LocalPort)
		f.Remote = netip.AddrPortFrom(netip.AddrFrom16(info.Remote).Unmap(), info.RemotePort)
	case unix.AF_UNIX:
		f.Kind = FileUnix
	case unix.AF_NETLINK:
		f.Kind = FileNetlink
	default:
		f.Kind = FileSocket
	}
	return true
}
