/*
 * reach hold      sleeps until it is killed
 * reach PID       reaches into a process that runs this same program in every way there is, and says what came back
 *
 * Linked statically and at a fixed address, so that `there` lies alike in both.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char there = 42;

static void say(const char *what, long ret)
{
	printf("%s %s\n", what, ret < 0 ? strerrorname_np(errno) : "granted");
}

static void let_go(pid_t pid)
{
	waitpid(pid, NULL, __WALL);
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

static void attach(pid_t pid)
{
	long ret = ptrace(PTRACE_ATTACH, pid, NULL, NULL);

	say("attach", ret);
	if (ret == 0)
		let_go(pid);
}

static void seize(const char *what, pid_t pid, long ret)
{
	say(what, ret);
	if (ret < 0)
		return;
	ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
	let_go(pid);
}

static long seize_32(pid_t pid)
{
#if defined(__x86_64__)
	long ret;

	asm volatile("int $0x80" : "=a"(ret) : "a"(26l), "b"((long)PTRACE_SEIZE), "c"((long)pid), "d"(0l), "S"(0l) : "memory");
	if (ret >= 0)
		return ret;
	errno = (int)-ret;
	return -1;
#else
	return ptrace(PTRACE_SEIZE, pid, NULL, NULL);
#endif
}

static void file(const char *what, pid_t pid, const char *path, off_t at)
{
	char name[64], byte;
	long ret;
	int fd;

	snprintf(name, sizeof(name), path, pid, pid);
	fd = open(name, O_RDONLY);
	ret = fd < 0 ? fd : pread(fd, &byte, 1, at);
	say(what, ret);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	char here, link[64], name[64];
	struct iovec to = { &here, 1 }, from = { &there, 1 };
	int pidfd;
	pid_t pid;

	if (argc != 2)
		return 2;
	if (strcmp(argv[1], "hold") == 0)
		for (;;)
			pause();
	pid = atoi(argv[1]);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	say("readv", process_vm_readv(pid, &to, 1, &from, 1, 0));
	say("writev", process_vm_writev(pid, &from, 1, &from, 1, 0));
	file("mem", pid, "/proc/%d/mem", (off_t)(unsigned long)&there);
	file("task-mem", pid, "/proc/%d/task/%d/mem", (off_t)(unsigned long)&there);
	attach(pid);
	seize("seize", pid, ptrace(PTRACE_SEIZE, pid, NULL, NULL));
	seize("seize-32", pid, seize_32(pid));
	say("getfd", syscall(SYS_pidfd_getfd, pidfd, 0, 0));
	say("kcmp", syscall(SYS_kcmp, getpid(), pid, KCMP_VM, 0, 0));

	file("maps", pid, "/proc/%d/maps", 0);
	file("environ", pid, "/proc/%d/environ", 0);
	file("stat", pid, "/proc/%d/stat", 0);
	snprintf(name, sizeof(name), "/proc/%d/exe", pid);
	say("exe", readlink(name, link, sizeof(link)));
	say("setns", setns(pidfd, CLONE_NEWUTS));
	return 0;
}
