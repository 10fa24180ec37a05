/*
 * Runs a program under exactly the pid given, as a wrapped pid counter would:
 * fails with EEXIST while somebody has it. It stays as the parent, hands its
 * stdin, stdout and stderr on and ends when the program does.
 */
#include "attack.h"
#include <linux/sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
	pid_t wanted = argc > 2 ? atoi(argv[1]) : 0;
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&wanted,
		.set_tid_size = 1, /* v5.5: clone3() with set_tid, 49cb2fc42ce4 */
	};
	long long at = now_ns();
	long pid;

	if (argc < 3)
		usage("clone-with-pid PID PROGRAM [ARGUMENT...]");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return report_failure(at, "clone3");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[2], argv + 2);
		report_failure(at, "execv");
		_exit(127);
	}
	if (waitpid(pid, NULL, 0) < 0)
		return report_failure(now_ns(), "waitpid");
	return 0;
}
