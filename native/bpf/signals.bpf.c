// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Who sends a protected process a signal that dumps its core, stops it, or
 * opens the inspector of Node.js. Only a sender in the very call is named: what
 * the kernel sends for a timer or a fault comes in whoever's context, and so
 * does what a descriptor sends that somebody has set to it (F_SETSIG of
 * fcntl(2)), which is told without a name.
 */
#include "kernel.h"
#include "syscall.h"
#include "processes.h"
#include "signals.h"

/* linux: include/uapi/asm-generic/siginfo.h, include/trace/events/signal.h */
#define SI_USER			0
#define SI_QUEUE		(-1)
#define SI_TKILL		(-6)
#define SI_SIGIO		(-5)
#define POLL_IN			1
#define POLL_HUP		6
#define TRACE_SIGNAL_DELIVERED	0

#define QUEUEING_CALLS	5

const volatile __u32 own_pid;
const volatile __u64 told_signals;	/* 1 << signal */
const volatile __u64 fault_signals;	/* of those, the ones whose positive si_code is a fault's */
/* The calls in which a sender says of itself what it likes, and those of 32-bit programs. */
const volatile __u32 queueing[QUEUEING_CALLS];
const volatile __u32 compat_queueing[QUEUEING_CALLS];

struct signals_control control;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SIGNALS_RING_SIZE);
} events SEC(".maps");

static __always_inline bool is_queueing(struct task_struct *task)
{
	__u32 number = syscall_number((void *)bpf_task_pt_regs(task)), i;
	bool compat = syscall_is_compat(task);

	for (i = 0; i < QUEUEING_CALLS; i++)
		if ((compat ? compat_queueing[i] : queueing[i]) == number)
			return true;
	return false;
}

/* `info` is a siginfo, or 0 for what the kernel sends in somebody's name, or 1 for what it sends in its own. */
static __always_inline bool is_by_caller(struct task_struct *task, __u64 info)
{
	int code;

	if (info <= 1)
		return info == 0;
	code = BPF_CORE_READ((struct kernel_siginfo *)info, si_code);
	if (code == SI_USER || code == SI_QUEUE || code == SI_TKILL)
		return true;
	return code < 0 && is_queueing(task);
}

/* linux: fs/fcntl.c, send_sigio_to_task */
static __always_inline bool is_by_descriptor(__u64 signal, __u64 info)
{
	int code;

	if (info <= 1)
		return false;
	code = BPF_CORE_READ((struct kernel_siginfo *)info, si_code);
	return fault_signals >> signal & 1 ? code == SI_SIGIO : code >= POLL_IN && code <= POLL_HUP;
}

SEC("tp_btf/signal_generate")
int signals_generate(__u64 *ctx)
{
	struct task_struct *task, *target = (void *)ctx[2];
	struct signal_event event = {}, *room;
	__u64 *start_ticks;

	if (ctx[0] > 63 || !(told_signals >> ctx[0] & 1) || (int)ctx[4] != TRACE_SIGNAL_DELIVERED)
		return 0;
	event.target_pid = target->tgid;
	start_ticks = process_of(target);
	if (!start_ticks)
		return 0;
	if (!is_by_descriptor(ctx[0], ctx[1])) {
		task = bpf_get_current_task_btf();
		if ((__u32)task->tgid == event.target_pid || (__u32)task->tgid == own_pid ||
		    (task->flags & PF_KTHREAD) || !is_by_caller(task, ctx[1]))
			return 0;
		actor_fill(&event.actor, task);
	}
	event.time_ns = bpf_ktime_get_ns();
	event.signal = ctx[0];
	event.target_start_ticks = *start_ticks;
	if (told_just_now(&event.actor, event.target_pid, event.signal, event.time_ns, &event.suppressed))
		return 0;
	room = bpf_ringbuf_reserve(&events, sizeof(*room), 0);
	if (!room) {
		__sync_fetch_and_add(&control.lost, 1);
		return 0;
	}
	*room = event;
	bpf_ringbuf_submit(room, 0);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(signals_fork, struct task_struct *parent, struct task_struct *child)
{
	if (child->pid == child->tgid && !process_forked(parent, child))
		__sync_fetch_and_add(&control.lost, 1);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(signals_exit, struct task_struct *task)
{
	process_exited(task);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
