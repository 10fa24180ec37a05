/*
 * One thread that drains every event source into a batch and reads, while
 * they are still there, the processes that act. JavaScript takes the batch
 * when it can; what it does not take in time is dropped and counted.
 *
 * Shared with the callers, under the lock: pending, roots, mounts.
 * Everything else belongs to the thread or never changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "rimon.h"

#define PROC_SUPER_MAGIC	0x9fa0

#define PENDING_MAX		((size_t)16 << 20)
#define ROOTS_MAX		65536
#define MOUNTS_MAX		65536

/* Per turn, so that no source starves another. */
#define DATAGRAMS		64
#define CONNECTOR_ROUNDS	8
#define FILE_ROUNDS		16

/* One read opens a descriptor for each event: 4 KiB are at most 170 of them, well below the usual limit of 1024. */
#define FILE_EVENTS_BUF		4096

#define ENRICHED		64
#define ENRICHED_FOR_NS		500000000ull

#define PROCFS_MASK	(FAN_OPEN | FAN_ACCESS | FAN_MODIFY | FAN_ONDIR)
#define FILE_MASK	(FAN_MODIFY | FAN_CLOSE_WRITE)

enum tag {
	TAG_WAKE,
	TAG_CONNECTOR,
	TAG_FILES,
	TAG_MOUNTS,
};

struct source {
	int fd;
	int error;
	const char *what;
	_Atomic bool live;
	_Atomic uint64_t events;
	_Atomic uint64_t lost;
	_Atomic uint64_t unreadable;
};

/* A marked procfs. Its path, not a descriptor: that would keep somebody else's mount busy. */
struct root {
	uint64_t dev;
	bool is_ours;		/* of our own pid namespace */
	char *path;
};

struct mounts {
	uint32_t id;
	int fd;
};

struct enriched {
	uint32_t pid;
	uint64_t start_ticks;
	uint64_t at_ns;
};

struct watch {
	const struct procfs *procfs;
	void (*notify)(void *arg);
	void *notify_arg;
	pthread_t thread;
	uint32_t self;
	int epoll;
	int wake;
	struct source connector;
	struct source files;

	pthread_mutex_t lock;
	struct batch pending;
	bool notified;
	uint64_t dropped_untold;
	uint64_t dropped;
	struct root *roots;
	size_t n_roots;
	struct mounts *mounts;
	size_t n_mounts;

