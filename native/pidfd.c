/* Signals exactly the process that was judged: a pid alone is reused. */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rimon.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

int pidfd_signal(uint32_t pid, uint64_t start_ticks, int signal, enum signal_result *ret)
{
	enum signal_result result = SIGNAL_SENT;
	uint64_t now_ticks;
	int pidfd, proc = -1, err = 0;

	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		if (errno != ESRCH)
			return -errno;
		*ret = SIGNAL_GONE;
		return 0;
	}
	/* Only now: whoever bears the pid after this is no longer the one the pidfd holds, and gets nothing. */
	proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0) {
		err = -errno;
		goto out;
	}
	err = proc_start_ticks(proc, pid, &now_ticks);
	if (err == -ENOENT || err == -ESRCH) {
		result = SIGNAL_GONE;
		err = 0;
	} else if (err) {
		goto out;
	} else if (now_ticks != start_ticks) {
		result = SIGNAL_REUSED;
	} else if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0) {
		if (errno == ESRCH)
			result = SIGNAL_GONE;
		else
			err = -errno;
	}
	if (!err)
		*ret = result;
out:
	if (proc >= 0)
		close(proc);
	close(pidfd);
	return err;
}
