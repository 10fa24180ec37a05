/* Processes, and where asked their threads, in one pass of openat reads. */
#include <dirent.h>
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

static bool take_number(const char **at, const char *end, uint64_t *ret)
{
	const char *p = *at;
	uint64_t value = 0;

	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	if (p == end || *p < '0' || *p > '9')
		return false;
	for (; p < end && *p >= '0' && *p <= '9'; p++)
		value = value * 10 + (uint64_t)(*p - '0');
	*at = p;
	*ret = value;
	return true;
}

static bool take_u32(const char **at, const char *end, uint32_t *ret)
{
	uint64_t value;

	if (!take_number(at, end, &value))
		return false;
	*ret = (uint32_t)value;
	return true;
}

static bool take_hex(const char *p, const char *end, uint64_t *ret)
{
	uint64_t value = 0;
	const char *first;

	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	for (first = p; p < end; p++) {
		unsigned int digit;

		if (*p >= '0' && *p <= '9')
			digit = (unsigned int)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			digit = (unsigned int)(*p - 'a') + 10;
		else
			break;
		value = value << 4 | digit;
	}
	if (p == first)
		return false;
	*ret = value;
	return true;
}

/* comm may hold ')' itself, so fields are counted from the last one. */
int proc_stat_parse(const char *buf, size_t len, struct proc_stat *ret)
{
	const char *end = buf + len, *at = buf, *open, *close;
	struct proc_stat stat = { 0 };
	uint64_t number;
	int field;

	open = memchr(buf, '(', len);
	close = memrchr(buf, ')', len);
	if (!open || !close || close < open)
		return -EBADMSG;
	if (!take_u32(&at, open, &stat.pid))
		return -EBADMSG;
	stat.comm = open + 1;
	stat.comm_len = (size_t)(close - stat.comm);
	if (end - close < 4 || close[1] != ' ' || close[3] != ' ')
		return -EBADMSG;
	stat.state = close[2];
	at = close + 3;
	for (field = 4; field <= 22; field++) {
		while (at < end && *at == ' ')
			at++;
		if (at < end && *at == '-')
			at++;
		if (!take_number(&at, end, &number))
			return -EBADMSG;
		/* A number at the very end may have been cut. */
		if (at == end)
			return -EBADMSG;
		if (field == 4)
			stat.parent_pid = (uint32_t)number;
		else if (field == 9)
			stat.flags = (uint32_t)number;
		else if (field == 22)
			stat.start_ticks = number;
	}
	*ret = stat;
	return 0;
}

static bool line_starts(const char *line, const char *end, const char *name, const char **ret_value)
{
	size_t len = strlen(name);

	if ((size_t)(end - line) < len || memcmp(line, name, len) != 0)
		return false;
	*ret_value = line + len;
	return true;
}

int proc_status_parse(const char *buf, size_t len, struct proc_status *ret)
{
	enum { TGID = 1, TRACER = 2, UID = 4, GID = 8, THREADS = 16, CAPABILITIES = 32, ALL = 63 };
	const char *line = buf, *end = buf + len;
	struct proc_status status;
	unsigned int seen = 0;

	memset(&status, 0, sizeof(status));
	while (line < end && seen != ALL) {
		const char *newline = memchr(line, '\n', (size_t)(end - line)), *at;

		if (!newline)
			break;
		/* The kernel escapes a newline in Name, so no process can forge a line. */
		if (line_starts(line, newline, "Tgid:", &at)) {
			if (take_u32(&at, newline, &status.tgid))
				seen |= TGID;
		} else if (line_starts(line, newline, "TracerPid:", &at)) {
			if (take_u32(&at, newline, &status.tracer_pid))
				seen |= TRACER;
		} else if (line_starts(line, newline, "Uid:", &at)) {
			if (take_u32(&at, newline, &status.uid) && take_u32(&at, newline, &status.euid))
				seen |= UID;
		} else if (line_starts(line, newline, "Gid:", &at)) {
			if (take_u32(&at, newline, &status.gid))
				seen |= GID;
		} else if (line_starts(line, newline, "NSpid:", &at)) {
			uint32_t pid;

			status.namespace_pids = 0;
			while (status.namespace_pids < NAMESPACE_PIDS_MAX && take_u32(&at, newline, &pid))
				status.namespace_pid[status.namespace_pids++] = pid;
		} else if (line_starts(line, newline, "Threads:", &at)) {
			if (take_u32(&at, newline, &status.threads))
				seen |= THREADS;
		} else if (line_starts(line, newline, "CapEff:", &at)) {
			if (take_hex(at, newline, &status.cap_effective))
				seen |= CAPABILITIES;
		}
		line = newline + 1;
	}
	if (seen != ALL)
		return -EBADMSG;
	*ret = status;
	return 0;
}

