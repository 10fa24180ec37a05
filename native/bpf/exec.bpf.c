// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Every program that is started, with its name and arguments as they are at
 * that moment: what a process was that is gone a millisecond later.
 */
#include "kernel.h"
#include "exec.h"

__u64 lost;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct exec_event);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);	/* v5.8, 457f44363a88 */
	__uint(max_entries, EXEC_RING_SIZE);
} events SEC(".maps");

/* linux: include/trace/events/sched.h, (task, old_pid, bprm) since v3.4 */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec_done, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct exec_event *event;
	unsigned long start, len;
	struct file *exe;
	__u32 zero = 0;
	long n;

	event = bpf_map_lookup_elem(&scratch, &zero);
	if (!event || !task->mm)
		return 0;
	event->time_ns = bpf_ktime_get_ns();
	event->start_ticks = task->group_leader->start_boottime / NSEC_PER_TICK;
	event->pid = task->tgid;
	event->parent_pid = task->real_parent->tgid;
	event->uid = task->real_cred->uid.val;
	event->euid = task->real_cred->euid.val;
	event->gid = task->real_cred->gid.val;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	event->exe_inode = 0;
	event->exe_dev = event->exe_magic = 0;
	event->exe_links = 1;
	event->name[0] = 0;
	exe = task->mm->exe_file;
	if (exe) {
		event->exe_inode = exe->f_inode->i_ino;
		event->exe_links = exe->f_inode->i_nlink;
		event->exe_dev = exe->f_inode->i_sb->s_dev;
		event->exe_magic = exe->f_inode->i_sb->s_magic;
		bpf_probe_read_kernel_str(event->name, sizeof(event->name), exe->f_path.dentry->d_name.name);
	}
	n = bpf_probe_read_kernel_str(event->path, sizeof(event->path), bprm->filename);
	event->path_len = n > 0 ? n - 1 : 0;

	start = task->mm->arg_start;
	len = task->mm->arg_end - start;
	if (len > EXEC_ARGS_MAX)
		len = EXEC_ARGS_MAX;
	/* A page of it may be swapped out already: then there are none. */
	if (len == 0 || bpf_probe_read_user(event->args, len, (void *)start) < 0)
		len = 0;
	event->args_len = len;
	if (bpf_ringbuf_output(&events, event, offsetof(struct exec_event, args) + len, 0) < 0)
		__sync_fetch_and_add(&lost, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
