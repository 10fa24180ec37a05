/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What signals.bpf.c and its loader, native/signals.c, share. */
#ifndef RIMON_BPF_SIGNALS_H
#define RIMON_BPF_SIGNALS_H

#include <linux/types.h>

#include "actor.h"

#define SIGNALS_RING_SIZE	(1 << 18)

struct signals_control {
	__u64 lost;		/* events for which the ring had no room */
};

struct signal_event {
	__u64 time_ns;		/* CLOCK_MONOTONIC */
	__u64 suppressed;	/* how many like it were not told since the one before */
	__u64 target_start_ticks;
	__u32 signal;
	__u32 target_pid;
	struct actor actor;	/* all zero: a descriptor that was set to send it */
};

#endif
