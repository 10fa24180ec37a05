/*
 * The one format that the core writes and src/records.ts reads.
 *
 * A batch is a run of records. Every record begins with struct record_head,
 * whose size counts the whole record with its strings, padded to 8 bytes.
 * Byte order is the machine's. Strings stand behind the fixed part in the
 * order of their lengths and are not terminated; they are bytes, not text.
 *
 * A field is known only if its HAVE bit is set: unknown is not zero.
 * Types are the kernel's, since stdint.h clashes with vmlinux.h.
 */
#ifndef RIMON_RECORD_H
#define RIMON_RECORD_H

#include <linux/types.h>

#define RECORD_VERSION 1

enum record_kind {
	RECORD_PROCESS = 1,
	RECORD_THREAD = 2,
	RECORD_PROCESS_EVENT = 3,
	RECORD_PROC_FILE = 4,
	RECORD_FILE = 5,
	RECORD_MOUNTS = 6,
	RECORD_LOST = 7,
	RECORD_MAPS = 8,
	RECORD_MAPPING = 9,
	RECORD_OPEN_FILE = 10,
	RECORD_MEMORY = 11,
	RECORD_EXEC = 12,
	RECORD_CALL = 13,
	RECORD_SIGNAL = 14,
	RECORD_BPF_PROGRAM = 15,
	RECORD_CODE_PAGES = 16,
	RECORD_CODE_PAGE = 17,
	RECORD_CODE_RUN = 18,
	RECORD_CODE_TEXT = 19,
	RECORD_ACCESS = 20,
	RECORD_SECCOMP_FILTER = 21,
	RECORD_MACHINE_MEMORY = 22,
	RECORD_SYSCTL = 23,
	RECORD_UPROBE = 24,
	RECORD_UPROBES = 25,
	RECORD_FILE_CHANGE = 28,
	RECORD_GATE = 30,
	RECORD_FILE_ENTRY = 40,
};

struct record_head {
	__u16 kind;
	__u16 reserved;
	__u32 size;
};

/* What of a process is asked for beside its pid, start, parent and name. */
#define WANT_STATUS	(1u << 0)
#define WANT_EXE	(1u << 1)
#define WANT_CMDLINE	(1u << 2)
#define WANT_CGROUP	(1u << 3)
#define WANT_NAMESPACES	(1u << 4)
#define WANT_TRACED	(1u << 5)	/* a record for each thread that is traced */
#define WANT_LOADER	(1u << 6)
#define WANT_DUMP	(1u << 7)

/* What of a process was asked for and could be read. */
#define HAVE_STATUS	(1u << 0)	/* uid .. cap_effective, namespace pids */
#define HAVE_EXE	(1u << 1)	/* the link */
#define HAVE_EXE_FILE	(1u << 2)	/* the file behind it */
#define HAVE_CMDLINE	(1u << 3)
#define HAVE_CGROUP	(1u << 4)
#define HAVE_PID_NS	(1u << 5)
#define HAVE_MNT_NS	(1u << 6)
#define HAVE_LOADER	(1u << 7)
#define HAVE_LIMITS	(1u << 8)	/* core_soft, core_hard */
#define HAVE_FILTER	(1u << 9)	/* coredump_filter */
#define HAVE_OWNER	(1u << 10)	/* owner */
#define HAVE_KTHREAD	(1u << 11)	/* it is a kernel thread (PF_KTHREAD) */
#define HAVE_IDS	(1u << 12)	/* uid, euid, gid, and nothing else of STATUS */
#define HAVE_EXEC_ID	(1u << 13)	/* exec_id */

#define CORE_UNLIMITED	(~0ull)

