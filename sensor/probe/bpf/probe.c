/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * The programs. One stands at the exit of every system call, looks the call up in a table
 * and leaves at once if it is of no interest; else it jumps to the program of the call's
 * group. Three stand at the scheduler's exec, fork and exit.
 */
#include "kernel.h"
#include "wire.h"
#include "scratch.h"
#include "path.h"
#include "socket.h"
#include "file.h"
#include "task.h"

char _license[] SEC("license") = "Dual BSD/GPL";

#if defined(__TARGET_ARCH_x86)
#define HAS_COMPAT 1
#define HAS_X32 1
#define TS_COMPAT 2

static __always_inline __s64 syscall_number(struct pt_regs *regs)
{
	return (__s64)regs->orig_ax;
}

static __always_inline bool is_compat(struct task_struct *task)
{
	return READ(task, thread_info.status) & TS_COMPAT;
}

static __always_inline void read_args(struct scratch *s, struct pt_regs *regs)
{
	__u64 *a = s->h.args;

	if (s->compat) {
		a[0] = (__u32)regs->bx;
		a[1] = (__u32)regs->cx;
		a[2] = (__u32)regs->dx;
		a[3] = (__u32)regs->si;
		a[4] = (__u32)regs->di;
		a[5] = (__u32)regs->bp;
		return;
	}
	a[0] = regs->di;
	a[1] = regs->si;
	a[2] = regs->dx;
	a[3] = regs->r10;
	a[4] = regs->r8;
	a[5] = regs->r9;
}
#elif defined(__TARGET_ARCH_arm64)
#define HAS_COMPAT 0
#define HAS_X32 0
#define TIF_32BIT 22

static __always_inline __s64 syscall_number(struct pt_regs *regs)
{
	return regs->syscallno;
}

static __always_inline bool is_compat(struct task_struct *task)
{
	return READ(task, thread_info.flags) & (1UL << TIF_32BIT);
}

static __always_inline void read_args(struct scratch *s, struct pt_regs *regs)
{
	__u64 *a = s->h.args;

	/* The result has taken the place of the first argument. */
	a[0] = regs->orig_x0;
	a[1] = regs->regs[1];
	a[2] = regs->regs[2];
	a[3] = regs->regs[3];
	a[4] = regs->regs[4];
	a[5] = regs->regs[5];
}
#endif

/* Counts a call of a program whose system calls are numbered in a way not known here. */
static __always_inline void count_unwatched(void)
{
	struct counters *count = counters_of(0);

	if (count)
		count->lost++;
}

static __always_inline void count_filtered(__u32 kind)
{
	struct counters *count = counters_of(kind);

	if (count)
		count->filtered++;
}

static __always_inline struct syscall *table_entry(__u32 i)
{
	return bpf_map_lookup_elem(&syscalls, &i);
}

/* Unpacks a 32-bit socketcall: its number and arguments lie in memory. */
static __always_inline struct syscall *socketcall(struct scratch *s)
{
	__u32 number = s->h.args[0];
	__u32 args[6] = {};

	if (number >= MAX_SOCKET_CALLS)
		return 0;
	/* Most calls have three, and the array may end where readable memory ends. */
	if (bpf_probe_read_user(args, sizeof(args), (void *)s->h.args[1]) &&
	    bpf_probe_read_user(args, 3 * sizeof(args[0]), (void *)s->h.args[1]))
		return 0;
#pragma unroll
	for (int i = 0; i < 6; i++)
		s->h.args[i] = args[i];
	return table_entry(SOCKET_CALLS + number);
}

int on_file(unsigned long long *ctx);
int on_open(unsigned long long *ctx);
int on_socket(unsigned long long *ctx);
int on_failed_exec(unsigned long long *ctx);

