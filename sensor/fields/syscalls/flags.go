package syscalls

import (
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/saker-security/saker/sensor/probe"
)

// The flags of an open as rules and evt.args number them, the same on every architecture.
const (
	flagRead uint32 = 1 << iota
	flagWrite
	flagCreat
	flagAppend
	flagDsync
	flagExcl
	flagNonblock
	flagSync
	flagTrunc
	flagDirect
	flagDirectory
	flagLargefile
	flagCloexec
	flagTmpfile
	flagCreated
	flagUpperLayer
	flagLowerLayer
)

// largefile is O_LARGEFILE as programs pass it. C libraries for 64 bits define it as 0.
var largefile = func() uint32 {
	if runtime.GOARCH == "arm64" {
		return 0o400000
	}
	return 0o100000
}()

// openFlags are the flags of the event's open in the numbers above.
func (e *Event) openFlags() uint32 {
	rec := e.Rec
	native := rec.OpenFlags
	if rec.Kind == probe.KindOpenByHandleAt {
		native = uint32(rec.Args[2])
	}
	flags := fileFlags(native)
	switch native & unix.O_ACCMODE {
	case unix.O_RDONLY:
		flags |= flagRead
	case unix.O_WRONLY:
		flags |= flagWrite
	default:
		flags |= flagRead | flagWrite
	}
	if rec.Created {
		flags |= flagCreated
	}
	if rec.UpperLayer {
		flags |= flagUpperLayer
	}
	if rec.LowerLayer {
		flags |= flagLowerLayer
	}
	return flags
}

// fileFlags numbers flags that are no access mode.
func fileFlags(native uint32) uint32 {
	var flags uint32
	for _, m := range [...]struct{ native, flag uint32 }{
		{unix.O_CREAT, flagCreat},
		{unix.O_APPEND, flagAppend},
		{unix.O_EXCL, flagExcl},
		{unix.O_NONBLOCK, flagNonblock},
		{unix.O_SYNC | unix.O_DSYNC, flagSync | flagDsync},
		{unix.O_TRUNC, flagTrunc},
		{unix.O_DIRECT, flagDirect},
		{unix.O_DIRECTORY, flagDirectory},
		{largefile, flagLargefile},
		{unix.O_CLOEXEC, flagCloexec},
	} {
		if native&m.native != 0 {
			flags |= m.flag
		}
	}
	if native&unix.O_TMPFILE == unix.O_TMPFILE {
		flags |= flagTmpfile
	}
	return flags
}

// name is one name of a number.
type name struct {
	text  string
	value uint32
}

// names print a number. Those of flags are tried in order and each takes its bits away;
// those of an enumeration are all that are equal.
type names []name

// appendFlags appends the names in value joined by |; nothing if there is none.
func (ns names) appendFlags(b []byte, value uint32) []byte {
	start, rest := len(b), value
	for _, n := range ns {
		if n.value == 0 {
			if value != 0 {
				continue
			}
		} else if rest&n.value != n.value {
			continue
		}
		rest &^= n.value
		b = appendName(b, start, n.text)
		if n.value == value {
			break
		}
	}
	return b
}

// appendEnum appends the names of value joined by |; nothing if there is none.
func (ns names) appendEnum(b []byte, value uint32) []byte {
	start := len(b)
	for _, n := range ns {
		if n.value == value {
			b = appendName(b, start, n.text)
		}
	}
	return b
}

func appendName(b []byte, start int, text string) []byte {
	if len(b) > start {
		b = append(b, '|')
	}
	return append(b, text...)
}

