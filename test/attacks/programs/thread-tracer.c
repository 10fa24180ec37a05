/* Attaches to a thread from a thread of its own that is not the main one, as debuggers with many threads do, and stays. */
#include "attack.h"
#include <pthread.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static void *trace(void *arg)
{
	struct attack *a = arg;
	long long at = now_ns();

	if (ptrace(PTRACE_SEIZE, a->pid, 0, 0) < 0)
		report_failure(at, "PTRACE_SEIZE");
	else
		report_done(at, "seize");
	for (;;)
		pause();
	return NULL;
}

int main(int argc, char **argv)
{
	struct attack a = parse_attack(argc, argv, "thread-tracer TID ADDRESS LENGTH");
	pthread_t thread;

	if (pthread_create(&thread, NULL, trace, &a) != 0)
		return 1;
	pthread_join(thread, NULL);
	return 0;
}