	struct proc_scan *scan;
	struct batch scratch;
	struct enriched enriched[ENRICHED];
	size_t enriched_next;
	struct mmsghdr headers[DATAGRAMS];
	struct iovec pieces[DATAGRAMS];
	struct sockaddr_nl senders[DATAGRAMS];
	char datagrams[DATAGRAMS][512];
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void commit(struct watch *w)
{
	struct batch *scratch = &w->scratch;
	bool tell = false;

	if (!scratch->records && !scratch->error)
		return;
	pthread_mutex_lock(&w->lock);
	if (!scratch->error && w->pending.len + scratch->len <= PENDING_MAX)
		batch_append(&w->pending, scratch);
	else
		w->pending.error = -ENOBUFS;
	if (w->pending.error) {
		/* Nothing of it was appended; what is pending is whole. */
		w->pending.error = 0;
		w->dropped_untold += scratch->records ? scratch->records : 1;
		w->dropped += scratch->records ? scratch->records : 1;
	}
	if (!w->notified) {
		w->notified = true;
		tell = true;
	}
	pthread_mutex_unlock(&w->lock);
	batch_clear(scratch);
	if (tell)
		w->notify(w->notify_arg);
}

static void lost_add(struct batch *b, uint32_t source, uint64_t count)
{
	struct lost_record *r = batch_begin(b, RECORD_LOST, sizeof(*r));

	if (r) {
		r->source = source;
		r->count = count;
	}
	batch_end(b);
}

void watch_take(struct watch *w, struct batch *out)
{
	uint64_t dropped;

	pthread_mutex_lock(&w->lock);
	*out = w->pending;
	memset(&w->pending, 0, sizeof(w->pending));
	w->notified = false;
	dropped = w->dropped_untold;
	w->dropped_untold = 0;
	pthread_mutex_unlock(&w->lock);
	/* They were dropped because this batch was full, so they came after it. */
	if (dropped)
		lost_add(out, LOST_QUEUE, dropped);
}

static void source_lost(struct watch *w, struct source *source, uint32_t which)
{
	source->lost++;
	lost_add(&w->scratch, which, 0);
}

static void source_dead(struct watch *w, struct source *source, uint32_t which, int err, const char *what)
{
	epoll_ctl(w->epoll, EPOLL_CTL_DEL, source->fd, NULL);
	source->error = err;
	source->what = what;
	source->live = false;
	source_lost(w, source, which);
}

static void forget(struct watch *w, uint32_t pid)
{
	size_t i;

	for (i = 0; i < ENRICHED; i++)
		if (w->enriched[i].pid == pid)
			w->enriched[i].pid = 0;
}

/* The process goes up before its act does: soon it may be gone. */
static void enrich(struct watch *w, uint32_t pid)
{
	const struct process_record *r;
	uint64_t now, ticks;
	size_t i;

	/* 0: of another pid namespace. */
	if (!pid)
		return;
	now = now_ns();
	for (i = 0; i < ENRICHED; i++) {
		struct enriched *e = &w->enriched[i];

		if (e->pid != pid || now - e->at_ns > ENRICHED_FOR_NS)
			continue;
		if (proc_start_ticks(w->procfs->root, pid, &ticks) < 0 || ticks == e->start_ticks)
			return;
	}
	if (proc_scan_one(w->scan, pid, WANT_ENRICHED, &w->scratch) < 0)
		return;
	r = batch_record(&w->scratch);
	if (!r)
		return;
	forget(w, pid);
	w->enriched[w->enriched_next] = (struct enriched){ pid, r->start_ticks, now };
	w->enriched_next = (w->enriched_next + 1) % ENRICHED;
}

static void process_event_add(struct watch *w, const struct process_event_record *event)
{
	struct process_event_record *r;

	switch (event->event) {
	case PROCESS_EXEC:
		forget(w, event->pid);
		enrich(w, event->pid);
		break;
	case PROCESS_FORK:
	case PROCESS_EXIT:
		forget(w, event->pid);
		break;
	case PROCESS_TRACED:
		enrich(w, event->other_pid);
		break;
	case PROCESS_DUMPING:
		enrich(w, event->pid);
		break;
	}
	r = batch_begin(&w->scratch, RECORD_PROCESS_EVENT, sizeof(*r));
	if (r)
		*r = *event;
	batch_end(&w->scratch);
}

static void connector_drain(struct watch *w)
{
	struct source *source = &w->connector;
	int round, n, i;

	for (round = 0; round < CONNECTOR_ROUNDS; round++) {
		for (i = 0; i < DATAGRAMS; i++)
			w->headers[i].msg_hdr.msg_namelen = sizeof(w->senders[i]);
		n = recvmmsg(source->fd, w->headers, DATAGRAMS, MSG_DONTWAIT, NULL);
		if (n < 0) {
			if (errno == EAGAIN || errno == EINTR)
				break;
			if (errno == ENOBUFS) {
				source_lost(w, source, LOST_CONNECTOR);
				continue;
			}
			source_dead(w, source, LOST_CONNECTOR, errno, "read from the process connector");
			break;
		}
		for (i = 0; i < n; i++) {
			struct process_event_record event;
			enum connector_verdict verdict;

			/* Only the kernel's word counts: any root process may send to the group. */
			if (w->senders[i].nl_pid != 0)
				continue;
			if (connector_parse(w->datagrams[i], w->headers[i].msg_len, &event, &verdict) < 0) {
				source->unreadable++;
				continue;
			}
			if (verdict == CONNECTOR_IGNORED)
				continue;
			source->events++;
			process_event_add(w, &event);
		}
		commit(w);
		if (n < DATAGRAMS)
			break;
	}
	commit(w);
}

/* The target as that procfs numbers it; a number under /proc may be any thread's. */
static void target_resolve(int root, struct proc_path *path, uint64_t *ret_start_ticks)
{
	uint32_t pid;

	if (proc_thread_group(root, path->pid, &pid) == 0 && pid != path->pid) {
		if (!path->tid)
			path->tid = path->pid;
		path->pid = pid;
	}
	if (proc_start_ticks(root, path->pid, ret_start_ticks) < 0)
		*ret_start_ticks = 0;
}

static uint32_t access_of(uint64_t mask)
{
	return (mask & FAN_OPEN ? ACCESS_OPEN : 0u) | (mask & FAN_ACCESS ? ACCESS_READ : 0u) |
	       (mask & (FAN_MODIFY | FAN_CLOSE_WRITE) ? ACCESS_WRITE : 0u);
}

static void proc_file_add(struct watch *w, const struct root *root, uint32_t pid, uint64_t mask, const char *path,
			  size_t len)
{
	struct proc_path parsed = { 0 };
	struct proc_file_record *r;
	uint64_t start_ticks = 0;

	if (proc_path_parse(path, len, &parsed) == 0) {
		if (root->is_ours) {
			target_resolve(w->procfs->root, &parsed, &start_ticks);
			if (parsed.pid == pid)
				return;
		} else {
			struct stat st;
			int fd = open(root->path, O_PATH | O_DIRECTORY | O_CLOEXEC);

			if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == root->dev)
				target_resolve(fd, &parsed, &start_ticks);
			if (fd >= 0)
				close(fd);
		}
	} else if ((mask & FAN_MODIFY) && proc_path_is_sysctl(path, len)) {
		parsed.file = PROC_FILE_SYSCTL;
		parsed.len = len;
	} else {
		return;
	}
	enrich(w, pid);
	r = batch_begin(&w->scratch, RECORD_PROC_FILE, sizeof(*r));
	if (r) {
		r->dev = root->dev;
		r->target_start_ticks = start_ticks;
		r->file = parsed.file;
		r->access = access_of(mask);
		r->pid = pid;
		r->target_pid = parsed.pid;
		r->target_tid = parsed.tid;
		r->path_len = (uint16_t)parsed.len;
	}
	batch_bytes(&w->scratch, path, parsed.len);
	batch_end(&w->scratch);
}

