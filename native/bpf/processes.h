/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The protected processes as calls.bpf.c and signals.bpf.c know them: by pid, filled by user space and by fork. */
#ifndef RIMON_BPF_PROCESSES_H
#define RIMON_BPF_PROCESSES_H

#include "event.h"

#define PROCESSES_MAX	16384

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROCESSES_MAX);
	__type(key, __u32);	/* pid */
	__type(value, __u64);	/* start_ticks */
} processes SEC(".maps");

static __always_inline __u64 *process_find(__u32 pid)
{
	return bpf_map_lookup_elem(&processes, &pid);
}

/* A pid alone is nobody: another may have it by now. */
static __always_inline __u64 *process_of(struct task_struct *task)
{
	__u64 *start_ticks = process_find(task->tgid);

	return start_ticks && *start_ticks == start_ticks_of(task) ? start_ticks : NULL;
}

/* What a protected process forks is protected until user space has read what it is. */
static __always_inline bool process_forked(struct task_struct *parent, struct task_struct *child)
{
	__u32 pid = child->tgid;
	__u64 start_ticks;

	if (!process_of(parent))
		return true;
	start_ticks = start_ticks_of(child);
	return bpf_map_update_elem(&processes, &pid, &start_ticks, BPF_ANY) == 0;
}

/* Only the last thread takes the process with it. */
static __always_inline void process_exited(struct task_struct *task)
{
	__u32 pid = task->tgid;

	if (task->signal->live.counter <= 0)
		bpf_map_delete_elem(&processes, &pid);
}

#endif
