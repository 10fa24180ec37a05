/*
 * Where the exec gate's marks go. A mount is come by through the root of a
 * process that has it, which may be a stranger's: nothing on the way is asked
 * of a file system, since one whose server does not answer (FUSE) would hold
 * up whoever asks for as long as it likes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "gate_inner.h"

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20	/* v5.12: -EAGAIN rather than to go to a disk, or to a server */
#endif

#define TRIES	16

int gate_stat_known(int dir, const char *path, int flags, struct gate_known *ret)
{
	struct statx sx;

	/* By number, since glibc has a version of its own for statx(2). */
	if (syscall(SYS_statx, dir, path, flags | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_MNT_ID, &sx) < 0)
		return -errno;
	*ret = (struct gate_known){
		.dev = makedev(sx.stx_dev_major, sx.stx_dev_minor),
		.inode = sx.stx_ino,
		.size = sx.stx_size,
		.mount = (sx.stx_mask & STATX_MNT_ID) ? sx.stx_mnt_id : 0,	/* v5.8 */
		.owner = sx.stx_uid,
		.mode = sx.stx_mode,
		.is_mount_root = sx.stx_attributes & STATX_ATTR_MOUNT_ROOT,
	};
	return 0;
}

/*
 * What is there for that process, by what the kernel has in memory: a mount
 * point and all above it are, and so is what somebody has open. pid 0 is us.
 * "": its executable. -EAGAIN if it is not in memory.
 */
static int open_known(const struct procfs *p, uint32_t pid, const char *path, int *ret_fd)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_CACHED };
	const char *from = path[0] == '/' ? "root" : path[0] ? "cwd" : "exe";
	char link[32];
	int dir, fd, i, err;

	if (pid)
		snprintf(link, sizeof(link), "%u/%s", pid, from);
	else
		snprintf(link, sizeof(link), "self/%s", from);
	/* What these links lead to is not looked up. */
	dir = openat(p->root, link, O_PATH | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	if (!path[0]) {
		*ret_fd = dir;
		return 0;
	}
	if (path[0] == '/') {
		how.resolve |= RESOLVE_IN_ROOT;
		for (; path[0] == '/'; path++)
			;
	}
	/* A rename or a mount somewhere else makes it start again, and this way it may not. */
	for (i = 0, fd = -1, err = EAGAIN; fd < 0 && err == EAGAIN && i < TRIES; i++) {
		fd = (int)syscall(SYS_openat2, dir, path[0] ? path : ".", &how, sizeof(how));
		err = errno;
	}
	/* An older kernel: what is ours is taken as it comes. */
	if (fd < 0 && !pid && (err == ENOSYS || err == EINVAL)) {
		fd = openat(dir, path[0] ? path : ".", O_PATH | O_CLOEXEC);
		err = errno;
	}
	close(dir);
	if (fd < 0)
		return err == ENOSYS || err == EINVAL ? -EOPNOTSUPP : -err;
	*ret_fd = fd;
	return 0;
}

int gate_find_known(const struct procfs *p, uint32_t pid, const char *path, int *ret_fd, struct gate_known *ret)
{
	int fd = -1, err;

	err = open_known(p, pid, path, &fd);
	if (err)
		return err;
	err = gate_stat_known(fd, "", AT_EMPTY_PATH, ret);
	if (!err && !ret->mount)
		err = -EOPNOTSUPP;
	if (err)
		close(fd);
	else
		*ret_fd = fd;
	return err;
}

/* The mount that it is the root of; -ENODEV if that is another one, or it is none. */
static int open_mount(struct exec_gate *g, uint32_t pid, const char *path, uint64_t mount_id, int *ret_fd, uint64_t *ret_dev)
{
	struct gate_known known;
	int fd, err;

	if (path[0] != '/')
		return -EINVAL;
	err = gate_find_known(g->procfs, pid, path, &fd, &known);
	if (err)
		return err;
	if (known.mount != mount_id || !known.is_mount_root) {
		close(fd);
		return -ENODEV;
	}
	*ret_fd = fd;
	*ret_dev = known.dev;
	return 0;
}

static int mark(struct exec_gate *g, unsigned int how, uint64_t events, int fd)
{
	char link[16];

	/* A descriptor that only names it is no argument for fanotify_mark(2), its link is. */
	snprintf(link, sizeof(link), "%d", fd);
	return fanotify_mark(g->fan, how | FAN_MARK_FILESYSTEM, events, g->procfs->self_fds, link) < 0 ? -errno : 0;
}