int proc_cgroup_parse(const char *buf, size_t len, const char **ret_path, size_t *ret_len)
{
	static const char systemd[] = ":name=systemd:";
	const char *line = buf, *end = buf + len;
	const char *unified = NULL, *named = NULL;
	size_t unified_len = 0, named_len = 0;

	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line)), *at;

		if (!newline)
			break;
		if (line_starts(line, newline, "0::", &at)) {
			unified = at;
			unified_len = (size_t)(newline - at);
		} else {
			at = memmem(line, (size_t)(newline - line), systemd, sizeof(systemd) - 1);
			if (at) {
				named = at + sizeof(systemd) - 1;
				named_len = (size_t)(newline - named);
			}
		}
		line = newline + 1;
	}
	if (named && unified_len <= 1) {
		unified = named;
		unified_len = named_len;
	}
	if (!unified)
		return -EBADMSG;
	*ret_path = unified;
	*ret_len = unified_len;
	return 0;
}

static bool take_limit(const char **at, const char *end, uint64_t *ret)
{
	static const char unlimited[] = "unlimited";
	const char *p = *at;

	while (p < end && *p == ' ')
		p++;
	*at = p;
	if ((size_t)(end - p) >= sizeof(unlimited) - 1 && memcmp(p, unlimited, sizeof(unlimited) - 1) == 0) {
		*at = p + sizeof(unlimited) - 1;
		*ret = CORE_UNLIMITED;
		return true;
	}
	return take_number(at, end, ret);
}

int proc_limits_parse(const char *buf, size_t len, uint64_t *ret_soft, uint64_t *ret_hard)
{
	const char *line = buf, *end = buf + len;

	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line)), *at;
		uint64_t soft, hard;

		if (!newline)
			break;
		if (line_starts(line, newline, "Max core file size ", &at)) {
			if (!take_limit(&at, newline, &soft) || !take_limit(&at, newline, &hard))
				return -EBADMSG;
			*ret_soft = soft;
			*ret_hard = hard;
			return 0;
		}
		line = newline + 1;
	}
	return -EBADMSG;
}

static void loader_keep(struct proc_loader *loader, const char *entry, size_t len)
{
	const char *end = entry + len, *value;
	size_t room = sizeof(loader->entries) - loader->len;

	if (!line_starts(entry, end, "LD_PRELOAD=", &value) && !line_starts(entry, end, "LD_AUDIT=", &value))
		return;
	if (room < 2)
		return;
	if (len > room - 1)
		len = room - 1;
	memcpy(loader->entries + loader->len, entry, len);
	loader->entries[loader->len + len] = '\0';
	loader->len += len + 1;
}

void proc_environ_parse(const char *buf, size_t len, bool last, struct proc_loader *loader, size_t *ret_used)
{
	const char *at = buf, *end = buf + len;

	while (at < end) {
		const char *nul = memchr(at, '\0', (size_t)(end - at));

		if (!nul && !last)
			break;
		if (!nul)
			nul = end;
		loader_keep(loader, at, (size_t)(nul - at));
		at = nul < end ? nul + 1 : end;
	}
	*ret_used = (size_t)(at - buf);
}