var fileFlagNames = names{
	{"O_LARGEFILE", flagLargefile},
	{"O_DIRECTORY", flagDirectory},
	{"O_DIRECT", flagDirect},
	{"O_TRUNC", flagTrunc},
	{"O_SYNC", flagSync},
	{"O_NONBLOCK", flagNonblock},
	{"O_EXCL", flagExcl},
	{"O_DSYNC", flagDsync},
	{"O_APPEND", flagAppend},
	{"O_CREAT", flagCreat},
	{"O_RDWR", flagRead | flagWrite},
	{"O_WRONLY", flagWrite},
	{"O_RDONLY", flagRead},
	{"O_CLOEXEC", flagCloexec},
	{"O_NONE", 0},
	{"O_TMPFILE", flagTmpfile},
	{"O_F_CREATED", flagCreated},
	{"FD_UPPER_LAYER", flagUpperLayer},
	{"FD_LOWER_LAYER", flagLowerLayer},
}

var creatFlagNames = names{{"FD_UPPER_LAYER_CREAT", 1}, {"FD_LOWER_LAYER_CREAT", 2}}

var execFlagNames = names{
	{"EXE_WRITABLE", 1}, {"EXE_UPPER_LAYER", 2}, {"EXE_FROM_MEMFD", 4}, {"EXE_LOWER_LAYER", 8},
}

// cloneFlags maps the kernel's flags of clone, unshare and setns to the numbers that
// evt.args shows, in the order of printing.
var cloneFlags = [...]struct {
	text         string
	native, flag uint32
}{
	{"CLONE_FILES", unix.CLONE_FILES, 1 << 0},
	{"CLONE_FS", unix.CLONE_FS, 1 << 1},
	{"CLONE_IO", unix.CLONE_IO, 1 << 2},
	{"CLONE_NEWIPC", unix.CLONE_NEWIPC, 1 << 3},
	{"CLONE_NEWNET", unix.CLONE_NEWNET, 1 << 4},
	{"CLONE_NEWNS", unix.CLONE_NEWNS, 1 << 5},
	{"CLONE_NEWPID", unix.CLONE_NEWPID, 1 << 6},
	{"CLONE_NEWUTS", unix.CLONE_NEWUTS, 1 << 7},
	{"CLONE_PARENT", unix.CLONE_PARENT, 1 << 8},
	{"CLONE_PARENT_SETTID", unix.CLONE_PARENT_SETTID, 1 << 9},
	{"CLONE_PTRACE", unix.CLONE_PTRACE, 1 << 10},
	{"CLONE_SIGHAND", unix.CLONE_SIGHAND, 1 << 11},
	{"CLONE_SYSVSEM", unix.CLONE_SYSVSEM, 1 << 12},
	{"CLONE_THREAD", unix.CLONE_THREAD, 1 << 13},
	{"CLONE_UNTRACED", unix.CLONE_UNTRACED, 1 << 14},
	{"CLONE_VM", unix.CLONE_VM, 1 << 15},
	{"CLONE_NEWUSER", unix.CLONE_NEWUSER, 1 << 20},
	{"CLONE_CHILD_CLEARTID", unix.CLONE_CHILD_CLEARTID, 1 << 23},
	{"CLONE_CHILD_SETTID", unix.CLONE_CHILD_SETTID, 1 << 24},
	{"CLONE_SETTLS", unix.CLONE_SETTLS, 1 << 25},
	{"CLONE_VFORK", unix.CLONE_VFORK, 1 << 27},
	{"CLONE_NEWCGROUP", unix.CLONE_NEWCGROUP, 1 << 28},
}

var cloneFlagNames = func() names {
	ns := make(names, 0, len(cloneFlags))
	for _, c := range cloneFlags {
		ns = append(ns, name{c.text, c.flag})
	}
	return ns
}()

func numberCloneFlags(native uint64) int64 {
	var flags int64
	for _, c := range cloneFlags {
		if native&uint64(c.native) != 0 {
			flags |= int64(c.flag)
		}
	}
	return flags
}