static void file_add(struct watch *w, const struct stat *st, uint32_t pid, uint64_t mask, const char *path, size_t len)
{
	struct file_record *r;

	enrich(w, pid);
	r = batch_begin(&w->scratch, RECORD_FILE, sizeof(*r));
	if (r) {
		r->dev = st->st_dev;
		r->inode = st->st_ino;
		r->access = access_of(mask);
		r->pid = pid;
		r->path_len = (uint16_t)len;
	}
	batch_bytes(&w->scratch, path, len);
	batch_end(&w->scratch);
}

/* A copy, since a caller may mark meanwhile; false if no procfs of that number is marked. */
static bool root_find(struct watch *w, uint64_t dev, struct root *ret, char *path, size_t room)
{
	bool found = false;
	size_t i;

	pthread_mutex_lock(&w->lock);
	for (i = 0; i < w->n_roots && !found; i++) {
		if (w->roots[i].dev != dev)
			continue;
		*ret = w->roots[i];
		snprintf(path, room, "%s", w->roots[i].path);
		ret->path = path;
		found = true;
	}
	pthread_mutex_unlock(&w->lock);
	return found;
}

static void file_event(struct watch *w, const struct fanotify_event_metadata *event)
{
	char name[16], path[4096], root_path[4096];
	uint32_t pid = (uint32_t)event->pid;
	struct proc_path parsed;
	struct root root;
	struct stat st;
	ssize_t len;

	snprintf(name, sizeof(name), "%d", event->fd);
	len = readlinkat(w->procfs->self_fds, name, path, sizeof(path));
	if (len < 0) {
		w->files.unreadable++;
		return;
	}
	/* Most of what a node reads below /proc: nothing of anybody's memory. */
	if (!(event->mask & FILE_MASK) && proc_path_parse(path, (size_t)len, &parsed) < 0)
		return;
	if (fstat(event->fd, &st) < 0) {
		w->files.unreadable++;
		return;
	}
	/* Procfs marks do not ask for CLOSE_WRITE, so such an event is a marked file's, whatever its device number was before. */
	if (!(event->mask & FAN_CLOSE_WRITE) && root_find(w, st.st_dev, &root, root_path, sizeof(root_path)))
		proc_file_add(w, &root, pid, event->mask, path, (size_t)len);
	else if (event->mask & FILE_MASK)
		file_add(w, &st, pid, event->mask, path, (size_t)len);
}

