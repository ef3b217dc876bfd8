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

#define FORK_COMPAT (1U << 31)

struct header {
	__u64 time; /* nanoseconds since boot */
	__s64 ret;
	__u64 args[6];
	__u64 cap_effective, cap_permitted, cap_inheritable;
	__u64 start, exec_id; /* of the process; see struct facts */
	__s32 pid, tid;
	__u32 uid, gid;
	__u16 kind, cpu;
	__u32 flags; /* enum header_flag */
	__u32 open_flags, mode;
	__s32 file_num;
	__u32 fork_call; /* number of the system call behind a fork, FORK_COMPAT added for a 32-bit one */
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
	__u64 exec_id;            /* another number after each exec; inherited by a fork */
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
	FILTERED = 1,        /* reported only if one of its clauses holds */
	NEW_SOCKET = 2,      /* a failed call asked for the family in its first argument */
	FILE_PATH = 4,       /* report the path of the descriptor's file */
	FD_IN_MEMORY = 8,    /* the descriptor argument points to two: take the second */
	NEW_CWD = 16,        /* the call changes the working directory: that is the file */
	OPEN_HOW = 32,       /* open_flags points to a struct open_how */
	ADDRESS_RESULT = 64, /* addr_len points to the length */
	MESSAGE = 128,       /* data points to a struct msghdr, which has the address too */
	RECEIVES = 256,      /* data is what the call wrote */
	VECTOR = 512,        /* data points to the struct iovecs of the data, data_len is their number */
};

/* How long a kind of record is kept when the ring fills up. */
enum worth {
	ALWAYS,  /* processes: until nothing more fits */
	LONGEST, /* what changes a process, and rare powerful calls */
	LONGER,  /* the others */
	FIRST,   /* what comes in floods: opens and data */
	WORTHS,
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
	__u8 worth; /* enum worth */
	__u8 reserved;
	__u64 clauses; /* bit i: clause i is about it */
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
	__u64 full[WORTHS];         /* bytes in the ring from which a worth is shed */
	__u32 ignored[MAX_IGNORED]; /* thread groups whose calls are left out; 0 ends the list */
	__u32 generation;           /* verdicts of another one do not count */
	__u16 exec_kind, fork_kind, exit_kind; /* 0: of no interest */
	__u8 threads;  /* report new threads too */
	__u8 env;      /* report the environment of an exec */
	__u8 data_max; /* at most this many bytes of what is sent and received */
	__u8 reserved[3];
};

/*
 * The clauses, of which clause i is bit i everywhere. Each member says of one property of a
 * call which clauses it leaves possible, so a call's clauses are those of its kind ANDed
 * with what its properties leave. Where nothing is left the call is dropped.
 */
#define MAX_VALUES 64
#define MAX_FAMILIES 64

enum protocol {
	PROTOCOL_TCP,
	PROTOCOL_UDP,
	PROTOCOL_OTHER,
	PROTOCOL_NONE, /* a family other than the internet's */
	PROTOCOLS,
};

struct value {
	__s64 value;
	__u64 clauses;
};

struct clauses {
	__u64 succeeded, failed;
	__u64 valued; /* those that depend on the returned value, */
	__u64 judged; /* the process's verdict, */
	__u64 pathed; /* or the path */
	__u64 opens[8]; /* by enum open_class, combined */
	__u64 families[MAX_FAMILIES], no_socket;
	__u64 protocols[PROTOCOLS];
	struct value values[MAX_VALUES];
	__u64 value_count;
};

/* Everything that can change while the programs run. */
struct interest {
	struct config config;
	struct clauses clauses;
	struct syscall calls[TABLE_SIZE];
};

/*
 * The automaton over paths. A state is a row of 16-bit cells, and its number is where the
 * row begins, in units of ROW_UNIT bytes. The first cell is the number of what the state
 * tells, the others are the next states by class of byte. States from special on tell
 * something before the end of the path, the others need not be looked up until then.
 */
/* A path argument of this size or more, and a folder's, is not judged. */
#define PATH_LIMIT 512
#define ROW_UNIT 32
#define MAX_TELLINGS 512

struct telling {
	__u64 here;   /* clauses that are proven when the state is reached, */
	__u64 end;    /* or when the path ends in it */
	__u64 folder; /* clauses one of whose folders ends with this slash */
	__u64 reserved;
};

struct automaton {
	__u16 start, special;
	__u32 usable; /* 0: there was no room for it */
	__u16 cells[256]; /* by byte: the place in a row, in bytes */
	struct telling tellings[MAX_TELLINGS];
	__u8 rows[];
};

/* Where the automaton stands in a path; see automaton.h. */
struct walk {
	__u64 proven; /* clauses whose paths the text is one of, whatever follows */
	__u64 folder; /* clauses one of whose folders ends with the last slash */
	__u32 state;
	__u32 lost;   /* the text is not one that the automaton can judge */
};

/* What user space found out of a process: clauses that cannot hold for it. */
struct verdict {
	__u64 start, exec_id;
	__u64 cannot;
	__u32 generation, reserved;
};

struct counters {
	__u64 seen, filtered, shed, lost;
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
	enum worth worth;
	enum protocol protocol;
	struct section section;
	struct header header;
	struct file_info file_info;
	struct socket_info socket_info;
	struct exec_info exec_info;
	struct facts facts;
	struct child child;
	struct verdict verdict;
	struct telling telling;
};
