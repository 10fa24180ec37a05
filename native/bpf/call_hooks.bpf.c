// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The same as calls.bpf.c, without the system calls of the node that have
 * nothing to do with it: hooks where the kernel has come to the matter itself.
 * By which call, and with which arguments, the registers say that the task came
 * into the kernel with.
 *
 * Needs BPF trampolines (x86-64, arm64 from v6.4), security modules, and that
 * the compiler made one function of what is one in the source: the two that are
 * static are proven on a decoy before anybody relies on them. What the kernel
 * refuses before it comes here is not seen: a prlimit of somebody else's process.
 */
#include "called.h"

struct call_in {
	struct task_struct *task;
	void *regs;
	__u32 call;	/* as calls[] has it; CALL_NONE: nothing that is looked for */
	bool compat;
};

static __always_inline void call_in_flight(struct call_in *in)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 number, kinds;

	in->task = task;
	in->call = CALL_NONE;
	/* One of io_uring's is in no call of its own. */
	if (task->flags & (PF_KTHREAD | PF_IO_WORKER))
		return;
	in->regs = (void *)bpf_task_pt_regs(task);	/* v5.15, dd6e10fbd9fb */
	in->compat = syscall_is_compat(task);
	number = syscall_number(in->regs);
	if (number >= SYSCALLS)
		return;
	kinds = calls[number];
	in->call = in->compat ? kinds >> 8 : kinds & 0xff;
}

/* Whether it is rimon itself, who proves what it sees. */
static __always_inline bool is_own(const struct call_in *in, __u32 target_pid, __u32 call)
{
	if ((__u32)in->task->tgid != own_pid)
		return false;
	if (control.decoy && control.decoy == target_pid)
		__sync_fetch_and_or(&control.proofs, 1u << call);
	return true;
}

/* ptrace attaches, process_vm_readv and _writev, pidfd_getfd, kcmp, process_madvise. */
SEC("fentry/__ptrace_may_access")
int BPF_PROG(hook_access, struct task_struct *child)
{
	struct call_event event = {};
	struct call_in in;

	call_in_flight(&in);
	event.call = in.call;
	switch (in.call) {
	case CALL_ATTACH:
		if (ptrace_call(syscall_argument(in.regs, in.compat, 0)) != CALL_ATTACH)
			return 0;
		break;
	case CALL_GETFD:
		event.argument = (__u32)syscall_argument(in.regs, in.compat, 1);
		event.has_argument = 1;
		break;
	case CALL_VM_READ:
	case CALL_VM_WRITE:
	case CALL_COMPARE:
	case CALL_ADVISE:
		break;
	default:
		return 0;
	}
	if (is_own(&in, child->tgid, event.call))
		return 0;
	return of_other(&event, in.task, child->tgid, child->pid);
}

/* Every other ptrace request. */
SEC("fentry/ptrace_check_attach")
int BPF_PROG(hook_request, struct task_struct *child)
{
	struct call_event event = {};
	struct call_in in;

	call_in_flight(&in);
	if (in.call != CALL_ATTACH)
		return 0;
	event.call = ptrace_call(syscall_argument(in.regs, in.compat, 0));
	if (!event.call || is_own(&in, child->tgid, event.call))
		return 0;
	return of_other(&event, in.task, child->tgid, child->pid);
}

/* Of another's limits. */
SEC("fentry/security_task_prlimit")
int hook_limit(void *ctx)
{
	struct call_event event = {};
	struct thread_key key;
	struct thread *thread;
	struct call_in in;
	__u64 limit;

	call_in_flight(&in);
	if (in.call != CALL_CORE_LIMIT || is_own(&in, 0, 0))
		return 0;
	event.call = in.call;
	limit = syscall_argument(in.regs, in.compat, 2);
	if (!limit || (__u32)syscall_argument(in.regs, in.compat, 1) != RLIMIT_CORE)
		return 0;
	number_of_caller(in.task, syscall_argument(in.regs, in.compat, 0), &key);
	thread = bpf_map_lookup_elem(&threads, &key);
	if (!thread)
		return 0;
	event.has_argument = !bpf_probe_read_user(&event.argument, sizeof(event.argument), (void *)limit);
	return of_other(&event, in.task, thread->pid, thread->tid);
}

/* The type comes last; before v6.16 the attributes come first. PERF_SECURITY_OPEN of several is asked once a call. */
static __always_inline bool is_perf_open(__u64 *ctx)
{
	__u64 type = 0;

	if (bpf_get_func_arg(ctx, 1, &type))	/* v5.17, f92c1e183604 */
		bpf_get_func_arg(ctx, 0, &type);
	return (__u32)type == 0;
}

SEC("fentry/security_perf_event_open")
int hook_perf(__u64 *ctx)
{
	struct call_event event = {};
	struct thread_key key;
	struct thread *thread;
	struct call_in in;

	if (!is_perf_open(ctx))
		return 0;
	call_in_flight(&in);
	if (in.call != CALL_PERF || is_own(&in, 0, 0))
		return 0;
	if (syscall_argument(in.regs, in.compat, 4) & PERF_FLAG_PID_CGROUP)
		return 0;
	event.call = perf_call((void *)syscall_argument(in.regs, in.compat, 0));
	number_of_caller(in.task, syscall_argument(in.regs, in.compat, 1), &key);
	thread = bpf_map_lookup_elem(&threads, &key);
	return thread ? of_other(&event, in.task, thread->pid, thread->tid) : 0;
}

SEC("fentry/security_task_prctl")
int BPF_PROG(hook_prctl, int option, unsigned long value)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call_event event = {};

	return (__u32)task->tgid == own_pid ? 0 : weakens_itself(&event, task, (__u32)option, value);
}

/* Those too that a loader has the kernel load (BPF_PROG_TYPE_SYSCALL), which make no call of their own. */
SEC("fentry/security_bpf")
int BPF_PROG(hook_bpf, int command, void *attr)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call_event event = { .call = CALL_BPF_LOAD };

	if (command != BPF_PROG_LOAD || (__u32)task->tgid == own_pid)
		return 0;
	event.has_argument = !bpf_probe_read_kernel(&event.argument, sizeof(__u32), attr);
	tell(&event, task);
	return 0;
}

static __always_inline int maps_code(__u32 call)
{
	struct call_event event = { .call = call };
	struct call_in in;

	call_in_flight(&in);
	/* A program that is being started maps code too. */
	if ((in.call != CALL_MAP_CODE && in.call != CALL_MAP_FILE) || is_own(&in, 0, 0))
		return 0;
	return by_itself(&event, in.task);
}

SEC("fentry/security_mmap_file")
int BPF_PROG(hook_mmap, struct file *file, unsigned long protection)
{
	/* Two calls, so that a compiler at work in the process hides no library that it loads. */
	return protection & PROT_EXEC ? maps_code(file ? CALL_MAP_FILE : CALL_MAP_CODE) : 0;
}

SEC("fentry/security_file_mprotect")
int BPF_PROG(hook_mprotect, void *vma, unsigned long protection)
{
	return protection & PROT_EXEC ? maps_code(CALL_MAP_CODE) : 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