static bool is_shortage(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM;
}

static void files_drain(struct watch *w)
{
	char buf[FILE_EVENTS_BUF] __attribute__((aligned(8)));
	struct source *source = &w->files;
	int round;

	for (round = 0; round < FILE_ROUNDS; round++) {
		const struct fanotify_event_metadata *event = (const void *)buf;
		ssize_t n = read(source->fd, buf, sizeof(buf));

		if (n < 0) {
			if (errno == EAGAIN || errno == EINTR)
				break;
			if (errno == EBADF || errno == EFAULT || errno == EINVAL) {
				source_dead(w, source, LOST_FILES, errno, "read from fanotify");
				break;
			}
			/* Before v6.13 an event whose file cannot be opened is consumed and fails the read. */
			if (is_shortage(errno))
				source_lost(w, source, LOST_FILES);
			else
				source->unreadable++;
			continue;
		}
		for (; FAN_EVENT_OK(event, n); event = FAN_EVENT_NEXT(event, n)) {
			bool ours = (uint32_t)event->pid == w->self;

			if (event->vers != FANOTIFY_METADATA_VERSION) {
				source_dead(w, source, LOST_FILES, EPROTO, "fanotify speaks another version");
			} else if (event->mask & FAN_Q_OVERFLOW) {
				source_lost(w, source, LOST_FILES);
			} else if (!ours) {
				source->events++;
				if (event->fd >= 0)
					file_event(w, event);
				else if (is_shortage(-event->fd))
					source_lost(w, source, LOST_FILES);
				else
					source->unreadable++;
			}
			if (event->fd >= 0)
				close(event->fd);
		}
		commit(w);
		if (!source->live)
			return;
	}
	commit(w);
}

static void mounts_changed(struct watch *w, uint32_t id)
{
	struct mounts_record *r;
	bool known = false;
	size_t i;

	pthread_mutex_lock(&w->lock);
	for (i = 0; i < w->n_mounts; i++)
		known |= w->mounts[i].id == id;
	pthread_mutex_unlock(&w->lock);
	if (!known)
		return;
	r = batch_begin(&w->scratch, RECORD_MOUNTS, sizeof(*r));
	if (r)
		r->id = id;
	batch_end(&w->scratch);
	commit(w);
}

static void *watch_run(void *arg)
{
	struct epoll_event ready[32];
	struct watch *w = arg;
	int n, i;

	pthread_setname_np(pthread_self(), "rimon-watch");
	for (;;) {
		n = epoll_wait(w->epoll, ready, 32, -1);
		for (i = 0; i < n; i++) {
			switch (ready[i].data.u64 >> 32) {
			case TAG_WAKE:
				return NULL;
			case TAG_CONNECTOR:
				connector_drain(w);
				break;
			case TAG_FILES:
				files_drain(w);
				break;
			case TAG_MOUNTS:
				mounts_changed(w, (uint32_t)ready[i].data.u64);
				break;
			}
		}
	}
}

