// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Whether a process may reach into a protected one. Everything that does comes
 * by here: ptrace, process_vm_readv, the opening of /proc/PID/mem, pidfd_getfd,
 * kcmp. Needs v5.17 (CO-RE without libbpf).
 *
 * The program stands in front of the security modules. As one of them (SEC lsm)
 * it would do the same where `bpf` is in the kernel's lsm= list, and be attached
 * and never called where it is not, as on Debian.
 *
 * What reads of procfs files ask for (maps, environ, stat; PTRACE_MODE_READ)
 * is never refused and never told: ps, top and systemd do it all day.
 *
 * And who opens the memory of the whole machine, through whatever node or mount:
 * lockdown is asked for each such opening, and for little else.
 */
#include "kernel.h"
#include "event.h"
#include "syscall.h"
#include "spared.h"
#include "access.h"

#define EPERM	1

/* linux: include/linux/ptrace.h */
#define PTRACE_MODE_ATTACH	0x02
#define PTRACE_MODE_FSCREDS	0x08
#define PTRACE_MODE_REALCREDS	0x10

/* linux: include/linux/security.h, whose numbers have changed since */
enum lockdown_reason {
	LOCKDOWN_DEV_MEM = 2,
	LOCKDOWN_KCORE = 18,
};

const volatile __u8 calls[SYSCALLS];
const volatile __u8 compat_calls[SYSCALLS];

struct access_control control;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ACCESS_PROTECTED_MAX);
	__type(key, __u32);	/* pid */
	__type(value, struct access_protected);
} processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, ACCESS_RING_SIZE);
} events SEC(".maps");

static __always_inline __u32 call_of(struct task_struct *task)
{
	void *regs = (void *)bpf_task_pt_regs(task);	/* v5.15, dd6e10fbd9fb */
	__u32 number;

	/* One of io_uring's is in no call of its own. */
	if (task->flags & PF_IO_WORKER)
		return ACCESS_BY_OTHER;
	number = syscall_number(regs);
	if (number >= SYSCALLS)
		return ACCESS_BY_OTHER;
	return syscall_is_compat(task) ? compat_calls[number] : calls[number];
}

/* Whether it is more than the look at a file that ps takes. */
static __always_inline bool reaches_in(__u32 mode, __u32 call)
{
	if (mode & PTRACE_MODE_ATTACH)
		return true;
	/* A pidfd is given to setns by whoever enters a container: lxc-attach, nsenter, machinectl. */
	if (mode & PTRACE_MODE_REALCREDS)
		return call != ACCESS_BY_SETNS;
	/* v5.18, 5bc68f0ca0b6 */
	return call == ACCESS_BY_ADVISE;
}

/* By the files of procfs (FSCREDS) only mem is reached, and by reading: stack, syscall. */
static __always_inline __u64 refusal_of(__u32 mode, __u32 call)
{
	if (call == ACCESS_BY_VM_READ || call == ACCESS_BY_VM_WRITE || call == ACCESS_BY_ADVISE)
		return ACCESS_REFUSE_MEMORY;
	return mode & PTRACE_MODE_FSCREDS && call != ACCESS_BY_READ ? ACCESS_REFUSE_MEMORY : ACCESS_REFUSE_ATTACH;
}

/* Answers it, tells it, and says whether it is refused. */
static __noinline bool settle(struct access_event *event, bool refuse)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct access_event *room;

	if (!event)
		return false;
	event->time_ns = bpf_ktime_get_ns();
	event->action = action_on(task, refuse ? control.enforce : ENFORCE_OFF, event->time_ns, control.heartbeat_ns);
	actor_fill(&event->actor, task);
	if (told_just_now(&event->actor, event->target_pid, event->call << 8 | event->action, event->time_ns,
			  &event->suppressed))
		return event->action == ENFORCE_REFUSED;
	room = bpf_ringbuf_reserve(&events, sizeof(*room), 0);
	if (!room) {
		__sync_fetch_and_add(&control.lost, 1);
		return event->action == ENFORCE_REFUSED;
	}
	*room = *event;
	bpf_ringbuf_submit(room, 0);
	return event->action == ENFORCE_REFUSED;
}

