/*
 * Takes descriptor FD out of another process with pidfd_getfd and reads LENGTH
 * bytes of it at ADDRESS, which is a file offset unless FD is a /proc/PID/mem.
 */
#include "attack.h"
#include <sys/syscall.h>

int main(int argc, char **argv)
{
	const char *line = "getfd PID ADDRESS LENGTH FD";
	struct attack a = parse_attack(argc, argv, line);
	long long at;
	int pidfd, fd;
	ssize_t n;

	if (argc < 5)
		usage(line);
	pidfd = syscall(SYS_pidfd_open, a.pid, 0);
	if (pidfd < 0)
		return report_failure(now_ns(), "pidfd_open");
	at = now_ns();
	fd = syscall(SYS_pidfd_getfd, pidfd, atoi(argv[4]), 0);
	if (fd < 0)
		return report_failure(at, "pidfd_getfd");
	n = pread(fd, a.bytes, a.length, a.address);
	if (n < 0)
		return report_failure(at, "pread");
	report_bytes(at, a.bytes, n);
	return 0;
}
