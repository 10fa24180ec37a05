/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who did it: what every event of the programs here says, and their loaders read. */
#ifndef RIMON_BPF_ACTOR_H
#define RIMON_BPF_ACTOR_H

#include <linux/types.h>

struct actor {
	__u64 start_ticks;
	__u32 pid;
	__u32 tid;
	__u32 parent_pid;
	__u32 uid;
	__u32 euid;
	__u32 gid;
	char comm[16];
};

#endif
