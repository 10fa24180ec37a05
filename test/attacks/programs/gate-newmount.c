/*
 * Runs a program from a file system that nobody else has:
 *
 *   gate-newmount tmpfs|detached FOLDER PROGRAM UID
 *
 *   tmpfs     in a mount namespace of its own, and, where UID is not 0, a user namespace of its own
 *   detached  on a mount that is in no mount table
 *
 * The program is given 0.2 as its argument. It ends as that does; 126 if it was refused.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static char bytes[1 << 20];

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(2);
}

static void put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY);

	check(fd >= 0 && write(fd, text, strlen(text)) > 0, file);
	close(fd);
}

int main(int argc, char **argv)
{
	char *const none[] = { NULL }, *const args[] = { "evil", "0.2", NULL };
	int fd, dir, uid, fs;
	ssize_t size;

	check(argc == 5, "gate-newmount tmpfs|detached FOLDER PROGRAM UID");
	fd = open(argv[3], O_RDONLY);
	check(fd >= 0, argv[3]);
	size = read(fd, bytes, sizeof(bytes));
	check(size > 0, "read");
	close(fd);
	uid = atoi(argv[4]);
	if (uid)
		check(setgroups(0, NULL) == 0 && setgid((gid_t)uid) == 0 && setuid((uid_t)uid) == 0 &&
		      prctl(PR_SET_DUMPABLE, 1) == 0, "setuid");
	check(unshare(CLONE_NEWNS | (uid ? CLONE_NEWUSER : 0)) == 0, "unshare");
	if (uid) {
		char map[32];

		snprintf(map, sizeof(map), "0 %d 1", uid);
		put("/proc/self/uid_map", map);
		put("/proc/self/setgroups", "deny");
		put("/proc/self/gid_map", map);
	}
	if (!strcmp(argv[1], "tmpfs")) {
		check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private");
		check(mount("rimon-gate-test", argv[2], "tmpfs", 0, NULL) == 0, "tmpfs");
		dir = open(argv[2], O_PATH);
	} else {
		fs = (int)syscall(SYS_fsopen, "tmpfs", 0);
		check(fs >= 0 && syscall(SYS_fsconfig, fs, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0) == 0, "fsopen");
		dir = (int)syscall(SYS_fsmount, fs, 0, 0);
	}
	check(dir >= 0, "the new file system");
	fd = openat(dir, "evil", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	check(fd >= 0, "evil");
	check(write(fd, bytes, (size_t)size) == size, "write");
	close(fd);
	syscall(SYS_execveat, dir, "evil", args, none, 0);
	return errno == EPERM ? 126 : 2;
}
