// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The check as a BPF LSM program, where `bpf` is among the kernel's security modules. */
#include "access_check.h"

/* linux: include/linux/lsm_hook_defs.h, int (child, mode) */
SEC("lsm/ptrace_access_check")
int access_check(__u64 *ctx)
{
	return answer(access_refused((struct task_struct *)ctx[0], ctx[1]));
}
