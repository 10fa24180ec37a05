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

#ifndef FAN_REPORT_TID
#define FAN_REPORT_TID 0x100	/* v4.20 */
#endif

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
	g->fan = g->wake = g->leads = g->gone = g->mounts = -1;
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
	/* Without FAN_UNLIMITED_QUEUE a queue that is full lets everything run. */
	what = "fanotify_init";
	g->fan = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE |
				       FAN_UNLIMITED_MARKS | FAN_REPORT_TID,
			       O_RDONLY | O_LARGEFILE | O_CLOEXEC | O_NOATIME);
	if (g->fan < 0) {
		err = -errno;
		goto fail;
	}
	what = "eventfd";
	g->wake = eventfd(0, EFD_CLOEXEC);
	g->leads = eventfd(1, EFD_CLOEXEC | EFD_SEMAPHORE);
	g->gone = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE | EFD_NONBLOCK);
	if (g->wake < 0 || g->leads < 0 || g->gone < 0) {
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
	pthread_mutex_unlock(&g->lock);
	return 0;
}

static void strictest_find(struct exec_gate *g)
{
	size_t i;

	g->strictest = GATE_LEARN;
	for (i = 0; i < g->n_marks; i++)
		if (g->marks[i].mode > g->strictest)
			g->strictest = g->marks[i].mode;
}

static size_t mark_find(struct exec_gate *g, uint64_t dev)
{
	size_t i;

	for (i = 0; i < g->n_marks && g->marks[i].dev != dev; i++)
		;
	return i;
}

/* The mount that it is the root of; -ENODEV if that is another one, or it is none. */
static int open_mount(const char *path, uint64_t mount_id, int *ret_fd, uint64_t *ret_dev)
{
	struct statx sx;
	struct stat st;
	int fd, err;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* By number, since glibc has a version of its own for statx(2). */
	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0 || fstat(fd, &st) < 0) {
		err = -errno;
	} else if (!(sx.stx_mask & STATX_MNT_ID) || !(sx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)) {
		err = -EOPNOTSUPP;	/* v5.8 */
	} else if (sx.stx_mnt_id != mount_id || !(sx.stx_attributes & STATX_ATTR_MOUNT_ROOT)) {
		err = -ENODEV;
	} else {
		*ret_fd = fd;
		*ret_dev = st.st_dev;
		return 0;
	}
	close(fd);
	return err;
}

/* Never by the path alone: where a file system was unmounted it leads to the one below, which nobody has named. */
int exec_gate_mark(struct exec_gate *g, const char *path, uint64_t mount_id, uint32_t mode, bool opens,
		   uint64_t *ret_dev)
{
	uint64_t dev;
	size_t at;
	int fd, err;

	if (mode < GATE_LEARN || mode > GATE_ENFORCE)
		return -EINVAL;
	err = open_mount(path, mount_id, &fd, &dev);
	if (err)
		return err;
	pthread_mutex_lock(&g->lock);
	at = mark_find(g, dev);
	if (at == GATE_MARKS) {
		err = -ENOSPC;
		goto out;
	}
	/* Its mode is known before its first event. */
	if (at == g->n_marks)
		g->n_marks++;
	else if (g->marks[at].opens && !opens)
		fanotify_mark(g->fan, FAN_MARK_REMOVE | FAN_MARK_FILESYSTEM, FAN_OPEN_PERM, fd, NULL);
	g->marks[at] = (struct gate_mark){ dev, mode, opens };
	if (fanotify_mark(g->fan, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN_EXEC_PERM | (opens ? FAN_OPEN_PERM : 0u), fd,
			  NULL) < 0) {
		err = -errno;
		g->marks[at] = g->marks[--g->n_marks];
	}
	strictest_find(g);
out:
	pthread_mutex_unlock(&g->lock);
	close(fd);
	if (!err)
		*ret_dev = dev;
	return err;
}

void exec_gate_unmark(struct exec_gate *g, const char *path, uint64_t dev)
{
	struct stat st;
	size_t at;

	pthread_mutex_lock(&g->lock);
	at = mark_find(g, dev);
	if (at < g->n_marks) {
		g->marks[at] = g->marks[--g->n_marks];
		strictest_find(g);
		gate_unsettle_all(g);
	}
	/* Where it is no longer mounted its mark has gone with it. */
	if (fstatat(AT_FDCWD, path, &st, 0) == 0 && st.st_dev == dev)
		fanotify_mark(g->fan, FAN_MARK_REMOVE | FAN_MARK_FILESYSTEM, FAN_OPEN_EXEC_PERM | FAN_OPEN_PERM, AT_FDCWD,
			      path);
	pthread_mutex_unlock(&g->lock);
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
	pthread_mutex_unlock(&g->lock);
	if (ioctl(g->fan, FIONREAD, &bytes) == 0)
		ret->queued = (uint32_t)bytes / EVENT_SIZE;
}

int exec_gate_try(const struct procfs *p, const void *table, size_t len, const char *path, uint32_t uid, const char *by,
		  struct batch *out)
{
	struct gate_reader *reader = NULL;
	struct gate_table *t = NULL;
	struct gate_told *told = NULL;
	struct gate_answer answer;
	struct gate_ask *ask = NULL;
	struct slot s = { .fd = -1, .mode = GATE_LEARN };
	enum gate_reason reason = GATE_BY_RULE;
	bool never = false;
	int err;

	err = gate_table_parse(table, len, &t);
	if (err)
		return err;
	err = -ENOMEM;
	reader = calloc(1, sizeof(*reader));
	ask = calloc(1, sizeof(*ask));
	told = calloc(1, sizeof(*told));
	if (!reader || !ask || !told)
		goto out;
	err = digest_open(&reader->digest);
	if (err)
		goto out;
	s.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	err = s.fd < 0 ? -errno : gate_file_stat(s.fd, &s.file);
	if (!err && !S_ISREG(s.file.mode))
		err = -EACCES;
	if (err)
		goto out;
	gate_ask_begin(ask, p, s.fd, 0, &s.file);
	ask->uid = uid;
	ask->by.len = *by ? (int)strnlen(by, sizeof(ask->by.text) - 1) : -ESRCH;
	if (*by)
		memcpy(ask->by.text, by, (size_t)ask->by.len);
	ask->by.is_proven = true;
	if (gate_table_judge(t, &ask->asked, &answer) == -EAGAIN) {
		answer = (struct gate_answer){ gate_table_head(t)->unanswered, GATE_RULE_NONE, false };
		if (s.file.size > gate_table_head(t)->size_max) {
			reason = GATE_TOO_LARGE;
		} else {
			err = gate_file_hash(reader, s.fd, &s.file, true, &never, s.digest);
			if (err)
				goto out;
			s.is_hashed = true;
			ask->asked.digest = s.digest;
			gate_table_judge(t, &ask->asked, &answer);
		}
	}
	gate_told_fill(told, p, ask, &s, answer.rule, reason, 0, answer.verdict == GATE_DENY);
	gate_told_write(out, told);
	err = out->error;
out:
	close_fd(s.fd);
	if (reader)
		digest_close(reader->digest);
	free(told);
	free(ask);
	free(reader);
	gate_table_free(t);
	return err;
}
