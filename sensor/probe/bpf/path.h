/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/* Paths that the kernel knows, written as names from the leaf to the root. */
#pragma once

#include "scratch.h"

/* The deepest path that is followed, mount points included. */
#define MAX_DEPTH 256
#define NAMES_LIMIT (TEXT_MAX - NAME_MAX_SIZE)

static __always_inline struct mount *mount_of(struct vfsmount *mnt)
{
	return (void *)mnt - bpf_core_field_offset(struct mount, mnt);
}

/*
 * Appends one name to the section that starts at at; false when there is no more room. The
 * size so far is kept in memory, where the verifier forgets it: every round of a loop then
 * looks the same to it, and it need not go through their combinations.
 */
static __always_inline bool put_name(struct scratch *s, __u64 at, const void *name)
{
	__u64 pos = *(volatile __u64 *)&s->pos;
	long n;

	opaque(at);
	opaque(pos);
	if (at > BODY_LIMIT || pos > NAMES_LIMIT)
		return false;
	n = bpf_probe_read_kernel_str(&s->body[at + sizeof(struct section) + pos], NAME_MAX_SIZE, name);
	if (n <= 0)
		return false;
	*(volatile __u64 *)&s->pos = pos + n;
	return true;
}

/*
 * Appends the path of a dentry in a mount as a section. It ends at the process's root
 * folder, which is the container's; a path outside of it ends at its namespace's root.
 *
 * A function of its own, so that the verifier looks at the loop once: addresses come as
 * numbers because that is what such functions may take.
 */
__noinline int put_path(__u32 tag, __u64 mnt_address, __u64 dentry_address)
{
	struct scratch *s = scratch_of_cpu();
	__u32 flags = NAMES_TRUNCATED;
	struct vfsmount *mnt, *root_mnt;
	struct dentry *dentry, *root;
	__u64 at;

	if (!s)
		return 0;
	at = s->len;
	s->pos = 0;
	if (!s->root.mnt) {
		struct fs_struct *fs = READ(s->task, fs);

		s->root.mnt = READ(fs, root.mnt);
		s->root.dentry = READ(fs, root.dentry);
	}
	root_mnt = s->root.mnt;
	root = s->root.dentry;
	for (int i = 0; i < MAX_DEPTH; i++) {
		struct dentry *parent, *mnt_root;

		/* Like put_name's position, these are forgotten from round to round. */
		dentry = (void *)dentry_address;
		mnt = (void *)mnt_address;
		if (dentry == root && mnt == root_mnt) {
			flags = 0;
			break;
		}
		parent = READ(dentry, d_parent);
		mnt_root = READ(mnt, mnt_root);
		if (dentry == mnt_root) {
			struct mount *mount = mount_of(mnt);
			struct mount *up = READ(mount, mnt_parent);

			if (up == mount || !up) {
				flags = 0;
				break;
			}
			dentry_address = address_of(s, READ(mount, mnt_mountpoint));
			mnt_address = address_of(s, up) + bpf_core_field_offset(struct mount, mnt);
			continue;
		}
		if (!put_name(s, at, READ(dentry, d_name.name)))
			break;
		if (dentry == parent) {
			flags = NAMES_PSEUDO;
			break;
		}
		dentry_address = address_of(s, parent);
	}
	put_head(s, at, tag, flags, s->pos);
	return 0;
}

/*
 * Where folders are written for the automaton, which reads them from the root on: right to
 * left, up to the end of this part of the body. The sections of a record that is still
 * being judged end far before.
 */
#define FOLDER_AT (2 * SECTION_MAX)
#define FOLDER_MAX 512

/*
 * Writes the path of a dentry in a mount with a slash at its end, and returns where in the
 * body it begins; negative if it is too long or has no root.
 */
