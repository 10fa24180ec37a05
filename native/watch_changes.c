/*
 * What file_watch.c has read, on its way to JavaScript. It waits where it is,
 * bounded and counted there, while much is pending: no storm of files takes the
 * room of an attack on a process.
 */
#include <errno.h>

#include "watch.h"

/* Per turn, and in all that is pending. */
#define CHANGES_ROOM	((size_t)256 << 10)
#define PENDING_ROOM	((size_t)1 << 20)

int watch_changes_open(struct watch *w, uint32_t most, int *ret_without, const char **ret_what)
{
	const char *what = NULL;
	struct file_watch *f;
	int err;

	if (w->file_watch)
		return -EALREADY;
	err = file_watch_open(w->procfs, most, &f, ret_without, ret_what);
	what = *ret_what;
	if (!err) {
		w->file_watch = f;
		what = "epoll_ctl";
		err = watch_listen_to(w, file_watch_fd(f), TAG_CHANGES);
	}
	w->changes.fd = err ? -1 : file_watch_fd(f);
	w->changes.what = what;
	w->changes.error = -err;
	w->changes.live = err == 0;
	return err;
}

int watch_changes_aim(struct watch *w, const char *included, size_t included_len, const char *excluded, size_t excluded_len)
{
	if (!w->changes.live)
		return -EBADF;
	return file_watch_aim(w->file_watch, included, included_len, excluded, excluded_len);
}

int watch_changes_mark(struct watch *w, const char *path)
{
	if (!w->changes.live)
		return -EBADF;
	return file_watch_mark(w->file_watch, path);
}

int watch_changes_walk(struct watch *w, const char *path)
{
	if (!w->changes.live)
		return -EBADF;
	return file_watch_walk(w->file_watch, path);
}

/* Whether JavaScript has enough to do; then it is asked to say when it has less. */
static bool must_wait(struct watch *w)
{
	bool wait;

	pthread_mutex_lock(&w->lock);
	wait = w->pending.len > PENDING_ROOM;
	w->changes_wait |= wait;
	pthread_mutex_unlock(&w->lock);
	return wait;
}

void watch_changes_drain(struct watch *w)
{
	struct source *source = &w->changes;
	struct file_watch_status status;
	uint64_t overflows, dropped;
	bool more;

	if (!source->live)
		return;
	/* What made a process what it is comes before what it does. */
	watch_exec_drain(w);
	watch_connector_drain(w);
	/* Before it is asked whether there is room: whoever makes some wakes it. */
	file_watch_hush(w->file_watch);
	if (must_wait(w))
		return;
	more = file_watch_drain(w->file_watch, CHANGES_ROOM, &w->scratch, &overflows, &dropped);
	if (overflows)
		watch_source_lost(w, source, LOST_FILE_EVENTS, 0);
	if (dropped)
		watch_source_lost(w, source, LOST_FILE_CHANGES, dropped);
	file_watch_get_status(w->file_watch, &status);
	source->events = status.events;
	source->unreadable = status.unresolved;
	if (status.error)
		watch_source_dead(w, source, LOST_FILE_EVENTS, status.error, "read from fanotify");
	watch_commit(w);
	if (more)
		file_watch_wake(w->file_watch);
}
