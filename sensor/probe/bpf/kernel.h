/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * The kernel's types, as far as the probe reads them. Only names count: the loader moves
 * every access to where the running kernel keeps the field (CO-RE), so members stand here
 * without their neighbours and in any order. A suffix after three underscores is ignored by
 * the loader; it tells apart the shapes that one type had in different kernels.
 */
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;
enum { false, true };

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* What the helpers' interface needs of the kernel's user API. */
enum bpf_map_type {
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};

/* A helper by whose number its existence is asked for. */
enum bpf_func_id {
	BPF_FUNC_task_pt_regs = 175,
};

#define BPF_NOEXIST 1
#define BPF_RB_AVAIL_DATA 0

#define AT_FDCWD -100
#define EINPROGRESS 115

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

#define O_ACCMODE 03
#define O_WRONLY 01
#define O_RDWR 02
#define O_CREAT 0100
#define O_TRUNC 01000
/* O_TMPFILE without O_DIRECTORY, whose bit differs between architectures. */
#define O_TMPFILE_BIT 020000000

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFIFO 0010000

#define FMODE_READ 1
#define FMODE_WRITE 2
#define FMODE_CREATED 0x100000
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#define CAP_DAC_OVERRIDE 1

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pt_regs {
#if defined(__TARGET_ARCH_x86)
	unsigned long bp, bx, r9, r8, r10, cx, dx, si, di, orig_ax;
#elif defined(__TARGET_ARCH_arm64)
	__u64 regs[31];
	__u64 orig_x0;
	__s32 syscallno;
#endif
};

struct thread_info {
	unsigned long flags;
#if defined(__TARGET_ARCH_x86)
	__u32 status;
#endif
};

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

/* Two words of 32 bits before 6.3, in the order that makes them one of 64. */
typedef struct {
	__u64 val;
} kernel_cap_t;

struct qstr {
	__u32 len;
	const unsigned char *name;
};

struct super_block {
	__u32 s_dev;
	unsigned long s_magic;
};

struct timespec64 {
	__s64 tv_sec;
	long tv_nsec;
};

struct inode {
	__u16 i_mode;
	kuid_t i_uid;
	kgid_t i_gid;
	unsigned long i_ino;
	struct super_block *i_sb;
	/* from 6.11 */
	__s64 i_ctime_sec, i_mtime_sec;
	__u32 i_ctime_nsec, i_mtime_nsec;
};

struct inode___before_6_6 {
	struct timespec64 i_ctime, i_mtime;
};

struct inode___before_6_11 {
	struct timespec64 __i_ctime, __i_mtime;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_mode;
	void *private_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	struct path root, pwd;
};

struct mm_struct {
	unsigned long arg_start, arg_end, env_start, env_end;
	struct file *exe_file;
};

struct cred {
	kuid_t euid, fsuid;
	kgid_t egid, fsgid;
	kernel_cap_t cap_inheritable, cap_permitted, cap_effective;
};

struct pid_namespace;

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct tty_driver {
	int major, minor_start;
};

struct tty_struct {
	struct tty_driver *driver;
	int index;
};

enum pid_type { PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID, PIDTYPE_MAX };

struct signal_struct {
	atomic_t live;
	struct pid *pids[PIDTYPE_MAX];
	struct tty_struct *tty;
};

struct kernfs_node {
	const char *name;
	struct kernfs_node *__parent;
};

struct kernfs_node___before_6_15 {
	struct kernfs_node *parent;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct css_set {
	struct cgroup_subsys_state *subsys[16];
	struct cgroup *dfl_cgrp;
};

struct task_struct {
	struct thread_info thread_info;
	int pid, tgid;
	int exit_code;
	__u64 start_boottime, self_exec_id;
	char comm[16];
	struct task_struct *real_parent, *group_leader;
	struct pid *thread_pid;
	struct signal_struct *signal;
	struct cred *cred;
	struct fs_struct *fs;
	struct files_struct *files;
	struct mm_struct *mm;
	struct css_set *cgroups;
	/* where auditing is compiled in */
	kuid_t loginuid;
};

struct pid_namespace {
	unsigned int level;
	struct task_struct *child_reaper;
};

struct linux_binprm {
	const char *filename;
};

/* from 6.16 */
struct trace_event_raw_sched_process_exit {
	bool group_dead;
};

struct in6_addr {
	__u8 s6_addr_[16];
};

struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	__u16 skc_family;
	unsigned char skc_state;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common;
	__u16 sk_type, sk_protocol;
};

struct inet_sock {
	__be32 inet_saddr;
	__be16 inet_sport;
};

struct socket {
	struct sock *sk;
};

struct unix_address {
	int len;
};

struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

#pragma clang attribute pop

/* The types that follow are the system calls' own: they have one shape and do not move. */

struct iovec {
	__u64 base, len;
};

struct user_msghdr {
	__u64 name;
	__s32 namelen;
	__u32 pad;
	__u64 iov, iovlen;
};

struct compat_iovec {
	__u32 base, len;
};

struct compat_msghdr {
	__u32 name;
	__s32 namelen;
	__u32 iov, iovlen;
};

struct open_how {
	__u64 flags, mode, resolve;
};

/*
 * READ(p, field) is a field of a kernel object. Where the kernel lets a program give an
 * address its type (6.1), that is a plain load; before, it takes a helper, at some ten times
 * the price. A test sets helpers_only to run what older kernels would.
 */
extern void *bpf_rdonly_cast(const void *address, __u32 type_id) __ksym __weak;

const volatile bool helpers_only = false;

#define CAN_CAST (bpf_rdonly_cast && !helpers_only)
#define CAST(p) ((typeof(p))bpf_rdonly_cast(p, bpf_core_type_id_kernel(typeof(*(p)))))

#define READ(p, field)                                                        \
	({                                                                    \
		typeof(p) p_ = (p);                                           \
		typeof(p_->field) v_;                                         \
		if (CAN_CAST)                                                 \
			v_ = CAST(p_)->field;                                 \
		else                                                          \
			bpf_core_read(&v_, sizeof(v_), &p_->field);           \
		v_;                                                           \
	})
/* The same for a set of capabilities, which is one field only since 6.3. */
#define READ_CAPS(cred, set)                                                  \
	({                                                                    \
		__u64 v_ = 0;                                                 \
		if (CAN_CAST && bpf_core_field_exists((cred)->set.val))       \
			v_ = CAST(cred)->set.val;                             \
		else                                                          \
			bpf_core_read(&v_, sizeof(v_), &(cred)->set);         \
		v_;                                                           \
	})
#define READ2(p, a, b) READ(READ(p, a), b)
#define READ3(p, a, b, c) READ(READ2(p, a, b), c)
