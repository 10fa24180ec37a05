/* A child of rimon's own, on which it is proven that the kernel calls the programs that were attached, and heeds them. */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf.h"

pid_t decoy_start(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == parent)
			pause();
		_exit(0);
	}
	return pid;
}

void decoy_end(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* By number here and below, for rimon tells debuggers by what they import. */
int decoy_read(pid_t pid)
{
	static const char there = 1;
	char here;
	struct iovec to = { &here, 1 }, from = { (void *)(uintptr_t)&there, 1 };

	return syscall(SYS_process_vm_readv, pid, &to, 1ul, &from, 1ul, 0ul) < 0 ? -errno : 0;
}

int decoy_seize(pid_t pid)
{
	return syscall(SYS_ptrace, PTRACE_SEIZE, (long)pid, 0ul, 0ul) < 0 ? -errno : 0;
}

int decoy_ask(pid_t pid)
{
	return syscall(SYS_ptrace, PTRACE_GETREGSET, (long)pid, 0ul, 0ul) < 0 ? -errno : 0;
}
