/* Opening, setting, asking and closing the exec gate: everything but the events. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gate_inner.h"

#define EVENT_SIZE	24	/* sizeof(struct fanotify_event_metadata) */
#define PARTING_MS	2000

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void gate_free(struct exec_gate *g)
{
	struct slot *s;
	size_t i;

	for (s = g->slots; s < g->slots + GATE_SLOTS; s++)
		if (s->state != SLOT_FREE) {
			close(s->fd);
			gate_table_drop(s->table);
		}
	gate_table_drop(g->table);
	for (i = 0; i < GATE_THREADS; i++)
		digest_close(g->workers[i].reader.digest);
	close_fd(g->fan);
	close_fd(g->wake);
	close_fd(g->leads);
	close_fd(g->gone);
	close_fd(g->nudge);
	close_fd(g->mounts);
	pthread_mutex_destroy(&g->lock);
	pthread_mutex_destroy(&g->notify_lock);
	munmap(g, sizeof(*g));
}

static int threads_start(struct exec_gate *g)
{
	sigset_t all, before;
	size_t i;
	int err = 0;

	/* Signals are JavaScript's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (i = 0; i < GATE_THREADS && !err; i++) {
		g->workers[i].gate = g;
		pthread_mutex_lock(&g->lock);
		err = -pthread_create(&g->workers[i].thread, NULL, gate_run, &g->workers[i]);
		if (!err)
			g->started = ++g->threads;
		pthread_mutex_unlock(&g->lock);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

int exec_gate_open(const struct procfs *p, void (*notify)(void *arg), void *arg, struct exec_gate **ret,
		   const char **ret_what)
{
	const char *what = "mmap";
	struct exec_gate *g;
	size_t i;
	int err;

	g = mmap(NULL, sizeof(*g), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (g == MAP_FAILED) {
		*ret_what = what;
		return -errno;
	}
	g->procfs = p;
	g->notify = notify;
	g->notify_arg = arg;
	g->fan = g->wake = g->leads = g->gone = g->nudge = g->mounts = -1;
	pthread_mutex_init(&g->lock, NULL);
	pthread_mutex_init(&g->notify_lock, NULL);
	/* A page that has to come from a disk would be waited for by whoever wants to run something. */
	g->status.lock_error = mlock(g, sizeof(*g)) < 0 ? errno : 0;
	for (i = 0; i < GATE_THREADS; i++) {
		what = "SHA-256";
		err = digest_open(&g->workers[i].reader.digest);
		/* What OpenSSL allocates, it allocates now. */
		if (!err)
			err = digest_begin(g->workers[i].reader.digest);
		if (err)
			goto fail;
	}
	what = "fanotify_init";
	err = gate_queue_open(g);
	if (err)
		goto fail;
	what = "eventfd";
	g->wake = eventfd(0, EFD_CLOEXEC);
	g->leads = eventfd(1, EFD_CLOEXEC | EFD_SEMAPHORE);
	g->gone = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE | EFD_NONBLOCK);
	g->nudge = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->wake < 0 || g->leads < 0 || g->gone < 0 || g->nudge < 0) {
		err = -errno;
		goto fail;
	}
	/* Without it new mounts are found at the next pass. */
	g->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	what = "pthread_create";
	err = threads_start(g);
	if (err) {
		*ret_what = what;
		exec_gate_close(g);
		return err;
	}
	/* Without it whoever stops us is waited for; the status says so. */
	gate_deputy_start(g);
	*ret = g;
	return 0;
fail:
	*ret_what = what;
	gate_free(g);
	return err;
}

/*
 * Who waits for an answer goes on as the group is closed. A thread that a disk
 * does not let go is left behind, and frees what is left when it is let go.
 */
void exec_gate_close(struct exec_gate *g)
{
	struct pollfd gone;
	bool is_last;
	uint64_t one;
	size_t i;

	if (!g)
		return;
	gate_deputy_end(g);
	pthread_mutex_lock(&g->notify_lock);
	g->notify = NULL;
	pthread_mutex_unlock(&g->notify_lock);
	pthread_mutex_lock(&g->lock);
	__atomic_store_n(&g->is_closing, true, __ATOMIC_RELEASE);
	/* What is read is given up at the next chunk. */
	for (i = 0; i < GATE_SLOTS; i++)
		__atomic_store_n(&g->slots[i].is_answered, true, __ATOMIC_RELEASE);
	/* All marks, so that nothing new comes; what waits goes on when the descriptor is closed. */
	fanotify_mark(g->fan, FAN_MARK_FLUSH | FAN_MARK_FILESYSTEM, 0, AT_FDCWD, NULL);
	pthread_mutex_unlock(&g->lock);
	gate_post(g->wake, 1);
	gate_post(g->leads, GATE_THREADS);
	gone = (struct pollfd){ .fd = g->gone, .events = POLLIN };
	for (i = 0; i < g->started && poll(&gone, 1, PARTING_MS) > 0; i++)
		if (read(g->gone, &one, sizeof(one)) < 0)
			break;
	pthread_mutex_lock(&g->lock);
	is_last = g->threads == 0;
	g->is_orphan = !is_last;
	/* Nobody leads any more, and who is left does not look at it. */
	close_fd(g->fan);
	g->fan = -1;
	for (i = 0; i < g->started && !is_last; i++)
		pthread_detach(g->workers[i].thread);
	pthread_mutex_unlock(&g->lock);
	if (!is_last)
		return;
	for (i = 0; i < g->started; i++)
		pthread_join(g->workers[i].thread, NULL);
	gate_free(g);
}

int exec_gate_load(struct exec_gate *g, const void *bytes, size_t len)
{
	struct table *t;
	int err;

	t = malloc(sizeof(*t));
	if (!t)
		return -ENOMEM;
	err = gate_table_parse(bytes, len, &t->table);
	if (err) {
		free(t);
		return err;
	}
	t->held = 1;
	pthread_mutex_lock(&g->lock);
	gate_table_drop(g->table);
	g->table = t;
	gate_unsettle_all(g);
	gate_marks_changed(g);
	gate_deputy_pace(g, gate_table_head(t->table)->deadline_ms);
	pthread_mutex_unlock(&g->lock);
	return 0;
}

void exec_gate_upgrade(struct exec_gate *g, bool on)
{
	__atomic_store_n(&g->is_upgrade, on, __ATOMIC_RELAXED);
}

void exec_gate_get_status(struct exec_gate *g, struct exec_gate_status *ret)
{
	int bytes = 0;

	pthread_mutex_lock(&g->lock);
	*ret = g->status;
	ret->has_deputy = gate_deputy_is_there(g);
	pthread_mutex_unlock(&g->lock);
	ret->stood_in = __atomic_load_n(&g->stood_in, __ATOMIC_RELAXED);
	ret->unanswered += ret->stood_in;
	ret->unopened = __atomic_load_n(&g->unopened, __ATOMIC_RELAXED);
	ret->unopened_error = __atomic_load_n(&g->unopened_error, __ATOMIC_RELAXED);
	ret->events += ret->stood_in + ret->unopened;
	if (ioctl(g->fan, FIONREAD, &bytes) == 0)
		ret->queued = (uint32_t)bytes / EVENT_SIZE;
}

