/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What calls.bpf.c, call_hooks.bpf.c and their loader, native/calls.c, share. */
#ifndef RIMON_BPF_CALLS_H
#define RIMON_BPF_CALLS_H

#include <linux/types.h>

#include "actor.h"

#define CALLS_THREADS_MAX	32768
#define CALLS_RING_SIZE		(1 << 18)

/* How a protected process was reached for. Values are part of record.h's format. */
enum call {
	CALL_NONE = 0,
	CALL_ATTACH = 1,	/* ptrace ATTACH, SEIZE; in the table: ptrace */
	CALL_PEEK = 2,		/* ptrace PEEKTEXT, PEEKDATA */
	CALL_POKE = 3,
	CALL_REGISTERS_READ = 4,
	CALL_REGISTERS_WRITE = 5,
	CALL_VM_READ = 6,	/* process_vm_readv */
	CALL_VM_WRITE = 7,
	CALL_GETFD = 8,		/* pidfd_getfd; argument: the descriptor */
	CALL_COMPARE = 9,	/* kcmp */
	CALL_PERF = 10,		/* perf_event_open */
	CALL_CORE_LIMIT = 11,	/* prlimit64 of RLIMIT_CORE; argument: the soft limit */
	CALL_ADVISE = 12,	/* process_madvise */
	CALL_DUMPABLE = 13,	/* PR_SET_DUMPABLE 1, by the process itself; in the table: prctl */
	CALL_TRACER = 14,	/* PR_SET_PTRACER, by the process itself; argument: the tracer */
	CALL_BPF_LOAD = 15,	/* of nobody; argument: enum bpf_prog_type */
	CALL_MAP_CODE = 16,	/* mprotect, or mmap of no file, with PROT_EXEC, by the process itself */
	CALL_MAP_FILE = 17,	/* mmap of a file with PROT_EXEC, by the process itself; in the table: mmap */
	CALL_PROBE = 18,	/* perf_event_open of a uprobe */
};

struct calls_control {
	__u64 lost;		/* events for which the ring had no room, threads for which the table had none */
	__u32 decoy;		/* whose pid the hooks are proven on; 0: nobody */
	__u32 proofs;		/* 1 << enum call of what they saw of it */
};

struct call_event {
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u64 suppressed;	/* how many like it were not told since the one before */
	__u64 target_start_ticks;
	__u64 argument;
	__u32 call;
	__u32 target_pid;	/* 0: the node */
	__u32 target_tid;
	__u32 has_argument;
	struct actor actor;
};

#endif
