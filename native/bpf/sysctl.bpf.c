// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Who is about to write what decides about core dumps, by whatever procfs: asked
 * for the tasks of the cgroup it is attached to, before the value is taken. Most
 * calls are reads of other settings, and end at once.
 */
#include "kernel.h"
#include "event.h"
#include "spared.h"
#include "sysctl.h"

/* What the kernel makes of an answer: 0 is EPERM (v5.2, 7b146cebe30c). */
#define REFUSE	0
#define ALLOW	1

struct sysctl_control control;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SYSCTL_RING_SIZE);
} events SEC(".maps");

/* As words, since there is no memcmp to call. */
union name {
	char text[24];
	__u64 words[3];
};

static __always_inline bool same(const union name *name, const union name *other)
{
	return name->words[0] == other->words[0] && name->words[1] == other->words[1] &&
	       name->words[2] == other->words[2];
}

static __always_inline __u32 setting_of(const union name *name)
{
	const union name core_pattern = { "kernel/core_pattern" }, suid_dumpable = { "fs/suid_dumpable" };

	if (same(name, &core_pattern))
		return SYSCTL_CORE_PATTERN;
	return same(name, &suid_dumpable) ? SYSCTL_SUID_DUMPABLE : SYSCTL_NONE;
}

SEC("cgroup/sysctl")
int sysctl_write(struct bpf_sysctl *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct sysctl_event event = {}, *room;
	union name name = {};

	/* A longer name is none of these. */
	if (!ctx->write || bpf_sysctl_get_name(ctx, name.text, sizeof(name.text), 0) < 0)
		return ALLOW;
	event.setting = setting_of(&name);
	if (!event.setting || (__u32)task->tgid == own_pid)
		return ALLOW;
	event.time_ns = bpf_ktime_get_ns();
	event.action = action_on(task, control.enforce, event.time_ns, control.heartbeat_ns);
	actor_fill(&event.actor, task);
	if (!told_just_now(&event.actor, 0, event.setting << 8 | event.action, event.time_ns, &event.suppressed)) {
		bpf_sysctl_get_new_value(ctx, event.value, sizeof(event.value));
		room = bpf_ringbuf_reserve(&events, sizeof(*room), 0);
		if (room) {
			*room = event;
			bpf_ringbuf_submit(room, 0);
		} else {
			__sync_fetch_and_add(&control.lost, 1);
		}
	}
	return event.action == ENFORCE_REFUSED ? REFUSE : ALLOW;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