/* Whether it is refused. */
static __always_inline bool access_refused(struct task_struct *child, __u32 mode)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct access_event event = {};
	struct access_protected *target;
	__u32 pid = child->tgid;

	if ((__u32)task->tgid == pid || (task->flags & PF_KTHREAD))
		return false;
	if (control.decoy && pid == control.decoy && mode & PTRACE_MODE_ATTACH) {
		__sync_fetch_and_add(&control.proofs, 1);
		return true;
	}
	target = bpf_map_lookup_elem(&processes, &pid);
	if (!target || (__u32)task->tgid == own_pid)
		return false;
	event.mode = mode;
	event.call = call_of(task);
	/* Only files of procfs ask in the name of the file system's user; by io_uring no call says so. */
	if (event.call == ACCESS_BY_OTHER && mode & PTRACE_MODE_FSCREDS && mode & PTRACE_MODE_ATTACH)
		event.call = ACCESS_BY_OPEN;
	if (!reaches_in(mode, event.call) || start_ticks_of(child) != target->start_ticks)
		return false;
	event.target_pid = pid;
	event.target_tid = child->pid;
	event.target_start_ticks = target->start_ticks;
	return settle(&event, target->refuse & refusal_of(event.mode, event.call));
}

static __always_inline bool machine_refused(__u32 call)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct access_event event = { .call = call };

	if ((__u32)task->tgid == own_pid || (task->flags & PF_KTHREAD))
		return false;
	return settle(&event, control.refuse_machine && (!control.family || descends_from(task, control.family)));
}

/*
 * clang makes `refused ? -EPERM : 0` a negated bool, whose range verifiers from
 * v6.12 on do not know, and refuse as a return value.
 */
static __always_inline int answer(bool refused)
{
	int ret;

	if (!refused)
		return 0;
	ret = -EPERM;
	asm volatile("" : "+r"(ret));
	return ret;
}

/* linux: security/security.c, int (child, mode); security_* may be changed since v5.7, 6ba43b761c41 */
SEC("fmod_ret/security_ptrace_access_check")
int access_check(__u64 *ctx)
{
	return answer(access_refused((struct task_struct *)ctx[0], ctx[1]));
}

/*
 * linux: security/security.c, int (what); for these two asked by open_port of
 * drivers/char/mem.c, open_kcore of fs/proc/kcore.c, and when the driver of
 * Intel's TPMI finds its device.
 */
SEC("fmod_ret/security_locked_down")
int access_machine(__u64 *ctx)
{
	__u32 what = ctx[0];

	if (what == bpf_core_enum_value(enum lockdown_reason, LOCKDOWN_KCORE))
		return answer(machine_refused(ACCESS_BY_KCORE));
	if (what == bpf_core_enum_value(enum lockdown_reason, LOCKDOWN_DEV_MEM))
		return answer(machine_refused(ACCESS_BY_DEVICE));
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(access_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 parent_pid = parent->tgid, pid = child->tgid;
	struct access_protected *of_parent, process = {};

	if (child->pid != child->tgid)
		return 0;
	of_parent = bpf_map_lookup_elem(&processes, &parent_pid);
	if (!of_parent || of_parent->start_ticks != start_ticks_of(parent))
		return 0;
	process.start_ticks = start_ticks_of(child);
	process.refuse = of_parent->refuse;
	if (bpf_map_update_elem(&processes, &pid, &process, BPF_ANY))
		__sync_fetch_and_add(&control.lost, 1);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(access_exit, struct task_struct *task)
{
	__u32 pid = task->tgid;

	/* Only the last thread takes the process with it. */
	if (task->signal->live.counter <= 0)
		bpf_map_delete_elem(&processes, &pid);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
