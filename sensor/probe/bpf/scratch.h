/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * The maps, and the record under construction. A record is put together in a buffer of its
 * CPU and copied to the ring at the end: tracing programs run with preemption off, and none
 * of these events happens in an interrupt, so two records never share the buffer.
 */
#pragma once

#include "wire.h"

#define RING_SIZE (8 << 20)
#define TEXT_MAX 4096
#define NAME_MAX_SIZE 256
#define SECTION_MAX (sizeof(struct section) + TEXT_MAX)
#define BODY_MAX (28 * 1024)
#define BODY_LIMIT (BODY_MAX - SECTION_MAX)

struct scratch {
	struct syscall call;
	__u64 clauses; /* those that may still hold for the call */
	struct walk walk;
	__u32 slot; /* of the interest that the event is judged by */
	__u32 len;  /* of body */
	__u32 compat, reserved;
	struct task_struct *task; /* the current one */
	struct path root;         /* its root folder, null until it is needed */
	__u64 address; /* see address_of */
	__u64 pos;     /* in the section that is being written */
	struct header h;
	__u8 body[BODY_MAX];
	union generated generated[0];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_SIZE);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/*
 * The interest stands in two slots: user space writes one while the programs use the other,
 * then switches. An event keeps to the slot with which it began.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct interest);
} interests SEC(".maps");

volatile __u32 active_slot;

/* By number: 1 if the call is of interest in a native program, 2 in a 32-bit one. */
volatile __u8 watched[MAX_SYSCALLS];

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32); /* the process's number */
	__type(value, struct verdict);
} verdicts SEC(".maps");

struct process {
	__u64 start;
	__u32 tgid, reserved;
};

/* Processes that were reported as ended. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct process);
	__type(value, __u8);
} exited SEC(".maps");

/* By kind of record; user space sets the size. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 128);
	__type(key, __u32);
	__type(value, struct counters);
} counts SEC(".maps");

/* Keeps the compiler from reasoning about a value that the verifier then cannot follow. */
#define opaque(x) asm volatile("" : "+r"(x))

static __always_inline struct scratch *scratch_of_cpu(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

/*
 * An address without its type: what functions of their own take, and what a number that the
 * verifier does not know may be added to.
 */
static __always_inline __u64 address_of(struct scratch *s, const void *pointer)
{
	*(volatile __u64 *)&s->address = (__u64)pointer;
	return *(volatile __u64 *)&s->address;
}

static __always_inline struct interest *interest_in(__u32 slot)
{
	return bpf_map_lookup_elem(&interests, &slot);
}

static __always_inline struct counters *counters_of(__u32 kind)
{
	return bpf_map_lookup_elem(&counts, &kind);
}

static __always_inline bool is_ignored(const struct config *cfg, __u32 tgid)
{
#pragma unroll
	for (int i = 0; i < MAX_IGNORED; i++) {
		if (!cfg->ignored[i])
			return false;
		if (cfg->ignored[i] == tgid)
			return true;
	}
	return false;
}

/* Prepares the buffer for an event. */
static __always_inline void reset(struct scratch *s)
{
	s->slot = active_slot;
	s->task = (struct task_struct *)bpf_get_current_task();
	s->len = 0;
	s->root.mnt = 0;
	s->h.open_flags = 0;
	s->h.mode = 0;
}

/* Fills in the header of a record about the current task. */
static __always_inline void begin(struct scratch *s, __u16 kind)
{
	struct cred *cred = READ(s->task, cred);
	__u64 id = bpf_get_current_pid_tgid();
	struct header *h = &s->h;

	h->time = bpf_ktime_get_boot_ns();
	h->pid = id >> 32;
	h->tid = (__u32)id;
	h->uid = READ(cred, euid.val);
	h->gid = READ(cred, egid.val);
	h->start = READ2(s->task, group_leader, start_boottime);
	h->exec_id = READ(s->task, self_exec_id);
	h->cap_effective = READ_CAPS(cred, cap_effective);
	h->cap_permitted = READ_CAPS(cred, cap_permitted);
	h->cap_inheritable = READ_CAPS(cred, cap_inheritable);
	h->kind = kind;
	h->cpu = bpf_get_smp_processor_id();
	h->flags = 0;
	h->file_num = 0;
	bpf_get_current_comm(h->comm, sizeof(h->comm));
}

/* Prepares the buffer for an event that no system call is behind. */
static __always_inline struct interest *reset_other(struct scratch *s)
{
	reset(s);
	s->compat = 0;
	s->h.ret = 0;
	__builtin_memset(s->h.args, 0, sizeof(s->h.args));
	return interest_in(s->slot);
}

/* Hands the record over. What does not fit into the ring is counted. */
static __always_inline void commit(struct scratch *s)
{
	struct counters *c = counters_of(s->h.kind);
	__u64 len = s->len;

	opaque(len);
	if (len > BODY_MAX)
		return;
	if (bpf_ringbuf_output(&ring, &s->h, sizeof(s->h) + len, 0) && c)
		c->lost++;
}

static __always_inline void put_head(struct scratch *s, __u64 at, __u8 tag, __u8 flags, __u64 len)
{
	struct section *sec;

	opaque(at);
	if (at > BODY_LIMIT)
		return;
	sec = (struct section *)&s->body[at];
	sec->tag = tag;
	sec->flags = flags;
	sec->len = len;
	s->len = at + sizeof(*sec) + len;
}

/* Appends a section of fixed size and returns its place, to be filled in; null if full. */
static __always_inline void *put_fixed(struct scratch *s, __u8 tag, __u32 size)
{
	__u64 at = s->len;

	opaque(at);
	if (at > BODY_LIMIT)
		return 0;
	put_head(s, at, tag, 0, size);
	return &s->body[at + sizeof(struct section)];
}

/* Appends a string of the program's memory; nothing if it cannot be read. */
static __always_inline long put_user_text(struct scratch *s, __u8 tag, __u64 from)
{
	__u64 at = s->len;
	long n;

	opaque(at);
	if (at > BODY_LIMIT)
		return -1;
	n = bpf_probe_read_user_str(&s->body[at + sizeof(struct section)], TEXT_MAX, (void *)from);
	if (n <= 0 || n > TEXT_MAX)
		return -1;
	put_head(s, at, tag, 0, n - 1);
	return n - 1;
}

/* Appends size bytes, at most max (a power of two), of the program's memory. */
static __always_inline long put_user_bytes(struct scratch *s, __u8 tag, __u64 from, __u64 size, __u64 max)
{
	__u64 at = s->len;

	if (size > max)
		size = max;
	opaque(at);
	opaque(size);
	if (at > BODY_LIMIT || size > max)
		return -1;
	if (bpf_probe_read_user(&s->body[at + sizeof(struct section)], size, (void *)from))
		return -1;
	put_head(s, at, tag, 0, size);
	return size;
}

static __always_inline void put_kernel_text(struct scratch *s, __u8 tag, const void *from)
{
	__u64 at = s->len;
	long n;

	opaque(at);
	if (at > BODY_LIMIT)
		return;
	n = bpf_probe_read_kernel_str(&s->body[at + sizeof(struct section)], TEXT_MAX, from);
	if (n > 0 && n <= TEXT_MAX)
		put_head(s, at, tag, 0, n - 1);
}
