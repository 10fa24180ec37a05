/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What tasks.bpf.c and its loader, native/tasks.c, share. */
#ifndef RIMON_BPF_TASKS_H
#define RIMON_BPF_TASKS_H

#define ENDINGS_MAX	16

#endif
