/* Processes, and where asked those of their threads that are traced, in one pass of openat reads. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "rimon.h"

#define PF_EXITING	0x00000004
#define PF_KTHREAD	0x00200000

#define CMDLINE_MAX	4096
#define PATH_ROOM	4096

/* status holds up to 65536 supplementary groups in front of the capabilities. */
#define STATUS_MAX	((size_t)1 << 20)
#define SMALL_MAX	((size_t)64 << 10)

/* A variable is at most 128 KiB (MAX_ARG_STRLEN), an environment at most 6 MiB. */
#define ENVIRON_PIECE	((size_t)256 << 10)
#define ENVIRON_MAX	((size_t)8 << 20)

struct proc_scan {
	const struct procfs *procfs;
	char *buf;		/* STATUS_MAX */
	struct proc_loader loader;
	struct proc_status status;
};

int proc_scan_new(const struct procfs *p, struct proc_scan **ret)
{
	struct proc_scan *s = malloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->procfs = p;
	/* Not touched until it is needed, so it costs nothing. */
	s->buf = malloc(STATUS_MAX);
	if (!s->buf) {
		free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

void proc_scan_free(struct proc_scan *s)
{
	if (!s)
		return;
	free(s->buf);
	free(s);
}

static bool vanished(int err)
{
	return err == -ENOENT || err == -ESRCH;
}

static int stat_read(int dir, const char *name, char *buf, size_t len, struct proc_stat *ret)
{
	ssize_t n = read_at(dir, name, buf, len);

	if (n < 0)
		return (int)n;
	return proc_stat_parse(buf, (size_t)n, ret);
}

/* Memory is gone before the entry under /proc is: what then reads as empty is unknown. */
static bool has_memory(struct proc_scan *s, int dir)
{
	struct proc_stat stat;

	return stat_read(dir, "stat", s->buf, SMALL_MAX, &stat) == 0 && !(stat.flags & PF_EXITING);
}

static bool loader_read(struct proc_scan *s, int dir)
{
	size_t have = 0, total = 0, dirty = 0, used;
	bool in_long_entry = false, complete = false;
	int fd;

	s->loader.len = 0;
	fd = openat(dir, "environ", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while (total < ENVIRON_MAX) {
		ssize_t n = read(fd, s->buf + have, ENVIRON_PIECE - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		if (n == 0) {
			complete = true;
			break;
		}
		total += (size_t)n;
		have += (size_t)n;
		if (have > dirty)
			dirty = have;
		if (in_long_entry) {
			char *nul = memchr(s->buf, '\0', have);

			if (!nul) {
				have = 0;
				continue;
			}
			have -= (size_t)(nul + 1 - s->buf);
			memmove(s->buf, nul + 1, have);
			in_long_entry = false;
		}
		proc_environ_parse(s->buf, have, false, &s->loader, &used);
		memmove(s->buf, s->buf + used, have - used);
		have -= used;
		if (have == ENVIRON_PIECE) {
			/* No exec makes such an entry: the process overwrote its own environment. Its beginning tells. */
			proc_environ_parse(s->buf, have, true, &s->loader, &used);
			in_long_entry = true;
			have = 0;
		}
	}
	close(fd);
	if (!in_long_entry)
		proc_environ_parse(s->buf, have, true, &s->loader, &used);
	/* The rest of an environment is none of ours and may hold secrets. */
	explicit_bzero(s->buf, dirty);
	if (complete && total == 0)
		return has_memory(s, dir);
	return complete || s->loader.len > 0;
}

static void exe_read(struct proc_scan *s, int dir, struct process_record *r, struct batch *out)
{
	struct statx stx;
	ssize_t n = readlinkat(dir, "exe", s->buf, PATH_ROOM);

	if (n < 0)
		return;
	r->have |= HAVE_EXE;
	r->exe_len = (uint16_t)n;
	batch_bytes(out, s->buf, (size_t)n);
	/* Never ask a server about it: a hung network mount must not hang us. */
	if (statx(dir, "exe", AT_STATX_DONT_SYNC, STATX_INO | STATX_SIZE | STATX_MTIME, &stx) < 0)
		return;
	r->have |= HAVE_EXE_FILE;
	r->exe_dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	r->exe_inode = stx.stx_ino;
	r->exe_size = stx.stx_size;
	r->exe_mtime_ns = (uint64_t)stx.stx_mtime.tv_sec * 1000000000ull + stx.stx_mtime.tv_nsec;
}

static void cmdline_read(struct proc_scan *s, int dir, struct process_record *r, struct batch *out)
{
	ssize_t n = read_at(dir, "cmdline", s->buf, CMDLINE_MAX);

	if (n < 0 || (n == 0 && !has_memory(s, dir)))
		return;
	r->have |= HAVE_CMDLINE;
	r->cmdline_len = (uint16_t)n;
	batch_bytes(out, s->buf, (size_t)n);
}

static void cgroup_read(struct proc_scan *s, int dir, struct process_record *r, struct batch *out)
{
	ssize_t n = read_at(dir, "cgroup", s->buf, SMALL_MAX);
	const char *path;
	size_t len;

	if (n < 0 || proc_cgroup_parse(s->buf, (size_t)n, &path, &len) < 0)
		return;
	if (len > PATH_ROOM)
		len = PATH_ROOM;
	r->have |= HAVE_CGROUP;
	r->cgroup_len = (uint16_t)len;
	batch_bytes(out, path, len);
}

static void dump_read(struct proc_scan *s, int dir, struct process_record *r)
{
	struct stat st;
	uint64_t soft, hard;
	uint32_t filter;
	ssize_t n;

	n = read_at(dir, "limits", s->buf, SMALL_MAX);
	if (n > 0 && proc_limits_parse(s->buf, (size_t)n, &soft, &hard) == 0) {
		r->have |= HAVE_LIMITS;
		r->core_soft = soft;
		r->core_hard = hard;
	}
	n = read_at(dir, "coredump_filter", s->buf, SMALL_MAX);
	if (n > 0 && proc_coredump_filter_parse(s->buf, (size_t)n, &filter) == 0) {
		r->have |= HAVE_FILTER;
		r->coredump_filter = filter;
	}
	if (fstatat(dir, "stat", &st, 0) == 0) {
		r->have |= HAVE_OWNER;
		r->owner = st.st_uid;
	}
}

/* TracerPid is the tracing thread (task_state() of fs/proc/array.c): who traces is its process. */
static uint32_t tracer_of(const struct proc_scan *s)
{
	uint32_t pid = s->status.tracer_pid;

	if (pid)
		proc_thread_group(s->procfs->root, pid, &pid);
	return pid;
}

struct thread_walk {
	struct proc_scan *scan;
	struct batch *out;
	uint64_t start_ticks;
	int tasks;
	uint32_t pid;
};

static int thread_read(void *arg, uint32_t tid)
{
	struct thread_walk *walk = arg;
	struct proc_scan *s = walk->scan;
	struct thread_record *t;
	char name[32];
	ssize_t n;

	snprintf(name, sizeof(name), "%u/status", tid);
	n = read_at(walk->tasks, name, s->buf, STATUS_MAX);
	if (n < 0)
		return proc_is_out_of_reach((int)n) ? 0 : (int)n;
	if (proc_status_parse(s->buf, (size_t)n, &s->status) < 0 || !s->status.tracer_pid)
		return 0;
	t = batch_begin(walk->out, RECORD_THREAD, sizeof(*t));
	if (t) {
		t->start_ticks = walk->start_ticks;
		t->pid = walk->pid;
		t->tid = tid;
		t->tracer_pid = tracer_of(s);
	}
	batch_end(walk->out);
	return walk->out->error;
}

static int threads_read(struct proc_scan *s, int dir, uint32_t pid, uint64_t start_ticks, struct batch *out)
{
	struct thread_walk walk = { .scan = s, .out = out, .start_ticks = start_ticks, .pid = pid };
	int err;

	walk.tasks = openat(dir, "task", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (walk.tasks < 0)
		return -errno;
	err = proc_each(walk.tasks, ".", thread_read, &walk);
	close(walk.tasks);
	return err;
}

static void record_fill(struct proc_scan *s, int dir, uint32_t want, struct process_record *r, struct batch *out)
{
	struct proc_status *status = &s->status;
	uint64_t inode;
	ssize_t n;

	if (want & WANT_STATUS) {
		n = read_at(dir, "status", s->buf, STATUS_MAX);
		if (n > 0 && proc_status_parse(s->buf, (size_t)n, status) == 0) {
			r->have |= HAVE_STATUS;
			r->cap_effective = status->cap_effective;
			r->tracer_pid = tracer_of(s);
			r->uid = status->uid;
			r->euid = status->euid;
			r->gid = status->gid;
			r->threads = status->threads;
			r->namespace_pids = (uint16_t)status->namespace_pids;
		}
	}
	/* A kernel thread has no memory, hence none of these three. */
	if (!(r->have & HAVE_KTHREAD)) {
		if (want & WANT_EXE)
			exe_read(s, dir, r, out);
		if (want & WANT_CMDLINE)
			cmdline_read(s, dir, r, out);
	}
	if (want & WANT_CGROUP)
		cgroup_read(s, dir, r, out);
	if ((want & WANT_LOADER) && !(r->have & HAVE_KTHREAD) && loader_read(s, dir)) {
		r->have |= HAVE_LOADER;
		r->loader_len = (uint16_t)s->loader.len;
		batch_bytes(out, s->loader.entries, s->loader.len);
	}
	if (r->namespace_pids)
		batch_bytes(out, status->namespace_pid, r->namespace_pids * sizeof(uint32_t));
	if (want & WANT_NAMESPACES) {
		if (namespace_inode(dir, "ns/pid", &inode) == 0) {
			r->have |= HAVE_PID_NS;
			r->pid_ns = inode;
		}
		if (namespace_inode(dir, "ns/mnt", &inode) == 0) {
			r->have |= HAVE_MNT_NS;
			r->mnt_ns = inode;
		}
	}
	if (want & WANT_DUMP)
		dump_read(s, dir, r);
}

int proc_scan_one(struct proc_scan *s, uint32_t pid, uint32_t want, struct batch *out)
{
	struct process_record r;
	struct proc_stat stat;
	char name[32];
	void *record;
	int dir = -1, err;

	if (want) {
		/* One lookup of the process: every file below is then of the same one, however fast pids are reused. */
		snprintf(name, sizeof(name), "%u", pid);
		dir = openat(s->procfs->root, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return vanished(-errno) ? -ESRCH : -errno;
		err = stat_read(dir, "stat", s->buf, SMALL_MAX, &stat);
	} else {
		snprintf(name, sizeof(name), "%u/stat", pid);
		err = stat_read(s->procfs->root, name, s->buf, SMALL_MAX, &stat);
	}
	if (err) {
		err = vanished(err) ? -ESRCH : err;
		goto out;
	}
	batch_begin(out, RECORD_PROCESS, sizeof(r));
	memset(&r, 0, sizeof(r));
	r.pid = pid;
	r.start_ticks = stat.start_ticks;
	r.parent_pid = stat.parent_pid;
	if (stat.flags & PF_KTHREAD)
		r.have |= HAVE_KTHREAD;
	r.comm_len = (uint16_t)stat.comm_len;
	batch_bytes(out, stat.comm, stat.comm_len);
	if (want)
		record_fill(s, dir, want, &r, out);
	record = batch_record(out);
	if (record) {
		memcpy(&r.head, record, sizeof(r.head));
		memcpy(record, &r, sizeof(r));
	}
	batch_end(out);
	if (want & WANT_TRACED) {
		err = threads_read(s, dir, pid, stat.start_ticks, out);
		/* Gone half way: the process itself was there. */
		if (proc_is_out_of_reach(err))
			err = 0;
	}
	if (!err)
		err = out->error;
out:
	if (dir >= 0)
		close(dir);
	return err;
}

struct process_walk {
	struct proc_scan *scan;
	struct batch *out;
	uint32_t want;
};

static int process_read(void *arg, uint32_t pid)
{
	struct process_walk *walk = arg;
	int err = proc_scan_one(walk->scan, pid, walk->want, walk->out);

	return proc_is_out_of_reach(err) ? 0 : err;
}

int proc_scan_run(const struct procfs *p, uint32_t want, const struct pids *pids, struct batch *out)
{
	struct process_walk walk = { .out = out, .want = want };
	size_t i;
	int err;

	err = proc_scan_new(p, &walk.scan);
	if (err)
		return err;
	if (!pids->named)
		err = proc_each(p->root, ".", process_read, &walk);
	for (i = 0; pids->named && i < pids->n && !err; i++)
		err = process_read(&walk, pids->pid[i]);
	proc_scan_free(walk.scan);
	return err;
}
