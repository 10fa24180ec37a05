/*
 * The kernel's queue of the exec gate. For each event the kernel opens its
 * file as whoever reads. It is not to wait for anything meanwhile: for a lease
 * on the file, which any user can have on a file of his own, it would for as
 * long as lease-break-time says, and with who leads the whole node. What it
 * cannot open at once it refuses itself, in whatever mode, but only that file.
 * The holder has been asked by then to give the lease up, as by any opening.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "gate_inner.h"

#ifndef FAN_REPORT_TID
#define FAN_REPORT_TID 0x100	/* v4.20 */
#endif

/* v6.13: an event whose file cannot be opened carries the error in place of failing the read (522249f05c5a). */
#ifndef FAN_REPORT_FD_ERROR
#define FAN_REPORT_FD_ERROR 0x2000
#endif

int gate_queue_open(struct exec_gate *g)
{
	/* Without FAN_UNLIMITED_QUEUE a queue that is full lets everything run. */
	unsigned int flags = FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS |
			     FAN_REPORT_TID;
	unsigned int open_flags = O_RDONLY | O_LARGEFILE | O_CLOEXEC | O_NOATIME | O_NONBLOCK;

	g->fan = fanotify_init(flags | FAN_REPORT_FD_ERROR, open_flags);
	g->has_fd_errors = g->fan >= 0;
	if (g->fan < 0 && errno == EINVAL)
		g->fan = fanotify_init(flags, open_flags);
	return g->fan < 0 ? -errno : 0;
}

bool gate_queue_read(struct exec_gate *g, struct fanotify_event_metadata *ret)
{
	int bytes = 0;

	/* EWOULDBLOCK of a lease and EAGAIN of an empty queue are one number. */
	if (!g->has_fd_errors)
		ioctl(g->fan, FIONREAD, &bytes);
	if (read(g->fan, ret, sizeof(*ret)) == (ssize_t)sizeof(*ret))
		return true;
	if (errno == EAGAIN && bytes <= 0)
		return false;
	/* Which event it was is not said; a lease on what was left to the kernel only root could have. */
	memset(ret, 0, sizeof(*ret));
	ret->fd = -errno;
	ret->mask = errno == EAGAIN ? FAN_OPEN_EXEC_PERM : FAN_CLOSE_WRITE;
	return true;
}

void gate_queue_unopened(struct exec_gate *g, const struct fanotify_event_metadata *ev)
{
	__atomic_store_n(&g->unopened_error, -ev->fd, __ATOMIC_RELAXED);
	__atomic_add_fetch(&g->unopened, 1, __ATOMIC_RELAXED);
	if (ev->mask & GATE_PERMISSION)
		return;
	/* Some file that was left to the kernel was open for writing. */
	pthread_mutex_lock(&g->lock);
	gate_unsettle_all(g);
	gate_cache_clear(&g->cache);
	pthread_mutex_unlock(&g->lock);
}
