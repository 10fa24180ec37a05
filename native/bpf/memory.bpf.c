// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Whoever takes the lock of a protected address space from outside of it:
 * process_vm_readv, PEEK, /proc/PID/mem by any path, mount or descriptor,
 * io_uring, bpf_copy_from_user_task. In enforce mode the reader is killed at
 * the lock, before the page is fetched: get_user_pages gives up on a pending
 * SIGKILL. Needs v5.17 (CO-RE without libbpf).
 *
 * Address spaces are told by their mm, which changes at exec; which mm belongs
 * to which protected process is kept here, and filled by the iterator.
 */
#include "kernel.h"
#include "event.h"
#include "syscall.h"
#include "spared.h"
#include "memory.h"

#define SIGKILL		9
/* A millisecond or two. */
#define KILL_STEPS	(1 << 14)

/* What of the kernel's types only this program looks at; in kernel.h it would be in every loader. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	unsigned long sig[1];
} sigset_t;

struct sigpending {
	sigset_t signal;
};

struct task_struct___pending {
	struct sigpending pending;
};

#pragma clang attribute pop

const volatile __u8 syscalls[SYSCALLS];
const volatile __u8 compat_syscalls[SYSCALLS];

struct memory_control control;
/* Filled once the programs are loaded, those without a start behind the others. */
struct memory_function functions[MEMORY_FUNCTIONS];

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MEMORY_PROTECTED_MAX);
	__type(key, __u64);	/* mm */
	__type(value, __u32);	/* pid */
} address_spaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MEMORY_PROTECTED_MAX);
	__type(key, __u32);	/* pid */
	__type(value, struct memory_protected);
} processes SEC(".maps");

struct frames {
	__u64 at[MEMORY_FRAMES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct frames);
} stack SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);	/* v5.8, 457f44363a88 */
	__uint(max_entries, MEMORY_RING_SIZE);
} events SEC(".maps");

struct call {
	__u32 number;
	__u32 kind;	/* enum memory_syscall */
	__u64 first;
	__u64 second;
};

static __always_inline void call_in_flight(struct task_struct *task, struct call *call)
{
	/* v5.15, dd6e10fbd9fb */
	void *regs = (void *)bpf_task_pt_regs(task);
	bool compat = syscall_is_compat(task);

	call->number = syscall_number(regs);
	call->first = syscall_argument(regs, compat, 0);
	call->second = syscall_argument(regs, compat, 1);
	if (call->number < SYSCALLS)
		call->kind = compat ? compat_syscalls[call->number] : syscalls[call->number];
}

struct name {
	__u64 words[2];
};

/* Names of at most 15 characters, zero behind; as two words, so that it comes to two comparisons. */
static __always_inline bool is_word(const struct name *name, const char *word, unsigned long len)
{
	struct name other = {};

	__builtin_memcpy(&other, word, len);
	return name->words[0] == other.words[0] && name->words[1] == other.words[1];
}

#define IS(name, word) is_word(&(name), word, sizeof(word))

/* linux: include/uapi/linux/ptrace.h */
static __always_inline __u32 ptrace_operation(__u64 request)
{
	switch (request) {
	case 1: case 2: case 3:
		return MEMORY_PEEK;
	case 4: case 5: case 6:
		return MEMORY_POKE;
	}
	return MEMORY_UNKNOWN;
}

static __always_inline __u32 file_operation(struct task_struct *task, __u64 fd, bool writes)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **slots = BPF_CORE_READ(table, fd);
	struct file *file = NULL;
	struct name name = {};

	if (fd >= BPF_CORE_READ(table, max_fds))
		return MEMORY_UNKNOWN;
	bpf_probe_read_kernel(&file, sizeof(file), slots + fd);
	if (!file)
		return MEMORY_UNKNOWN;
	bpf_probe_read_kernel_str(&name, sizeof(name), BPF_CORE_READ(file, f_path.dentry, d_name.name));
	if (BPF_CORE_READ(file, f_inode, i_sb, s_magic) != PROC_SUPER_MAGIC)
		return IS(name, "bpf_iter") ? MEMORY_BPF : MEMORY_UNKNOWN;
	if (IS(name, "mem"))
		return writes ? MEMORY_MEM_WRITE : MEMORY_MEM_READ;
	if (IS(name, "environ"))
		return MEMORY_ENVIRON;
	if (IS(name, "cmdline"))
		return MEMORY_CMDLINE;
	if (IS(name, "pagemap"))
		return MEMORY_PAGEMAP;
	if (IS(name, "map_files"))
		return MEMORY_MAP_FILES;
	if (IS(name, "maps") || IS(name, "smaps") || IS(name, "smaps_rollup") || IS(name, "numa_maps"))
		return MEMORY_MAPS;
	return MEMORY_UNKNOWN;
}

