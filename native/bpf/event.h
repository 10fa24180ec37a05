/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs do alike on the way to an event: name the actor, and count repeats instead of telling them. */
#ifndef RIMON_BPF_EVENT_H
#define RIMON_BPF_EVENT_H

#include "kernel.h"
#include "actor.h"

#define QUIET_NS	200000000ull

struct told_key {
	__u64 start_ticks;
	__u32 pid;
	__u32 target_pid;
	__u32 operation;
	__u32 reserved;
};

struct told {
	__u64 at_ns;
	__u64 suppressed;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct told_key);
	__type(value, struct told);
} told SEC(".maps");

static __always_inline void actor_fill(struct actor *actor, struct task_struct *task)
{
	const struct cred *cred = BPF_CORE_READ(task, real_cred);

	actor->start_ticks = start_ticks_of(task);
	actor->pid = task->tgid;
	actor->tid = task->pid;
	actor->parent_pid = BPF_CORE_READ(task, real_parent, tgid);
	actor->uid = BPF_CORE_READ(cred, uid.val);
	actor->euid = BPF_CORE_READ(cred, euid.val);
	actor->gid = BPF_CORE_READ(cred, gid.val);
	bpf_get_current_comm(actor->comm, sizeof(actor->comm));
}

/* Whether the same was told less than so long ago; if not, how often it was not told since. */
static __always_inline bool told_within(__u64 quiet_ns, const struct actor *actor, __u32 target_pid, __u32 operation,
					__u64 now, __u64 *ret_suppressed)
{
	struct told_key key = {
		.start_ticks = actor->start_ticks,
		.pid = actor->pid,
		.target_pid = target_pid,
		.operation = operation,
	};
	struct told first = { .at_ns = now }, *before = bpf_map_lookup_elem(&told, &key);

	if (!before) {
		bpf_map_update_elem(&told, &key, &first, BPF_ANY);
		return false;
	}
	if (now - before->at_ns < quiet_ns) {
		__sync_fetch_and_add(&before->suppressed, 1);
		return true;
	}
	*ret_suppressed = before->suppressed;
	before->suppressed = 0;
	before->at_ns = now;
	return false;
}

static __always_inline bool told_just_now(const struct actor *actor, __u32 target_pid, __u32 operation, __u64 now,
					  __u64 *ret_suppressed)
{
	return told_within(QUIET_NS, actor, target_pid, operation, now, ret_suppressed);
}

#endif