/* The programs by group. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, GROUP_COUNT);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} groups SEC(".maps") = {
	.values = {
		[GROUP_FILE] = (void *)&on_file,
		[GROUP_OPEN] = (void *)&on_open,
		[GROUP_SOCKET] = (void *)&on_socket,
		[GROUP_EXEC] = (void *)&on_failed_exec,
	},
};

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	struct syscall *native, *compat, *call;
	struct task_struct *task;
	struct counters *count;
	struct config *cfg;
	struct scratch *s;
	__u64 nr = syscall_number(regs);
	__u32 is_32;

	if (nr >= MAX_SYSCALLS) {
		if (HAS_X32 && nr >> 30 == 1)
			count_unwatched();
		return 0;
	}
	native = table_entry(nr);
	compat = table_entry(COMPAT_SYSCALLS + nr);
	if (!native || !compat || !(native->group | compat->group))
		return 0;
	task = (struct task_struct *)bpf_get_current_task();
	is_32 = is_compat(task);
	if (is_32 && !HAS_COMPAT)
		count_unwatched();
	call = is_32 ? compat : native;
	if (call->group == GROUP_NONE || (call->group == GROUP_EXEC && ret >= 0))
		return 0;
	s = scratch_of_cpu();
	cfg = config_now();
	if (!s || !cfg)
		return 0;
	s->task = task;
	s->compat = is_32;
	s->h.ret = ret;
	read_args(s, regs);
	if (call->group == GROUP_SOCKETCALL) {
		call = socketcall(s);
		if (!call || call->group == GROUP_NONE)
			return 0;
	}
	count = counters_of(call->kind);
	if (!count)
		return 0;
	count->seen++;
	if ((ret < 0 && (call->flags & DROP_FAILED)) || is_ignored(cfg, bpf_get_current_pid_tgid() >> 32)) {
		count->filtered++;
		return 0;
	}
	s->call = *call;
	bpf_tail_call(ctx, &groups, call->group);
	count->lost++;
	return 0;
}

/* Calls about paths and descriptors, and those that have neither. */
SEC("tp_btf/sys_exit")
int on_file(unsigned long long *ctx)
{
	struct scratch *s = scratch_of_cpu();
	bool new_cwd;

	if (!s)
		return 0;
	new_cwd = (s->call.flags & NEW_CWD) && s->h.ret >= 0;
	begin(s, s->call.kind);
	s->h.mode = argument(s, s->call.mode);
	if (s->call.path != NO_ARG)
		put_path_argument(s, TAG_PATH, TAG_DIR, s->call.path, new_cwd ? NO_ARG : s->call.dir);
	if (s->call.path2 != NO_ARG)
		put_path_argument(s, TAG_PATH2, TAG_DIR2, s->call.path2, s->call.dir2);
	if (s->call.data != NO_ARG)
		put_user_text(s, TAG_DATA, argument(s, s->call.data));
	if (new_cwd) {
		put_inode(s, READ3(s->task, fs, pwd.dentry, d_inode));
		put_cwd(s, TAG_FILE_PATH);
	} else {
		put_fd_argument(s);
	}
	commit(s);
	return 0;
}

/* Fills in flags and mode; an unreadable struct open_how leaves them 0. */
static __always_inline void read_open_flags(struct scratch *s)
{
	if (s->call.flags & OPEN_HOW) {
		struct open_how how = {};

		bpf_probe_read_user(&how, sizeof(how), (void *)argument(s, s->call.open_flags));
		s->h.open_flags = how.flags;
		s->h.mode = how.mode;
		return;
	}
	s->h.open_flags = s->call.open_flags == NO_ARG ? O_CREAT | O_WRONLY | O_TRUNC
						       : argument(s, s->call.open_flags);
	s->h.mode = argument(s, s->call.mode);
}

static __always_inline __u32 open_classes(__u32 flags)
{
	__u32 access = flags & O_ACCMODE, classes = 0;

	if (access != O_WRONLY)
		classes |= OPEN_READING;
	if (access || (flags & O_TRUNC))
		classes |= OPEN_WRITING;
	if (flags & (O_CREAT | O_TMPFILE_BIT))
		classes |= OPEN_CREATING;
	return classes;
}

