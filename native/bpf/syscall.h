/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * System calls by their raw registers: those of 64-bit programs, of 32-bit ones
 * (int 0x80 too, which a 64-bit program may use), and of x32.
 */
#ifndef RIMON_BPF_SYSCALL_H
#define RIMON_BPF_SYSCALL_H

#include "kernel.h"

#define SYSCALLS	576	/* x32 numbers its own from 512 on */

/* linux: arch/x86/include/asm/thread_info.h, arch/x86/include/uapi/asm/unistd.h */
#define TS_COMPAT		0x0002
#define X32_SYSCALL_BIT		0x40000000u

static __always_inline bool is_arm64(void)
{
	return bpf_core_field_exists(((struct pt_regs___arm64 *)0)->syscallno);
}

/* Of the call the task is in: the other table, on x86. */
static __always_inline bool syscall_is_compat(struct task_struct *task)
{
	if (!bpf_core_field_exists(((struct pt_regs___x86 *)0)->orig_ax) ||
	    !bpf_core_field_exists(task->thread_info.status))
		return false;
	return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}

static __always_inline __u32 syscall_number(void *regs)
{
	struct pt_regs___arm64 *arm = regs;
	struct pt_regs___x86 *x86 = regs;

	if (is_arm64())
		return BPF_CORE_READ(arm, syscallno);
	if (bpf_core_field_exists(((struct pt_regs___x86 *)0)->orig_ax))
		return (__u32)BPF_CORE_READ(x86, orig_ax) & ~X32_SYSCALL_BIT;
	return SYSCALLS;
}

/* `n` must be a constant. */
static __always_inline __u64 syscall_argument(void *regs, bool compat, int n)
{
	struct pt_regs___arm64 *arm = regs;
	struct pt_regs___x86 *x86 = regs;

	if (is_arm64())
		return n == 0 ? BPF_CORE_READ(arm, orig_x0) :
		       n == 1 ? BPF_CORE_READ(arm, regs[1]) :
		       n == 2 ? BPF_CORE_READ(arm, regs[2]) : BPF_CORE_READ(arm, regs[4]);
	if (!bpf_core_field_exists(((struct pt_regs___x86 *)0)->orig_ax))
		return 0;
	if (compat)
		return (__u32)(n == 0 ? BPF_CORE_READ(x86, bx) : n == 1 ? BPF_CORE_READ(x86, cx) :
			       n == 2 ? BPF_CORE_READ(x86, dx) : BPF_CORE_READ(x86, di));
	return n == 0 ? BPF_CORE_READ(x86, di) : n == 1 ? BPF_CORE_READ(x86, si) :
	       n == 2 ? BPF_CORE_READ(x86, dx) : BPF_CORE_READ(x86, r8);
}

#endif