/* A process; strings: comm, exe, cmdline (NUL separated), cgroup, loader ("NAME=value" NUL separated), namespace pids (__u32 each). */
struct process_record {
	struct record_head head;
	__u64 start_ticks;
	__u64 cap_effective;
	__u64 exe_dev;
	__u64 exe_inode;
	__u64 exe_size;
	__u64 exe_mtime_ns;
	__u64 pid_ns;
	__u64 mnt_ns;
	__u64 core_soft;
	__u64 core_hard;
	__u32 have;
	__u32 pid;
	__u32 parent_pid;
	__u32 tracer_pid;
	__u32 uid;
	__u32 euid;
	__u32 gid;
	__u32 threads;
	__u32 coredump_filter;
	__u32 owner;
	__u16 comm_len;
	__u16 exe_len;
	__u16 cmdline_len;
	__u16 cgroup_len;
	__u16 loader_len;
	__u16 namespace_pids;	/* how many */
	__u32 exec_id;		/* changes with every exec */
};

/* A thread that is traced. */
struct thread_record {
	struct record_head head;
	__u64 start_ticks;	/* of the process */
	__u32 pid;
	__u32 tid;
	__u32 tracer_pid;
	__u32 reserved;
};

enum process_event {
	PROCESS_FORK = 1,	/* pid was made by other_pid */
	PROCESS_EXEC = 2,	/* a process record of pid came before, if it could still be read */
	PROCESS_EXIT = 3,	/* code: wait status */
	PROCESS_TRACED = 4,	/* other_pid attached to tid of pid; 0: detached */
	PROCESS_DUMPING = 5,	/* a signal that makes a core, dumped or not */
	PROCESS_COMM = 6,
};

/* From the netlink process connector, execs from bpf/exec.bpf.c where it is live. Thread-level events are sent only where a thread matters: TRACED. */
struct process_event_record {
	struct record_head head;
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u32 event;
	__u32 pid;
	__u32 tid;
	__u32 other_pid;
	__u32 other_tid;
	__u32 code;
};

enum proc_file {
	PROC_FILE_MEM = 1,
	PROC_FILE_ENVIRON = 2,
	PROC_FILE_MAPS = 3,
	PROC_FILE_SMAPS = 4,
	PROC_FILE_PAGEMAP = 5,
	PROC_FILE_MAP_FILES = 6,
	PROC_FILE_AUXV = 7,
	PROC_FILE_STACK = 8,
	PROC_FILE_SYSCALL = 9,
	PROC_FILE_COREDUMP_FILTER = 10,
	PROC_FILE_SYSCTL = 11,	/* written below /proc/sys */
};

#define ACCESS_OPEN	1
#define ACCESS_READ	2
#define ACCESS_WRITE	4
#define ACCESS_ATTRIBUTES	8	/* mode, owner, name or number of links */

/* A file of some procfs was touched; a process record of pid came before, if it could still be read. String: path. */
struct proc_file_record {
	struct record_head head;
	__u64 dev;		/* of the procfs superblock */
	__u64 target_start_ticks; /* 0: the target could not be read any more */
	__u32 file;
	__u32 access;
	__u32 pid;		/* who */
	__u32 target_pid;	/* in the pid namespace of that procfs */
	__u32 target_tid;	/* 0: not by way of task/ */
	__u16 path_len;
	__u16 reserved;
};

/* The mount table behind this id changed. */
struct mounts_record {
	struct record_head head;
	__u32 id;
	__u32 reserved;
};

enum lost_source {
	LOST_CONNECTOR = 1,	/* ENOBUFS: the kernel does not say how many; count is 0 */
	LOST_FILES = 2,		/* FAN_Q_OVERFLOW: likewise */
	LOST_QUEUE = 3,		/* JavaScript did not take its batches in time */
	LOST_MEMORY = 4,	/* the ring of bpf/memory.bpf.c had no room */
	LOST_EXEC = 5,		/* that of bpf/exec.bpf.c */
	LOST_CALLS = 6,		/* of bpf/calls.bpf.c, or its table of threads */
	LOST_SIGNALS = 7,	/* of bpf/signals.bpf.c */
	LOST_ACCESS = 8,	/* of bpf/access.bpf.c */
	LOST_SYSCTL = 9,	/* of bpf/sysctl.bpf.c */
	LOST_FILE_EVENTS = 10,	/* FAN_Q_OVERFLOW of the group of file_watch.c; count is 0 */
	LOST_FILE_CHANGES = 11,	/* its changes were not taken in time */
	LOST_GATE = 20,		/* the exec gate's ring had no room, or its queue */
};

