/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What sysctl.bpf.c and its loader, native/sysctl.c, share. */
#ifndef RIMON_BPF_SYSCTL_H
#define RIMON_BPF_SYSCTL_H

#include <linux/types.h>

#include "actor.h"
#include "enforce.h"

#define SYSCTL_RING_SIZE	(1 << 16)
#define SYSCTL_VALUE_MAX	128	/* linux: CORENAME_MAX_SIZE */

/* What decides where a dump goes, and of whom. Values are part of record.h's format. */
enum sysctl_setting {
	SYSCTL_NONE = 0,
	SYSCTL_CORE_PATTERN = 1,
	SYSCTL_SUID_DUMPABLE = 2,
};

struct sysctl_control {
	__u64 enforce;		/* enum enforce */
	__u64 heartbeat_ns;	/* CLOCK_MONOTONIC, of user space's latest sign of life */
	__u64 lost;		/* events for which the ring had no room */
};

struct sysctl_event {
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u64 suppressed;	/* how many like it were not told since the one before */
	__u32 setting;		/* enum sysctl_setting */
	__u32 action;		/* enum enforce_action */
	struct actor actor;
	char value[SYSCTL_VALUE_MAX];	/* that was to be written, NUL terminated */
};

#endif
