/*
 * Forks COUNT children that compare themselves to PID and exit at once, as fast
 * as it can and no longer than SECONDS; says how many there were.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec start, now;
	long count, seconds, done;
	pid_t target;

	if (argc != 4) {
		fprintf(stderr, "usage: forkstorm COUNT SECONDS PID\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	count = atol(argv[1]);
	seconds = atol(argv[2]);
	target = (pid_t)atol(argv[3]);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (done = 0; done < count; done++) {
		pid_t pid = vfork();

		if (pid == 0) {
			syscall(SYS_kcmp, getpid(), target, KCMP_VM, 0, 0);
			_exit(0);
		}
		if (pid < 0) {
			fprintf(stderr, "vfork: errno %d\n", errno);
			return 1;
		}
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - start.tv_sec >= seconds)
			break;
	}
	printf("%ld\n", done);
	return 0;
}