static __always_inline __u32 call_operation(struct task_struct *task, const struct call *call)
{
	switch (call->kind) {
	case SYSCALL_FD_READ:
		return file_operation(task, call->first, false);
	case SYSCALL_FD_WRITE:
		return file_operation(task, call->first, true);
	case SYSCALL_FD_SECOND:
		return file_operation(task, call->second, false);
	case SYSCALL_PTRACE:
		return ptrace_operation(call->first);
	}
	return call->kind >= SYSCALL_IS ? call->kind - SYSCALL_IS : MEMORY_UNKNOWN;
}

struct stack_search {
	struct frames *frames;
	__u64 address;
	__u32 operation;
};

static long function_step(__u32 i, struct stack_search *search)
{
	struct memory_function *function;

	if (i >= MEMORY_FUNCTIONS)
		return 1;
	function = &functions[i];
	if (search->address >= function->start && search->address < function->end)
		search->operation = function->operation;
	return !function->start || search->operation != MEMORY_UNKNOWN;
}

static long frame_step(__u32 i, struct stack_search *search)
{
	if (i >= MEMORY_FRAMES)
		return 1;
	search->address = search->frames->at[i];
	bpf_loop(MEMORY_FUNCTIONS, function_step, search, 0);
	return search->operation != MEMORY_UNKNOWN;
}

/*
 * The innermost frame that means something. It cannot be lied to: what a call
 * in flight says of a descriptor may be changed by another thread meanwhile.
 */
static __always_inline __u32 stack_operation(void *ctx)
{
	struct stack_search search = { .operation = MEMORY_UNKNOWN };
	__u32 zero = 0;
	long len;

	search.frames = bpf_map_lookup_elem(&stack, &zero);
	if (!search.frames)
		return MEMORY_UNKNOWN;
	len = bpf_get_stack(ctx, search.frames->at, sizeof(search.frames->at), 0);
	if (len > 0)
		bpf_loop((__u32)len / sizeof(__u64), frame_step, &search, 0);
	return search.operation;
}

/* The stack names the function, the call whether it reads or writes. */
static __always_inline __u32 directed(__u32 operation, const struct call *call)
{
	if (operation == MEMORY_MEM_READ && call->kind == SYSCALL_FD_WRITE)
		return MEMORY_MEM_WRITE;
	if (operation == MEMORY_VM_READ && call->kind == SYSCALL_IS + MEMORY_VM_WRITE)
		return MEMORY_VM_WRITE;
	if (operation == MEMORY_PEEK && call->kind == SYSCALL_PTRACE && ptrace_operation(call->first) == MEMORY_POKE)
		return MEMORY_POKE;
	return operation;
}

/* linux: include/linux/sched/signal.h, what the kernel asks before it fetches a page */
static __always_inline bool is_dying(void)
{
	struct task_struct___pending *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, pending.signal.sig[0]) >> (SIGKILL - 1) & 1;
}

static long kill_step(__u32 step, bool *is_sent)
{
	if (!*is_sent)
		*is_sent = bpf_send_signal(SIGKILL) == 0;
	return is_dying();
}

/*
 * Where a tracepoint may not be preempted, an interrupt sends the signal (v6.14 and stable kernels of that time,
 * CVE-2025-21728): it comes at once, but not always before the page is fetched. So it is waited for. A function that is
 * not static is verified once, by itself.
 */
__noinline __u32 kill_current(void)
{
	bool is_sent = false;

	bpf_loop(KILL_STEPS, kill_step, &is_sent, 0);
	return is_dying() ? MEMORY_KILLED : MEMORY_NOT_KILLED;
}

static __always_inline __u32 act(struct task_struct *task, const struct memory_event *event,
				 const struct memory_protected *target, __u64 now)
{
	bool refuse = target->enforce >> (event->operation & 63) & 1;

	switch (action_on(task, refuse ? control.enforce : ENFORCE_OFF, now, control.heartbeat_ns)) {
	case ENFORCE_REFUSED:
		return kill_current();
	case ENFORCE_ASLEEP:
		return MEMORY_ASLEEP;
	}
	return MEMORY_SEEN;
}