int proc_each(int dir, const char *name, int (*each)(void *arg, uint32_t number), void *arg)
{
	struct dirent *entry;
	int fd, err = 0;
	DIR *d;

	/* An offset of our own: other threads list the same directory. */
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		err = -errno;
		close(fd);
		return err;
	}
	for (;;) {
		const char *at, *end;
		uint32_t number;

		errno = 0;
		entry = readdir(d);
		if (!entry) {
			err = -errno;
			break;
		}
		at = entry->d_name;
		end = at + strlen(at);
		if (!take_u32(&at, end, &number) || at != end)
			continue;
		err = each(arg, number);
		if (err)
			break;
	}
	closedir(d);
	return err;
}

static bool vanished(int err)
{
	return err == -ENOENT || err == -ESRCH;
}

bool proc_is_out_of_reach(int err)
{
	return vanished(err) || err == -EACCES || err == -EPERM;
}

static int stat_read(int dir, const char *name, char *buf, size_t len, struct proc_stat *ret)
{
	ssize_t n = read_at(dir, name, buf, len);

	if (n < 0)
		return (int)n;
	return proc_stat_parse(buf, (size_t)n, ret);
}

int proc_start_ticks(int root, uint32_t pid, uint64_t *ret_ticks)
{
	char name[32], buf[1024];
	struct proc_stat stat;
	int err;

	snprintf(name, sizeof(name), "%u/stat", pid);
	err = stat_read(root, name, buf, sizeof(buf), &stat);
	if (err)
		return err;
	*ret_ticks = stat.start_ticks;
	return 0;
}

int proc_thread_group(int root, uint32_t tid, uint32_t *ret_pid)
{
	char name[32], buf[1024];
	const char *line = buf, *end, *at;
	ssize_t n;

	/* /proc/TID works for any thread, though it is not listed. */
	snprintf(name, sizeof(name), "%u/status", tid);
	n = read_at(root, name, buf, sizeof(buf));
	if (n < 0)
		return (int)n;
	end = buf + n;
	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));

		if (!newline)
			break;
		if (line_starts(line, newline, "Tgid:", &at) && take_u32(&at, newline, ret_pid))
			return 0;
		line = newline + 1;
	}
	return -EBADMSG;
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
			loader_keep(&s->loader, s->buf, have);
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
	uint64_t filter, soft, hard;
	ssize_t n;

	n = read_at(dir, "limits", s->buf, SMALL_MAX);
	if (n > 0 && proc_limits_parse(s->buf, (size_t)n, &soft, &hard) == 0) {
		r->have |= HAVE_LIMITS;
		r->core_soft = soft;
		r->core_hard = hard;
	}
	n = read_at(dir, "coredump_filter", s->buf, SMALL_MAX);
	if (n > 0 && take_hex(s->buf, s->buf + n, &filter)) {
		r->have |= HAVE_FILTER;
		r->coredump_filter = (uint32_t)filter;
	}
	if (fstatat(dir, "stat", &st, 0) == 0) {
		r->have |= HAVE_OWNER;
		r->owner = st.st_uid;
	}
}

struct thread_walk {
	struct proc_scan *scan;
	struct batch *out;
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
	if (proc_status_parse(s->buf, (size_t)n, &s->status) < 0)
		return 0;
	t = batch_begin(walk->out, RECORD_THREAD, sizeof(*t));
	if (t) {
		t->pid = walk->pid;
		t->tid = tid;
		t->tracer_pid = s->status.tracer_pid;
	}
	batch_end(walk->out);
	return walk->out->error;
}

static int threads_read(struct proc_scan *s, int dir, uint32_t pid, struct batch *out)
{
	struct thread_walk walk = { .scan = s, .out = out, .pid = pid };
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
			r->tracer_pid = status->tracer_pid;
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
	if (want & WANT_THREADS) {
		err = threads_read(s, dir, pid, out);
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
