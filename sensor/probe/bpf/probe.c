/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * The programs. One stands at the exit of every system call, looks the call up in a table
 * and leaves at once if it is of no interest or if its result says that no clause can hold;
 * else it jumps to the program of the call's group, which looks at more. Three stand at the scheduler's exec, fork and exit.
 */
#include "kernel.h"
#include "wire.h"
#include "scratch.h"
#include "path.h"
#include "socket.h"
#include "file.h"
#include "filter.h"
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

static __always_inline struct syscall *call_at(struct interest *in, __u64 place)
{
	opaque(place);
	return place < TABLE_SIZE ? &in->calls[place] : 0;
}

/* Unpacks a 32-bit socketcall: its number and arguments lie in memory. */
static __always_inline struct syscall *socketcall(struct interest *in, struct scratch *s)
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
	return call_at(in, SOCKET_CALLS + number);
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
	__u64 nr = syscall_number(regs);
	struct task_struct *task;
	struct counters *count;
	struct interest *in;
	struct scratch *s;
	struct syscall *call;
	bool unpacked = false;
	__u32 is_32;

	if (nr >= MAX_SYSCALLS) {
		if (HAS_X32 && nr >> 30 == 1)
			count_unwatched();
		return 0;
	}
	if (!watched[nr])
		return 0;
	s = scratch_of_cpu();
	if (!s)
		return 0;
	reset(s);
	task = s->task;
	is_32 = is_compat(task);
	if (is_32 && !HAS_COMPAT)
		count_unwatched();
	in = interest_in(s->slot);
	if (!in)
		return 0;
	call = call_at(in, is_32 ? COMPAT_SYSCALLS + nr : nr);
	if (!call)
		return 0;
	if (call->group == GROUP_NONE || (call->group == GROUP_EXEC && ret >= 0))
		return 0;
	s->compat = is_32;
	s->h.ret = ret;
	if (call->group == GROUP_SOCKETCALL) {
		read_args(s, regs);
		call = socketcall(in, s);
		if (!call || call->group == GROUP_NONE)
			return 0;
		unpacked = true;
	}
	count = counters_of(call->kind);
	if (!count)
		return 0;
	count->seen++;
	s->clauses = by_result(&in->clauses, call->clauses, ret);
	if ((!s->clauses && call->flags & FILTERED) || is_ignored(&in->config, READ(task, tgid))) {
		count->filtered++;
		return 0;
	}
	s->call = *call;
	if (!unpacked)
		read_args(s, regs);
	/* A constant place in the map makes a direct jump of it. */
	switch (s->call.group) {
	case GROUP_FILE:
		bpf_tail_call_static(ctx, &groups, GROUP_FILE);
		break;
	case GROUP_OPEN:
		bpf_tail_call_static(ctx, &groups, GROUP_OPEN);
		break;
	case GROUP_SOCKET:
		bpf_tail_call_static(ctx, &groups, GROUP_SOCKET);
		break;
	case GROUP_EXEC:
		bpf_tail_call_static(ctx, &groups, GROUP_EXEC);
		break;
	}
	count->lost++;
	return 0;
}

/* Calls about paths and descriptors, and those that have neither. */
SEC("tp_btf/sys_exit")
int on_file(unsigned long long *ctx)
{
	struct scratch *s = scratch_of_cpu();
	struct interest *in;
	bool new_cwd;

	if (!s)
		return 0;
	in = interest_in(s->slot);
	if (!in || !passes(s, in, s->clauses))
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
	struct interest *in;
	struct file *file;
	__u64 clauses;
	long n;

	if (!s)
		return 0;
	in = interest_in(s->slot);
	if (!in)
		return 0;
	read_open_flags(s);
	clauses = s->clauses;
	if (s->call.flags & FILTERED) {
		__u32 classes = open_classes(s->h.open_flags);

		if (s->call.flags & OPEN_HOW) {
			file = file_of_fd(s, s->h.ret);
			if (file)
				classes |= file_classes(file);
		}
		clauses &= in->clauses.opens[classes & 7];
		if (!clauses) {
			count_filtered(s->call.kind);
			return 0;
		}
	}
	n = put_user_text(s, TAG_PATH, argument(s, s->call.path));
	if (s->call.flags & FILTERED && clauses & in->clauses.pathed)
		clauses = by_path(&in->clauses, s, clauses, sizeof(struct section), n);
	if (!passes(s, in, clauses))
		return 0;
	begin(s, s->call.kind);
	put_start_folder(s, TAG_DIR, sizeof(struct section), n, s->call.dir);
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
	} else if (s->call.flags & VECTOR) {
		if (s->h.ret < 0 && !(s->call.flags & RECEIVES))
			size = cfg->data_max;
		if (size)
			put_message(argument(s, s->call.data), argument(s, s->call.data_len), size);
	} else if (s->call.data != NO_ARG && size) {
		put_user_bytes(s, TAG_DATA, argument(s, s->call.data), size, DATA_MAX);
	}
}

