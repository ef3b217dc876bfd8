package syscalls

import "slices"

import "golang.org/x/sys/unix"

// numbered is a flag or command with the kernel's number and the one that evt.args shows.
type numbered struct {
	text         string
	native, flag uint32
}

func namesOf(list []numbered) names {
	ns := make(names, 0, len(list))
	for _, n := range list {
		ns = append(ns, name{n.text, n.flag})
	}
	return ns
}

// renumberedBits is the i-th argument with each flag's number for the kernel's.
func renumberedBits(list []numbered, i int) func(*Event) arg {
	return func(e *Event) arg {
		native, flags := uint32(e.Rec.Args[i]), uint32(0)
		for _, n := range list {
			if n.native != 0 && native&n.native == n.native {
				flags |= n.flag
			}
		}
		return number(int64(flags))
	}
}

// renumbered is the same of an argument that is one of the numbers; 0 for another one.
func renumbered(list []numbered, i int) func(*Event) arg {
	return func(e *Event) arg {
		for _, n := range list {
			if n.native == uint32(e.Rec.Args[i]) {
				return number(int64(n.flag))
			}
		}
		return number(0)
	}
}

var protFlags = []numbered{
	{"PROT_READ", unix.PROT_READ, 1 << 0},
	{"PROT_WRITE", unix.PROT_WRITE, 1 << 1},
	{"PROT_EXEC", unix.PROT_EXEC, 1 << 2},
	{"PROT_SEM", 8, 1 << 3},
	{"PROT_GROWSDOWN", unix.PROT_GROWSDOWN, 1 << 4},
	{"PROT_GROWSUP", unix.PROT_GROWSUP, 1 << 5},
	{"PROT_NONE", unix.PROT_NONE, 0},
}

var protNames = namesOf(protFlags)

var mmapFlags = []numbered{
	{"MAP_SHARED", unix.MAP_SHARED, 1 << 0},
	{"MAP_PRIVATE", unix.MAP_PRIVATE, 1 << 1},
	{"MAP_FIXED", unix.MAP_FIXED, 1 << 2},
	{"MAP_ANONYMOUS", unix.MAP_ANONYMOUS, 1 << 3},
	{"MAP_32BIT", 0x40, 1 << 4},
	{"MAP_NORESERVE", unix.MAP_NORESERVE, 1 << 6},
	{"MAP_POPULATE", unix.MAP_POPULATE, 1 << 7},
	{"MAP_NONBLOCK", unix.MAP_NONBLOCK, 1 << 8},
	{"MAP_GROWSDOWN", unix.MAP_GROWSDOWN, 1 << 9},
	{"MAP_DENYWRITE", unix.MAP_DENYWRITE, 1 << 10},
	{"MAP_EXECUTABLE", unix.MAP_EXECUTABLE, 1 << 11},
	{"MAP_LOCKED", unix.MAP_LOCKED, 1 << 14},
}

var mmapFlagNames = namesOf(mmapFlags)

var fcntlCommands = []numbered{
	{"F_DUPFD", 0, 1},
	{"F_GETFD", 1, 2},
	{"F_SETFD", 2, 3},
	{"F_GETFL", 3, 4},
	{"F_SETFL", 4, 5},
	{"F_GETLK", 5, 6},
	{"F_SETLK", 6, 8},
	{"F_SETLKW", 7, 9},
	{"F_SETOWN", 8, 10},
	{"F_GETOWN", 9, 12},
	{"F_SETSIG", 10, 13},
	{"F_GETSIG", 11, 15},
	{"F_SETOWN_EX", 15, 21},
	{"F_GETOWN_EX", 16, 22},
	{"F_SETLEASE", 1024, 23},
	{"F_GETLEASE", 1025, 24},
	{"F_CANCELLK", 1029, 25},
	{"F_DUPFD_CLOEXEC", 1030, 26},
	{"F_NOTIFY", 1026, 27},
	{"F_SETPIPE_SZ", 1031, 28},
	{"F_GETPIPE_SZ", 1032, 29},
	{"F_OFD_GETLK", 36, 30},
	{"F_OFD_SETLK", 37, 31},
	{"F_OFD_SETLKW", 38, 32},
	{"UNKNOWN", ^uint32(0), 0},
}

var fcntlNames = namesOf(fcntlCommands)

var deleteModuleFlags = []numbered{
	{"O_NONBLOCK", unix.O_NONBLOCK, 1 << 1},
	{"O_TRUNC", unix.O_TRUNC, 1 << 0},
}

var deleteModuleFlagNames = namesOf(deleteModuleFlags)

var semgetFlags = []numbered{
	{"IPC_EXCL", 0o2000, 1 << 14},
	{"IPC_CREAT", 0o1000, 1 << 13},
}

var semgetFlagNames = namesOf(semgetFlags)