/* To take away what it never has says whether there is a mark at all; one of another superblock of that number is none. */
bool gate_is_marked(struct exec_gate *g, int fd)
{
	return mark(g, FAN_MARK_REMOVE, FAN_CLOSE_NOWRITE, fd) == 0;
}

void gate_marks_changed(struct exec_gate *g)
{
	bool enforces = g->n_marks > 0;
	size_t i;

	g->strictest = GATE_LEARN;
	for (i = 0; i < g->n_marks; i++) {
		enforces = enforces && g->marks[i].mode == GATE_ENFORCE;
		if (g->marks[i].mode > g->strictest)
			g->strictest = g->marks[i].mode;
	}
	__atomic_store_n(&g->denies_unanswered,
			 enforces && g->table && gate_table_head(g->table->table)->unanswered == GATE_DENY,
			 __ATOMIC_RELEASE);
}

static size_t mark_find(struct exec_gate *g, uint64_t dev)
{
	size_t i;

	for (i = 0; i < g->n_marks && g->marks[i].dev != dev; i++)
		;
	return i;
}

/*
 * A number comes again with the next file system, and so do the inodes and, in
 * one that somebody made for it, the times: digests end with their file system.
 * Whose number has no mark (the subvolumes of btrfs have their own) may be of it.
 */
static void forget_digests(struct exec_gate *g, uint64_t dev)
{
	struct gate_cached *c;

	for (c = g->cache.entry; c < g->cache.entry + GATE_CACHED; c++)
		if (c->is_set && (c->file.dev == dev || mark_find(g, c->file.dev) == g->n_marks))
			c->is_set = 0;
}

/* Never by the path alone: where a file system was unmounted it leads to the one below, which nobody has named. */
int exec_gate_mark(struct exec_gate *g, uint32_t pid, const char *path, uint64_t mount_id, uint32_t mode, bool opens,
		   uint64_t *ret_dev, bool *ret_is_new)
{
	bool is_new;
	uint64_t dev;
	size_t at;
	int fd, err;

	if (mode < GATE_LEARN || mode > GATE_ENFORCE)
		return -EINVAL;
	err = open_mount(g, pid, path, mount_id, &fd, &dev);
	if (err)
		return err;
	pthread_mutex_lock(&g->lock);
	at = mark_find(g, dev);
	is_new = !gate_is_marked(g, fd);
	if (is_new)
		forget_digests(g, dev);
	/* Its mode is known before its first event; where there is no room left, it is the strictest of the others'. */
	if (at < g->n_marks && g->marks[at].opens && !opens)
		mark(g, FAN_MARK_REMOVE, FAN_OPEN_PERM, fd);
	if (at < GATE_MARKS) {
		g->n_marks += at == g->n_marks;
		g->marks[at] = (struct gate_mark){ dev, mode, opens };
	}
	err = mark(g, FAN_MARK_ADD, FAN_OPEN_EXEC_PERM | (opens ? FAN_OPEN_PERM : 0u), fd);
	if (err && at < GATE_MARKS)
		g->marks[at] = g->marks[--g->n_marks];
	gate_marks_changed(g);
	pthread_mutex_unlock(&g->lock);
	close(fd);
	if (err)
		return err;
	*ret_dev = dev;
	*ret_is_new = is_new;
	return 0;
}

void exec_gate_unmark(struct exec_gate *g, uint32_t pid, const char *path, uint64_t dev)
{
	struct gate_known known;
	size_t at;
	int fd;

	pthread_mutex_lock(&g->lock);
	at = mark_find(g, dev);
	if (at < g->n_marks) {
		g->marks[at] = g->marks[--g->n_marks];
		gate_marks_changed(g);
		gate_unsettle_all(g);
	}
	forget_digests(g, dev);
	/* Where it is no longer mounted its mark is there for as long as somebody has it, in the strictest of the modes. */
	if (gate_find_known(g->procfs, pid, path, &fd, &known) == 0) {
		if (known.dev == dev)
			mark(g, FAN_MARK_REMOVE, FAN_OPEN_EXEC_PERM | FAN_OPEN_PERM, fd);
		close(fd);
	}
	pthread_mutex_unlock(&g->lock);
}