/* The same by the file that was opened, which no other thread can change. */
static __always_inline __u32 file_classes(struct file *file)
{
	__u32 mode = READ(file, f_mode), classes = 0;

	if (mode & FMODE_READ)
		classes |= OPEN_READING;
	if (mode & FMODE_WRITE)
		classes |= OPEN_WRITING;
	if (mode & FMODE_CREATED)
		classes |= OPEN_CREATING;
	return classes;
}

SEC("tp_btf/sys_exit")
int on_open(unsigned long long *ctx)
{
	struct scratch *s = scratch_of_cpu();
	struct config *cfg = config_now();
	__u32 flags, mode, classes;
	struct file *file;

	if (!s || !cfg)
		return 0;
	read_open_flags(s);
	flags = s->h.open_flags;
	mode = s->h.mode;
	classes = open_classes(flags);
	if (s->call.flags & OPEN_HOW) {
		file = file_of_fd(s, s->h.ret);
		if (file)
			classes |= file_classes(file);
	}
	if ((s->call.flags & FILTER_OPEN) && !(classes & cfg->opens)) {
		count_filtered(s->call.kind);
		return 0;
	}
	begin(s, s->call.kind);
	s->h.open_flags = flags;
	s->h.mode = mode;
	put_path_argument(s, TAG_PATH, TAG_DIR, s->call.path, s->call.dir);
	file = put_fd_argument(s);
	if (file) {
		if (READ(file, f_mode) & FMODE_CREATED)
			s->h.flags |= OPEN_CREATED;
		s->h.flags |= overlay_layer(READ(file, f_inode));
	}
	commit(s);
	return 0;
}

/* How many bytes of data there are. */
static __always_inline __u32 data_size(const struct scratch *s, const struct config *cfg)
{
	__u64 size = s->h.ret;

	if (s->h.ret < 0)
		size = s->call.flags & RECEIVES ? 0 : argument(s, s->call.data_len);
	return size < cfg->data_max ? size : cfg->data_max;
}

static __always_inline void put_socket_data(struct scratch *s, const struct config *cfg)
{
	__u32 size = data_size(s, cfg);

	if (s->call.flags & MESSAGE) {
		struct user_msghdr msg = {};

		if (!read_msghdr(s, argument(s, s->call.data), &msg))
			return;
		if (s->h.ret < 0 && !(s->call.flags & RECEIVES))
			size = cfg->data_max;
		put_sockaddr(s, msg.name, msg.namelen);
		if (size)
			put_message(msg.iov, msg.iovlen, size);
	} else if (s->call.data != NO_ARG && size) {
		put_user_bytes(s, TAG_DATA, argument(s, s->call.data), size, DATA_MAX);
	}
}

SEC("tp_btf/sys_exit")
int on_socket(unsigned long long *ctx)
{
	struct scratch *s = scratch_of_cpu();
	struct config *cfg = config_now();
	struct file *file;

	if (!s || !cfg)
		return 0;
	file = file_of_fd(s, s->call.fd == ARG_IMPLIED ? s->h.ret : argument(s, s->call.fd));
	if ((s->call.flags & FILTER_FAMILY) && file) {
		struct socket *sock = READ(file, private_data);
		__u32 family = READ2(sock, sk, __sk_common.skc_family);

		if (READ3(file, f_inode, i_sb, s_magic) == SOCKFS_MAGIC && family < 64 &&
		    !(cfg->families >> family & 1)) {
			count_filtered(s->call.kind);
			return 0;
		}
	}
	begin(s, s->call.kind);
	put_fd_argument(s);
	if (s->call.addr != NO_ARG) {
		__u64 len = argument(s, s->call.addr_len);

		if (s->call.flags & ADDRESS_RESULT) {
			__u32 actual = 0;

			bpf_probe_read_user(&actual, sizeof(actual), (void *)len);
			len = s->h.ret < 0 ? 0 : actual;
		}
		put_sockaddr(s, argument(s, s->call.addr), len);
	}
	put_socket_data(s, cfg);
	commit(s);
	return 0;
}

