/*
 * The thread that reads who changes which file. Only what is watched goes any
 * further than one look at the folder it lies in, so that a storm elsewhere on
 * the filesystem costs little; the thread waits for nobody, so that the
 * kernel's queue is its own to empty.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "file_watching.h"

/* The other half of a move is there by then. */
#define HALF_MS		10

/*
 * In a storm events are left to gather for a millisecond: the kernel merges like
 * with like, and nobody is interrupted for each. 20,000 a second is a storm.
 */
#define STORM_NS	10000000ull
#define STORM_EVENTS	200
#define GATHER_MS	1

static int group_open(struct file_watch *f, enum file_watch_level most, const char **ret_what)
{
	/*
	 * The queue is bounded by fs.fanotify.max_queued_events: while rimon is
	 * stopped, one without a bound would take the memory of the node.
	 */
	unsigned int flags = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME;
	static const struct {
		unsigned int flags;
		bool pidfds, targets;
	} levels[] = {
		[FILE_WATCH_MOVES] = { FAN_REPORT_PIDFD | FAN_REPORT_FID | FAN_REPORT_TARGET_FID, true, true },
		[FILE_WATCH_PIDFDS] = { FAN_REPORT_PIDFD | FAN_REPORT_FID, true, false },
		[FILE_WATCH_NAMES] = { FAN_REPORT_FID, false, false },
	};
	int level;

	*ret_what = "not asked for";
	errno = 0;

	for (level = most; level >= FILE_WATCH_NAMES; level--) {
		f->group = fanotify_init(flags | levels[level].flags, 0);
		if (f->group >= 0) {
			f->has_pidfds = levels[level].pidfds;
			f->has_targets = levels[level].targets;
			f->mask = DIRENT_MASK | CONTENT_MASK | FAN_ONDIR |
				  (f->has_targets ? FAN_RENAME : (uint64_t)MOVED_MASK);
			return 0;
		}
		if (errno != EINVAL)
			break;
	}
	if (!errno)
		return -ENOSYS;
	*ret_what = errno == EINVAL ? "fanotify_init (names of files need Linux 5.9)" :
				      "fanotify_init (it needs CAP_SYS_ADMIN)";
	return -errno;
}

static int group_read(struct file_watch *f)
{
	ssize_t n = read(f->group, f->buf, sizeof(f->buf));
	size_t at, used;
	int err = 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	f->reads++;
	f->now_ns = monotonic_ns();
	pthread_mutex_lock(&f->aim_lock);
	for (at = 0; at < (size_t)n; at += used) {
		struct file_event event;

		err = file_event_parse(f->buf + at, (size_t)n - at, &event, &used);
		if (err)
			break;
		if (!(event.mask & FAN_MOVED_TO))
			file_half_settle(f);
		file_event_take(f, &event);
		if (event.pidfd >= 0)
			close(event.pidfd);
	}
	file_folders_let_go(f->folders);
	pthread_mutex_unlock(&f->aim_lock);
	return err;
}

static void tell(struct file_watch *f)
{
	bool is_news;

	pthread_mutex_lock(&f->lock);
	is_news = !f->is_ready && (f->filling.n || f->filling.dropped || f->overflows_untold);
	f->is_ready |= is_news;
	pthread_mutex_unlock(&f->lock);
	if (is_news)
		file_watch_wake(f);
}

static bool is_storm(struct file_watch *f)
{
	uint64_t now = monotonic_ns();

	if (now - f->storm_since_ns >= STORM_NS) {
		f->is_storm = f->events - f->storm_events >= STORM_EVENTS;
		f->storm_since_ns = now;
		f->storm_events = f->events;
	}
	return f->is_storm;
}

