// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The process table in one sweep: what /proc/PID says, written as the records
 * of ../record.h while the kernel walks its tasks (iter/task, v5.8). Strings
 * that lie in a process's own memory are not read. And in another sweep, who
 * has a file of a certain name open (iter/task_file, v5.8).
 */
#include "kernel.h"
#include "../record.h"
#include "tasks.h"

/* linux: include/uapi/linux/magic.h, fs/bcachefs; stat(2) tells other numbers there than the inode and its superblock have. */
#define BTRFS_SUPER_MAGIC	0x9123683E
#define OVERLAYFS_SUPER_MAGIC	0x794c7630
#define BCACHEFS_SUPER_MAGIC	0xca451a4e

#define PATH_MAX	4096

/* What of the kernel's types only this program looks at; in kernel.h it would be in every loader. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct timespec64 {
	__s64 tv_sec;
	long tv_nsec;
};

struct inode___v6_11 {			/* 3aa63a569c64 */
	__s64 i_mtime_sec;
	__u32 i_mtime_nsec;
};

struct inode___v6_7 {			/* 12cd44023651 */
	struct timespec64 __i_mtime;
};

struct inode___older {
	struct timespec64 i_mtime;
};

struct inode___size {
	long long i_size;
};

/* One __u64, or before v6.3 (f122a08b197d) two __u32, the lower first. */
typedef struct {
} kernel_cap_t;

struct cred___capabilities {
	kernel_cap_t cap_effective;
};

struct signal_struct___threads {
	int nr_threads;
};

struct ns_common {
	unsigned int inum;
};

struct pid_namespace {
	struct ns_common ns;
};

struct mnt_namespace {
	struct ns_common ns;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
};

struct qstr___len {
	__u32 len;
};

struct dentry___len {
	struct qstr___len d_name;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

struct task_struct___more {
	unsigned int ptrace;
	struct task_struct *parent;	/* a thread of its tracer, if it has one */
	struct nsproxy *nsproxy;
	__u64 self_exec_id;		/* 32 bits before v5.7 */
};

#pragma clang attribute pop

__u32 want;	/* WANT_STATUS, WANT_EXE, WANT_NAMESPACES, WANT_TRACED: of one pass, there is one at a time */

/* The last bytes of what a path is to end in: of one pass, likewise. volatile, or the loop becomes 2^16 paths for the verifier. */
volatile __u32 endings[ENDINGS_MAX];

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, char[PATH_MAX]);
} paths SEC(".maps");

static __always_inline __u64 mtime_ns(struct inode *inode)
{
	struct inode___v6_11 *v6_11 = (void *)inode;
	struct inode___v6_7 *v6_7 = (void *)inode;
	struct inode___older *older = (void *)inode;
	__s64 seconds;
	__u64 ns;

	if (bpf_core_field_exists(v6_11->i_mtime_sec)) {
		seconds = BPF_CORE_READ(v6_11, i_mtime_sec);
		ns = BPF_CORE_READ(v6_11, i_mtime_nsec);
	} else if (bpf_core_field_exists(v6_7->__i_mtime)) {
		seconds = BPF_CORE_READ(v6_7, __i_mtime.tv_sec);
		ns = (__u64)BPF_CORE_READ(v6_7, __i_mtime.tv_nsec);
	} else {
		seconds = BPF_CORE_READ(older, i_mtime.tv_sec);
		ns = (__u64)BPF_CORE_READ(older, i_mtime.tv_nsec);
	}
	return (__u64)seconds * 1000000000ull + ns;
}

static __always_inline void status_fill(struct process_record *r, struct task_struct *task)
{
	struct task_struct___more *more = (void *)task;
	const struct cred *cred = task->real_cred;
	struct cred___capabilities *capabilities = (void *)cred;
	struct signal_struct___threads *signal = (void *)task->signal;

	r->have |= HAVE_STATUS;
	r->uid = cred->uid.val;
	r->euid = cred->euid.val;
	r->gid = cred->gid.val;
	bpf_probe_read_kernel(&r->cap_effective, sizeof(r->cap_effective), &capabilities->cap_effective);
	r->threads = signal->nr_threads;
	if (more->ptrace)
		r->tracer_pid = more->parent->tgid;
}

static __always_inline void exe_fill(struct process_record *r, struct task_struct *task, char *path)
{
	struct mm_struct *mm = task->mm;
	struct super_block *sb;
	struct inode *inode;
	struct file *exe;
	__u64 magic, dev;
	long n;

	if (!mm || task->flags & PF_KTHREAD)
		return;
	exe = mm->exe_file;
	if (!exe)
		return;
	n = bpf_d_path(&exe->f_path, path, PATH_MAX);
	if (n > 0 && n <= PATH_MAX) {
		r->have |= HAVE_EXE;
		r->exe_len = (__u16)(n - 1);
	}
	inode = exe->f_inode;
	sb = inode->i_sb;
	magic = sb->s_magic;
	if (magic == BTRFS_SUPER_MAGIC || magic == OVERLAYFS_SUPER_MAGIC || magic == BCACHEFS_SUPER_MAGIC)
		return;
	r->have |= HAVE_EXE_FILE;
	/* As st_dev has it: the kernel's own has 20 bits of minor (include/linux/kdev_t.h). */
	dev = sb->s_dev;
	r->exe_dev = (dev >> 20) << 8 | (dev & 0xff) | (dev & 0xfff00) << 12;
	r->exe_inode = inode->i_ino;
	r->exe_size = ((struct inode___size *)inode)->i_size;
	r->exe_mtime_ns = mtime_ns(inode);
}

