/*
 * Opens /proc/PID/maps COUNT times, a new open file each time, and no longer than SECONDS; says how often.
 * The kernel merges equal events only if they come from one process, so children take turns.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec start, now;
	long count, seconds, done;
	char path[64];

	if (argc != 4) {
		fprintf(stderr, "usage: openstorm PID COUNT SECONDS\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(path, sizeof(path), "/proc/%d/maps", atoi(argv[1]));
	count = atol(argv[2]);
	seconds = atol(argv[3]);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (done = 0; done < count; done++) {
		pid_t pid = vfork();

		if (pid == 0) {
			int fd = open(path, O_RDONLY | O_CLOEXEC);

			_exit(fd < 0);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) < 0)
			return 1;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - start.tv_sec >= seconds)
			break;
	}
	printf("%ld\n", done);
	return 0;
}
