/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs that stop or refuse have in common with their loaders. */
#ifndef RIMON_BPF_ENFORCE_H
#define RIMON_BPF_ENFORCE_H

#include <linux/types.h>

#define EXEMPT_MAX	1024

enum enforce {
	ENFORCE_OFF = 0,	/* only watch */
	ENFORCE_ON = 1,		/* but on rimon and what descends from it */
	ENFORCE_FAMILY = 2,	/* on what descends from rimon too */
};

/* What was done about an act that can be refused. Values are part of record.h's format. */
enum enforce_action {
	ENFORCE_SEEN = 0,
	ENFORCE_REFUSED = 1,
	ENFORCE_ASLEEP = 2,	/* it was to be, and user space did not answer: the dead-man's switch */
};

/* An executable that is never refused anything. */
struct exempt_file {
	__u64 inode;
	__u64 dev;	/* the kernel's s_dev */
};

#endif
