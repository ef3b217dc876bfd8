package probe

import "golang.org/x/sys/unix"

// numbers are the machine's system calls by kind. Kinds that the architecture has no call
// for are missing; its programs use the calls with a folder descriptor.
var numbers = map[Kind][]uint32{
	KindExecve:      {unix.SYS_EXECVE},
	KindExecveat:    {unix.SYS_EXECVEAT},
	KindOpenat:      {unix.SYS_OPENAT},
	KindOpenat2:     {unix.SYS_OPENAT2},
	KindConnect:     {unix.SYS_CONNECT},
	KindAccept:      {unix.SYS_ACCEPT},
	KindAccept4:     {unix.SYS_ACCEPT4},
	KindBind:        {unix.SYS_BIND},
	KindListen:      {unix.SYS_LISTEN},
	KindSocket:      {unix.SYS_SOCKET},
	KindSendto:      {unix.SYS_SENDTO},
	KindSendmsg:     {unix.SYS_SENDMSG},
	KindRecvfrom:    {unix.SYS_RECVFROM},
	KindRecvmsg:     {unix.SYS_RECVMSG},
	KindUnlinkat:    {unix.SYS_UNLINKAT},
	KindRenameat:    {unix.SYS_RENAMEAT},
	KindRenameat2:   {unix.SYS_RENAMEAT2},
	KindLinkat:      {unix.SYS_LINKAT},
	KindSymlinkat:   {unix.SYS_SYMLINKAT},
	KindMkdirat:     {unix.SYS_MKDIRAT},
	KindFchmod:      {unix.SYS_FCHMOD},
	KindFchmodat:    {unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2},
	KindFchown:      {unix.SYS_FCHOWN},
	KindFchownat:    {unix.SYS_FCHOWNAT},
	KindDup:         {unix.SYS_DUP},
	KindDup3:        {unix.SYS_DUP3},
	KindPtrace:      {unix.SYS_PTRACE},
	KindMemfdCreate: {unix.SYS_MEMFD_CREATE},
	KindSetuid:      {unix.SYS_SETUID},
	KindSetgid:      {unix.SYS_SETGID},
	KindSetreuid:    {unix.SYS_SETREUID},
	KindSetregid:    {unix.SYS_SETREGID},
	KindSetresuid:   {unix.SYS_SETRESUID},
	KindSetresgid:   {unix.SYS_SETRESGID},
	KindSetns:       {unix.SYS_SETNS},
	KindUnshare:     {unix.SYS_UNSHARE},
	KindMount:       {unix.SYS_MOUNT},
	KindUmount2:     {unix.SYS_UMOUNT2},
	KindInitModule:  {unix.SYS_INIT_MODULE},
	KindFinitModule: {unix.SYS_FINIT_MODULE},
	KindBpf:         {unix.SYS_BPF},
	KindUserfaultfd: {unix.SYS_USERFAULTFD},
	KindChdir:       {unix.SYS_CHDIR},
	KindFchdir:      {unix.SYS_FCHDIR},
	KindChroot:      {unix.SYS_CHROOT},
	KindSetsid:      {unix.SYS_SETSID},
	KindSetpgid:     {unix.SYS_SETPGID},
	KindCapset:      {unix.SYS_CAPSET},
	KindPrctl:       {unix.SYS_PRCTL},
	KindClose:       {unix.SYS_CLOSE},
	KindPipe2:       {unix.SYS_PIPE2},
	KindSocketpair:  {unix.SYS_SOCKETPAIR},
	KindKill:        {unix.SYS_KILL},
	KindTkill:       {unix.SYS_TKILL},
	KindTgkill:      {unix.SYS_TGKILL},
}

// 32-bit programs are not watched on this architecture; Stats.Unwatched counts their calls.
const compatSocketcall = 0

var (
	compatNumbers map[Kind][]uint32
	socketCalls   map[Kind]uint32
)
