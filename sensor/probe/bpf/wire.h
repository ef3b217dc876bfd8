/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * What the probe and user space tell each other. The Go twins of these types are generated;
 * everything is in the machine's byte order and has no padding that is not named.
 *
 * One record in the ring buffer is a header and then sections: a section head, and as many
 * bytes as it says. A path that the kernel knows (not one that a program passed) is a list
 * of names from the leaf up to the root, each ended by NUL: user space turns it round.
 */
#pragma once

#include "kernel.h"

enum section_tag {
	TAG_PATH = 1,    /* text: the first path argument */
	TAG_PATH2,       /* text: the second */
	TAG_DIR,         /* names: the folder the first starts from */
	TAG_DIR2,        /* names: the folder the second starts from */
	TAG_FILE,        /* struct file_info */
	TAG_FILE_PATH,   /* names */
	TAG_SOCKET,      /* struct socket_info */
	TAG_UNIX_PATH,   /* bytes of a struct sockaddr_un */
	TAG_ADDRESS,     /* bytes of a struct sockaddr */
	TAG_DATA,        /* bytes */
	TAG_EXEC,        /* struct exec_info */
	TAG_FACTS,       /* struct facts */
	TAG_ARGV,        /* strings, each ended by NUL */
	TAG_ENV,         /* strings, each ended by NUL */
	TAG_EXE_PATH,    /* names */
	TAG_CWD,         /* names */
	TAG_CGROUP,      /* names */
	TAG_CHILD,       /* struct child */
};

enum section_flag {
	NAMES_PSEUDO = 1,    /* the one name is no path: a memfd, an anonymous inode */
	NAMES_TRUNCATED = 2, /* the root was not reached within the limits */
};

struct section {
	__u8 tag, flags;
	__u16 len;
};

enum header_flag {
	OPEN_CREATED = 1,
	UPPER_LAYER = 2,
	LOWER_LAYER = 4,
	HAS_FILE = 8, /* file_num is set */
};

struct header {
	__u64 time; /* nanoseconds since boot */
	__s64 ret;
	__u64 args[6];
	__u64 cap_effective, cap_permitted, cap_inheritable;
	__s32 pid, tid;
	__u32 uid, gid;
	__u16 kind, cpu;
	__u32 flags; /* enum header_flag */
	__u32 open_flags, mode;
	__s32 file_num;
	__u32 reserved;
	__u8 comm[16];
};

struct file_info {
	__u64 inode, magic;
	__u32 dev, mode;
};

struct socket_info {
	__u8 local[16], remote[16];
	__u16 local_port, remote_port; /* host byte order */
	__u16 family, type, protocol;
	__u8 state, reserved[5];
};

enum exec_flag {
	EXE_WRITABLE = 1,
};

struct exec_info {
	__u64 inode, ctime, mtime; /* times in nanoseconds since the epoch */
	__u32 flags, reserved;
};

struct facts {
	__u64 start, pidns_start; /* nanoseconds since boot */
	__s32 ppid;
	__u32 loginuid, tty;
	__s32 sid, pgid, vpid, vtid, vsid, vpgid;
	__u32 pidns_level;
};

struct child {
	__s32 pid, tid;
	__u8 comm[16];
};

/* Arguments are named by their place; a call without one says NO_ARG. */
#define NO_ARG 7
/* As a folder: the working directory. As a descriptor: the call's result. */
#define ARG_IMPLIED 6

enum syscall_flag {
	DROP_FAILED = 1,      /* keep successful calls only */
	FILTER_OPEN = 2,      /* apply config.opens */
	FILTER_FAMILY = 4,    /* apply config.families */
	FD_IN_MEMORY = 8,     /* the descriptor argument points to two: take the second */
	NEW_CWD = 16,         /* the call changes the working directory: that is the file */
	FILE_PATH = 32,       /* report the path of the descriptor's file */
	OPEN_HOW = 64,        /* open_flags points to a struct open_how */
	ADDRESS_RESULT = 128, /* addr_len points to the length */
	MESSAGE = 256,        /* data points to a struct msghdr, which has the address too */
	RECEIVES = 512,       /* data is what the call wrote */
};

/* What is done with a system call: which program, and where its arguments are. */
struct syscall {
	__u16 kind;
	__u16 flags; /* enum syscall_flag */
	__u8 group;  /* enum group, GROUP_NONE if it is of no interest */
	__u8 path, dir, path2, dir2;
	__u8 fd, mode, open_flags;
	/* text for GROUP_FILE, bytes for GROUP_SOCKET, argv for GROUP_EXEC */
	__u8 data;
	/* the size of data's bytes; envp for GROUP_EXEC */
	__u8 data_len;
	__u8 addr, addr_len;
};

/*
 * The table of calls: the machine's own by number, then those of 32-bit programs, then the
 * calls that 32-bit programs make through socketcall.
 */
#define MAX_SYSCALLS 512
#define COMPAT_SYSCALLS MAX_SYSCALLS
#define SOCKET_CALLS (2 * MAX_SYSCALLS)
#define MAX_SOCKET_CALLS 32
#define TABLE_SIZE (SOCKET_CALLS + MAX_SOCKET_CALLS)

enum group {
	GROUP_NONE,
	GROUP_FILE, /* paths and a descriptor */
	GROUP_OPEN,
	GROUP_SOCKET,
	GROUP_EXEC, /* failed ones */
	GROUP_SOCKETCALL, /* no program: the call is found by its first argument */
	GROUP_COUNT,
};

enum open_class {
	OPEN_READING = 1,
	OPEN_WRITING = 2,
	OPEN_CREATING = 4,
};

#define MAX_IGNORED 8

struct config {
	__u64 families;             /* bit f: sockets of family f pass FILTER_FAMILY */
	__u32 ignored[MAX_IGNORED]; /* thread groups whose calls are left out; 0 ends the list */
	__u16 exec_kind, fork_kind, exit_kind; /* 0: of no interest */
	__u8 opens;    /* enum open_class, those that pass FILTER_OPEN */
	__u8 threads;  /* report new threads too */
	__u8 env;      /* report the environment of an exec */
	__u8 data_max; /* at most this many bytes of what is sent and received */
	__u8 reserved[6];
};

struct counters {
	__u64 seen, filtered, lost;
};

/* Puts the types into the object's debug data, where the generator finds them. */
union generated {
	enum section_tag section_tag;
	enum section_flag section_flag;
	enum header_flag header_flag;
	enum exec_flag exec_flag;
	enum syscall_flag syscall_flag;
	enum group group;
	enum open_class open_class;
	struct section section;
	struct header header;
	struct file_info file_info;
	struct socket_info socket_info;
	struct exec_info exec_info;
	struct facts facts;
	struct child child;
};
