/*
 * Records of what should stay as it is: files, executables, the code of a
 * process, filters and programs of the kernel. A part of record.h, which includes it.
 */
#ifndef RIMON_RECORD_STATE_H
#define RIMON_RECORD_STATE_H

/* A marked file was written, or its attributes changed: of which one the kernel does not say (dev and inode 0). String: path. */
struct file_record {
	struct record_head head;
	__u64 dev;
	__u64 inode;
	__u32 access;
	__u32 pid;
	__u16 path_len;
	__u16 reserved[3];
};

#define CHANGE_CREATED		1	/* or given this name, by link(2) */
#define CHANGE_REMOVED		2
#define CHANGE_WRITTEN		4
#define CHANGE_CLOSED		8	/* after it was open for writing; who writes by a mapping is told by this alone */
#define CHANGE_ATTRIBUTES	16	/* mode, owner, times, extended ones, number of links */
#define CHANGE_MOVED		32	/* from the second path to the first */
#define CHANGE_FOLDER		64	/* what was changed is a folder */
#define CHANGE_FROM_OUTSIDE	128	/* it was not watched where it was */
#define CHANGE_TO_OUTSIDE	256
#define CHANGE_NAMELESS		512	/* by inotify, which does not say who */

/* A watched file was changed; a process record of pid came before, if it could still be read. Strings: path, and where it was before. */
struct file_change_record {
	struct record_head head;
	__u64 time_ns;		/* CLOCK_MONOTONIC, when the first of them was read */
	__u64 start_ticks;	/* of pid; 0: it was gone */
	__u32 changes;		/* in the order of their bits, if there are several */
	__u32 pid;		/* who; 0: of another pid namespace, or the kernel does not say */
	__u32 count;		/* how many events this was */
	__u16 path_len;
	__u16 from_len;
};

/* How two readings of the same code differ. */
struct code_difference {
	__u32 pages;
	__u32 reserved;
	__u64 bits;
};

/*
 * The code that a process has from one mapping of a file, read from three
 * places: what it executes, the page cache and the disk. What differs between
 * two of them has done so three times. String: path.
 */
struct code_text_record {
	struct record_head head;
	__u64 start;
	__u64 end;
	__u64 offset;
	__u64 dev;
	__u64 inode;
	struct code_difference memory;	/* what it executes, from the page cache */
	struct code_difference disk;	/* the disk, from the page cache */
	__u32 error;			/* errno: it cannot be read, and nothing else is known */
	__u32 disk_error;		/* errno: the disk was not read */
	__u8 executed[32];		/* SHA-256 */
	__u8 cached[32];
	__u8 stored[32];
	__u16 path_len;
	__u16 reserved[3];
};

/* An eBPF program that is loaded. String: name, of at most 15 bytes. */
struct bpf_program_record {
	struct record_head head;
	__u32 id;
	__u32 type;		/* enum bpf_prog_type */
	__u8 tag[8];		/* of its instructions: the same program has the same */
	__u32 uid;		/* who loaded it */
	__u16 name_len;
	__u16 reserved;
};

/* A seccomp filter of a process; the oldest comes first. */
struct seccomp_filter_record {
	struct record_head head;
	__u32 instructions;
	__u32 reserved;
	__u8 sha256[32];	/* of its instructions, struct sock_filter each */
};

/* What of a file could be read. */
#define FILE_HAS_STAT	(1u << 0)	/* dev .. links */
#define FILE_HAS_DIGEST	(1u << 1)
#define FILE_HAS_XATTRS	(1u << 2)
#define FILE_HAS_FLAGS	(1u << 3)
#define FILE_HAS_TARGET	(1u << 4)

/* How it was read; no part of what it is. */
#define FILE_WAS_RECENT	(1u << 0)	/* changed so shortly before that a change since may have left the same times */
#define FILE_WAS_UNSTABLE	(1u << 1)	/* it changed while it was read, each time */
#define FILE_IS_MOUNT	(1u << 2)	/* another file system begins here, which is not walked */
#define FILE_WAS_SWAPPED	(1u << 3)	/* it was of another type when its folder was listed */
#define FILE_WAS_TOO_LARGE	(1u << 4)	/* its content was not read */
#define FILE_WAS_CUT	(1u << 5)	/* the digest is of its beginning, as was asked for */

/* An extended attribute whose value is its SHA-256. */
#define XATTR_HASHED	(1u << 31)

/*
 * A file of any type. This is also what a baseline keeps (FORMATS.md), in
 * little-endian order. Strings: path, target of the link, extended attributes by
 * name: each its name, a NUL, the length of the value (__u32, XATTR_HASHED) and the value.
 */
struct file_entry_record {
	struct record_head head;
	__u64 dev;
	__u64 inode;
	__u64 size;
	__u64 mtime_ns;		/* signed, since 1970 */
	__u64 ctime_ns;
	__u64 rdev;		/* of a device node */
	__u32 mode;		/* with its type */
	__u32 uid;
	__u32 gid;
	__u32 links;
	__u16 rule;		/* by which it was looked at, from 0 */
	__u16 path_len;
	__u16 target_len;
	__u16 error;		/* errno: it, its content or what is in it could not be read */
	__u32 have;
	__u32 flags;		/* FS_IOC_GETFLAGS */
	__u32 xattrs_len;
	__u32 notes;
	__u8 digest[32];	/* SHA-256 */
};

enum gate_mode {
	GATE_LEARN = 1,
	GATE_AUDIT = 2,
	GATE_ENFORCE = 3,
};

enum gate_reason {
	GATE_BY_RULE = 1,
	GATE_WRITTEN_TO = 2,	/* it is open for writing, so that what runs may be something else than what was read */
	GATE_DEADLINE = 3,	/* the rest: it could not be judged */
	GATE_TOO_LARGE = 4,
	GATE_UNREADABLE = 5,
	GATE_NO_LEASE = 6,
	GATE_BUSY = 7,
};

/* An executable, or what an interpreter or loader opened, that is not allowed or could not be judged. Strings: its SHA-256, its path, the asker's executable. */
struct gate_record {
	struct record_head head;
	__u64 start_ticks;	/* 0: unknown */
	__u64 dev;
	__u64 inode;
	__u64 size;
	__u32 pid;		/* 0: of another pid namespace */
	__u32 uid;
	__u32 owner;
	__u32 rule;		/* GATE_RULE_NONE: what is said for the rest */
	__u16 is_denied;	/* 0: it went on */
	__u16 mode;		/* enum gate_mode */
	__u16 reason;		/* enum gate_reason */
	__u16 is_open;		/* opened and not executed */
	__u16 digest_len;	/* 0: not read */
	__u16 path_len;		/* of its first 1023 bytes, as by_len */
	__u16 by_len;
	__u16 error;		/* errno */
	__u32 parent;		/* 0: unknown */
	__u16 comm_len;
	__u16 unused;
};

#endif