/* An exec that failed: what was attempted. One that succeeds is seen by the scheduler. */
SEC("tp_btf/sys_exit")
int on_failed_exec(unsigned long long *ctx)
{
	struct scratch *s = scratch_of_cpu();
	struct config *cfg = config_now();

	if (!s || !cfg)
		return 0;
	begin(s, s->call.kind);
	put_path_argument(s, TAG_PATH, TAG_DIR, s->call.path, s->call.dir);
	put_strings(TAG_ARGV, argument(s, s->call.data));
	if (cfg->env)
		put_strings(TAG_ENV, argument(s, s->call.data_len));
	commit(s);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *traced, int old_pid, struct linux_binprm *bprm)
{
	struct scratch *s = scratch_of_cpu();
	struct config *cfg = config_now();
	struct counters *count;
	struct task_struct *task;
	struct mm_struct *mm;

	if (!s || !cfg || !cfg->exec_kind)
		return 0;
	count = counters_of(cfg->exec_kind);
	if (count)
		count->seen++;
	begin_other(s, cfg->exec_kind);
	task = s->task;
	mm = READ(task, mm);
	put_kernel_text(s, TAG_PATH, bprm->filename);
	put_facts((__u64)task);
	put_executable((__u64)task);
	put_cwd(s, TAG_CWD);
	put_cgroup((__u64)task);
	put_block(s, TAG_ARGV, READ(mm, arg_start), READ(mm, arg_end));
	if (cfg->env)
		put_block(s, TAG_ENV, READ(mm, env_start), READ(mm, env_end));
	commit(s);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct scratch *s = scratch_of_cpu();
	struct config *cfg = config_now();
	struct counters *count;
	struct child *c;

	if (!s || !cfg || !cfg->fork_kind)
		return 0;
	if (child->pid != child->tgid && !cfg->threads)
		return 0;
	count = counters_of(cfg->fork_kind);
	if (count)
		count->seen++;
	begin_other(s, cfg->fork_kind);
	c = put_fixed(s, TAG_CHILD, sizeof(*c));
	if (c) {
		c->pid = child->tgid;
		c->tid = child->pid;
		bpf_core_read(c->comm, sizeof(c->comm), &child->comm);
	}
	put_facts(address_of(s, child));
	put_cgroup(address_of(s, child));
	commit(s);
	return 0;
}

/*
 * Whether a thread that exits is the last of its process. Kernels before 6.16 do not say so:
 * then several threads that exit at once may all find no other alive, and the first one
 * counts.
 */
static __always_inline bool is_last(unsigned long long *ctx, struct task_struct *task)
{
	struct trace_event_raw_sched_process_exit *event = 0;
	struct process process = {};
	__u8 ended = 1;

	if (bpf_core_field_exists(event->group_dead) && !helpers_only)
		return ctx[1];
	if (READ2(task, signal, live.counter))
		return false;
	process.start = READ2(task, group_leader, start_boottime);
	process.tgid = READ(task, tgid);
	return !bpf_map_update_elem(&exited, &process, &ended, BPF_NOEXIST);
}

/* The end of a process. */
SEC("tp_btf/sched_process_exit")
int on_exit(unsigned long long *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	struct scratch *s = scratch_of_cpu();
	struct config *cfg = config_now();
	struct counters *count;

	if (!s || !cfg || !cfg->exit_kind || !is_last(ctx, task))
		return 0;
	count = counters_of(cfg->exit_kind);
	if (count)
		count->seen++;
	begin_other(s, cfg->exit_kind);
	s->h.args[0] = READ(task, exit_code);
	commit(s);
	return 0;
}
