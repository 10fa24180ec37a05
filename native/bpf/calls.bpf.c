// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Whoever asks the kernel for something of a protected process: ptrace,
 * process_vm_readv, pidfd_getfd, kcmp, perf_event_open and the like, by any of
 * the system call tables. It is told when it is asked, before the kernel says
 * yes or no; what a seccomp filter refuses never comes this far.
 *
 * This runs for every system call of the node, where call_hooks.bpf.c is not to
 * be had: most are over after one look into a table of constants, but each of
 * them takes the kernel's slow way in and out.
 */
#include "called.h"

#define PID_FS_MAGIC		0x50494446	/* linux: include/uapi/linux/magic.h */

/* What the caller means by a pidfd; a descriptor of anything else is nobody. */
static __always_inline void number_of_pidfd(struct task_struct *task, __u32 fd, struct thread_key *ret)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **slots = BPF_CORE_READ(table, fd);
	struct file *file = NULL;
	struct pid *pid;
	char name[8] = {};

	ret->namespace = ret->number = 0;
	if (fd >= BPF_CORE_READ(table, max_fds))
		return;
	bpf_probe_read_kernel(&file, sizeof(file), slots + fd);
	if (!file)
		return;
	/* v6.9: an inode of its own for each, cb12fd8e0dab; before that an anonymous one for all. */
	if (BPF_CORE_READ(file, f_inode, i_sb, s_magic) == PID_FS_MAGIC) {
		pid = BPF_CORE_READ(file, f_inode, i_private);
	} else {
		bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(file, f_path.dentry, d_name.name));
		if (__builtin_memcmp(name, "[pidfd]", sizeof(name)))
			return;
		pid = BPF_CORE_READ(file, private_data);
	}
	key_at(pid, 0, ret);
}

SEC("tp_btf/sys_enter")
int calls_enter(__u64 *ctx)
{
	__u64 id = ctx[1] & ~(__u64)X32_SYSCALL_BIT, new_limit = 0;
	struct call_event event = {};
	struct task_struct *task;
	void *regs = (void *)ctx[0];
	struct thread *thread;
	struct thread_key key;
	__u64 argument[5];
	__u32 kinds;
	bool compat;

	if (id >= SYSCALLS)
		return 0;
	kinds = calls[id];
	if (!kinds)
		return 0;
	task = bpf_get_current_task_btf();
	if ((__u32)task->tgid == own_pid)
		return 0;
	compat = syscall_is_compat(task);
	event.call = compat ? kinds >> 8 : kinds & 0xff;
	/* The most frequent by far, so nothing else is read for it. */
	if (event.call == CALL_MAP_CODE || event.call == CALL_MAP_FILE) {
		if (!(syscall_argument(regs, compat, 2) & PROT_EXEC))
			return 0;
		/* Two calls, so that a compiler at work in the process hides no library that it loads. */
		if (event.call == CALL_MAP_FILE && (int)syscall_argument(regs, compat, 4) < 0)
			event.call = CALL_MAP_CODE;
		return by_itself(&event, task);
	}
	argument[0] = syscall_argument(regs, compat, 0);
	argument[1] = syscall_argument(regs, compat, 1);
	argument[2] = syscall_argument(regs, compat, 2);
	argument[4] = syscall_argument(regs, compat, 4);

	switch (event.call) {
	case CALL_ATTACH:
		event.call = ptrace_call(argument[0]);
		if (!event.call)
			return 0;
		number_of_caller(task, argument[1], &key);
		break;
	case CALL_PERF:
		if (argument[4] & PERF_FLAG_PID_CGROUP)
			return 0;
		event.call = perf_call((void *)argument[0]);
		number_of_caller(task, argument[1], &key);
		break;
	case CALL_CORE_LIMIT:
		new_limit = argument[2];
		if (!new_limit || (__u32)argument[1] != RLIMIT_CORE)
			return 0;
		number_of_caller(task, argument[0], &key);
		break;
	case CALL_GETFD:
		event.argument = (__u32)argument[1];
		event.has_argument = 1;
		number_of_pidfd(task, argument[0], &key);
		break;
	case CALL_ADVISE:
		number_of_pidfd(task, argument[0], &key);
		break;
	case CALL_DUMPABLE:
		return weakens_itself(&event, task, argument[0], argument[1]);
	case CALL_BPF_LOAD:
		if ((__u32)argument[0] != BPF_PROG_LOAD)
			return 0;
		event.has_argument = !bpf_probe_read_user(&event.argument, sizeof(__u32), (void *)argument[1]);
		tell(&event, task);
		return 0;
	case CALL_VM_READ:
	case CALL_VM_WRITE:
	case CALL_COMPARE:
		number_of_caller(task, argument[0], &key);
		break;
	default:
		return 0;
	}

	thread = bpf_map_lookup_elem(&threads, &key);
	if (event.call == CALL_COMPARE && (!thread || thread->pid == (__u32)task->tgid)) {
		key.number = (__u32)argument[1];
		thread = bpf_map_lookup_elem(&threads, &key);
	}
	if (!thread)
		return 0;
	if (new_limit)
		event.has_argument = !bpf_probe_read_user(&event.argument, sizeof(event.argument), (void *)new_limit);
	return of_other(&event, task, thread->pid, thread->tid);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
