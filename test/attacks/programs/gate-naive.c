/*
 * Gates that leave one thing out, so that a test can show that an attack works where it is not closed:
 *
 *   gate-naive WAY FOLDER GOOD
 *
 *   read    compares each file with the good one, and allows it: nobody is kept from writing after that
 *   lease   the same behind a lease that is given up with the answer
 *   mtime   remembers what it allowed by inode, size and modification time
 *   ctime   by the change time, too
 *   ignore  leaves what it allowed to the kernel until it is written to
 *   mount   marks the mount, and not its file system
 *
 * It prints "ready", and ends with its standard input.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <unistd.h>

static char good[1 << 20], seen[1 << 20];
static struct stat known[4096];
static size_t size, n_known;

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool remembers(const struct stat *st, bool by_ctime)
{
	size_t i;

	for (i = 0; i < n_known; i++)
		if (known[i].st_ino == st->st_ino && known[i].st_size == st->st_size &&
		    is_same_time(&known[i].st_mtim, &st->st_mtim) &&
		    (!by_ctime || is_same_time(&known[i].st_ctim, &st->st_ctim)))
			return true;
	return false;
}

static void answer(int group, int fd, bool allow)
{
	struct fanotify_response response = { fd, allow ? FAN_ALLOW : FAN_DENY };

	if (write(group, &response, sizeof(response)) < 0)
		exit(1);
}

int main(int argc, char **argv)
{
	struct pollfd ready[2];
	const char *way;
	int group, fd;

	if (argc != 4)
		return 2;
	way = argv[1];
	signal(SIGIO, SIG_IGN);
	fd = open(argv[3], O_RDONLY);
	size = (size_t)read(fd, good, sizeof(good));
	close(fd);
	group = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_UNLIMITED_QUEUE, O_RDONLY | O_LARGEFILE | O_CLOEXEC);
	if (group < 0 || fanotify_mark(group, FAN_MARK_ADD | (strcmp(way, "mount") ? FAN_MARK_FILESYSTEM : FAN_MARK_MOUNT),
				       FAN_OPEN_EXEC_PERM, AT_FDCWD, argv[2]) < 0) {
		perror("fanotify");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	ready[0] = (struct pollfd){ .fd = group, .events = POLLIN };
	ready[1] = (struct pollfd){ .fd = 0, .events = POLLIN };
	while (poll(ready, 2, -1) > 0 && !ready[1].revents) {
		struct fanotify_event_metadata ev;
		bool leases = !strcmp(way, "lease"), allow;
		struct stat st;

		if (read(group, &ev, sizeof(ev)) != sizeof(ev))
			return 1;
		fstat(ev.fd, &st);
		if ((!strcmp(way, "mtime") || !strcmp(way, "ctime")) && remembers(&st, !strcmp(way, "ctime"))) {
			answer(group, ev.fd, true);
			close(ev.fd);
			continue;
		}
		allow = !leases || fcntl(ev.fd, F_SETLEASE, F_RDLCK) == 0;
		allow = allow && pread(ev.fd, seen, sizeof(seen), 0) == (ssize_t)size && !memcmp(seen, good, size);
		if (allow && !strcmp(way, "ignore"))
			fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_IGNORED_MASK, FAN_OPEN_EXEC_PERM, ev.fd, NULL);
		if (allow && n_known < sizeof(known) / sizeof(known[0]))
			known[n_known++] = st;
		answer(group, ev.fd, allow);
		close(ev.fd);
	}
	return 0;
}
