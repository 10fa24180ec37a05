/*
 * The thread that reads who changes which file. Only what is watched goes any
 * further than one look at the folder it lies in, so that a storm elsewhere on
 * the filesystem costs little; the thread waits for nobody, so that the
 * kernel's queue is its own to empty.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file_watch.h"

#define DIRENT_MASK	(FAN_CREATE | FAN_DELETE)
#define MOVED_MASK	(FAN_MOVED_FROM | FAN_MOVED_TO)
#define CONTENT_MASK	(FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ATTRIB)
/* A read opens a descriptor of the actor for each event, some 700 of them here. */
#define BUF		65536
#define ACTORS		64
#define ACTORS_BYTES	((size_t)2 << 20)
#define KNOWN_FOR_NS	500000000ull
#define PATH_ROOM	4096
/* The other half of a move is there by then. */
#define HALF_MS		10

struct actor_seen {
	uint32_t pid;
	uint64_t start_ticks;
	uint64_t at_ns;
	uint64_t read;		/* the number of the read it was last found in */
};

/* Half of a move, where the kernel tells it in two. */
struct half_move {
	bool is_open;
	uint32_t pid;
	uint64_t start_ticks;
	bool wanted;
	bool folder;
	size_t len;
	char path[PATH_ROOM];
};

struct file_watch {
	int group;
	int wake;		/* ends the thread */
	int ready;		/* there is something to drain */
	uint64_t mask;
	uint32_t self;
	bool has_pidfds;
	bool has_targets;
	pthread_t thread;
	bool has_thread;

	/* Shared with who aims and marks. */
	pthread_mutex_t aim_lock;
	struct file_folders *folders;

	/* Shared with who drains. */
	pthread_mutex_t lock;
	struct file_queue filling;
	uint64_t overflows_untold;
	bool is_ready;

	/* The drainer's. */
	struct file_queue draining;
	size_t drained;

	/* The thread's. */
	const struct procfs *procfs;
	struct proc_scan *scan;
	struct batch scratch;
	struct actor_seen actors[ACTORS];
	size_t actors_next;
	uint64_t reads;
	uint64_t now_ns;
	struct half_move half;
	char path[PATH_ROOM];
	char from[PATH_ROOM];
	char buf[BUF] __attribute__((aligned(8)));

	_Atomic uint64_t events;
	_Atomic uint64_t overflows;
	_Atomic uint64_t dropped;
	_Atomic uint64_t unresolved;
	_Atomic int error;
};

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
	*ret_what = errno == EINVAL ? "fanotify_init (names of files need Linux 5.9)" :
				      "fanotify_init (it needs CAP_SYS_ADMIN)";
	return -errno;
}

static bool is_alive(int pidfd)
{
	return syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0 || errno != ESRCH;
}

/* The start time of who did it, read once while it lives; 0: it is gone. */
static uint64_t actor_find(struct file_watch *f, uint32_t pid, int pidfd)
{
	const struct process_record *r;
	struct actor_seen *seen = NULL;
	uint64_t ticks = 0;
	size_t i;

	/* 0: of another pid namespace. */
	if (!pid)
		return 0;
	for (i = 0; i < ACTORS && !seen; i++)
		if (f->actors[i].pid == pid && f->now_ns - f->actors[i].at_ns <= KNOWN_FOR_NS)
			seen = &f->actors[i];
	if (seen && seen->read == f->reads)
		return seen->start_ticks;
	if (pidfd == FAN_NOPIDFD || proc_start_ticks(f->procfs->root, pid, &ticks) < 0)
		/* Nobody else has its number so soon. */
		return seen ? seen->start_ticks : 0;
	if (seen && seen->start_ticks == ticks) {
		seen->read = f->reads;
		return ticks;
	}
	batch_clear(&f->scratch);
	if (proc_scan_one(f->scan, pid, WANT_ENRICHED, &f->scratch) < 0)
		return 0;
	r = batch_record(&f->scratch);
	/* What was read is another's if this one has gone. */
	if (!r || (pidfd >= 0 && !is_alive(pidfd)))
		return 0;
	f->actors[f->actors_next] = (struct actor_seen){ pid, r->start_ticks, f->now_ns, f->reads };
	f->actors_next = (f->actors_next + 1) % ACTORS;
	pthread_mutex_lock(&f->lock);
	if (f->filling.actors.len + f->scratch.len <= ACTORS_BYTES)
		batch_append(&f->filling.actors, &f->scratch);
	if (f->filling.actors.error)
		batch_clear(&f->filling.actors);
	pthread_mutex_unlock(&f->lock);
	return r->start_ticks;
}

static void change_add(struct file_watch *f, const struct file_event *event, uint32_t bits, size_t path_len,
		       size_t from_len)
{
	struct file_change change = {
		.time_ns = f->now_ns,
		.start_ticks = actor_find(f, event->pid, event->pidfd),
		.pid = event->pid,
		.bits = bits,
		.path_len = (uint16_t)path_len,
		.from_len = (uint16_t)from_len,
	};

	pthread_mutex_lock(&f->lock);
	if (!file_queue_add(&f->filling, &change, f->path, f->from))
		f->dropped++;
	pthread_mutex_unlock(&f->lock);
}