static __always_inline void namespaces_fill(struct process_record *r, struct task_struct *task, struct pid *pid)
{
	struct nsproxy *proxy = ((struct task_struct___more *)task)->nsproxy;
	struct mnt_namespace *mounts;

	if (pid) {
		r->have |= HAVE_PID_NS;
		r->pid_ns = BPF_CORE_READ(number_at(pid, pid->level), ns, ns.inum);
	}
	/* Given up as the process ends. */
	mounts = proxy ? proxy->mnt_ns : NULL;
	if (mounts) {
		r->have |= HAVE_MNT_NS;
		r->mnt_ns = mounts->ns.inum;
	}
}

struct numbers {
	struct seq_file *seq;
	struct pid *pid;
};

static long number_tell(__u32 level, struct numbers *numbers)
{
	struct upid *at = number_at(numbers->pid, level);
	__u32 number = (__u32)BPF_CORE_READ(at, nr);

	bpf_seq_write(numbers->seq, &number, sizeof(number));
	return 0;
}

static __always_inline void traced_tell(struct seq_file *seq, struct task_struct *task)
{
	struct thread_record t = {};

	t.head.kind = RECORD_THREAD;
	t.head.size = sizeof(t);
	t.start_ticks = start_ticks_of(task);
	t.pid = task->tgid;
	t.tid = task->pid;
	t.tracer_pid = ((struct task_struct___more *)task)->parent->tgid;
	bpf_seq_write(seq, &t, sizeof(t));
}

static __always_inline void process_tell(struct seq_file *seq, struct task_struct *task)
{
	struct pid *pid = task->thread_pid;
	struct numbers numbers = { seq, pid };
	struct process_record r = {};
	__u32 zero = 0, size, len;
	char comm[TASK_COMM_LEN] = {};
	__u64 zeros = 0;
	char *path;
	long n;

	path = bpf_map_lookup_elem(&paths, &zero);
	if (!path)
		return;
	r.head.kind = RECORD_PROCESS;
	r.start_ticks = start_ticks_of(task);
	r.have = HAVE_EXEC_ID;
	r.exec_id = (__u32)((struct task_struct___more *)task)->self_exec_id;
	r.pid = task->tgid;
	r.parent_pid = task->real_parent->tgid;
	if (task->flags & PF_KTHREAD)
		r.have |= HAVE_KTHREAD;
	n = bpf_probe_read_kernel_str(comm, sizeof(comm), task->comm);
	if (n > 0 && n <= TASK_COMM_LEN)
		r.comm_len = (__u16)(n - 1);
	if (want & WANT_STATUS) {
		status_fill(&r, task);
		if (pid)
			r.namespace_pids = (__u16)(pid->level + 1);
	}
	if (want & WANT_EXE)
		exe_fill(&r, task, path);
	if (want & WANT_NAMESPACES)
		namespaces_fill(&r, task, pid);

	size = sizeof(r) + r.comm_len + r.exe_len + r.namespace_pids * sizeof(__u32);
	r.head.size = (size + 7) & ~7u;
	/* What does not fit is taken back, and the task comes again. */
	bpf_seq_write(seq, &r, sizeof(r));
	len = r.comm_len;
	if (len < sizeof(comm))
		bpf_seq_write(seq, comm, len);
	len = r.exe_len;
	if (len < PATH_MAX)
		bpf_seq_write(seq, path, len);
	/* v5.17, e6f2dd0f8067; a loop would take the verifier a tenth of a second. */
	bpf_loop(r.namespace_pids, number_tell, &numbers, 0);
	len = (r.head.size - size) & 7;
	bpf_seq_write(seq, &zeros, len);
}

SEC("iter/task")
int tasks_walk(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;
	if (task->pid == task->tgid)
		process_tell(seq, task);
	if (((struct task_struct___more *)task)->ptrace && want & WANT_TRACED)
		traced_tell(seq, task);
	return 0;
}

/* Of the path: a name that is shorter has a slash in front of it. */
static __always_inline __u32 ending_of(struct file *file)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);
	__u32 len = BPF_CORE_READ((struct dentry___len *)dentry, d_name.len);
	union {
		char bytes[sizeof(__u32)];
		__u32 word;
	} ending = { .bytes = { '/' } };

	if (len >= sizeof(ending))
		bpf_probe_read_kernel(ending.bytes, sizeof(ending), name + len - sizeof(ending));
	else if (len == sizeof(ending) - 1)
		bpf_probe_read_kernel(ending.bytes + 1, sizeof(ending) - 1, name);
	return ending.word;
}

SEC("iter/task_file")
int files_walk(struct bpf_iter__task_file *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct open_file_record r = {};
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	__u32 zero = 0, ending, len;
	__u64 zeros = 0;
	char *path;
	long n;
	int i;

	if (!task || !file)
		return 0;
	ending = ending_of(file);
	for (i = 0; i < ENDINGS_MAX; i++)
		if (endings[i] == ending)
			break;
	path = bpf_map_lookup_elem(&paths, &zero);
	if (i == ENDINGS_MAX || !path)
		return 0;
	n = bpf_d_path(&file->f_path, path, PATH_MAX);
	if (n <= 1 || n > PATH_MAX)
		return 0;
	len = (__u32)n - 1;
	r.head.kind = RECORD_OPEN_FILE;
	r.head.size = (sizeof(r) + len + 7) & ~7u;
	r.start_ticks = start_ticks_of(task);
	r.pid = task->tgid;
	r.fd = ctx->fd;
	r.path_len = (__u16)len;
	bpf_seq_write(seq, &r, sizeof(r));
	if (len < PATH_MAX)
		bpf_seq_write(seq, path, len);
	len = (r.head.size - sizeof(r) - len) & 7;
	bpf_seq_write(seq, &zeros, len);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