struct lost_record {
	struct record_head head;
	__u64 count;		/* 0: unknown */
	__u32 source;
	__u32 reserved;
};

/* A protected address space was touched from outside; a process record of pid came before. */
struct memory_record {
	struct record_head head;
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u64 target_start_ticks;
	__u64 suppressed;	/* how many like it were not told since the one before */
	__u32 operation;	/* enum memory_operation of bpf/memory.h */
	__u32 action;		/* enum memory_action */
	__u32 pid;		/* who */
	__u32 tid;
	__u32 target_pid;
	__u32 syscall;		/* the call it happened in */
	__u64 exe_dev;		/* st_dev and inode of what pid runs; both 0: not known */
	__u64 exe_inode;
};

/* The kernel was asked for something of a protected process, or of itself (target_pid 0); a process record of pid came before. */
struct call_record {
	struct record_head head;
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u64 target_start_ticks;
	__u64 argument;		/* what it says of each call stands at enum call */
	__u64 suppressed;	/* how many like it were not told since the one before */
	__u32 call;		/* enum call of bpf/calls.h */
	__u32 pid;		/* who */
	__u32 tid;
	__u32 target_pid;
	__u32 target_tid;
	__u32 has_argument;
};

/* A protected process was sent a signal by another; a process record of pid came before. */
struct signal_record {
	struct record_head head;
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u64 target_start_ticks;
	__u64 suppressed;	/* how many like it were not told since the one before */
	__u32 signal;
	__u32 pid;		/* who; 0: a descriptor that was set to send it */
	__u32 tid;
	__u32 target_pid;
};

/* What is out of the ordinary with a program that was started; its process record and its exec came before. Strings: name, loader. */
struct exec_record {
	struct record_head head;
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u64 start_ticks;
	__u32 pid;
	__u32 facts;		/* enum exec_fact of bpf/exec.h */
	__u16 name_len;		/* the file's own: "memfd:x", or what it was called before it was unlinked */
	__u16 loader_len;	/* "LD_PRELOAD=..." and "LD_AUDIT=...", each with a NUL behind it */
	__u32 reserved;
};

/* Another process asked to reach into a protected one; a process record of pid came before. */
struct access_record {
	struct record_head head;
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u64 target_start_ticks;
	__u64 suppressed;	/* how many like it were not told since the one before */
	__u32 call;		/* enum access_call of bpf/access.h */
	__u32 action;		/* enum enforce_action of bpf/enforce.h */
	__u32 mode;		/* PTRACE_MODE_*, include/linux/ptrace.h */
	__u32 pid;		/* who */
	__u32 tid;
	__u32 target_pid;
	__u32 target_tid;
	__u32 reserved;
};

enum machine_memory {
	MACHINE_KCORE = 1,	/* /proc/kcore */
	MACHINE_DEVICE = 2,	/* /dev/mem, /dev/kmem or /dev/port */
};

/* The memory of the whole machine was opened, or that was asked for; a process record of pid came before. String: path, which the kernel's check does not know. */
struct machine_memory_record {
	struct record_head head;
	__u64 time_ns;		/* CLOCK_MONOTONIC; 0: as a mark tells it, without a time */
	__u64 suppressed;	/* how many like it were not told since the one before */
	__u32 memory;		/* enum machine_memory */
	__u32 access;		/* ACCESS_OPEN and the like */
	__u32 action;		/* enum enforce_action */
	__u32 pid;		/* who */
	__u32 tid;		/* 0: not known */
	__u16 path_len;
	__u16 reserved;
};

