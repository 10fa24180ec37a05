/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's types as far as the programs here look into them; where a field
 * lies on the running kernel is found at load time (CO-RE). A name behind three
 * underscores is another kernel's shape of the type before them.
 */
#ifndef RIMON_BPF_KERNEL_H
#define RIMON_BPF_KERNEL_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

/* linux: include/linux/sched.h */
#define PF_EXITING	0x00000004
#define PF_IO_WORKER	0x00000010
#define PF_KTHREAD	0x00200000

#define TASK_COMM_LEN	16
#define NSEC_PER_TICK	10000000ull	/* USER_HZ is 100 */

/* linux: include/uapi/linux/magic.h */
#define PROC_SUPER_MAGIC	0x9fa0
#define OVERLAYFS_SUPER_MAGIC	0x794c7630

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct super_block {
	__u32 s_dev;
	unsigned long s_magic;
};

struct dentry;

struct inode {
	unsigned long i_ino;
	struct super_block *i_sb;
	unsigned int i_nlink;
	void *i_private;
};

/* linux: fs/overlayfs/ovl_entry.h */
struct ovl_inode {
	struct inode vfs_inode;
	struct dentry *__upperdentry;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
	struct dentry *d_parent;
	struct inode *d_inode;
};

struct path {
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	void *private_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

struct cred {
	kuid_t uid;
	kgid_t gid;
	kuid_t euid;
};

struct signal_struct {
	atomic_t live;
};

struct kernel_siginfo {
	int si_code;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct task_struct;

struct mm_struct {
	struct file *exe_file;
	struct task_struct *owner;	/* CONFIG_MEMCG */
	unsigned long arg_start;
	unsigned long arg_end;
	unsigned long env_start;
	unsigned long env_end;
};

struct thread_info {
	__u32 status;			/* x86 */
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	int pid;
	int tgid;
	__u64 start_boottime;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	const struct cred *cred;
	const struct cred *real_cred;
	struct files_struct *files;
	struct signal_struct *signal;
	struct pid *thread_pid;
	char comm[TASK_COMM_LEN];
};

/* What a program sees of the system call a task is in, on x86-64 ... */
struct pt_regs___x86 {
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
	unsigned long bx;
	unsigned long cx;
	unsigned long dx;
	unsigned long r8;
};

/* ... and on arm64. */
struct pt_regs___arm64 {
	unsigned long long regs[31];
	unsigned long long orig_x0;
	int syscallno;
};

struct linux_binprm {
	const char *filename;
};

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

/*
 * Of the process, as field 22 of /proc/PID/stat has it. Here and where else it
 * is not asked for all day, pointers are followed by BPF_CORE_READ: for each that
 * is followed directly the verifier goes through all of the kernel's types,
 * which takes it nearly a millisecond (btf_nested_type_is_trusted, v6.3).
 */
static __always_inline __u64 start_ticks_of(struct task_struct *task)
{
	return BPF_CORE_READ(task, group_leader, start_boottime) / NSEC_PER_TICK;
}

/* numbers[] has one element before v6.5 (b69f0aeb0689), so CO-RE does not reach behind it. */
static __always_inline struct upid *number_at(struct pid *pid, __u32 level)
{
	return (void *)pid + bpf_core_field_offset(pid->numbers) + level * bpf_core_type_size(struct upid);
}

/* Of the file it runs; NULL: a kernel thread, or one that ends. */
static __always_inline struct inode *exe_inode_of(struct task_struct *task)
{
	return BPF_CORE_READ(task, mm, exe_file, f_inode);
}

#endif