var (
	unlinkatFlagNames = names{{"AT_REMOVEDIR", unix.AT_REMOVEDIR}}
	linkatFlagNames   = names{{"AT_SYMLINK_FOLLOW", unix.AT_SYMLINK_FOLLOW}, {"AT_EMPTY_PATH", unix.AT_EMPTY_PATH}}
	chownFlagNames    = names{{"AT_SYMLINK_NOFOLLOW", unix.AT_SYMLINK_NOFOLLOW}, {"AT_EMPTY_PATH", unix.AT_EMPTY_PATH}}
	renameFlagNames   = names{{"RENAME_NOREPLACE", 1}, {"RENAME_EXCHANGE", 2}, {"RENAME_WHITEOUT", 4}}
	memfdFlagNames    = names{{"MFD_CLOEXEC", 1}, {"MFD_ALLOW_SEALING", 2}, {"MFD_HUGETLB", 4}}
	umountFlagNames   = names{{"FORCE", 1}, {"DETACH", 2}, {"EXPIRE", 4}, {"NOFOLLOW", 8}}
	moduleFlagNames   = names{
		{"MODULE_INIT_IGNORE_MODVERSIONS", 1},
		{"MODULE_INIT_IGNORE_VERMAGIC", 2},
		{"MODULE_INIT_COMPRESSED_FILE", 4},
	}
)

// modeNames is the order of the permission bits, from the lowest up.
var modeNames = names{
	{"S_IXOTH", unix.S_IXOTH},
	{"S_IWOTH", unix.S_IWOTH},
	{"S_IROTH", unix.S_IROTH},
	{"S_IXGRP", unix.S_IXGRP},
	{"S_IWGRP", unix.S_IWGRP},
	{"S_IRGRP", unix.S_IRGRP},
	{"S_IXUSR", unix.S_IXUSR},
	{"S_IWUSR", unix.S_IWUSR},
	{"S_IRUSR", unix.S_IRUSR},
	{"S_ISVTX", unix.S_ISVTX},
	{"S_ISGID", unix.S_ISGID},
	{"S_ISUID", unix.S_ISUID},
}

var mountFlagNames = names{
	{"RDONLY", unix.MS_RDONLY},
	{"NOSUID", unix.MS_NOSUID},
	{"NODEV", unix.MS_NODEV},
	{"NOEXEC", unix.MS_NOEXEC},
	{"SYNCHRONOUS", unix.MS_SYNCHRONOUS},
	{"REMOUNT", unix.MS_REMOUNT},
	{"MANDLOCK", unix.MS_MANDLOCK},
	{"DIRSYNC", unix.MS_DIRSYNC},
	{"NOATIME", unix.MS_NOATIME},
	{"NODIRATIME", unix.MS_NODIRATIME},
	{"BIND", unix.MS_BIND},
	{"MOVE", unix.MS_MOVE},
	{"REC", unix.MS_REC},
	{"SILENT", unix.MS_SILENT},
	{"POSIXACL", unix.MS_POSIXACL},
	{"UNBINDABLE", unix.MS_UNBINDABLE},
	{"PRIVATE", unix.MS_PRIVATE},
	{"SLAVE", unix.MS_SLAVE},
	{"SHARED", unix.MS_SHARED},
	{"RELATIME", unix.MS_RELATIME},
	{"KERNMOUNT", unix.MS_KERNMOUNT},
	{"I_VERSION", unix.MS_I_VERSION},
	{"STRICTATIME", unix.MS_STRICTATIME},
	{"LAZYTIME", unix.MS_LAZYTIME},
	{"NOSEC", 1 << 28},
	{"BORN", 1 << 29},
	{"ACTIVE", 1 << 30},
	{"NOUSER", 1 << 31},
}