/* The path of a name in a folder; 0 if it is longer than paths are. */
static size_t entry_path(const struct file_folder *folder, const struct file_entry *entry, char *path)
{
	size_t len = folder->path_len;

	if (len + 1 + entry->name_len > PATH_ROOM)
		return 0;
	memcpy(path, file_folder_path(folder), len);
	/* Of the folder itself. */
	if (entry->name_len == 1 && entry->name[0] == '.' && len)
		return len;
	path[len++] = '/';
	if (entry->name_len == 1 && entry->name[0] == '.')
		return len;
	memcpy(path + len, entry->name, entry->name_len);
	return len + entry->name_len;
}

static bool entry_wanted(const struct file_watch *f, const struct file_folder *folder, const char *path, size_t len,
			 uint64_t mask)
{
	if (!folder->mixed)
		return folder->inside;
	if (file_folders_wants(f->folders, path, len))
		return true;
	/* Who takes away the folder above it takes away what is watched. */
	return (mask & FAN_ONDIR) && (mask & ~(uint64_t)(CONTENT_MASK | FAN_ONDIR)) &&
	       file_folders_leads(f->folders, path, len);
}

static uint32_t bits_of(uint64_t mask)
{
	return (mask & FAN_CREATE ? CHANGE_CREATED : 0u) | (mask & FAN_DELETE ? CHANGE_REMOVED : 0u) |
	       (mask & FAN_MODIFY ? CHANGE_WRITTEN : 0u) | (mask & FAN_CLOSE_WRITE ? CHANGE_CLOSED : 0u) |
	       (mask & FAN_ATTRIB ? CHANGE_ATTRIBUTES : 0u) | (mask & FAN_ONDIR ? CHANGE_FOLDER : 0u);
}

/* A change of a file whose name the kernel does not say, since it came by none: its number of links, or its contents by a handle. */
static void nameless_event(struct file_watch *f, const struct file_event *event)
{
	uint32_t links;
	ssize_t len = file_folders_path(f->folders, &event->target, f->path, PATH_ROOM, &links);

	/* Whoever takes the last name away is told by that. */
	if (len > 0 && links && file_folders_wants(f->folders, f->path, (size_t)len))
		change_add(f, event, bits_of(event->mask), (size_t)len, 0);
}

static void moved(struct file_watch *f, const struct file_event *event, bool folder, size_t len, bool wanted,
		  size_t from_len, bool from_wanted)
{
	if (!wanted && !from_wanted)
		return;
	change_add(f, event,
		   CHANGE_MOVED | (folder ? CHANGE_FOLDER : 0u) | (wanted ? 0u : CHANGE_TO_OUTSIDE) |
			   (from_wanted ? 0u : CHANGE_FROM_OUTSIDE),
		   len, from_len);
}

static void rename_event(struct file_watch *f, const struct file_event *event)
{
	const struct file_folder *folder = file_folders_find(f->folders, &event->old.folder);
	bool wanted = false, from_wanted = false, is_folder = event->mask & FAN_ONDIR;
	size_t len = 0, from_len = 0;

	if (folder) {
		from_len = entry_path(folder, &event->old, f->from);
		from_wanted = entry_wanted(f, folder, f->from, from_len, event->mask);
	}
	/* Finding the one may throw the other away. */
	folder = file_folders_find(f->folders, &event->entry.folder);
	if (folder) {
		len = entry_path(folder, &event->entry, f->path);
		wanted = entry_wanted(f, folder, f->path, len, event->mask);
	} else {
		f->unresolved++;
	}
	moved(f, event, is_folder, len, wanted, from_len, from_wanted);
	if (is_folder)
		file_folders_forget(f->folders);
}

/* Ends the wait for the other half: what was moved is gone from where it was. */
static void half_settle(struct file_watch *f)
{
	struct file_event event = { .pid = f->half.pid, .pidfd = FAN_NOPIDFD };

	if (!f->half.is_open)
		return;
	f->half.is_open = false;
	if (!f->half.wanted)
		return;
	memcpy(f->path, f->half.path, f->half.len);
	change_add(f, &event, CHANGE_REMOVED | (f->half.folder ? CHANGE_FOLDER : 0u), f->half.len, 0);
}

