/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What exec.bpf.c and its loader, native/exec.c, share. */
#ifndef RIMON_BPF_EXEC_H
#define RIMON_BPF_EXEC_H

#include <linux/types.h>

#define EXEC_NAME_MAX	64
#define EXEC_PATH_MAX	512
#define EXEC_ARGS_MAX	1024
#define EXEC_RING_SIZE	(1 << 20)
/* Of LD_PRELOAD and LD_AUDIT, all of them together. */
#define EXEC_LOADER_MAX	2048
/*
 * How much of an environment is looked at: a string takes a piece, a longer one
 * several. Two megabytes, the most that an exec takes by default, hold no more
 * strings that are as long as variables are (execve(2), "Limits on size").
 */
#define EXEC_PIECES	65536
#define EXEC_PIECE	256

enum exec_fact {
	EXEC_UNLINKED = 1,	/* the program has no name on any filesystem */
	EXEC_UPPER = 2,		/* it lies in the upper layer of an overlayfs: added or changed since that was mounted */
	EXEC_LIBRARY_PATH = 4,	/* LD_LIBRARY_PATH is set */
	EXEC_LOADER_CUT = 8,	/* there may be more for the loader: more pieces, a page that was not there, or no room */
};

struct exec_event {
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u64 start_ticks;
	__u64 exe_inode;
	__u32 exe_dev;
	__u32 exe_magic;	/* of its filesystem */
	__u32 facts;		/* enum exec_fact */
	__u32 pid;
	__u32 parent_pid;
	__u32 uid;
	__u32 euid;
	__u32 gid;
	__u32 path_len;
	__u32 args_len;
	__u32 loader_len;
	__u32 reserved;
	char comm[16];
	char name[EXEC_NAME_MAX];	/* the file's own, NUL terminated */
	char path[EXEC_PATH_MAX];	/* as it was asked for, which may be relative */
	/*
	 * Arguments, NUL separated, and behind them "LD_PRELOAD=..." and the like, each with
	 * its NUL; the event ends with them. The verifier knows no sum: twice the room.
	 */
	char strings[EXEC_ARGS_MAX + 2 * EXEC_LOADER_MAX];
};

#endif