static int epoll_add(struct watch *w, int fd, uint32_t events, enum tag tag, uint32_t id)
{
	struct epoll_event event = { .events = events, .data.u64 = (uint64_t)tag << 32 | id };

	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void source_open(struct watch *w, struct source *source, enum tag tag,
			int (*open_source)(int *ret_fd, const char **ret_what))
{
	int err = open_source(&source->fd, &source->what);

	if (!err) {
		err = epoll_add(w, source->fd, EPOLLIN, tag, 0);
		source->what = "epoll_ctl";
	}
	source->error = -err;
	source->live = err == 0;
}

int watch_open(uint32_t sources, const struct procfs *p, void (*notify)(void *arg), void *arg, struct watch **ret)
{
	struct watch *w = calloc(1, sizeof(*w));
	sigset_t all, before;
	int err, i;

	if (!w)
		return -ENOMEM;
	pthread_mutex_init(&w->lock, NULL);
	w->procfs = p;
	w->notify = notify;
	w->notify_arg = arg;
	w->self = (uint32_t)getpid();
	w->connector.fd = w->files.fd = w->wake = -1;
	w->connector.what = w->files.what = "not asked for";
	for (i = 0; i < DATAGRAMS; i++) {
		w->pieces[i] = (struct iovec){ w->datagrams[i], sizeof(w->datagrams[i]) };
		w->headers[i].msg_hdr = (struct msghdr){
			.msg_name = &w->senders[i], .msg_iov = &w->pieces[i], .msg_iovlen = 1,
		};
	}
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0) {
		err = -errno;
		goto fail;
	}
	w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wake < 0) {
		err = -errno;
		goto fail;
	}
	err = epoll_add(w, w->wake, EPOLLIN, TAG_WAKE, 0);
	if (err)
		goto fail;
	err = proc_scan_new(p, &w->scan);
	if (err)
		goto fail;
	/* A source that cannot be had is told by the status; the others work on. */
	if (sources & WATCH_CONNECTOR)
		source_open(w, &w->connector, TAG_CONNECTOR, connector_open);
	if (sources & WATCH_FILES)
		source_open(w, &w->files, TAG_FILES, file_events_open);
	/* Signals are JavaScript's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&w->thread, NULL, watch_run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		goto fail;
	*ret = w;
	return 0;
fail:
	w->notify = NULL;
	watch_close(w);
	return err;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void watch_close(struct watch *w)
{
	uint64_t one = 1;
	size_t i;

	if (!w)
		return;
	if (w->notify) {
		/* A counter of 1 always has room. */
		while (write(w->wake, &one, sizeof(one)) < 0 && errno == EINTR)
			;
		pthread_join(w->thread, NULL);
	}
	for (i = 0; i < w->n_mounts; i++)
		close(w->mounts[i].fd);
	for (i = 0; i < w->n_roots; i++)
		free(w->roots[i].path);
	free(w->mounts);
	free(w->roots);
	close_fd(w->connector.fd);
	close_fd(w->files.fd);
	close_fd(w->wake);
	close_fd(w->epoll);
	proc_scan_free(w->scan);
	batch_free(&w->scratch);
	batch_free(&w->pending);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static struct watch_source source_status(struct source *source)
{
	struct watch_source status = {
		.live = source->live,
		.events = source->events,
		.lost = source->lost,
		.unreadable = source->unreadable,
	};

	/* Written before live was cleared, and never again. */
	if (!status.live) {
		status.error = source->error;
		status.what = source->what;
	}
	return status;
}

void watch_get_status(struct watch *w, struct watch_status *ret)
{
	ret->connector = source_status(&w->connector);
	ret->files = source_status(&w->files);
	pthread_mutex_lock(&w->lock);
	ret->dropped = w->dropped;
	pthread_mutex_unlock(&w->lock);
}

static int root_add(struct watch *w, const char *path, uint64_t dev, bool is_ours)
{
	char *copy = strdup(path);
	struct root *roots;
	int err = 0;
	size_t i;

	if (!copy)
		return -ENOMEM;
	pthread_mutex_lock(&w->lock);
	for (i = 0; i < w->n_roots; i++)
		if (w->roots[i].dev == dev)
			break;
	if (i == w->n_roots) {
		roots = i < ROOTS_MAX ? realloc(w->roots, (i + 1) * sizeof(*roots)) : NULL;
		if (!roots) {
			err = i < ROOTS_MAX ? -ENOMEM : -ENOSPC;
			goto out;
		}
		w->roots = roots;
		w->roots[i].path = NULL;
		w->n_roots++;
	}
	free(w->roots[i].path);
	w->roots[i] = (struct root){ .dev = dev, .is_ours = is_ours, .path = copy };
	copy = NULL;
out:
	pthread_mutex_unlock(&w->lock);
	free(copy);
	return err;
}

