/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * Which calls are left out, and why. Each step narrows the set of clauses that may hold; the
 * cheap ones come first, and a call is dropped at the first that leaves none.
 */
#pragma once

#include "automaton.h"
#include "file.h"

static __always_inline void count_filtered(__u32 kind)
{
	struct counters *count = counters_of(kind);

	if (count)
		count->filtered++;
}

static __always_inline __u64 by_result(const struct clauses *c, __u64 clauses, __s64 ret)
{
	__u64 named = 0;

	if (ret >= 0)
		clauses &= c->succeeded;
	else if (ret != -EINPROGRESS)
		clauses &= c->failed;
	if (!(clauses & c->valued))
		return clauses;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < MAX_VALUES; i++) {
		if (i >= c->value_count)
			break;
		if (c->values[i].value == ret)
			named |= c->values[i].clauses;
	}
	return clauses & (named | ~c->valued);
}

static __always_inline __u32 protocol_of(struct sock *sk, __u32 family)
{
	if (family != AF_INET && family != AF_INET6)
		return PROTOCOL_NONE;
	switch (READ(sk, sk_protocol)) {
	case IPPROTO_TCP:
		return PROTOCOL_TCP;
	case IPPROTO_UDP:
		return PROTOCOL_UDP;
	}
	return PROTOCOL_OTHER;
}

/* What is left where only the family is known: any protocol of the internet's may be meant. */
static __always_inline __u64 by_family(const struct clauses *c, __u64 clauses, __u64 family)
{
	if (family != AF_INET && family != AF_INET6)
		clauses &= c->protocols[PROTOCOL_NONE];
	opaque(family);
	if (family < MAX_FAMILIES)
		clauses &= c->families[family];
	return clauses;
}

/* By the file of a descriptor; a descriptor without one tells nothing. */
static __always_inline __u64 by_socket(const struct clauses *c, const struct scratch *s, struct file *file)
{
	__u64 clauses = s->clauses, family;
	struct socket *sock;
	struct sock *sk;
	__u32 protocol;

	if (!file) {
		if (s->call.flags & NEW_SOCKET)
			return by_family(c, clauses, s->h.args[0]);
		return clauses;
	}
	if (READ3(file, f_inode, i_sb, s_magic) != SOCKFS_MAGIC)
		return clauses & c->no_socket;
	sock = READ(file, private_data);
	sk = READ(sock, sk);
	if (!sk)
		return clauses;
	family = READ(sk, __sk_common.skc_family);
	protocol = protocol_of(sk, family);
	return by_family(c, clauses, family) & c->protocols[protocol];
}

/* By what user space found out of the process, if it still executes the same program. */
static __always_inline __u64 by_verdict(const struct interest *in, const struct scratch *s, __u64 clauses)
{
	__u32 tgid = READ(s->task, tgid);
	struct verdict *v = bpf_map_lookup_elem(&verdicts, &tgid);

	if (!v || v->generation != in->config.generation ||
	    v->exec_id != READ(s->task, self_exec_id) ||
	    v->start != READ2(s->task, group_leader, start_boottime))
		return clauses;
	return clauses & ~(v->cannot & in->clauses.judged);
}

/* Writes the folder that a relative path starts from; negative if it is not known. */
static __always_inline long folder_of(struct scratch *s, __u8 dir)
{
	struct vfsmount *mnt;
	struct dentry *dentry;

	if (dir == ARG_IMPLIED || (__s32)argument(s, dir) == AT_FDCWD) {
		struct fs_struct *fs = READ(s->task, fs);

		mnt = READ(fs, pwd.mnt);
		dentry = READ(fs, pwd.dentry);
	} else {
		struct file *file = file_of_fd(s, argument(s, dir));

		if (!file)
			return -1;
		mnt = READ(file, f_path.mnt);
		dentry = READ(file, f_path.dentry);
	}
	return put_folder(address_of(s, mnt), address_of(s, dentry));
}

/*
 * By the path argument, which lies in the body from text on and is n bytes long, and the
 * folder it starts from. This is what memory held when the call was over, and so what the
 * record says: a thread that rewrites the path meanwhile can hide the one that was opened
 * from the filter exactly as it hides it from the rules, which look at the same bytes. It
 * cannot make the filter drop a path that the record would have shown. A folder that is
 * renamed meanwhile may be read half under its old name and half under the new; the record's
 * is no better.
 */
static __always_inline __u64 by_path(const struct clauses *c, struct scratch *s, __u64 clauses, __u32 text, long n)
{
	if (n <= 0 || n >= PATH_LIMIT || !start_walk(s))
		return clauses;
	opaque(text);
	if (text > BODY_LIMIT)
		return clauses;
	if (s->body[text] != '/') {
		long folder = folder_of(s, s->call.dir);

		if (folder < 0)
			return clauses;
		follow(folder);
	}
	follow(text);
	return clauses & (end_walk(s) | ~c->pathed);
}

/*
 * Whether the ring has room for a record of this worth. As it fills up the records that come
 * in floods are left out first, so that there is room for those that the others are
 * understood by.
 */
static __always_inline bool has_room(const struct interest *in, __u32 worth)
{
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) < in->config.full[worth & (WORTHS - 1)];
}

/*
 * The end of a call's judgement: whether it is reported. If not it is counted, as filtered
 * if none of its clauses is left.
 */
static __always_inline bool passes(struct scratch *s, const struct interest *in, __u64 clauses)
{
	bool filtered = s->call.flags & FILTERED;
	struct counters *count;

	if (filtered && clauses & in->clauses.judged)
		clauses = by_verdict(in, s, clauses);
	if (!filtered || clauses) {
		if (has_room(in, s->call.worth))
			return true;
		count = counters_of(s->call.kind);
		if (count)
			count->shed++;
		return false;
	}
	count_filtered(s->call.kind);
	return false;
}
