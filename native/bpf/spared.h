/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whom the programs that stop or refuse leave alone, whatever the scope. */
#ifndef RIMON_BPF_SPARED_H
#define RIMON_BPF_SPARED_H

#include "kernel.h"
#include "enforce.h"

#define ALIVE_NS	10000000000ull
#define ANCESTORS	16

const volatile __u32 own_pid;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, EXEMPT_MAX);
	__type(key, struct exempt_file);
	__type(value, __u32);
} exempt SEC(".maps");

static __always_inline bool descends_from(struct task_struct *task, __u32 ancestor)
{
	int i, pid;

	for (i = 0; i < ANCESTORS && task; i++) {
		pid = BPF_CORE_READ(task, tgid);
		if ((__u32)pid == ancestor)
			return true;
		if (pid <= 1)
			return false;
		task = BPF_CORE_READ(task, real_parent);
	}
	return false;
}

/* What becomes of an act at `now` that is to be refused; user space's latest sign of life may be later by now. */
static __always_inline __u32 action_on(struct task_struct *task, __u64 enforce, __u64 now, __u64 heartbeat)
{
	struct exempt_file exe = {};
	struct inode *inode;

	if (!enforce || task->tgid == 1)
		return ENFORCE_SEEN;
	if (enforce == ENFORCE_FAMILY ? (__u32)task->tgid == own_pid : descends_from(task, own_pid))
		return ENFORCE_SEEN;
	inode = exe_inode_of(task);
	if (inode) {
		exe.inode = BPF_CORE_READ(inode, i_ino);
		exe.dev = BPF_CORE_READ(inode, i_sb, s_dev);
	}
	if (bpf_map_lookup_elem(&exempt, &exe))
		return ENFORCE_SEEN;
	return (__s64)(now - heartbeat) > (__s64)ALIVE_NS ? ENFORCE_ASLEEP : ENFORCE_REFUSED;
}

#endif