var familyNames = names{
	{"AF_NFC", 39},
	{"AF_ALG", 38},
	{"AF_CAIF", 37},
	{"AF_IEEE802154", 36},
	{"AF_PHONET", 35},
	{"AF_ISDN", 34},
	{"AF_RXRPC", 33},
	{"AF_IUCV", 32},
	{"AF_BLUETOOTH", 31},
	{"AF_TIPC", 30},
	{"AF_CAN", 29},
	{"AF_LLC", 26},
	{"AF_WANPIPE", 25},
	{"AF_PPPOX", 24},
	{"AF_IRDA", 23},
	{"AF_SNA", 22},
	{"AF_RDS", 21},
	{"AF_ATMSVC", 20},
	{"AF_ECONET", 19},
	{"AF_ASH", 18},
	{"AF_PACKET", 17},
	{"AF_ROUTE", 16},
	{"AF_NETLINK", 16},
	{"AF_KEY", 15},
	{"AF_SECURITY", 14},
	{"AF_NETBEUI", 13},
	{"AF_DECnet", 12},
	{"AF_ROSE", 11},
	{"AF_INET6", 10},
	{"AF_X25", 9},
	{"AF_ATMPVC", 8},
	{"AF_BRIDGE", 7},
	{"AF_NETROM", 6},
	{"AF_APPLETALK", 5},
	{"AF_IPX", 4},
	{"AF_AX25", 3},
	{"AF_INET", 2},
	{"AF_LOCAL", 1},
	{"AF_UNIX", 1},
	{"AF_UNSPEC", 0},
	{"AF_KCM", 41},
	{"AF_QIPCRTR", 42},
	{"AF_SMC", 43},
	{"AF_XDP", 44},
	{"AF_VSOCK", 40},
	{"AF_MPLS", 28},
	{"AF_IB", 27},
	{"AF_MCTP", 45},
}

// ptraceRequests are the requests by the kernel's number; the index is the number that
// evt.args shows.
var ptraceRequests = [...]struct {
	text   string
	native uint64
}{
	{"PTRACE_UNKNOWN", ^uint64(0)},
	{"PTRACE_TRACEME", 0},
	{"PTRACE_PEEKTEXT", 1},
	{"PTRACE_PEEKDATA", 2},
	{"PTRACE_PEEKUSR", 3},
	{"PTRACE_POKETEXT", 4},
	{"PTRACE_POKEDATA", 5},
	{"PTRACE_POKEUSR", 6},
	{"PTRACE_CONT", 7},
	{"PTRACE_KILL", 8},
	{"PTRACE_SINGLESTEP", 9},
	{"PTRACE_ATTACH", 16},
	{"PTRACE_DETACH", 17},
	{"PTRACE_SYSCALL", 24},
	{"PTRACE_SETOPTIONS", 0x4200},
	{"PTRACE_GETEVENTMSG", 0x4201},
	{"PTRACE_GETSIGINFO", 0x4202},
	{"PTRACE_SETSIGINFO", 0x4203},
	{"PTRACE_GETREGSET", 0x4204},
	{"PTRACE_SETREGSET", 0x4205},
	{"PTRACE_SEIZE", 0x4206},
	{"PTRACE_INTERRUPT", 0x4207},
	{"PTRACE_LISTEN", 0x4208},
	{"PTRACE_PEEKSIGINFO", 0x4209},
	{"PTRACE_GETSIGMASK", 0x420a},
	{"PTRACE_SETSIGMASK", 0x420b},
	{"PTRACE_GETREGS", 12},
	{"PTRACE_SETREGS", 13},
	{"PTRACE_GETFPREGS", 14},
	{"PTRACE_SETFPREGS", 15},
	{"PTRACE_GETFPXREGS", 18},
	{"PTRACE_SETFPXREGS", 19},
	{"PTRACE_OLDSETOPTIONS", 21},
	{"PTRACE_GET_THREAD_AREA", 25},
	{"PTRACE_SET_THREAD_AREA", 26},
	{"PTRACE_ARCH_PRCTL", 30},
	{"PTRACE_SYSEMU", 31},
	{"PTRACE_SYSEMU_SINGLESTEP", 32},
	{"PTRACE_SINGLEBLOCK", 33},
}

