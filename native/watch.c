/*
 * One thread that drains every event source into a batch and reads, while
 * they are still there, the processes that act. JavaScript takes the batch
 * when it can; what it does not take in time is dropped and counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "watch.h"

#define PENDING_MAX		((size_t)16 << 20)
#define MOUNTS_MAX		65536
#define ENRICHED_FOR_NS		500000000ull

void watch_commit(struct watch *w)
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

void watch_take(struct watch *w, struct batch *out)
{
	uint64_t dropped;

	pthread_mutex_lock(&w->lock);
	*out = w->pending;
	memset(&w->pending, 0, sizeof(w->pending));
	w->notified = false;
	if (w->changes_wait)
		file_watch_wake(w->file_watch);
	w->changes_wait = false;
	dropped = w->dropped_untold;
	w->dropped_untold = 0;
	pthread_mutex_unlock(&w->lock);
	/* They were dropped because this batch was full, so they came after it. */
	if (dropped && !batch_lost(out, LOST_QUEUE, dropped)) {
		pthread_mutex_lock(&w->lock);
		w->dropped_untold += dropped;
		pthread_mutex_unlock(&w->lock);
	}
}

void watch_source_lost(struct watch *w, struct source *source, uint32_t which, uint64_t count)
{
	source->lost += count ? count : 1;
	batch_lost(&w->scratch, which, count);
}

void watch_source_dead(struct watch *w, struct source *source, uint32_t which, int err, const char *what)
{
	epoll_ctl(w->epoll, EPOLL_CTL_DEL, source->fd, NULL);
	source->error = err;
	source->what = what;
	source->live = false;
	watch_source_lost(w, source, which, 0);
}

void watch_forget(struct watch *w, uint32_t pid)
{
	size_t i;

	for (i = 0; i < ENRICHED; i++)
		if (w->enriched[i].pid == pid)
			w->enriched[i].pid = 0;
}

bool watch_enrich(struct watch *w, uint32_t pid)
{
	const struct process_record *r;
	uint64_t now, ticks;
	size_t i;

	/* 0: of another pid namespace. */
	if (!pid)
		return false;
	now = monotonic_ns();
	for (i = 0; i < ENRICHED; i++) {
		struct enriched *e = &w->enriched[i];

		if (e->pid != pid || now - e->at_ns > ENRICHED_FOR_NS)
			continue;
		if (proc_start_ticks(w->procfs->root, pid, &ticks) < 0 || ticks == e->start_ticks)
			return true;
	}
	if (proc_scan_one(w->scan, pid, WANT_ENRICHED, &w->scratch) < 0)
		return false;
	r = batch_record(&w->scratch);
	if (!r)
		return false;
	watch_forget(w, pid);
	w->enriched[w->enriched_next] = (struct enriched){ pid, r->start_ticks, now };
	w->enriched_next = (w->enriched_next + 1) % ENRICHED;
	return true;
}

void watch_actor_add(struct watch *w, const struct actor *actor)
{
	size_t comm_len = strnlen(actor->comm, sizeof(actor->comm));
	struct process_record *r;

	if (watch_enrich(w, actor->pid))
		return;
	r = batch_begin(&w->scratch, RECORD_PROCESS, sizeof(*r));
	if (r) {
		r->start_ticks = actor->start_ticks;
		r->have = HAVE_IDS;
		r->pid = actor->pid;
		r->parent_pid = actor->parent_pid;
		r->uid = actor->uid;
		r->euid = actor->euid;
		r->gid = actor->gid;
		r->comm_len = (uint16_t)comm_len;
	}
	batch_bytes(&w->scratch, actor->comm, comm_len);
	batch_end(&w->scratch);
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
	watch_commit(w);
}

static void *watch_run(void *arg)
{
	struct epoll_event ready[32];
	struct priority priority;
	struct watch *w = arg;
	int timeout = -1, until_adjusted, n, i;

	pthread_setname_np(pthread_self(), "rimon-watch");
	priority_start(&priority);
	for (;;) {
		n = epoll_wait(w->epoll, ready, 32, timeout);
		for (i = 0; i < n; i++) {
			switch (ready[i].data.u64 >> 32) {
			case TAG_WAKE:
				return NULL;
			case TAG_CONNECTOR:
				watch_connector_drain(w);
				break;
			case TAG_FILES:
				watch_files_drain(w);
				break;
			case TAG_ATTRIBUTES:
				watch_attributes_drain(w);
				break;
			case TAG_MEMORY:
				watch_memory_drain(w);
				break;
			case TAG_ACCESS:
				watch_access_drain(w);
				break;
			case TAG_EXEC:
				watch_exec_drain(w);
				break;
			case TAG_CALLS:
				watch_calls_drain(w);
				break;
			case TAG_SIGNALS:
				watch_signals_drain(w);
				break;
			case TAG_SYSCTL:
				watch_sysctl_drain(w);
				break;
			case TAG_CHANGES:
				watch_changes_drain(w);
				break;
			case TAG_MOUNTS:
				mounts_changed(w, (uint32_t)ready[i].data.u64);
				break;
			}
		}
		timeout = watch_calls_settle(w);
		until_adjusted = priority_adjust(&priority);
		if (timeout < 0)
			timeout = until_adjusted;
	}
}