/* Before v5.17: the two halves come one behind the other. */
static void half_event(struct file_watch *f, const struct file_event *event, size_t len, bool wanted)
{
	bool is_folder = event->mask & FAN_ONDIR;

	if (event->mask & FAN_MOVED_TO) {
		if (f->half.is_open && f->half.pid == event->pid && f->half.folder == is_folder) {
			f->half.is_open = false;
			memcpy(f->from, f->half.path, f->half.len);
			moved(f, event, is_folder, len, wanted, f->half.len, f->half.wanted);
		} else if (wanted) {
			half_settle(f);
			change_add(f, event, CHANGE_CREATED | (is_folder ? CHANGE_FOLDER : 0u), len, 0);
		}
	}
	if (event->mask & FAN_MOVED_FROM) {
		half_settle(f);
		f->half.is_open = true;
		f->half.pid = event->pid;
		f->half.wanted = wanted;
		f->half.folder = is_folder;
		f->half.len = len;
		memcpy(f->half.path, f->path, len);
		/* While it can still be read. */
		if (wanted)
			actor_find(f, event->pid, event->pidfd);
	}
	if (is_folder)
		file_folders_forget(f->folders);
}

static void named_event(struct file_watch *f, const struct file_event *event)
{
	const struct file_folder *folder = file_folders_find(f->folders, &event->entry.folder);
	uint32_t bits = bits_of(event->mask);
	bool wanted;
	size_t len;

	if (!folder) {
		/* That it went is told where it was. */
		f->unresolved++;
		return;
	}
	if (!folder->mixed && !folder->inside && !(event->mask & MOVED_MASK))
		return;
	len = entry_path(folder, &event->entry, f->path);
	if (!len) {
		f->unresolved++;
		return;
	}
	wanted = entry_wanted(f, folder, f->path, len, event->mask);
	/* It may be gone with all that is in it before any of that is looked at. */
	if (wanted && (event->mask & FAN_CREATE) && (event->mask & FAN_ONDIR))
		file_folders_learn(f->folders, &event->target, folder, event->entry.name, event->entry.name_len);
	if (wanted && (bits & ~(uint32_t)CHANGE_FOLDER))
		change_add(f, event, bits, len, 0);
	if (event->mask & MOVED_MASK)
		half_event(f, event, len, wanted);
}

static void event_read(struct file_watch *f, const struct file_event *event)
{
	if (event->mask & FAN_Q_OVERFLOW) {
		f->overflows++;
		pthread_mutex_lock(&f->lock);
		f->overflows_untold++;
		pthread_mutex_unlock(&f->lock);
		/* A folder that was moved meanwhile is not told of. */
		file_folders_forget(f->folders);
		return;
	}
	f->events++;
	if (event->pid == f->self) {
		/* What rimon itself writes; of its moves there must be no wrong memory. */
		if ((event->mask & FAN_ONDIR) && (event->mask & (FAN_RENAME | MOVED_MASK)))
			file_folders_forget(f->folders);
		return;
	}
	if (event->mask & FAN_RENAME)
		rename_event(f, event);
	else if (event->entry.name_len)
		named_event(f, event);
	else
		nameless_event(f, event);
}

static int group_read(struct file_watch *f)
{
	ssize_t n = read(f->group, f->buf, sizeof(f->buf));
	size_t at, used;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	f->reads++;
	f->now_ns = monotonic_ns();
	pthread_mutex_lock(&f->aim_lock);
	for (at = 0; at < (size_t)n; at += used) {
		struct file_event event;
		int err = file_event_parse(f->buf + at, (size_t)n - at, &event, &used);

		if (err) {
			pthread_mutex_unlock(&f->aim_lock);
			return err;
		}
		if (!(event.mask & FAN_MOVED_TO))
			half_settle(f);
		event_read(f, &event);
		if (event.pidfd >= 0)
			close(event.pidfd);
	}
	pthread_mutex_unlock(&f->aim_lock);
	return 0;
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

static void *file_watch_run(void *arg)
{
	struct file_watch *f = arg;
	struct pollfd fds[] = {
		{ .fd = f->wake, .events = POLLIN },
		{ .fd = f->group, .events = POLLIN },
	};
	struct priority priority;

	pthread_setname_np(pthread_self(), "rimon-files");
	priority_start(&priority);
	for (;;) {
		int n = poll(fds, 2, f->half.is_open ? HALF_MS : -1);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			f->error = errno;
			break;
		}
		if (fds[0].revents)
			break;
		if (n == 0)
			half_settle(f);
		if (fds[1].revents) {
			int err = group_read(f);

			if (err) {
				f->error = -err;
				break;
			}
		}
		tell(f);
		priority_adjust(&priority);
	}
	if (f->error)
		file_watch_wake(f);
	return NULL;
}

int file_watch_open(const struct procfs *p, enum file_watch_level most, struct file_watch **ret, const char **ret_what)
{
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
	err = group_open(f, most, ret_what);
	if (err)
		goto fail;
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
		/* A counter of 1 always has room. */
		while (write(f->wake, &one, sizeof(one)) < 0 && errno == EINTR)
			;
		pthread_join(f->thread, NULL);
	}
	fd_close(f->group);
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

	pthread_mutex_lock(&f->aim_lock);
	err = file_folders_view(f->folders, path, &fsid);
	pthread_mutex_unlock(&f->aim_lock);
	if (err)
		return err;
	return fanotify_mark(f->group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, f->mask, AT_FDCWD, path) < 0 ? -errno : 0;
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