/* v5.11: (mm, memcg_path, write), 2b5067a8143e; later (mm, write), 7c2ca36f6c2c. Only the first is asked for. */
SEC("tp_btf/mmap_lock_start_locking")
int memory_lock(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct memory_event event = {};
	struct memory_protected *target;
	struct memory_event *room;
	__u64 mm = ctx[0], now;
	struct call call = {};
	struct inode *exe;
	__u32 *pid, tgid;

	if (!mm || (__u64)task->mm == mm || (task->flags & PF_KTHREAD))
		return 0;
	pid = bpf_map_lookup_elem(&address_spaces, &mm);
	if (!pid)
		return 0;
	tgid = task->tgid;
	if (tgid == own_pid || tgid == *pid)
		return 0;
	target = bpf_map_lookup_elem(&processes, pid);
	if (!target || target->mm != mm)
		return 0;

	event.operation = stack_operation(ctx);
	event.by_stack = event.operation != MEMORY_UNKNOWN;
	call_in_flight(task, &call);
	if (event.by_stack)
		event.operation = directed(event.operation, &call);
	else if (!(task->flags & (PF_IO_WORKER | PF_EXITING)))
		event.operation = call_operation(task, &call);
	if (event.operation == MEMORY_CMDLINE || event.operation == MEMORY_HARMLESS || (task->flags & PF_EXITING))
		return 0;

	now = bpf_ktime_get_ns();
	actor_fill(&event.actor, task);
	event.target_pid = *pid;
	exe = exe_inode_of(task);
	if (exe) {
		event.exe_inode = BPF_CORE_READ(exe, i_ino);
		event.exe_dev = BPF_CORE_READ(exe, i_sb, s_dev);
	}
	event.action = act(task, &event, target, now);

	if (told_just_now(&event.actor, event.target_pid, event.operation << 8 | event.action, now, &event.suppressed))
		return 0;

	event.time_ns = now;
	event.target_start_ticks = target->start_ticks;
	event.syscall = call.number;
	room = bpf_ringbuf_reserve(&events, sizeof(*room), 0);
	if (!room) {
		__sync_fetch_and_add(&control.lost, 1);
		return 0;
	}
	*room = event;
	bpf_ringbuf_submit(room, 0);
	return 0;
}

/* Its memory may have been given to another process meanwhile, which is here by the same key. */
static __always_inline void address_space_forget(__u32 pid, __u64 mm)
{
	__u32 *owner = bpf_map_lookup_elem(&address_spaces, &mm);

	if (owner && *owner == pid)
		bpf_map_delete_elem(&address_spaces, &mm);
}

static __always_inline void address_space_set(__u32 pid, struct memory_protected *process, __u64 mm)
{
	if (process->mm && process->mm != mm)
		address_space_forget(pid, process->mm);
	process->mm = mm;
	if (bpf_map_update_elem(&address_spaces, &mm, &pid, BPF_ANY))
		__sync_fetch_and_add(&control.lost, 1);
}

/* A pid alone is nobody: another may have it by now. */
static __always_inline struct memory_protected *process_of(struct task_struct *task)
{
	__u32 pid = task->tgid;
	struct memory_protected *process = bpf_map_lookup_elem(&processes, &pid);

	return process && process->start_ticks == start_ticks_of(task) ? process : NULL;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(memory_exec, struct task_struct *task)
{
	struct memory_protected *process = process_of(task);

	if (process)
		address_space_set(task->tgid, process, (__u64)task->mm);
	return 0;
}

/* A child that shares its parent's address space (vfork) needs nothing of its own until it has one. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(memory_fork, struct task_struct *parent, struct task_struct *child)
{
	struct memory_protected *of_parent, process = {};
	__u64 mm = (__u64)child->mm;
	__u32 pid = child->tgid;

	if (child->pid != child->tgid || !mm || child->mm == parent->mm)
		return 0;
	of_parent = process_of(parent);
	if (!of_parent)
		return 0;
	process.mm = mm;
	process.start_ticks = start_ticks_of(child);
	process.enforce = of_parent->enforce;
	if (bpf_map_update_elem(&processes, &pid, &process, BPF_ANY) ||
	    bpf_map_update_elem(&address_spaces, &mm, &pid, BPF_ANY))
		__sync_fetch_and_add(&control.lost, 1);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(memory_exit, struct task_struct *task)
{
	struct memory_protected *process;
	__u32 pid = task->tgid;

	/* Only the last thread takes the process with it. */
	if (task->signal->live.counter > 0)
		return 0;
	process = bpf_map_lookup_elem(&processes, &pid);
	if (!process)
		return 0;
	if (process->mm)
		address_space_forget(pid, process->mm);
	bpf_map_delete_elem(&processes, &pid);
	return 0;
}

/* Finds the address spaces of those that user space has just named. */
SEC("iter/task")
int memory_fill(struct bpf_iter__task *ctx)
{
	struct memory_protected *process, *other;
	struct task_struct *task = ctx->task;
	__u32 *owner;
	__u64 mm;

	if (!task || (task->flags & PF_KTHREAD))
		return 0;
	mm = (__u64)task->mm;
	if (!mm)
		return 0;
	process = process_of(task);
	if (!process)
		return 0;
	owner = bpf_map_lookup_elem(&address_spaces, &mm);
	if (owner && *owner != (__u32)task->tgid) {
		/* It shares its parent's (vfork), which goes on being watched as the parent's. */
		other = bpf_map_lookup_elem(&processes, owner);
		if (other && other->mm == mm)
			return 0;
	} else if (owner && process->mm == mm) {
		return 0;
	}
	address_space_set(task->tgid, process, mm);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