var (
	accessNames         = names{{"F_OK", 0}, {"R_OK", unix.R_OK}, {"W_OK", unix.W_OK}, {"X_OK", unix.X_OK}}
	whenceNames         = names{{"SEEK_END", 2}, {"SEEK_CUR", 1}, {"SEEK_SET", 0}}
	closeRangeFlagNames = names{{"CLOSE_RANGE_UNSHARE", 2}, {"CLOSE_RANGE_CLOEXEC", 4}}
	shutdownNames       = names{{"SHUT_RDWR", 2}, {"SHUT_WR", 1}, {"SHUT_RD", 0}}
	socketLevelNames    = names{{"SOL_SOCKET", unix.SOL_SOCKET}, {"SOL_TCP", unix.SOL_TCP}}
	statFlagNames       = names{
		{"AT_EMPTY_PATH", unix.AT_EMPTY_PATH},
		{"AT_NO_AUTOMOUNT", unix.AT_NO_AUTOMOUNT},
		{"AT_SYMLINK_NOFOLLOW", unix.AT_SYMLINK_NOFOLLOW},
	}
	flockNames = names{
		{"LOCK_SH", unix.LOCK_SH},
		{"LOCK_EX", unix.LOCK_EX},
		{"LOCK_NB", unix.LOCK_NB},
		{"LOCK_UN", unix.LOCK_UN},
		{"LOCK_NONE", 0},
	}
	spliceFlagNames = names{
		{"SPLICE_F_MOVE", unix.SPLICE_F_MOVE},
		{"SPLICE_F_NONBLOCK", unix.SPLICE_F_NONBLOCK},
		{"SPLICE_F_MORE", unix.SPLICE_F_MORE},
		{"SPLICE_F_GIFT", unix.SPLICE_F_GIFT},
	}
	ringEnterFlagNames = names{
		{"IORING_ENTER_GETEVENTS", 1},
		{"IORING_ENTER_SQ_WAKEUP", 2},
		{"IORING_ENTER_SQ_WAIT", 4},
		{"IORING_ENTER_EXT_ARG", 8},
	}
)

// mknodModeNames are modeNames with the types of file, of which some have the bits of others:
// they come first.
var mknodModeNames = append(slices.Clip(modeNames), names{
	{"S_IFSOCK", unix.S_IFSOCK},
	{"S_IFBLK", unix.S_IFBLK},
	{"S_IFREG", unix.S_IFREG},
	{"S_IFCHR", unix.S_IFCHR},
	{"S_IFIFO", unix.S_IFIFO},
}...)

// enumerate names the numbers from 0 on.
func enumerate(prefix string, texts ...string) names {
	ns := make(names, len(texts))
	for i, text := range texts {
		ns[i] = name{prefix + text, uint32(i)}
	}
	return ns
}

// futexNames are tried in order: an operation's number may have the bits of another one.
var futexNames = names{
	{"FUTEX_CLOCK_REALTIME", 256},
	{"FUTEX_PRIVATE_FLAG", 128},
	{"FUTEX_CMP_REQUEUE_PI", 12},
	{"FUTEX_WAIT_REQUEUE_PI", 11},
	{"FUTEX_WAKE_BITSET", 10},
	{"FUTEX_WAIT_BITSET", 9},
	{"FUTEX_TRYLOCK_PI", 8},
	{"FUTEX_UNLOCK_PI", 7},
	{"FUTEX_LOCK_PI", 6},
	{"FUTEX_WAKE_OP", 5},
	{"FUTEX_CMP_REQUEUE", 4},
	{"FUTEX_REQUEUE", 3},
	{"FUTEX_FD", 2},
	{"FUTEX_WAKE", 1},
	{"FUTEX_WAIT", 0},
}

var fsconfigNames = enumerate("FSCONFIG_", "SET_FLAG", "SET_STRING", "SET_BINARY", "SET_PATH", "SET_PATH_EMPTY", "SET_FD",
	"CMD_CREATE", "CMD_RECONFIGURE")

var keyctlNames = enumerate("KEYCTL_", "GET_KEYRING_ID", "JOIN_SESSION_KEYRING", "UPDATE", "REVOKE", "CHOWN", "SETPERM",
	"DESCRIBE", "CLEAR", "LINK", "UNLINK", "SEARCH", "READ", "INSTANTIATE", "NEGATE", "SET_REQKEY_KEYRING",
	"SET_TIMEOUT", "ASSUME_AUTHORITY", "GET_SECURITY", "SESSION_TO_PARENT", "REJECT", "INSTANTIATE_IOV",
	"INVALIDATE", "GET_PERSISTENT", "DH_COMPUTE", "PKEY_QUERY", "PKEY_ENCRYPT", "PKEY_DECRYPT", "PKEY_SIGN",
	"PKEY_VERIFY", "RESTRICT_KEYRING", "MOVE", "CAPABILITIES", "WATCH_KEY")

var limitNames = enumerate("RLIMIT_", "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS",
	"LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME")

var ringRegisterNames = enumerate("IORING_", "REGISTER_BUFFERS", "UNREGISTER_BUFFERS", "REGISTER_FILES", "UNREGISTER_FILES",
	"REGISTER_EVENTFD", "UNREGISTER_EVENTFD", "REGISTER_FILES_UPDATE", "REGISTER_EVENTFD_ASYNC", "REGISTER_PROBE",
	"REGISTER_PERSONALITY", "UNREGISTER_PERSONALITY", "REGISTER_RESTRICTIONS", "REGISTER_ENABLE_RINGS",
	"REGISTER_FILES2", "REGISTER_FILES_UPDATE2", "REGISTER_BUFFERS2", "REGISTER_BUFFERS_UPDATE",
	"REGISTER_IOWQ_AFF", "UNREGISTER_IOWQ_AFF", "REGISTER_IOWQ_MAX_WORKERS", "REGISTER_RING_FDS",
	"UNREGISTER_RING_FDS")
