/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/* What a file descriptor refers to. */
#pragma once

#include "path.h"
#include "socket.h"

static __always_inline struct file *file_of_fd(struct scratch *s, __s32 fd)
{
	struct fdtable *table = READ2(s->task, files, fdt);
	struct file **files = READ(table, fd);
	struct file *file = 0;
	__u32 i = fd;

	if (i >= READ(table, max_fds))
		return 0;
	bpf_core_read(&file, sizeof(file), files + i);
	return file;
}

/*
 * On an overlay file system: in which layer the file is. The overlay's inode embeds the
 * general one and keeps the upper layer's dentry, if there is one, right behind it.
 */
static __always_inline __u32 overlay_layer(struct inode *inode)
{
	struct dentry *upper = 0;

	if (READ2(inode, i_sb, s_magic) != OVERLAYFS_SUPER_MAGIC)
		return 0;
	bpf_probe_read_kernel(&upper, sizeof(upper), (void *)inode + bpf_core_type_size(struct inode));
	if (upper && READ2(upper, d_inode, i_ino))
		return UPPER_LAYER;
	return LOWER_LAYER;
}

static __always_inline void put_inode(struct scratch *s, struct inode *inode)
{
	struct file_info *info = put_fixed(s, TAG_FILE, sizeof(*info));
	struct super_block *sb;

	if (!info)
		return;
	sb = READ(inode, i_sb);
	info->inode = READ(inode, i_ino);
	info->mode = READ(inode, i_mode);
	info->dev = READ(sb, s_dev);
	info->magic = READ(sb, s_magic);
}

static __always_inline void put_file_path(struct scratch *s, __u8 tag, struct file *file)
{
	put_path(tag, address_of(s, READ(file, f_path.mnt)), address_of(s, READ(file, f_path.dentry)));
}

/* Appends a file, its path if asked, and what a socket is connected to. */
__noinline int put_file(__u64 file_address, __u32 with_path)
{
	struct file *file = (void *)file_address;
	struct inode *inode = READ(file, f_inode);
	struct scratch *s = scratch_of_cpu();

	if (!s)
		return 0;
	put_inode(s, inode);
	if (READ2(inode, i_sb, s_magic) == SOCKFS_MAGIC) {
		struct socket *sock = READ(file, private_data);

		put_socket(address_of(s, READ(sock, sk)));
	} else if (with_path) {
		put_file_path(s, TAG_FILE_PATH, file);
	}
	return 0;
}

/* Appends the working directory as a section of names. */
static __always_inline void put_cwd(struct scratch *s, __u8 tag)
{
	struct fs_struct *fs = READ(s->task, fs);

	put_path(tag, address_of(s, READ(fs, pwd.mnt)), address_of(s, READ(fs, pwd.dentry)));
}

/* The call's argument at a place, 0 if it has none. */
static __always_inline __u64 argument(const struct scratch *s, __u64 place)
{
	opaque(place);
	if (place > 5)
		return 0;
	return s->h.args[place];
}

/*
 * Appends the folder that a path of n bytes starts from, if it is relative: what the
 * descriptor at the place dir refers to, or the working directory. The path lies in the body
 * from text on.
 */
static __always_inline void put_start_folder(struct scratch *s, __u8 tag, __u64 text, long n, __u8 dir)
{
	if (n < 0 || dir == NO_ARG)
		return;
	opaque(text);
	if (text > BODY_LIMIT || s->body[text] == '/')
		return;
	if (dir == ARG_IMPLIED || (__s32)argument(s, dir) == AT_FDCWD) {
		put_cwd(s, tag);
	} else {
		struct file *file = file_of_fd(s, argument(s, dir));

		if (file)
			put_file_path(s, tag, file);
	}
}

/* Appends a path argument and, when it is relative, the folder it starts from. */
static __always_inline void put_path_argument(struct scratch *s, __u8 tag, __u8 dir_tag, __u8 path, __u8 dir)
{
	__u64 text = s->len + sizeof(struct section);

	put_start_folder(s, dir_tag, text, put_user_text(s, tag, argument(s, path)), dir);
}

/* Appends the file that the call is about, if it is about one. */
static __always_inline struct file *put_fd_argument(struct scratch *s)
{
	struct file *file;
	__s32 fd;

	if (s->call.fd == NO_ARG)
		return 0;
	if (s->call.fd == ARG_IMPLIED) {
		fd = s->h.ret;
	} else if (s->call.flags & FD_IN_MEMORY) {
		__s32 pair[2] = {-1, -1};

		if (s->h.ret >= 0)
			bpf_probe_read_user(pair, sizeof(pair), (void *)argument(s, s->call.fd));
		fd = pair[1];
	} else {
		fd = argument(s, s->call.fd);
	}
	s->h.flags |= HAS_FILE;
	s->h.file_num = fd;
	file = file_of_fd(s, fd);
	if (file)
		put_file(address_of(s, file), s->call.flags & FILE_PATH);
	return file;
}
