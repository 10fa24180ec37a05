// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Whoever asks the kernel for something of a protected process: ptrace,
 * process_vm_readv, pidfd_getfd, kcmp, perf_event_open and the like, by any of
 * the system call tables. It is told when it is asked, before the kernel says
 * yes or no; what a seccomp filter refuses never comes this far.
 *
 * This runs for every system call of the node: most are over after one look
 * into a table of constants.
 */
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
#define PID_FS_MAGIC		0x50494446

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
	__u64 *start_ticks = process_find(task->tgid);

	if (!start_ticks)
		return 0;
	event->target_pid = task->tgid;
	event->target_tid = task->pid;
	event->target_start_ticks = *start_ticks;
	tell(event, task);
	return 0;
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
	__u64 *start_ticks, argument[5];
	__u32 kinds, type = 0;
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
		/* The call takes milliseconds before it sets the first breakpoint, and only then is it seen elsewhere. */
		if (!bpf_probe_read_user(&type, sizeof(type), (void *)argument[0]) && type && type == uprobe_type)
			event.call = CALL_PROBE;
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
		event.argument = argument[1];
		event.call = prctl_call(argument[0], event.argument);
		event.has_argument = event.call == CALL_TRACER;
		/* While it starts it does so for nobody to make use of. */
		if (!event.call || bpf_ktime_get_boot_ns() - BPF_CORE_READ(task, group_leader, start_boottime) < SETTLED_NS)
			return 0;
		return by_itself(&event, task);
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
	if (!thread || thread->pid == (__u32)task->tgid)
		return 0;
	start_ticks = process_find(thread->pid);
	if (!start_ticks)
		return 0;
	if (new_limit)
		event.has_argument = !bpf_probe_read_user(&event.argument, sizeof(event.argument), (void *)new_limit);
	event.target_pid = thread->pid;
	event.target_tid = thread->tid;
	event.target_start_ticks = *start_ticks;
	tell(&event, task);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(calls_fork, struct task_struct *parent, struct task_struct *child)
{
	if (child->pid == child->tgid && !process_forked(parent, child))
		lost();
	if (process_find(child->tgid))
		thread_add(child);
	return 0;
}

/* Whichever thread calls exec is the leader now, and its old number is nobody's. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(calls_exec, struct task_struct *task, int old_pid)
{
	struct thread_key key;

	if (!process_find(task->tgid))
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
	__u64 *start_ticks;

	if (!task || (task->flags & (PF_KTHREAD | PF_EXITING)))
		return 0;
	start_ticks = process_find(task->tgid);
	if (start_ticks && *start_ticks == start_ticks_of(task))
		thread_add(task);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
