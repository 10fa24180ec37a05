/*
 * Does one thing to a file, and ends:
 *
 *   file-acts map PATH              writes a byte by a shared mapping
 *   file-acts truncate PATH         truncate(2) to nothing
 *   file-acts xattr PATH            sets user.rimon
 *   file-acts exchange PATH PATH    renameat2(RENAME_EXCHANGE)
 *   file-acts hold PATH             writes a byte, says so, and keeps the file open until it is told to end
 *   file-acts brief PATH            makes a folder, a file in it, and takes both away
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE	(1 << 1)
#endif

static int map(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char *page;

	if (fd < 0)
		return -1;
	page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -1;
	page[0]++;
	return munmap(page, 1) < 0 ? -1 : close(fd);
}

static int hold(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	char c;

	if (fd < 0 || write(fd, "x", 1) != 1)
		return -1;
	puts("written");
	fflush(stdout);
	return read(STDIN_FILENO, &c, 1) < 0 ? -1 : 0;
}

static int brief(const char *path)
{
	char file[PATH_MAX];
	int fd;

	snprintf(file, sizeof(file), "%s/file", path);
	if (mkdir(path, 0700) < 0)
		return -1;
	fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1 || close(fd) < 0 || unlink(file) < 0)
		return -1;
	return rmdir(path);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "", *path = argc > 2 ? argv[2] : "";
	int result = -2;

	if (!strcmp(what, "map"))
		result = map(path);
	else if (!strcmp(what, "truncate"))
		result = truncate(path, 0);
	else if (!strcmp(what, "xattr"))
		result = setxattr(path, "user.rimon", "1", 1, 0);
	else if (!strcmp(what, "exchange") && argc == 4)
		result = (int)syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, argv[3], RENAME_EXCHANGE);
	else if (!strcmp(what, "hold"))
		result = hold(path);
	else if (!strcmp(what, "brief"))
		result = brief(path);
	if (result == -2) {
		fprintf(stderr, "expected map, truncate, xattr, exchange, hold or brief, and a path or two\n");
		return 2;
	}
	if (result < 0)
		perror(path);
	return result < 0;
}
