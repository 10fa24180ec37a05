/*
 * Runs a program again and again, in so many processes at once, so that the exec gate is never without something to answer:
 *
 *   gate-flow PROCESSES PROGRAM
 *
 * It is to be one that is refused: who is not is gone. "flows" is printed once each has been refused.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int ready[2], i, n = argc == 3 ? atoi(argv[1]) : 0;
	char one;

	if (n < 1 || pipe(ready) < 0)
		return 2;
	for (i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 2;
		if (pid)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[2], argv + 2);
		if (write(ready[1], "", 1) != 1)
			return 2;
		for (;;)
			execv(argv[2], argv + 2);
	}
	for (i = 0; i < n; i++)
		if (read(ready[0], &one, 1) != 1)
			return 2;
	printf("flows\n");
	fflush(stdout);
	wait(NULL);
	return 1;
}
