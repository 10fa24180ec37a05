/*
 * Answers what a rule asks for of a file and of who runs it. Nothing here opens a file or waits for a disk; nor, where who
 * runs it comes from a file system of its own (FUSE), for its server.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "gate.h"

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20	/* v5.12: -EAGAIN rather than to go to a disk */
#endif

#define ANCESTORS_MAX	16

/* Whether for us this path leads to that file. */
static bool is_there(const char *path, uint64_t dev, uint64_t inode)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
				.resolve = RESOLVE_CACHED | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	struct gate_known known;
	bool same;
	int fd;

	fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	if (fd < 0 && (errno == ENOSYS || errno == EINVAL))
		return gate_stat_known(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &known) == 0 && known.dev == dev &&
		       known.inode == inode;
	if (fd < 0)
		return false;
	same = gate_stat_known(fd, "", AT_EMPTY_PATH, &known) == 0 && known.dev == dev && known.inode == inode;
	close(fd);
	return same;
}

static int name_read(struct gate_name *name, int dir, const char *link)
{
	ssize_t n = readlinkat(dir, link, name->text, sizeof(name->text) - 1);

	if (n <= 0)
		return name->len = n < 0 ? -errno : -ENOENT;
	name->text[n] = '\0';
	name->len = (int)n;
	return 0;
}

static int name_give(const struct gate_name *name, const char **ret, size_t *ret_len, bool *ret_is_proven)
{
	if (name->len < 0)
		return name->len;
	*ret = name->text;
	*ret_len = (size_t)name->len;
	*ret_is_proven = name->is_proven;
	return 0;
}

static int ask_path(void *arg, const char **ret, size_t *ret_len, bool *ret_is_proven)
{
	struct gate_ask *a = arg;
	char link[16];

	if (!a->path.len) {
		snprintf(link, sizeof(link), "%d", a->fd);
		if (name_read(&a->path, a->procfs->self_fds, link) == 0)
			a->path.is_proven = is_there(a->path.text, a->asked.file->dev, a->asked.file->inode);
	}
	return name_give(&a->path, ret, ret_len, ret_is_proven);
}

static int ask_by(void *arg, const char **ret, size_t *ret_len, bool *ret_is_proven)
{
	struct gate_ask *a = arg;
	struct gate_known known;
	char link[32];

	if (!a->by.len) {
		snprintf(link, sizeof(link), "%u/exe", a->tid);
		if (!a->tid)
			a->by.len = -ESRCH;
		else if (name_read(&a->by, a->procfs->root, link) == 0)
			a->by.is_proven = gate_stat_known(a->procfs->root, link, 0, &known) == 0 &&
					  is_there(a->by.text, known.dev, known.inode);
	}
	return name_give(&a->by, ret, ret_len, ret_is_proven);
}

static int ask_uid(void *arg, uint32_t *ret)
{
	struct gate_ask *a = arg;
	struct stat st;
	char name[16];

	if (!a->tid) {
		*ret = a->uid;
		return 0;
	}
	/* The directory belongs to the effective uid, dumpable or not (task_dump_owner()). */
	snprintf(name, sizeof(name), "%u", a->tid);
	if (fstatat(a->procfs->root, name, &st, 0) < 0)
		return -errno;
	*ret = st.st_uid;
	return 0;
}

static int ask_filesystem(void *arg, uint32_t *ret)
{
	struct gate_ask *a = arg;
	struct statfs fs;

	if (fstatfs(a->fd, &fs) < 0)
		return -errno;
	*ret = (uint32_t)fs.f_type;
	return 0;
}

void gate_ask_begin(struct gate_ask *a, const struct procfs *p, int fd, uint32_t tid, const struct gate_file *f)
{
	a->asked = (struct gate_asked){ f, NULL, ask_filesystem, ask_uid, ask_by, ask_path, a };
	a->procfs = p;
	a->path.len = 0;
	a->by.len = 0;
	a->fd = fd;
	a->tid = tid;
	a->uid = 0;
}

static int parent_of(const struct procfs *p, uint32_t pid, uint32_t *ret)
{
	struct proc_stat stat;
	char name[32], buf[1024];
	ssize_t n;
	int err;

	snprintf(name, sizeof(name), "%u/stat", pid);
	n = read_at(p->root, name, buf, sizeof(buf));
	if (n < 0)
		return (int)n;
	err = proc_stat_parse(buf, (size_t)n, &stat);
	if (!err)
		*ret = stat.parent_pid;
	return err;
}

/* Run by root, from the file that we find at that path. */
static bool is_updater(const struct procfs *p, const struct gate_table *t, uint32_t pid)
{
	char link[32], exe[4096];
	struct gate_known known;
	struct stat st;
	ssize_t n;

	snprintf(link, sizeof(link), "%u", pid);
	if (fstatat(p->root, link, &st, 0) < 0 || st.st_uid != 0)
		return false;
	snprintf(link, sizeof(link), "%u/exe", pid);
	n = readlinkat(p->root, link, exe, sizeof(exe) - 1);
	if (n <= 0 || !gate_table_updates(t, exe, (size_t)n))
		return false;
	exe[n] = '\0';
	return gate_stat_known(p->root, link, 0, &known) == 0 && is_there(exe, known.dev, known.inode);
}

bool gate_ask_is_spared(const struct gate_ask *a, const struct gate_table *t, bool is_upgrade)
{
	uint32_t pid, parent;
	int i;

	if (!a->tid || proc_thread_group(a->procfs->root, a->tid, &pid) < 0)
		return false;
	if (pid == 1)
		return true;
	for (i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
		if (is_upgrade && is_updater(a->procfs, t, pid))
			return true;
		if (parent_of(a->procfs, pid, &parent) < 0)
			return false;
		/* What rimon itself starts, and not what that starts in turn. */
		if (i == 0 && parent == a->procfs->self)
			return true;
		if (!is_upgrade)
			return false;
		pid = parent;
	}
	return false;
}