static void *file_watch_run(void *arg)
{
	struct file_watch *f = arg;
	struct pollfd fds[] = {
		{ .fd = f->wake, .events = POLLIN },
		{ .fd = f->group, .events = POLLIN },
		{ .fd = -1, .events = POLLIN },
	};
	struct priority priority;
	int timeout = -1;

	pthread_setname_np(pthread_self(), "rimon-files");
	priority_start(&priority);
	for (;;) {
		int n = poll(fds, 3, f->half.is_open ? HALF_MS : timeout);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			f->error = errno;
			break;
		}
		if (fds[0].revents) {
			uint64_t count;

			if (f->stopping)
				break;
			/* There is inotify by now. */
			if (read(f->wake, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
				break;
			pthread_mutex_lock(&f->aim_lock);
			fds[2].fd = f->inotify ? file_inotify_fd(f->inotify) : -1;
			pthread_mutex_unlock(&f->aim_lock);
		}
		if (n == 0)
			file_half_settle(f);
		if (fds[1].revents) {
			int err = group_read(f);

			if (err) {
				f->error = -err;
				break;
			}
		}
		if (fds[2].revents) {
			int err;

			f->now_ns = monotonic_ns();
			pthread_mutex_lock(&f->aim_lock);
			err = file_inotify_read(f);
			pthread_mutex_unlock(&f->aim_lock);
			if (err) {
				f->error = -err;
				break;
			}
		}
		tell(f);
		timeout = priority_adjust(&priority);
		/* Who ends the thread is heard meanwhile, and answered by the next poll. */
		if (is_storm(f))
			poll(fds, 1, GATHER_MS);
	}
	if (f->error)
		file_watch_wake(f);
	return NULL;
}

int file_watch_open(const struct procfs *p, enum file_watch_level most, struct file_watch **ret, int *ret_without,
		    const char **ret_what)
{
	const char *without = NULL;
	struct file_watch *f = calloc(1, sizeof(*f));
	sigset_t all, before;
	int err;

	*ret_what = "memory for the file watch";
	if (!f)
		return -ENOMEM;
	f->procfs = p;
	f->self = (uint32_t)getpid();
	f->group = f->wake = f->ready = -1;
	pthread_mutex_init(&f->lock, NULL);
	pthread_mutex_init(&f->aim_lock, NULL);
	err = file_queue_open(&f->filling, p->digest_key);
	if (!err)
		err = file_queue_open(&f->draining, p->digest_key);
	if (!err)
		err = file_folders_new(p, &f->folders);
	if (!err)
		err = proc_scan_new(p, &f->scan);
	if (err)
		goto fail;
	/* Then there is inotify. */
	*ret_without = -group_open(f, most, &without);
	*ret_what = "eventfd";
	f->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->wake < 0 || f->ready < 0) {
		err = -errno;
		goto fail;
	}
	*ret_what = "a thread";
	/* Signals are JavaScript's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&f->thread, NULL, file_watch_run, f);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		goto fail;
	f->has_thread = true;
	*ret = f;
	*ret_what = without;
	return 0;
fail:
	file_watch_close(f);
	return err;
}

static void fd_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

void file_watch_close(struct file_watch *f)
{
	uint64_t one = 1;

	if (!f)
		return;
	if (f->has_thread) {
		f->stopping = true;
		/* A counter of 1 always has room. */
		while (write(f->wake, &one, sizeof(one)) < 0 && errno == EINTR)
			;
		pthread_join(f->thread, NULL);
	}
	fd_close(f->group);
	file_inotify_close(f->inotify);
	fd_close(f->wake);
	fd_close(f->ready);
	file_queue_close(&f->filling);
	file_queue_close(&f->draining);
	file_folders_free(f->folders);
	proc_scan_free(f->scan);
	batch_free(&f->scratch);
	pthread_mutex_destroy(&f->lock);
	pthread_mutex_destroy(&f->aim_lock);
	free(f);
}

int file_watch_fd(const struct file_watch *f)
{
	return f->ready;
}

void file_watch_hush(struct file_watch *f)
{
	uint64_t count;

	while (read(f->ready, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

void file_watch_wake(struct file_watch *f)
{
	uint64_t one = 1;

	while (write(f->ready, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

int file_watch_aim(struct file_watch *f, const char *included, size_t included_len, const char *excluded,
		   size_t excluded_len)
{
	int err;

	pthread_mutex_lock(&f->aim_lock);
	err = file_folders_aim(f->folders, included, included_len, excluded, excluded_len);
	pthread_mutex_unlock(&f->aim_lock);
	return err;
}

int file_watch_mark(struct file_watch *f, const char *path)
{
	uint64_t fsid;
	int err;

	if (f->group < 0)
		return -EBADF;
	pthread_mutex_lock(&f->aim_lock);
	err = file_folders_view(f->folders, path, &fsid);
	pthread_mutex_unlock(&f->aim_lock);
	if (err)
		return err;
	return fanotify_mark(f->group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, f->mask, AT_FDCWD, path) < 0 ? -errno : 0;
}

int file_watch_walk(struct file_watch *f, const char *path)
{
	uint64_t one = 1;
	int err = 0;

	pthread_mutex_lock(&f->aim_lock);
	if (!f->inotify) {
		err = file_inotify_open(&f->inotify);
		while (!err && write(f->wake, &one, sizeof(one)) < 0 && errno == EINTR)
			;
	}
	if (!err)
		err = file_inotify_walk(f, path);
	pthread_mutex_unlock(&f->aim_lock);
	return err;
}

static void change_record(struct batch *out, const struct file_queue *q, const struct file_change *change)
{
	struct file_change_record *r = batch_begin(out, RECORD_FILE_CHANGE, sizeof(*r));

	if (r) {
		r->time_ns = change->time_ns;
		r->start_ticks = change->start_ticks;
		r->changes = change->bits;
		r->pid = change->pid;
		r->count = change->count;
		r->path_len = change->path_len;
		r->from_len = change->from_len;
	}
	batch_bytes(out, q->bytes + change->at, (size_t)change->path_len + change->from_len);
	batch_end(out);
}

bool file_watch_drain(struct file_watch *f, size_t room, struct batch *out, uint64_t *ret_overflows,
		      uint64_t *ret_dropped)
{
	struct file_queue *q = &f->draining;
	size_t limit = out->len + room;
	bool more;

	*ret_overflows = *ret_dropped = 0;
	if (f->drained == q->n) {
		file_queue_clear(q);
		f->drained = 0;
		pthread_mutex_lock(&f->lock);
		file_queue_swap(&f->filling, q);
		f->is_ready = false;
		*ret_overflows = f->overflows_untold;
		f->overflows_untold = 0;
		pthread_mutex_unlock(&f->lock);
		*ret_dropped = q->dropped;
		batch_append(out, &q->actors);
	}
	while (f->drained < q->n && out->len < limit)
		change_record(out, q, &q->changes[f->drained++]);
	pthread_mutex_lock(&f->lock);
	/* Whoever drains is woken anew only once it has taken all. */
	more = f->drained < q->n || f->is_ready;
	pthread_mutex_unlock(&f->lock);
	return more;
}

void file_watch_get_status(struct file_watch *f, struct file_watch_status *ret)
{
	ret->events = f->events;
	ret->overflows = f->overflows;
	ret->dropped = f->dropped;
	ret->unresolved = f->unresolved;
	ret->names_movers = f->has_targets;
	ret->has_pidfds = f->has_pidfds;
	ret->error = f->error;
}