/*
 * A procfs to read from, and how to walk it. Best is one of our own: a
 * superblock that nobody else sees and that our own fanotify marks do not
 * cover, so that a pass over /proc does not report itself.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rimon.h"

/* v5.2: fsopen, fsconfig, fsmount; glibc has them from 2.36. The numbers are the same on every architecture. */
#ifndef SYS_fsopen
#define SYS_fsopen 430
#define SYS_fsconfig 431
#define SYS_fsmount 432
#endif
#define RIMON_FSOPEN_CLOEXEC	1
#define RIMON_FSMOUNT_CLOEXEC	1
#define RIMON_FSCONFIG_CREATE	6
#define RIMON_MOUNT_ATTR_NOSUID	0x2
#define RIMON_MOUNT_ATTR_NODEV	0x4
#define RIMON_MOUNT_ATTR_NOEXEC	0x8

int procfs_mount_detached(int *ret_fd)
{
	return mount_detached("proc", ret_fd);
}

int mount_detached(const char *type, int *ret_fd)
{
	int context, mount, err = 0;

	context = (int)syscall(SYS_fsopen, type, RIMON_FSOPEN_CLOEXEC);
	if (context < 0)
		return -errno;
	if (syscall(SYS_fsconfig, context, RIMON_FSCONFIG_CREATE, NULL, NULL, 0) < 0) {
		err = -errno;
		goto out;
	}
	mount = (int)syscall(SYS_fsmount, context, RIMON_FSMOUNT_CLOEXEC,
			     RIMON_MOUNT_ATTR_NOSUID | RIMON_MOUNT_ATTR_NODEV | RIMON_MOUNT_ATTR_NOEXEC);
	if (mount < 0) {
		err = -errno;
		goto out;
	}
	*ret_fd = mount;
out:
	close(context);
	return err;
}

/* Whether "self" is who we are in our own pid namespace; in an ancestor's procfs we have another number. */
static bool self_is_us(int root)
{
	char link[32], expected[32];
	ssize_t len = readlinkat(root, "self", link, sizeof(link) - 1);

	if (len <= 0)
		return false;
	link[len] = '\0';
	snprintf(expected, sizeof(expected), "%d", (int)getpid());
	return strcmp(link, expected) == 0;
}

ssize_t read_at(int dir, const char *name, char *buf, size_t len)
{
	size_t done = 0;
	ssize_t n = 0;
	int fd, err;

	fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (done < len) {
		size_t asked = len - done;

		n = read(fd, buf + done, asked);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
		/* What one show function wrote comes in one piece; asking for its end would double the calls. */
		if ((size_t)n < asked)
			break;
	}
	err = n < 0 ? -errno : 0;
	close(fd);
	return err ? err : (ssize_t)done;
}

int namespace_link_parse(const char *buf, size_t len, uint64_t *ret_inode)
{
	const char *open = memchr(buf, '[', len);
	uint64_t inode = 0;
	size_t i;

	if (!open)
		return -EBADMSG;
	for (i = (size_t)(open - buf) + 1; i < len && buf[i] >= '0' && buf[i] <= '9'; i++)
		inode = inode * 10 + (uint64_t)(buf[i] - '0');
	if (i == (size_t)(open - buf) + 1 || i == len || buf[i] != ']')
		return -EBADMSG;
	*ret_inode = inode;
	return 0;
}

int namespace_inode(int dir, const char *name, uint64_t *ret_inode)
{
	char link[64];
	ssize_t len = readlinkat(dir, name, link, sizeof(link));

	if (len < 0)
		return -errno;
	return namespace_link_parse(link, (size_t)len, ret_inode);
}

int proc_each(int dir, const char *name, int (*each)(void *arg, uint32_t number), void *arg)
{
	struct dirent *entry;
	int fd, err = 0;
	DIR *d;

	/* An offset of our own: other threads list the same directory. */
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		err = -errno;
		close(fd);
		return err;
	}
	for (;;) {
		uint32_t number;

		errno = 0;
		entry = readdir(d);
		if (!entry) {
			err = -errno;
			break;
		}
		if (proc_number_parse(entry->d_name, strlen(entry->d_name), &number) < 0)
			continue;
		err = each(arg, number);
		if (err)
			break;
	}
	closedir(d);
	return err;
}

bool proc_is_out_of_reach(int err)
{
	return err == -ENOENT || err == -ESRCH || err == -EACCES || err == -EPERM;
}

int proc_stat_read(int root, uint32_t pid, char *buf, size_t size, struct proc_stat *ret)
{
	char name[32];
	ssize_t n;

	snprintf(name, sizeof(name), "%u/stat", pid);
	n = read_at(root, name, buf, size);
	return n < 0 ? (int)n : proc_stat_parse(buf, (size_t)n, ret);
}

int proc_start_ticks(int root, uint32_t pid, uint64_t *ret_ticks)
{
	struct proc_stat stat;
	char buf[1024];
	int err = proc_stat_read(root, pid, buf, sizeof(buf), &stat);

	if (!err)
		*ret_ticks = stat.start_ticks;
	return err;
}

int proc_start_ticks_at(int dir, uint64_t *ret_ticks)
{
	struct proc_stat stat;
	char buf[1024];
	ssize_t n;
	int err;

	n = read_at(dir, "stat", buf, sizeof(buf));
	err = n < 0 ? (int)n : proc_stat_parse(buf, (size_t)n, &stat);
	if (!err)
		*ret_ticks = stat.start_ticks;
	return err;
}

int proc_thread_group(int root, uint32_t tid, uint32_t *ret_pid)
{
	char name[32], buf[1024];
	ssize_t n;

	/* /proc/TID works for any thread, though it is not listed. */
	snprintf(name, sizeof(name), "%u/status", tid);
	n = read_at(root, name, buf, sizeof(buf));
	if (n < 0)
		return (int)n;
	return proc_tgid_parse(buf, (size_t)n, ret_pid);
}

bool procfs_is_ours(const struct procfs *p, int root)
{
	uint64_t ours, theirs;

	/* The same first process, lest our number be the same by chance. */
	return self_is_us(root) && proc_start_ticks(p->root, 1, &ours) == 0 && proc_start_ticks(root, 1, &theirs) == 0 &&
	       ours == theirs;
}

int procfs_open(struct procfs **ret)
{
	struct procfs *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->self_fds = -1;
	p->root = -1;
	if (getrandom(p->digest_key, sizeof(p->digest_key), 0) != (ssize_t)sizeof(p->digest_key)) {
		err = -errno;
		goto fail;
	}
	if (procfs_mount_detached(&p->root) == 0 && self_is_us(p->root)) {
		p->is_private = true;
	} else {
		if (p->root >= 0)
			close(p->root);
		p->root = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (p->root < 0) {
			err = -errno;
			goto fail;
		}
		/* The /proc of another pid namespace would give other processes' facts under our pids. */
		if (!self_is_us(p->root)) {
			err = -ENXIO;
			goto fail;
		}
	}
	p->self = (uint32_t)getpid();
	p->self_fds = openat(p->root, "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p->self_fds < 0) {
		err = -errno;
		goto fail;
	}
	if (namespace_inode(p->root, "self/ns/pid", &p->pid_ns) < 0)
		p->pid_ns = 0;
	*ret = p;
	return 0;
fail:
	procfs_close(p);
	return err;
}

void procfs_close(struct procfs *p)
{
	if (!p)
		return;
	if (p->self_fds >= 0)
		close(p->self_fds);
	if (p->root >= 0)
		close(p->root);
	free(p);
}
