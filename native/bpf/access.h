/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What access.bpf.c and its loader, native/access.c, share. */
#ifndef RIMON_BPF_ACCESS_H
#define RIMON_BPF_ACCESS_H

#include <linux/types.h>

#include "actor.h"
#include "enforce.h"

#define ACCESS_PROTECTED_MAX	16384
#define ACCESS_RING_SIZE	(1 << 18)

/* The call an access was asked for in. Values are part of record.h's format, whose ACCESS_* are something else. */
enum access_call {
	ACCESS_BY_OTHER = 0,
	ACCESS_BY_PTRACE = 1,
	ACCESS_BY_VM_READ = 2,	/* process_vm_readv */
	ACCESS_BY_VM_WRITE = 3,	/* process_vm_writev */
	ACCESS_BY_OPEN = 4,	/* of a file of procfs */
	ACCESS_BY_READ = 5,
	ACCESS_BY_PIDFD_GETFD = 6,
	ACCESS_BY_KCMP = 7,
	ACCESS_BY_ADVISE = 8,	/* process_madvise */
	ACCESS_BY_PERF = 9,	/* perf_event_open */
	ACCESS_BY_MOVE = 10,	/* move_pages, migrate_pages */
	ACCESS_BY_SETNS = 11,
	/* Of no process: the memory of the whole machine. */
	ACCESS_BY_KCORE = 12,	/* /proc/kcore */
	ACCESS_BY_DEVICE = 13,	/* /dev/mem, /dev/kmem or /dev/port */
};

/* Bits of what is refused. */
#define ACCESS_REFUSE_MEMORY	1	/* process_vm_readv, process_vm_writev, /proc/PID/mem, process_madvise */
#define ACCESS_REFUSE_ATTACH	2	/* ptrace, and whatever else asks for as much */

struct access_protected {
	__u64 start_ticks;
	__u64 refuse;
};

struct access_control {
	__u64 enforce;		/* enum enforce */
	__u64 heartbeat_ns;	/* CLOCK_MONOTONIC, of user space's latest sign of life */
	__u64 lost;		/* events for which the ring had no room */
	__u64 proofs;		/* accesses to the decoy that were refused */
	__u32 decoy;		/* a pid that is refused to everybody, rimon too; 0: none */
	__u32 refuse_machine;	/* whether the memory of the machine is refused as well */
	__u32 family;		/* the pid to whose descendants alone it is; 0: to everybody */
	__u32 reserved;
};

struct access_event {
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u64 suppressed;	/* how many like it were not told since the one before */
	__u64 target_start_ticks;
	__u32 call;
	__u32 action;		/* enum enforce_action */
	__u32 mode;		/* PTRACE_MODE_*, include/linux/ptrace.h */
	__u32 target_pid;	/* 0: the whole machine */
	__u32 target_tid;
	__u32 reserved;
	struct actor actor;
};

#endif