var ptraceNames = func() names {
	ns := make(names, len(ptraceRequests))
	for i, r := range ptraceRequests {
		ns[i] = name{r.text, uint32(i)}
	}
	return ns
}()

func numberPtraceRequest(native uint64) int64 {
	for i, r := range ptraceRequests {
		if r.native == native {
			return int64(i)
		}
	}
	return 0
}

// bpfNames are the commands by the kernel's number.
var bpfNames = func() names {
	ns := make(names, 0, len(bpfCommands)+1)
	for i, text := range bpfCommands {
		ns = append(ns, name{"BPF_" + text, uint32(i)})
		if text == "PROG_TEST_RUN" {
			ns = append(ns, name{"BPF_PROG_RUN", uint32(i)})
		}
	}
	return ns
}()

var bpfCommands = [...]string{
	"MAP_CREATE", "MAP_LOOKUP_ELEM", "MAP_UPDATE_ELEM", "MAP_DELETE_ELEM", "MAP_GET_NEXT_KEY",
	"PROG_LOAD", "OBJ_PIN", "OBJ_GET", "PROG_ATTACH", "PROG_DETACH", "PROG_TEST_RUN",
	"PROG_GET_NEXT_ID", "MAP_GET_NEXT_ID", "PROG_GET_FD_BY_ID", "MAP_GET_FD_BY_ID",
	"OBJ_GET_INFO_BY_FD", "PROG_QUERY", "RAW_TRACEPOINT_OPEN", "BTF_LOAD", "BTF_GET_FD_BY_ID",
	"TASK_FD_QUERY", "MAP_LOOKUP_AND_DELETE_ELEM", "MAP_FREEZE", "BTF_GET_NEXT_ID",
	"MAP_LOOKUP_BATCH", "MAP_LOOKUP_AND_DELETE_BATCH", "MAP_UPDATE_BATCH", "MAP_DELETE_BATCH",
	"LINK_CREATE", "LINK_UPDATE", "LINK_GET_FD_BY_ID", "LINK_GET_NEXT_ID", "ENABLE_STATS",
	"ITER_CREATE", "LINK_DETACH", "PROG_BIND_MAP", "TOKEN_CREATE",
}

var prctlNames = names{
	{"PR_GET_DUMPABLE", 3},
	{"PR_SET_DUMPABLE", 4},
	{"PR_GET_KEEPCAPS", 7},
	{"PR_SET_KEEPCAPS", 8},
	{"PR_SET_NAME", 15},
	{"PR_GET_NAME", 16},
	{"PR_GET_SECCOMP", 21},
	{"PR_SET_SECCOMP", 22},
	{"PR_CAPBSET_READ", 23},
	{"PR_CAPBSET_DROP", 24},
	{"PR_GET_SECUREBITS", 27},
	{"PR_SET_SECUREBITS", 28},
	{"PR_MCE_KILL", 33},
	{"PR_SET_MM", 35},
	{"PR_SET_CHILD_SUBREAPER", 36},
	{"PR_GET_CHILD_SUBREAPER", 37},
	{"PR_SET_NO_NEW_PRIVS", 38},
	{"PR_GET_NO_NEW_PRIVS", 39},
	{"PR_GET_TID_ADDRESS", 40},
	{"PR_SET_THP_DISABLE", 41},
	{"PR_GET_THP_DISABLE", 42},
	{"PR_CAP_AMBIENT", 47},
}

var resolveNames = names{
	{"RESOLVE_BENEATH", unix.RESOLVE_BENEATH},
	{"RESOLVE_IN_ROOT", unix.RESOLVE_IN_ROOT},
	{"RESOLVE_NO_MAGICLINKS", unix.RESOLVE_NO_MAGICLINKS},
	{"RESOLVE_NO_SYMLINKS", unix.RESOLVE_NO_SYMLINKS},
	{"RESOLVE_NO_XDEV", unix.RESOLVE_NO_XDEV},
	{"RESOLVE_CACHED", 0x20},
}
