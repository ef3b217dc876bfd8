/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/* Facts about processes and their executables. */
#pragma once

#include "file.h"

#define NANOSECONDS 1000000000ULL
/* From 6.13 a flag among the nanoseconds of the change time. */
#define CTIME_QUERIED (1U << 31)

/* A pid's number in the namespace of the given level; the last is at pid->level. */
static __always_inline struct upid *number_at(struct scratch *s, struct pid *pid, __u32 level)
{
	return (void *)address_of(s, pid) + bpf_core_field_offset(struct pid, numbers) +
	       level * bpf_core_type_size(struct upid);
}

static __always_inline __s32 pid_number(struct scratch *s, struct pid *pid, __u32 level)
{
	if (!pid || level > READ(pid, level))
		return 0;
	return READ(number_at(s, pid, level), nr);
}

/* The controlling terminal's device number as user space encodes it. */
static __always_inline __u32 tty_number(struct signal_struct *signal)
{
	struct tty_struct *tty = READ(signal, tty);
	__u32 major, minor;

	if (!tty)
		return 0;
	major = READ2(tty, driver, major);
	minor = READ2(tty, driver, minor_start) + READ(tty, index);
	return (minor & 0xff) | (major << 8) | ((minor & ~0xffU) << 12);
}

/* Appends the facts of a task. */
__noinline int put_facts(__u64 task_address)
{
	struct task_struct *task = (void *)task_address;
	struct scratch *s = scratch_of_cpu();
	struct signal_struct *signal;
	struct pid_namespace *ns;
	struct pid *tgid, *pgid, *sid, *tid;
	struct facts *f;
	__u32 level;

	if (!s)
		return 0;
	f = put_fixed(s, TAG_FACTS, sizeof(*f));
	if (!f)
		return 0;
	signal = READ(task, signal);
	tid = READ(task, thread_pid);
	tgid = READ(signal, pids[PIDTYPE_TGID]);
	pgid = READ(signal, pids[PIDTYPE_PGID]);
	sid = READ(signal, pids[PIDTYPE_SID]);
	ns = READ(number_at(s, tid, READ(tid, level)), ns);
	level = READ(ns, level);
	f->start = READ(task, start_boottime);
	f->exec_id = READ(task, self_exec_id);
	f->pidns_start = READ2(ns, child_reaper, start_boottime);
	f->pidns_level = level;
	f->ppid = READ2(task, real_parent, tgid);
	f->loginuid = -1;
	if (bpf_core_field_exists(task->loginuid))
		f->loginuid = READ(task, loginuid.val);
	f->tty = tty_number(signal);
	f->sid = pid_number(s, sid, 0);
	f->pgid = pid_number(s, pgid, 0);
	f->vtid = pid_number(s, tid, level);
	f->vpid = pid_number(s, tgid, level);
	f->vsid = pid_number(s, sid, level);
	f->vpgid = pid_number(s, pgid, level);
	return 0;
}

/* Whether the task may write the inode, by mode and capability. */
static __always_inline bool may_write(struct task_struct *task, struct inode *inode)
{
	struct cred *cred = READ(task, cred);
	__u32 mode = READ(inode, i_mode);

	if (READ_CAPS(cred, cap_effective) & (1 << CAP_DAC_OVERRIDE))
		return true;
	if (READ(cred, fsuid.val) == READ(inode, i_uid.val))
		return mode & 0200;
	if (READ(cred, fsgid.val) == READ(inode, i_gid.val))
		return mode & 0020;
	return mode & 0002;
}

static __always_inline __u64 since_epoch(const struct timespec64 *t)
{
	return t->tv_sec * NANOSECONDS + t->tv_nsec;
}

static __always_inline void put_times(struct exec_info *info, struct inode *inode)
{
	struct inode___before_6_11 *later = (void *)inode;
	struct inode___before_6_6 *early = (void *)inode;
	struct timespec64 t;

	if (bpf_core_field_exists(inode->i_ctime_sec)) {
		info->ctime = READ(inode, i_ctime_sec) * NANOSECONDS + (READ(inode, i_ctime_nsec) & ~CTIME_QUERIED);
		info->mtime = READ(inode, i_mtime_sec) * NANOSECONDS + READ(inode, i_mtime_nsec);
		return;
	}
	/* The change of name came to the two times in different releases. */
	info->ctime = 0;
	info->mtime = 0;
	if (bpf_core_field_exists(later->__i_ctime)) {
		bpf_core_read(&t, sizeof(t), &later->__i_ctime);
		info->ctime = since_epoch(&t);
	} else if (bpf_core_field_exists(early->i_ctime)) {
		bpf_core_read(&t, sizeof(t), &early->i_ctime);
		info->ctime = since_epoch(&t);
	}
	if (bpf_core_field_exists(later->__i_mtime)) {
		bpf_core_read(&t, sizeof(t), &later->__i_mtime);
		info->mtime = since_epoch(&t);
	} else if (bpf_core_field_exists(early->i_mtime)) {
		bpf_core_read(&t, sizeof(t), &early->i_mtime);
		info->mtime = since_epoch(&t);
	}
}

/* Appends the task's executable: inode, times, layer and path. */
__noinline int put_executable(__u64 task_address)
{
	struct task_struct *task = (void *)task_address;
	struct file *exe = READ2(task, mm, exe_file);
	struct inode *inode = READ(exe, f_inode);
	struct scratch *s = scratch_of_cpu();
	struct exec_info *info;

	if (!s)
		return 0;
	info = put_fixed(s, TAG_EXEC, sizeof(*info));
	if (!info)
		return 0;
	info->inode = READ(inode, i_ino);
	info->reserved = 0;
	info->flags = may_write(task, inode) ? EXE_WRITABLE : 0;
	put_times(info, inode);
	s->h.flags |= overlay_layer(inode);
	put_file_path(s, TAG_EXE_PATH, exe);
	return 0;
}

/* Appends a block of strings that lies in one piece, as the kernel leaves argv and env. */
static __always_inline void put_block(struct scratch *s, __u8 tag, __u64 start, __u64 end)
{
	put_user_bytes(s, tag, start, end - start, TEXT_MAX);
}

#define MAX_STRINGS 256
#define STRINGS_LIMIT (BODY_LIMIT - TEXT_MAX)

/* Appends the strings that a null-ended array of the program's memory points to. */
__noinline int put_strings(__u32 tag, __u64 array)
{
	struct scratch *s = scratch_of_cpu();
	__u64 at;

	if (!s)
		return 0;
	at = s->len;
	s->pos = 0;
	for (__u32 i = 0; i < MAX_STRINGS; i++) {
		__u32 size = s->compat ? 4 : 8;
		__u64 pos = *(volatile __u64 *)&s->pos;
		__u64 string = 0, room;
		long n;

		if (bpf_probe_read_user(&string, size, (void *)(array + i * size)) || !string)
			break;
		opaque(at);
		opaque(pos);
		if (at > STRINGS_LIMIT || pos >= TEXT_MAX)
			break;
		room = TEXT_MAX - pos;
		opaque(room);
		if (room > TEXT_MAX)
			break;
		n = bpf_probe_read_user_str(&s->body[at + sizeof(struct section) + pos], room, (void *)string);
		if (n <= 0)
			break;
		*(volatile __u64 *)&s->pos = pos + n;
	}
	put_head(s, at, tag, 0, s->pos);
	return 0;
}
