/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What calls.bpf.c and call_hooks.bpf.c do alike: know protected processes and
 * their threads by number, and tell of a call that reaches for one of them.
 */
#ifndef RIMON_BPF_CALLED_H
#define RIMON_BPF_CALLED_H

#include "kernel.h"
#include "syscall.h"
#include "processes.h"
#include "calls.h"

/* A process of the node has one number, one of a container two, and so on inwards. */
#define NAMESPACES	4

/* A program that sets itself up says so of itself in its first moments: nginx does in each worker. */
#define SETTLED_NS	3000000000ull

/* A program maps its libraries one after another: soon after the last of them is told, the mappings are all there. */
#define MAP_QUIET_NS	1000000ull

/* linux: include/uapi/linux/{ptrace,prctl,perf_event,resource,magic,mman-common}.h */
#define PTRACE_SEIZE		0x4206
#define PTRACE_GETREGSET	0x4204
#define PTRACE_SETREGSET	0x4205
#define PR_SET_DUMPABLE		4
#define PR_SET_PTRACER		0x59616d61
#define PERF_FLAG_PID_CGROUP	4
#define RLIMIT_CORE		4
#define PROT_EXEC		4

const volatile __u32 own_pid;
/* perf_event_attr.type of uprobes, which the kernel gives out as it starts */
const volatile __u32 uprobe_type;
/* enum call, of the native table in the low byte and of the 32-bit one in the high byte */
const volatile __u16 calls[SYSCALLS];

struct calls_control control;

/* A thread by any of its numbers. */
struct thread_key {
	__u64 namespace;
	__u64 number;
};

struct thread {
	__u32 pid;
	__u32 tid;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CALLS_THREADS_MAX);
	__type(key, struct thread_key);
	__type(value, struct thread);
} threads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, CALLS_RING_SIZE);
} events SEC(".maps");

static __always_inline void lost(void)
{
	__sync_fetch_and_add(&control.lost, 1);
}

static __always_inline void key_at(struct pid *pid, __u32 level, struct thread_key *ret)
{
	struct upid *number = number_at(pid, level);

	ret->namespace = (__u64)BPF_CORE_READ(number, ns);
	ret->number = (__u32)BPF_CORE_READ(number, nr);
}

static __always_inline void thread_add(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	struct thread thread = { task->tgid, task->pid };
	__u32 level = BPF_CORE_READ(pid, level), i;
	struct thread_key key;

	for (i = 0; i < NAMESPACES && i <= level; i++) {
		key_at(pid, i, &key);
		if (bpf_map_update_elem(&threads, &key, &thread, BPF_ANY))
			lost();
	}
}

static __always_inline void thread_remove(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level), i;
	struct thread_key key;

	for (i = 0; i < NAMESPACES && i <= level; i++) {
		key_at(pid, i, &key);
		bpf_map_delete_elem(&threads, &key);
	}
}

/* What the caller means by a number. */
static __always_inline void number_of_caller(struct task_struct *task, __u64 number, struct thread_key *ret)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);

	key_at(pid, BPF_CORE_READ(pid, level), ret);
	ret->number = (__u32)number;
}

/* linux: include/uapi/linux/ptrace.h, arch/x86/include/asm/ptrace-abi.h */
static __always_inline __u32 ptrace_call(__u32 request)
{
	switch (request) {
	case 16: case PTRACE_SEIZE:
		return CALL_ATTACH;
	case 1: case 2:
		return CALL_PEEK;
	case 4: case 5:
		return CALL_POKE;
	case 3: case 12: case 14: case 18: case PTRACE_GETREGSET:
		return CALL_REGISTERS_READ;
	case 6: case 13: case 15: case 19: case PTRACE_SETREGSET:
		return CALL_REGISTERS_WRITE;
	}
	return CALL_NONE;
}

static __always_inline __u32 prctl_call(__u64 option, __u64 value)
{
	if (option == PR_SET_DUMPABLE && value == 1)
		return CALL_DUMPABLE;
	return option == PR_SET_PTRACER && value ? CALL_TRACER : CALL_NONE;
}

static __always_inline void tell(struct call_event *event, struct task_struct *task)
{
	__u64 quiet_ns = event->call == CALL_MAP_FILE ? MAP_QUIET_NS : QUIET_NS;
	struct call_event *room;

	event->time_ns = bpf_ktime_get_ns();
	actor_fill(&event->actor, task);
	if (told_within(quiet_ns, &event->actor, event->target_pid, event->call, event->time_ns, &event->suppressed))
		return;
	room = bpf_ringbuf_reserve(&events, sizeof(*room), 0);
	if (!room) {
		lost();
		return;
	}
	*room = *event;
	bpf_ringbuf_submit(room, 0);
}

/* Of the process itself. */
static __always_inline int by_itself(struct call_event *event, struct task_struct *task)
{
	__u64 *start_ticks = process_of(task);

	if (!start_ticks)
		return 0;
	event->target_pid = task->tgid;
	event->target_tid = task->pid;
	event->target_start_ticks = *start_ticks;
	tell(event, task);
	return 0;
}

/* Of another process, if it is protected. */
static __always_inline int of_other(struct call_event *event, struct task_struct *task, __u32 pid, __u32 tid)
{
	__u64 *start_ticks;

	if (pid == (__u32)task->tgid)
		return 0;
	start_ticks = process_find(pid);
	if (!start_ticks)
		return 0;
	event->target_pid = pid;
	event->target_tid = tid;
	event->target_start_ticks = *start_ticks;
	tell(event, task);
	return 0;
}

/* PR_SET_DUMPABLE and PR_SET_PTRACER. */
static __always_inline int weakens_itself(struct call_event *event, struct task_struct *task, __u64 option, __u64 value)
{
	event->argument = value;
	event->call = prctl_call(option, value);
	event->has_argument = event->call == CALL_TRACER;
	/* While it starts it does so for nobody to make use of. */
	if (!event->call || bpf_ktime_get_boot_ns() - BPF_CORE_READ(task, group_leader, start_boottime) < SETTLED_NS)
		return 0;
	return by_itself(event, task);
}

/* The call takes milliseconds before it sets the first breakpoint, and only then is it seen elsewhere. */
static __always_inline __u32 perf_call(const void *attr)
{
	__u32 type = 0;

	return !bpf_probe_read_user(&type, sizeof(type), attr) && type && type == uprobe_type ? CALL_PROBE : CALL_PERF;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(calls_fork, struct task_struct *parent, struct task_struct *child)
{
	if (child->pid == child->tgid && !process_forked(parent, child))
		lost();
	if (process_of(child))
		thread_add(child);
	return 0;
}

/* Whichever thread calls exec is the leader now, and its old number is nobody's. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(calls_exec, struct task_struct *task, int old_pid)
{
	struct thread_key key;

	if (!process_of(task))
		return 0;
	if (old_pid != task->pid) {
		key_at(BPF_CORE_READ(task, thread_pid), 0, &key);
		key.number = (__u32)old_pid;
		bpf_map_delete_elem(&threads, &key);
	}
	thread_add(task);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(calls_exit, struct task_struct *task)
{
	thread_remove(task);
	process_exited(task);
	return 0;
}

/* Finds the threads of those that user space has just named. */
SEC("iter/task")
int calls_fill(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task && !(task->flags & (PF_KTHREAD | PF_EXITING)) && process_of(task))
		thread_add(task);
	return 0;
}

#endif
