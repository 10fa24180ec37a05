// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The same check in front of the security modules, where `bpf` is not among
 * them: an LSM program is then loaded and attached without being called.
 */
#include "access_check.h"

/* linux: security/security.c, int (child, mode); security_* may be changed since v5.7, 6ba43b761c41 */
SEC("fmod_ret/security_ptrace_access_check")
int access_check(__u64 *ctx)
{
	return answer(access_refused((struct task_struct *)ctx[0], ctx[1]));
}
