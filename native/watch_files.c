/*
 * fanotify: which procfs and which files are marked, and what is done to them
 * into records.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "watch.h"

#define PROC_SUPER_MAGIC	0x9fa0

#define ROOTS_MAX		65536

/* Per turn, so that no source starves another. */
#define FILE_ROUNDS		16

/* One read opens a descriptor for each event: 4 KiB are at most 170 of them, well below the usual limit of 1024. */
#define FILE_EVENTS_BUF		4096
#define MAX_INVALID		65536

#define PROCFS_MASK	(FAN_OPEN | FAN_ACCESS | FAN_MODIFY | FAN_ONDIR)
#define FILE_MASK	(FAN_MODIFY | FAN_CLOSE_WRITE)
/* A file that is removed, or whose name another takes, loses a link, which is an attribute. */
#define ATTRIBUTES_MASK	(FAN_ATTRIB | FAN_MOVE_SELF)

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

void watch_roots_free(struct watch *w)
{
	size_t i;

	for (i = 0; i < w->n_roots; i++)
		free(w->roots[i].path);
	free(w->roots);
}

static int root_add(struct watch *w, const char *path, uint64_t dev, bool is_ours, bool *ret_is_new)
{
	char *copy = strdup(path);
	struct root *roots;
	bool is_new;
	int err = 0;
	size_t i;

	if (!copy)
		return -ENOMEM;
	pthread_mutex_lock(&w->lock);
	for (i = 0; i < w->n_roots; i++)
		if (w->roots[i].dev == dev)
			break;
	is_new = i == w->n_roots;
	if (is_new) {
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
	*ret_is_new = is_new;
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
	bool is_ours, is_new;
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
	err = root_add(w, path, st.st_dev, is_ours, &is_new);
	if (err)
		goto out;
	if (fanotify_mark(w->files.fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, PROCFS_MASK, fd, ".") < 0) {
		err = -errno;
		/* Its number may become another filesystem's, whose events would then be taken for a procfs's. */
		if (is_new)
			watch_forget_procfs(w, st.st_dev);
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
		/* Not every filesystem has handles: then the next look at the file finds what changed. */
		if (w->attributes >= 0)
			fanotify_mark(w->attributes, FAN_MARK_ADD, ATTRIBUTES_MASK, fd, NULL);
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
	if (w->attributes >= 0)
		fanotify_mark(w->attributes, FAN_MARK_REMOVE, ATTRIBUTES_MASK, AT_FDCWD, path);
	return 0;
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
	       (mask & (FAN_MODIFY | FAN_CLOSE_WRITE) ? ACCESS_WRITE : 0u) |
	       (mask & ATTRIBUTES_MASK ? ACCESS_ATTRIBUTES : 0u);
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
	watch_enrich(w, pid);
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

	watch_enrich(w, pid);
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

/* A device is never told of by fanotify, whose events are of files and folders only. */
static void kcore_add(struct watch *w, uint32_t pid, uint64_t mask, const char *path, size_t len)
{
	struct machine_memory_record *r;

	watch_enrich(w, pid);
	r = batch_begin(&w->scratch, RECORD_MACHINE_MEMORY, sizeof(*r));
	if (r) {
		r->memory = MACHINE_KCORE;
		r->access = access_of(mask);
		r->pid = pid;
		r->path_len = (uint16_t)len;
	}
	batch_bytes(&w->scratch, path, len);
	batch_end(&w->scratch);
}

static void file_event(struct watch *w, const struct fanotify_event_metadata *event)
{
	char name[16], path[4096], root_path[4096];
	uint32_t pid = (uint32_t)event->pid;
	struct proc_path parsed;
	struct root root;
	struct stat st;
	bool is_kcore;
	ssize_t len;

	snprintf(name, sizeof(name), "%d", event->fd);
	len = readlinkat(w->procfs->self_fds, name, path, sizeof(path));
	if (len < 0) {
		w->files.unreadable++;
		return;
	}
	is_kcore = proc_path_is_kcore(path, (size_t)len);
	/* Most of what a node reads below /proc: nothing of anybody's memory. */
	if (!(event->mask & FILE_MASK) && !is_kcore && proc_path_parse(path, (size_t)len, &parsed) < 0)
		return;
	if (fstat(event->fd, &st) < 0) {
		w->files.unreadable++;
		return;
	}
	/* Procfs marks do not ask for CLOSE_WRITE, so such an event is a marked file's, whatever its device number was before. */
	if (!(event->mask & FAN_CLOSE_WRITE) && root_find(w, st.st_dev, &root, root_path, sizeof(root_path))) {
		if (is_kcore)
			kcore_add(w, pid, event->mask, path, (size_t)len);
		else
			proc_file_add(w, &root, pid, event->mask, path, (size_t)len);
	} else if (event->mask & FILE_MASK) {
		file_add(w, &st, pid, event->mask, path, (size_t)len);
	}
}

static bool is_shortage(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM;
}

void watch_files_drain(struct watch *w)
{
	char buf[FILE_EVENTS_BUF] __attribute__((aligned(8)));
	struct source *source = &w->files;
	int round;

	for (round = 0; round < FILE_ROUNDS; round++) {
		const struct fanotify_event_metadata *event = (const void *)buf;
		ssize_t n = read(source->fd, buf, sizeof(buf));

		if (n < 0) {
			if (errno == EAGAIN || errno == EINTR) {
				w->files_invalid = 0;
				break;
			}
			/* So says the mount table of a process that is gone (fs/proc_namespace.c), too, but not again and again. */
			if (errno == EBADF || errno == EFAULT || (errno == EINVAL && ++w->files_invalid > MAX_INVALID)) {
				watch_source_dead(w, source, LOST_FILES, errno, "read from fanotify");
				break;
			}
			/* Before v6.13 an event whose file cannot be opened is consumed and fails the read. */
			if (is_shortage(errno))
				watch_source_lost(w, source, LOST_FILES, 0);
			else
				source->unreadable++;
			continue;
		}
		w->files_invalid = 0;
		/* An exec before any of these is in the other queue by now: who the target is must be told first. */
		watch_connector_drain(w);
		for (; FAN_EVENT_OK(event, n); event = FAN_EVENT_NEXT(event, n)) {
			bool ours = (uint32_t)event->pid == w->self;

			if (event->vers != FANOTIFY_METADATA_VERSION) {
				/* Nothing in it is what we take it for, its descriptor least of all. */
				watch_source_dead(w, source, LOST_FILES, EPROTO, "fanotify speaks another version");
				break;
			}
			if (event->mask & FAN_Q_OVERFLOW) {
				watch_source_lost(w, source, LOST_FILES, 0);
			} else if (!ours) {
				source->events++;
				if (event->fd >= 0)
					file_event(w, event);
				else if (is_shortage(-event->fd))
					watch_source_lost(w, source, LOST_FILES, 0);
				else
					source->unreadable++;
			}
			if (event->fd >= 0)
				close(event->fd);
		}
		watch_commit(w);
		if (!source->live)
			return;
	}
	watch_commit(w);
}

/* Which file it is stands in the event as a handle; there are few, and whoever is told looks at all of them. */
void watch_attributes_drain(struct watch *w)
{
	char buf[FILE_EVENTS_BUF] __attribute__((aligned(8)));
	const struct fanotify_event_metadata *event = (const void *)buf;
	ssize_t n = read(w->attributes, buf, sizeof(buf));
	const struct stat none = { 0 };

	watch_connector_drain(w);
	for (; n > 0 && FAN_EVENT_OK(event, n); event = FAN_EVENT_NEXT(event, n)) {
		if (event->mask & FAN_Q_OVERFLOW)
			watch_source_lost(w, &w->files, LOST_FILES, 0);
		else if ((uint32_t)event->pid != w->self)
			file_add(w, &none, (uint32_t)event->pid, event->mask, NULL, 0);
	}
	watch_commit(w);
}
