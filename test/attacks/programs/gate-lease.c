/*
 * Holds a write lease on a file (fcntl(2), F_SETLEASE), as a file server that lets a client keep it does, and does not give
 * it up when asked to: whoever opens the file waits for as long as /proc/sys/fs/lease-break-time says.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	sigset_t asked;
	int fd, got;

	fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	sigemptyset(&asked);
	sigaddset(&asked, SIGIO);
	sigprocmask(SIG_BLOCK, &asked, NULL);
	if (fd < 0 || fcntl(fd, F_SETLEASE, F_WRLCK) < 0) {
		perror("gate-lease");
		return 2;
	}
	printf("holds\n");
	fflush(stdout);
	while (sigwait(&asked, &got) == 0) {
		printf("asked\n");
		fflush(stdout);
	}
	return 1;
}
