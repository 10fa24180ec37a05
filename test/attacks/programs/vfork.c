/*
 * Holds a secret, and forks a child that has its parent's memory (vfork(2)) until
 * a line comes: the first makes the child execute another program, the second
 * ends both. One line of JSON at the start, and one when the parent goes on.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH 32

static unsigned char secret[LENGTH];

static void await_line(void)
{
	char c = 0;

	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
		;
}

int main(void)
{
	pid_t parent = getpid(), child;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getrandom(secret, LENGTH, 0) != LENGTH)
		return 1;
	child = vfork();
	if (child < 0)
		return 1;
	if (child == 0) {
		printf("{\"pid\":%d,\"child\":%d,\"address\":\"%p\",\"length\":%d,\"secret\":\"", parent, getpid(),
		       (void *)secret, LENGTH);
		for (int i = 0; i < LENGTH; i++)
			printf("%02x", secret[i]);
		printf("\"}\n");
		fflush(stdout);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		await_line();
		execlp("sleep", "sleep", "1000", NULL);
		_exit(127);
	}
	printf("{\"ok\":true}\n");
	fflush(stdout);
	await_line();
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return 0;
}