/* A setting that decides about core dumps was about to be written; a process record of pid came before. String: the value. */
struct sysctl_record {
	struct record_head head;
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u64 suppressed;	/* how many like it were not told since the one before */
	__u32 setting;		/* enum sysctl_setting of bpf/sysctl.h */
	__u32 action;		/* enum enforce_action of bpf/enforce.h */
	__u32 pid;		/* who */
	__u32 tid;
	__u16 value_len;
	__u16 reserved[3];
};

#define MAPS_UNCHANGED	(~0u)

/* Heads the mappings of one process. */
struct maps_record {
	struct record_head head;
	__u64 digest;
	__u64 start_ticks;
	__u32 pid;
	__u32 count;		/* how many follow; MAPS_UNCHANGED: none, the digest is the one the caller knew */
};

#define MAPPING_READ	1
#define MAPPING_WRITE	2
#define MAPPING_EXEC	4
#define MAPPING_SHARED	8

/* An executable mapping, adjacent ones of one file and permission merged. String: path. */
struct mapping_record {
	struct record_head head;
	__u64 start;
	__u64 end;
	__u64 offset;
	__u64 dev;
	__u64 inode;
	__u32 permissions;
	__u16 path_len;
	__u16 reserved;
};

/* A descriptor whose link ends as asked. String: path. */
struct open_file_record {
	struct record_head head;
	__u64 start_ticks;
	__u32 pid;
	__u32 fd;
	__u16 path_len;
	__u16 reserved[3];
};

/* Heads the pages of code of one process that do not come from their file any more. */
struct code_pages_record {
	struct record_head head;
	__u64 start_ticks;
	__u32 pid;
	__u32 page_size;
	__u32 count;		/* how many follow */
	__u32 unread;		/* how many more there are that were not compared */
	__u32 by_pagemap;	/* the kernel has no PAGEMAP_SCAN, or was not asked for it */
	__u32 mem_error;	/* errno: its memory may not be read, so nothing was compared */
};

/* One page, of a file's private executable mapping; its runs follow. String: path. */
struct code_page_record {
	struct record_head head;
	__u64 page;
	__u64 start;		/* of the mapping */
	__u64 end;
	__u64 offset;		/* of the page, in the file */
	__u64 dev;
	__u64 inode;
	__u32 permissions;
	__u32 compared;		/* 0: the page or the file could not be read */
	__u32 differing;	/* bytes */
	__u16 runs;
	__u16 path_len;
};

#define CODE_BYTES_MAX	32

/* Bytes that differ from the file, with at most three between them that do not. Strings: what is there, what the file has. */
struct code_run_record {
	struct record_head head;
	__u64 address;
	__u32 length;
	__u16 found_len;	/* at most CODE_BYTES_MAX */
	__u16 expected_len;
};

enum uprobe_source {
	UPROBE_BY_PERF = 1,	/* a perf event with an eBPF program */
	UPROBE_BY_LINK = 2,	/* an eBPF link */
	UPROBE_BY_EVENT = 3,	/* an event defined in tracefs */
};

/* A place with a uprobe. Strings: path as whoever set it named it, the event's "group/name". */
struct uprobe_record {
	struct record_head head;
	__u64 start_ticks;
	__u64 offset;		/* in the file */
	__u32 pid;		/* who holds it; 0: nobody, or nobody known */
	__u32 source;		/* enum uprobe_source */
	__u32 returns;		/* it is on the function's return */
	__u16 path_len;
	__u16 name_len;
};

/* Behind them: what could not be asked for, as errno. */
struct uprobes_record {
	struct record_head head;
	__u32 descriptors_error;
	__u32 links_error;
	__u32 events_error;
	__u32 reserved;
};

#include "record_state.h"

#endif
