/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What exec.bpf.c and its loader, native/exec.c, share. */
#ifndef RIMON_BPF_EXEC_H
#define RIMON_BPF_EXEC_H

#include <linux/types.h>

#define EXEC_NAME_MAX	64
#define EXEC_PATH_MAX	512
#define EXEC_ARGS_MAX	1024
#define EXEC_RING_SIZE	(1 << 20)

struct exec_event {
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u64 start_ticks;
	__u64 exe_inode;
	__u32 exe_dev;
	__u32 exe_magic;	/* of its filesystem */
	__u32 exe_links;	/* 0: it has no name on any filesystem */
	__u32 pid;
	__u32 parent_pid;
	__u32 uid;
	__u32 euid;
	__u32 gid;
	__u32 path_len;
	__u32 args_len;
	char comm[16];
	char name[EXEC_NAME_MAX];	/* the file's own, NUL terminated */
	char path[EXEC_PATH_MAX];	/* as it was asked for, which may be relative */
	char args[EXEC_ARGS_MAX];	/* NUL separated; the event ends with them */
};

#endif