static int epoll_add(struct watch *w, int fd, uint32_t events, enum tag tag, uint32_t id)
{
	struct epoll_event event = { .events = events, .data.u64 = (uint64_t)tag << 32 | id };

	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int watch_listen_to(struct watch *w, int fd, enum tag tag)
{
	return epoll_add(w, fd, EPOLLIN, tag, 0);
}

static int open_connector(struct watch *w, int *ret_fd, const char **ret_what)
{
	(void)w;
	return connector_open(ret_fd, ret_what);
}

static int open_files(struct watch *w, int *ret_fd, const char **ret_what)
{
	(void)w;
	return file_events_open(ret_fd, ret_what);
}

struct opening {
	struct watch *watch;
	struct source *source;
	int (*open)(struct watch *w, int *ret_fd, const char **ret_what);
	uint32_t which;
	enum tag tag;
	bool has_thread;
	pthread_t thread;
};

static void *source_open(void *arg)
{
	struct opening *o = arg;
	struct source *source = o->source;
	int err = o->open(o->watch, &source->fd, &source->what);

	if (!err) {
		err = epoll_add(o->watch, source->fd, EPOLLIN, o->tag, 0);
		source->what = "epoll_ctl";
	}
	source->error = -err;
	source->live = err == 0;
	return NULL;
}

/* All at once, since the kernel takes its time to verify the programs. One that cannot be had is told by the status. */
static void sources_open(struct watch *w, uint32_t sources)
{
	struct opening openings[] = {
		{ w, &w->memory, watch_memory_open, WATCH_MEMORY, TAG_MEMORY, false, 0 },
		{ w, &w->access, watch_access_open, WATCH_ACCESS, TAG_ACCESS, false, 0 },
		{ w, &w->calls, watch_calls_open, WATCH_CALLS, TAG_CALLS, false, 0 },
		{ w, &w->signals, watch_signals_open, WATCH_SIGNALS, TAG_SIGNALS, false, 0 },
		{ w, &w->exec, watch_exec_open, WATCH_EXEC, TAG_EXEC, false, 0 },
		{ w, &w->connector, open_connector, WATCH_CONNECTOR, TAG_CONNECTOR, false, 0 },
		{ w, &w->files, open_files, WATCH_FILES, TAG_FILES, false, 0 },
	};
	size_t n = sizeof(openings) / sizeof(openings[0]), i;

	for (i = 0; i < n; i++) {
		struct opening *o = &openings[i];

		if (!(sources & o->which))
			continue;
		o->has_thread = pthread_create(&o->thread, NULL, source_open, o) == 0;
		if (!o->has_thread)
			source_open(o);
	}
	for (i = 0; i < n; i++)
		if (openings[i].has_thread)
			pthread_join(openings[i].thread, NULL);
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
	w->connector.fd = w->files.fd = w->memory.fd = w->access.fd = w->calls.fd = w->signals.fd = w->exec.fd = -1;
	w->sysctl.fd = w->attributes = w->wake = -1;
	w->connector.what = w->files.what = w->memory.what = w->access.what = w->calls.what = w->signals.what =
		w->exec.what = w->sysctl.what = w->changes.what = "not asked for";
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
	/* Signals are JavaScript's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	sources_open(w, sources);
	/* Where it cannot be had, the next look at the files finds the same. */
	if (w->files.live && attribute_events_open(&w->attributes) == 0)
		epoll_add(w, w->attributes, EPOLLIN, TAG_ATTRIBUTES, 0);
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
	free(w->mounts);
	watch_roots_free(w);
	if (w->connector.fd >= 0)
		connector_close(w->connector.fd);
	close_fd(w->files.fd);
	close_fd(w->attributes);
	memory_close(w->memory_programs);
	access_close(w->access_programs);
	exec_close(w->exec_program);
	calls_close(w->calls_programs);
	signals_close(w->signals_programs);
	sysctl_close(w->sysctl_program);
	file_watch_close(w->file_watch);
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
	ret->memory = source_status(&w->memory);
	ret->access = source_status(&w->access);
	ret->exec = source_status(&w->exec);
	ret->calls = source_status(&w->calls);
	ret->signals = source_status(&w->signals);
	ret->sysctl = source_status(&w->sysctl);
	ret->changes = source_status(&w->changes);
	ret->calls_at_entry = w->calls_programs && calls_at_entry(w->calls_programs);
	pthread_mutex_lock(&w->lock);
	ret->dropped = w->dropped;
	pthread_mutex_unlock(&w->lock);
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
