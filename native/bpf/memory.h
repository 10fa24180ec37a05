/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What memory.bpf.c and its loader, native/memory.c, share. */
#ifndef RIMON_BPF_MEMORY_H
#define RIMON_BPF_MEMORY_H

#include <linux/types.h>

#include "actor.h"

#define MEMORY_FUNCTIONS	96
#define MEMORY_FRAMES		20
#define MEMORY_PROTECTED_MAX	16384
#define MEMORY_RING_SIZE	(1 << 20)

/* How a protected address space was touched. Values are part of record.h's format. */
enum memory_operation {
	MEMORY_UNKNOWN = 0,
	MEMORY_VM_READ = 1,	/* process_vm_readv */
	MEMORY_VM_WRITE = 2,	/* process_vm_writev */
	MEMORY_PEEK = 3,	/* ptrace PEEK */
	MEMORY_POKE = 4,	/* ptrace POKE */
	MEMORY_MEM_READ = 5,	/* a descriptor of /proc/PID/mem */
	MEMORY_MEM_WRITE = 6,
	MEMORY_ENVIRON = 7,
	MEMORY_CMDLINE = 8,
	MEMORY_MAPS = 9,	/* maps, smaps, smaps_rollup, numa_maps */
	MEMORY_PAGEMAP = 10,
	MEMORY_MAP_FILES = 11,
	MEMORY_ADVISE = 12,	/* process_madvise */
	MEMORY_UPROBE = 13,	/* a uprobe set or removed */
	MEMORY_BPF = 14,	/* bpf_copy_from_user_task */
	MEMORY_MOVE = 15,	/* move_pages, migrate_pages */
	MEMORY_HARMLESS = 16,	/* the reader's own end, a reaper */
};

/* What a system call says of the touch it is found in. */
enum memory_syscall {
	SYSCALL_OTHER = 0,
	SYSCALL_FD_READ = 1,	/* the descriptor is its first argument */
	SYSCALL_FD_WRITE = 2,
	SYSCALL_FD_SECOND = 3,	/* sendfile: it reads from its second */
	SYSCALL_PTRACE = 4,
	SYSCALL_IS = 32,	/* and an operation: the call is that and nothing else */
};

enum memory_action {
	MEMORY_SEEN = 0,
	MEMORY_KILLED = 1,
	MEMORY_NOT_KILLED = 2,	/* it was to be, and the kernel refused */
	MEMORY_ASLEEP = 3,	/* it was to be, and user space did not answer: the dead-man's switch */
};

/* A kernel function that tells the operation, found in the stack. */
struct memory_function {
	__u64 start;
	__u64 end;
	__u64 operation;
};

struct memory_protected {
	__u64 mm;		/* 0: not found yet */
	__u64 start_ticks;
	__u64 enforce;		/* 1 << enum memory_operation, of those refused */
};

struct memory_control {
	__u64 enforce;		/* enum enforce */
	__u64 heartbeat_ns;	/* CLOCK_MONOTONIC, of user space's latest sign of life */
	__u64 lost;		/* events for which the ring had no room */
};

struct memory_event {
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u64 suppressed;	/* how many like it were not told since the one before */
	__u64 target_start_ticks;
	__u64 exe_inode;
	__u32 exe_dev;
	__u32 operation;
	__u32 action;
	__u32 syscall;
	__u32 target_pid;
	__u32 by_stack;		/* the operation was told from the kernel's stack, not from the call in flight */
	struct actor actor;
};

#endif
