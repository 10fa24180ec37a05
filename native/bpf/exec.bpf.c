// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Every program that is started, with its name and arguments as they are at
 * that moment: what a process was that is gone a millisecond later. And what it
 * tells the loader, which is read here before the first instruction of the new
 * program: a preloaded library can take that out of /proc/PID/environ.
 */
#include "kernel.h"
#include "exec.h"

__u64 lost;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct exec_event);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);	/* v5.8, 457f44363a88 */
	__uint(max_entries, EXEC_RING_SIZE);
} events SEC(".maps");

/* As they lie in memory, on little-endian machines, which all that rimon runs on are. */
#define LD_	0x5f444cull
#define LD_PRELO	0x4f4c4552505f444cull
#define LD_AUDIT	0x54494455415f444cull
#define LD_LIBRA	0x415242494c5f444cull
#define RY_PATH_IS	0x3d485441505f5952ull

struct environment {
	unsigned long at;
	unsigned long end;
	__u32 facts;
	bool in_string;	/* the piece before was not the last of its string */
};

/* Keeps the variable behind those that are kept; false: there is no room, or a page is swapped out already. */
static bool variable_keep(unsigned long at)
{
	struct exec_event *event;
	__u32 zero = 0, len, args;
	long n;

	event = bpf_map_lookup_elem(&scratch, &zero);
	if (!event)
		return false;
	args = event->args_len;
	len = event->loader_len;
	if (args > EXEC_ARGS_MAX || len >= EXEC_LOADER_MAX)
		return false;
	n = bpf_probe_read_user_str(event->strings + args + len, EXEC_LOADER_MAX - len, (void *)at);
	if (n <= 0)
		return false;
	event->loader_len = len + n;
	return len + n < EXEC_LOADER_MAX;
}

static long piece_take(__u32 index, struct environment *env)
{
	union {
		char bytes[EXEC_PIECE];
		__u64 words[2];
	} piece;
	bool begins = !env->in_string, kept;
	unsigned long at = env->at;
	long n;

	if (at >= env->end)
		return 1;
	n = bpf_probe_read_user_str(piece.bytes, sizeof(piece), (void *)at);
	if (n <= 0) {
		env->facts |= EXEC_LOADER_CUT;
		env->at = env->end;
		return 1;
	}
	/* A string that ends right here shows only by the next piece, which is empty. */
	env->in_string = n == sizeof(piece);
	env->at = at + n - env->in_string;
	/* Behind the end of a short string is what was there before; a NUL stands between. */
	if (!begins || (piece.words[0] & 0xffffff) != LD_)
		return 0;
	if (piece.words[0] == LD_LIBRA && piece.words[1] == RY_PATH_IS)
		env->facts |= EXEC_LIBRARY_PATH;
	else if ((piece.words[0] == LD_PRELO && (piece.words[1] & 0xffffff) == 0x3d4441 && piece.bytes[11]) ||
		 (piece.words[0] == LD_AUDIT && piece.bytes[8] == '=' && piece.bytes[9])) {
		kept = variable_keep(at);
		if (!kept)
			env->facts |= EXEC_LOADER_CUT;
	}
	return 0;
}

static __always_inline __u32 environment_read(struct mm_struct *mm)
{
	struct environment env = { .at = mm->env_start, .end = mm->env_end };

	/* v5.17, e6f2dd0f8067 */
	bpf_loop(EXEC_PIECES, piece_take, &env, 0);
	return env.at < env.end ? env.facts | EXEC_LOADER_CUT : env.facts;
}

/*
 * Overlayfs keeps the dentry of the upper layer right behind the inode: so in 6.1, 6.12, 6.18 and 7.3. What its types say
 * comes first, but a module tells of those only once it is loaded.
 */
static __always_inline bool is_upper(struct file *exe, __u64 magic)
{
	unsigned long behind = bpf_core_type_size(struct inode);
	struct ovl_inode *overlay = NULL;
	struct dentry *upper = NULL;
	struct inode *inode;

	if (magic != OVERLAYFS_SUPER_MAGIC)
		return false;
	if (bpf_core_field_exists(overlay->__upperdentry))
		behind = bpf_core_field_offset(overlay->__upperdentry) - bpf_core_field_offset(overlay->vfs_inode);
	inode = BPF_CORE_READ(exe, f_inode);
	bpf_probe_read_kernel(&upper, sizeof(upper), (void *)inode + behind);
	return upper;
}

/* linux: include/trace/events/sched.h, (task, old_pid, bprm) since v3.4 */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec_done, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct exec_event *event;
	unsigned long start, len;
	struct file *exe;
	__u32 zero = 0, facts = 0, loader;
	long n;

	event = bpf_map_lookup_elem(&scratch, &zero);
	if (!event || !task->mm)
		return 0;
	event->time_ns = bpf_ktime_get_ns();
	event->start_ticks = task->group_leader->start_boottime / NSEC_PER_TICK;
	event->pid = task->tgid;
	event->parent_pid = task->real_parent->tgid;
	event->uid = task->real_cred->uid.val;
	event->euid = task->real_cred->euid.val;
	event->gid = task->real_cred->gid.val;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	event->exe_inode = 0;
	event->exe_dev = event->exe_magic = 0;
	event->name[0] = 0;
	exe = task->mm->exe_file;
	if (exe) {
		event->exe_inode = exe->f_inode->i_ino;
		if (exe->f_inode->i_nlink == 0)
			facts |= EXEC_UNLINKED;
		event->exe_dev = exe->f_inode->i_sb->s_dev;
		event->exe_magic = exe->f_inode->i_sb->s_magic;
		if (is_upper(exe, event->exe_magic))
			facts |= EXEC_UPPER;
		bpf_probe_read_kernel_str(event->name, sizeof(event->name), exe->f_path.dentry->d_name.name);
	}
	n = bpf_probe_read_kernel_str(event->path, sizeof(event->path), bprm->filename);
	event->path_len = n > 0 ? n - 1 : 0;

	start = task->mm->arg_start;
	len = task->mm->arg_end - start;
	if (len > EXEC_ARGS_MAX)
		len = EXEC_ARGS_MAX;
	/* A page of it may be swapped out already: then there are none. */
	if (len == 0 || bpf_probe_read_user(event->strings, len, (void *)start) < 0)
		len = 0;
	event->args_len = len;
	event->loader_len = 0;
	event->facts = facts | environment_read(task->mm);
	loader = event->loader_len;
	/* It never is more, which the verifier is not to know. */
	if (loader > EXEC_LOADER_MAX ||
	    bpf_ringbuf_output(&events, event, offsetof(struct exec_event, strings) + len + loader, 0) < 0)
		__sync_fetch_and_add(&lost, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
