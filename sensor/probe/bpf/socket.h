/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/* Sockets: what they are bound and connected to, and what a call passes about addresses. */
#pragma once

#include "scratch.h"

#define SOCKFS_MAGIC 0x534F434B
#define SOCKADDR_MAX 128
#define SUN_PATH_AT 2
#define MAX_IOVECS 4
#define DATA_MAX 128

/* Appends the name that a unix socket is bound to; false if it is bound to none. */
static __always_inline bool put_unix_name(struct scratch *s, struct sock *sk)
{
	struct unix_address *address = READ((struct unix_sock *)sk, addr);
	__u64 at = s->len;
	__u64 len;

	if (!address)
		return false;
	len = READ(address, len);
	opaque(at);
	opaque(len);
	if (len <= SUN_PATH_AT || len > SOCKADDR_MAX || at > BODY_LIMIT)
		return false;
	/* A struct unix_address ends with the address. */
	if (bpf_probe_read_kernel(&s->body[at + sizeof(struct section)], len,
				  (void *)address + bpf_core_type_size(struct unix_address)))
		return false;
	put_head(s, at, TAG_UNIX_PATH, 0, len);
	return true;
}

static __always_inline void put_addresses(struct socket_info *info, struct sock *sk)
{
	if (info->family == AF_INET) {
		*(__u32 *)info->local = READ((struct inet_sock *)sk, inet_saddr);
		*(__u32 *)info->remote = READ(sk, __sk_common.skc_daddr);
	} else {
		bpf_core_read(info->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(info->remote, 16, &sk->__sk_common.skc_v6_daddr);
	}
	info->local_port = READ(sk, __sk_common.skc_num);
	info->remote_port = __builtin_bswap16(READ(sk, __sk_common.skc_dport));
}

/* Appends a socket. */
__noinline int put_socket(__u64 sock_address)
{
	struct sock *sk = (void *)sock_address;
	struct scratch *s = scratch_of_cpu();
	struct socket_info *info;

	if (!s || !sk)
		return 0;
	info = put_fixed(s, TAG_SOCKET, sizeof(*info));
	if (!info)
		return 0;
	__builtin_memset(info, 0, sizeof(*info));
	info->family = READ(sk, __sk_common.skc_family);
	info->type = READ(sk, sk_type);
	info->protocol = READ(sk, sk_protocol);
	info->state = READ(sk, __sk_common.skc_state);
	if (info->family == AF_INET || info->family == AF_INET6) {
		put_addresses(info, sk);
	} else if (info->family == AF_UNIX && !put_unix_name(s, sk)) {
		struct sock *peer = READ((struct unix_sock *)sk, peer);

		if (peer)
			put_unix_name(s, peer);
	}
	return 0;
}

static __always_inline void put_sockaddr(struct scratch *s, __u64 from, __u32 len)
{
	if (from && len)
		put_user_bytes(s, TAG_ADDRESS, from, len, SOCKADDR_MAX);
}

static __always_inline bool read_msghdr(const struct scratch *s, __u64 from, struct user_msghdr *msg)
{
	if (s->compat) {
		struct compat_msghdr m;

		if (bpf_probe_read_user(&m, sizeof(m), (void *)from))
			return false;
		msg->name = m.name;
		msg->namelen = m.namelen;
		msg->iov = m.iov;
		msg->iovlen = m.iovlen;
		return true;
	}
	return !bpf_probe_read_user(msg, sizeof(*msg), (void *)from);
}

static __always_inline bool read_iovec(const struct scratch *s, __u64 from, __u32 i, struct iovec *v)
{
	if (s->compat) {
		struct compat_iovec c;

		if (bpf_probe_read_user(&c, sizeof(c), (void *)(from + i * sizeof(c))))
			return false;
		v->base = c.base;
		v->len = c.len;
		return true;
	}
	return !bpf_probe_read_user(v, sizeof(*v), (void *)(from + i * sizeof(*v)));
}

/* Appends the beginning of a message that is spread over buffers, at most size bytes. */
__noinline int put_message(__u64 iov, __u32 count, __u32 size)
{
	struct scratch *s = scratch_of_cpu();
	__u64 at, pos = 0;

	if (!s)
		return 0;
	at = s->len;
	for (__u32 i = 0; i < MAX_IOVECS; i++) {
		struct iovec v = {};
		__u64 n;

		if (i >= count || pos >= size || !read_iovec(s, iov, i, &v))
			break;
		n = v.len < size - pos ? v.len : size - pos;
		opaque(n);
		opaque(at);
		opaque(pos);
		if (n > DATA_MAX || at > BODY_LIMIT || pos > DATA_MAX)
			break;
		if (bpf_probe_read_user(&s->body[at + sizeof(struct section) + pos], n, (void *)v.base))
			break;
		pos += n;
	}
	if (pos)
		put_head(s, at, TAG_DATA, 0, pos);
	return 0;
}