SEC("tp_btf/sys_exit")
int on_socket(unsigned long long *ctx)
{
	struct scratch *s = scratch_of_cpu();
	struct interest *in;
	__u64 clauses;

	if (!s)
		return 0;
	in = interest_in(s->slot);
	if (!in)
		return 0;
	clauses = s->clauses;
	if (s->call.flags & FILTERED) {
		__s32 fd = s->call.fd == ARG_IMPLIED ? s->h.ret : argument(s, s->call.fd);

		clauses = by_socket(&in->clauses, s, file_of_fd(s, fd));
	}
	if (!passes(s, in, clauses))
		return 0;
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
	put_socket_data(s, &in->config);
	commit(s);
	return 0;
}

/* An exec that failed: what was attempted. One that succeeds is seen by the scheduler. */
SEC("tp_btf/sys_exit")
int on_failed_exec(unsigned long long *ctx)
{
	struct scratch *s = scratch_of_cpu();
	struct interest *in;

	if (!s)
		return 0;
	in = interest_in(s->slot);
	if (!in || !passes(s, in, s->clauses))
		return 0;
	begin(s, s->call.kind);
	put_path_argument(s, TAG_PATH, TAG_DIR, s->call.path, s->call.dir);
	put_strings(TAG_ARGV, argument(s, s->call.data));
	if (in->config.env)
		put_strings(TAG_ENV, argument(s, s->call.data_len));
	commit(s);
	return 0;
}

/* A process that executes another program or ends is no longer what it was judged to be. */
static __always_inline void drop_verdict(struct scratch *s)
{
	__u32 tgid = READ(s->task, tgid);

	bpf_map_delete_elem(&verdicts, &tgid);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *traced, int old_pid, struct linux_binprm *bprm)
{
	struct scratch *s = scratch_of_cpu();
	struct counters *count;
	struct task_struct *task;
	struct interest *in;
	struct config *cfg;
	struct mm_struct *mm;

	if (!s)
		return 0;
	in = reset_other(s);
	if (!in)
		return 0;
	cfg = &in->config;
	drop_verdict(s);
	if (!cfg->exec_kind)
		return 0;
	count = counters_of(cfg->exec_kind);
	if (count)
		count->seen++;
	begin(s, cfg->exec_kind);
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

#define CLONE3 435

/*
 * Notes by which system call a task forks, and the flags of a clone. Kernels before 5.15 do
 * not tell: then it counts as a clone. A thread of the kernel has registers of no call.
 */
static __always_inline void put_fork_call(struct scratch *s, struct task_struct *parent)
{
	struct pt_regs *regs;
	__u64 nr;

	s->h.fork_call = 0;
	if (helpers_only || !bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return;
	regs = (struct pt_regs *)bpf_task_pt_regs(parent);
	nr = syscall_number(regs);
	if (nr >= MAX_SYSCALLS)
		return;
	s->compat = is_compat(s->task);
	s->h.fork_call = s->compat ? nr | FORK_COMPAT : nr;
	read_args(s, regs);
	if (nr == CLONE3)
		bpf_probe_read_user(&s->h.args[0], sizeof(s->h.args[0]), (void *)s->h.args[0]);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct scratch *s = scratch_of_cpu();
	struct counters *count;
	struct interest *in;
	struct config *cfg;
	struct child *c;

	if (!s)
		return 0;
	in = reset_other(s);
	if (!in)
		return 0;
	cfg = &in->config;
	if (!cfg->fork_kind)
		return 0;
	if (child->pid != child->tgid && !cfg->threads)
		return 0;
	count = counters_of(cfg->fork_kind);
	if (count)
		count->seen++;
	begin(s, cfg->fork_kind);
	put_fork_call(s, parent);
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
	struct counters *count;
	struct interest *in;
	struct config *cfg;

	if (!s || !is_last(ctx, task))
		return 0;
	in = reset_other(s);
	if (!in)
		return 0;
	cfg = &in->config;
	drop_verdict(s);
	if (!cfg->exit_kind)
		return 0;
	count = counters_of(cfg->exit_kind);
	if (count)
		count->seen++;
	begin(s, cfg->exit_kind);
	s->h.args[0] = READ(task, exit_code);
	commit(s);
	return 0;
}