int watch_mark_procfs(struct watch *w, const char *path, uint64_t *ret_dev, uint64_t *ret_pid_ns)
{
	uint64_t pid_ns = 0;
	struct statfs fs;
	struct stat st;
	bool is_ours;
	int fd, err;

	if (!w->files.live)
		return -EBADF;
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0) {
		err = -errno;
		goto out;
	}
	if (fs.f_type != PROC_SUPER_MAGIC) {
		err = -ENODEV;
		goto out;
	}
	is_ours = procfs_is_ours(w->procfs, fd);
	if (is_ours)
		pid_ns = w->procfs->pid_ns;
	else if (namespace_inode(fd, "1/ns/pid", &pid_ns) < 0)
		/* Its first process is gone, or not ours to look at. */
		pid_ns = 0;
	/* Known before the first event of it comes. */
	err = root_add(w, path, st.st_dev, is_ours);
	if (err)
		goto out;
	if (fanotify_mark(w->files.fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, PROCFS_MASK, fd, ".") < 0) {
		err = -errno;
		goto out;
	}
	*ret_dev = st.st_dev;
	*ret_pid_ns = pid_ns;
out:
	close(fd);
	return err;
}

void watch_forget_procfs(struct watch *w, uint64_t dev)
{
	size_t i;

	pthread_mutex_lock(&w->lock);
	for (i = 0; i < w->n_roots; i++) {
		if (w->roots[i].dev != dev)
			continue;
		free(w->roots[i].path);
		w->roots[i] = w->roots[--w->n_roots];
		break;
	}
	pthread_mutex_unlock(&w->lock);
}

int watch_mark_file(struct watch *w, const char *path, uint64_t *ret_dev, uint64_t *ret_inode)
{
	struct stat st;
	int fd, err = 0;

	if (!w->files.live)
		return -EBADF;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* By descriptor, so that what is marked is what is reported. */
	if (fstat(fd, &st) < 0 || fanotify_mark(w->files.fd, FAN_MARK_ADD, FILE_MASK, fd, NULL) < 0) {
		err = -errno;
	} else {
		*ret_dev = st.st_dev;
		*ret_inode = st.st_ino;
	}
	close(fd);
	return err;
}

int watch_unmark_file(struct watch *w, const char *path)
{
	if (!w->files.live)
		return -EBADF;
	/* A mark goes with its file, so one that is gone needs no removal. */
	if (fanotify_mark(w->files.fd, FAN_MARK_REMOVE, FILE_MASK, AT_FDCWD, path) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int watch_add_mounts(struct watch *w, const char *path, uint32_t id)
{
	struct mounts *mounts;
	int fd, err;
	size_t i;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	pthread_mutex_lock(&w->lock);
	for (i = 0; i < w->n_mounts; i++) {
		if (w->mounts[i].id == id) {
			err = -EEXIST;
			goto fail;
		}
	}
	mounts = w->n_mounts < MOUNTS_MAX ? realloc(w->mounts, (w->n_mounts + 1) * sizeof(*mounts)) : NULL;
	if (!mounts) {
		err = w->n_mounts < MOUNTS_MAX ? -ENOMEM : -ENOSPC;
		goto fail;
	}
	w->mounts = mounts;
	/* EPOLLERR comes unasked; a mount table is always readable, so EPOLLIN would never rest. */
	err = epoll_add(w, fd, EPOLLPRI, TAG_MOUNTS, id);
	if (err)
		goto fail;
	w->mounts[w->n_mounts++] = (struct mounts){ id, fd };
	pthread_mutex_unlock(&w->lock);
	return 0;
fail:
	pthread_mutex_unlock(&w->lock);
	close(fd);
	return err;
}

void watch_remove_mounts(struct watch *w, uint32_t id)
{
	size_t i;

	pthread_mutex_lock(&w->lock);
	for (i = 0; i < w->n_mounts; i++) {
		if (w->mounts[i].id != id)
			continue;
		/* Closing the only descriptor takes it out of the epoll too. */
		close(w->mounts[i].fd);
		w->mounts[i] = w->mounts[--w->n_mounts];
		break;
	}
	pthread_mutex_unlock(&w->lock);
}