__noinline int put_folder(__u64 mnt_address, __u64 dentry_address)
{
	struct scratch *s = scratch_of_cpu();
	struct vfsmount *mnt, *root_mnt;
	struct dentry *dentry, *root;
	struct fs_struct *fs;
	__u8 *text;

	if (!s)
		return -1;
	text = &s->body[FOLDER_AT];
	text[FOLDER_MAX - 1] = 0;
	text[FOLDER_MAX - 2] = '/';
	s->pos = FOLDER_MAX - 2;
	fs = READ(s->task, fs);
	root_mnt = READ(fs, root.mnt);
	root = READ(fs, root.dentry);
	for (int i = 0; i < MAX_DEPTH; i++) {
		struct dentry *parent;
		__u64 len, pos;

		dentry = (void *)dentry_address;
		mnt = (void *)mnt_address;
		if (dentry == root && mnt == root_mnt)
			return FOLDER_AT + s->pos;
		if (dentry == READ(mnt, mnt_root)) {
			struct mount *mount = mount_of(mnt);
			struct mount *up = READ(mount, mnt_parent);

			if (up == mount || !up)
				return FOLDER_AT + s->pos;
			dentry_address = address_of(s, READ(mount, mnt_mountpoint));
			mnt_address = address_of(s, up) + bpf_core_field_offset(struct mount, mnt);
			continue;
		}
		parent = READ(dentry, d_parent);
		if (dentry == parent)
			break;
		len = READ(dentry, d_name.len);
		pos = *(volatile __u64 *)&s->pos;
		opaque(len);
		opaque(pos);
		if (len >= NAME_MAX_SIZE || pos >= FOLDER_MAX || pos <= len)
			break;
		pos -= len + 1;
		opaque(pos);
		if (pos >= FOLDER_MAX)
			break;
		text[pos] = '/';
		if (bpf_probe_read_kernel(&text[pos + 1], len, READ(dentry, d_name.name)))
			break;
		*(volatile __u64 *)&s->pos = pos;
		dentry_address = address_of(s, parent);
	}
	return -1;
}

static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *kn)
{
	if (bpf_core_field_exists(kn->__parent))
		return READ(kn, __parent);
	return READ((struct kernfs_node___before_6_15 *)kn, parent);
}

/*
 * The cgroup that tells most of a task: that of the unified hierarchy, or, where it is at
 * the root there, the first of a version 1 controller that is not.
 */
static __always_inline struct kernfs_node *cgroup_node(struct scratch *s, struct task_struct *task)
{
	struct css_set *set = READ(task, cgroups);
	struct kernfs_node *kn = READ2(set, dfl_cgrp, kn);
	__u64 controllers = bpf_core_field_size(set->subsys) / sizeof(void *);

	if (kernfs_parent(kn))
		return kn;
	for (__u64 i = 0; i < 16; i++) {
		struct cgroup_subsys_state *css = 0;
		struct kernfs_node *other;

		if (i >= controllers)
			break;
		bpf_core_read(&css, sizeof(css), (void *)address_of(s, &set->subsys) + i * sizeof(void *));
		other = READ2(css, cgroup, kn);
		if (other && kernfs_parent(other))
			return other;
	}
	return kn;
}

/* Appends a task's cgroup path as a section. */
__noinline int put_cgroup(__u64 task_address)
{
	struct scratch *s = scratch_of_cpu();
	__u32 flags = NAMES_TRUNCATED;
	struct kernfs_node *kn;
	__u64 at;

	if (!s)
		return 0;
	kn = cgroup_node(s, (void *)task_address);
	at = s->len;
	s->pos = 0;
	for (int i = 0; i < MAX_DEPTH; i++) {
		struct kernfs_node *parent = kernfs_parent(kn);

		if (!parent) {
			flags = 0;
			break;
		}
		if (!put_name(s, at, READ(kn, name)))
			break;
		kn = (void *)address_of(s, parent);
	}
	put_head(s, at, TAG_CGROUP, flags, s->pos);
	return 0;
}
