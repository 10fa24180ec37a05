/*
 * What an attacker does with ptrace. Its calls are made by number: rimon
 * itself tells debuggers by their import of ptrace and process_vm_readv.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"

/* v4.3: 13c4a90119d2 */
#ifndef PTRACE_O_SUSPEND_SECCOMP
#define PTRACE_O_SUSPEND_SECCOMP (1 << 21)
#endif

#define STOP_POLL_US		100
#define STOP_DEADLINE_US	2000000
#define PATCHED_US		50000

static void sleep_us(long us)
{
	struct timespec left = { us / 1000000, us % 1000000 * 1000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static long trace(long request, uint32_t pid, uint64_t address, void *data)
{
	return syscall(SYS_ptrace, request, pid, address, data) < 0 ? -errno : 0;
}

static int wait_for_stop(uint32_t pid)
{
	int status, waited;

	for (waited = 0; waited < STOP_DEADLINE_US; waited += STOP_POLL_US) {
		pid_t stopped = waitpid((pid_t)pid, &status, __WALL | WNOHANG);

		if (stopped < 0 && errno != EINTR)
			return -errno;
		if (stopped == (pid_t)pid)
			return WIFSTOPPED(status) ? 0 : -ESRCH;
		sleep_us(STOP_POLL_US);
	}
	return -ETIMEDOUT;
}

static ssize_t peek(uint32_t pid, uint64_t address, char *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t piece = len - done < sizeof(long) ? len - done : sizeof(long);
		long word, err;
		/* Straight into the buffer, which may be shared with one that lives on. */
		void *into = piece == sizeof(word) ? buf + done : (void *)&word;

		err = trace(PTRACE_PEEKDATA, pid, address + done, into);
		if (err)
			return (ssize_t)err;
		if (into == &word)
			memcpy(buf + done, &word, piece);
		done += piece;
	}
	return (ssize_t)done;
}

ssize_t attack_ptrace_attach(uint32_t pid, uint64_t address, char *buf, size_t len)
{
	ssize_t result;

	result = trace(PTRACE_ATTACH, pid, 0, NULL);
	if (result)
		return result;
	result = wait_for_stop(pid);
	if (!result)
		result = peek(pid, address, buf, len);
	trace(PTRACE_DETACH, pid, 0, NULL);
	return result;
}

ssize_t attack_ptrace_seize(uint32_t pid, uint64_t address, char *buf, size_t len)
{
	ssize_t result;

	result = trace(PTRACE_SEIZE, pid, 0, NULL);
	if (result)
		return result;
	result = trace(PTRACE_INTERRUPT, pid, 0, NULL);
	if (!result)
		result = wait_for_stop(pid);
	if (!result)
		result = peek(pid, address, buf, len);
	trace(PTRACE_DETACH, pid, 0, NULL);
	return result;
}

/* Stops one that was seized. */
static int stop(uint32_t tid)
{
	long err = trace(PTRACE_INTERRUPT, tid, 0, NULL);

	return err ? (int)err : wait_for_stop(tid);
}

int attack_ptrace_hold(uint32_t tid, bool suspend_seccomp)
{
	long err = -EPERM;

	if (suspend_seccomp)
		err = trace(PTRACE_SEIZE, tid, 0, (void *)PTRACE_O_SUSPEND_SECCOMP);
	/* CAP_SYS_ADMIN is asked for, no seccomp filter of our own, and CONFIG_CHECKPOINT_RESTORE: not all have that. */
	if (err == -EPERM || err == -EINVAL)
		err = trace(PTRACE_SEIZE, tid, 0, NULL);
	return (int)err;
}

ssize_t attack_ptrace_peek(uint32_t tid, uint64_t address, char *buf, size_t len)
{
	ssize_t result = stop(tid);

	if (!result) {
		result = peek(tid, address, buf, len);
		trace(PTRACE_CONT, tid, 0, NULL);
	}
	return result;
}

ssize_t attack_ptrace_registers(uint32_t tid, char *buf, size_t len)
{
	struct iovec into = { buf, len };
	ssize_t result = stop(tid);

	if (!result) {
		result = trace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &into);
		trace(PTRACE_CONT, tid, 0, NULL);
	}
	return result ? result : (ssize_t)into.iov_len;
}

int attack_ptrace_release(uint32_t tid)
{
	int err = stop(tid);

	return err ? err : (int)trace(PTRACE_DETACH, tid, 0, NULL);
}

int attack_ptrace_leave_breakpoint(uint32_t pid, uint64_t address)
{
#ifdef __aarch64__
	static const unsigned char breakpoint[] = { 0x00, 0x00, 0x20, 0xd4 };	/* brk #0 */
#else
	static const unsigned char breakpoint[] = { 0xcc };
#endif
	unsigned long word;
	long err;

	err = trace(PTRACE_SEIZE, pid, 0, NULL);
	if (err)
		return (int)err;
	err = stop(pid);
	if (!err)
		err = trace(PTRACE_PEEKTEXT, pid, address, &word);
	if (!err) {
		memcpy(&word, breakpoint, sizeof(breakpoint));
		err = trace(PTRACE_POKETEXT, pid, address, (void *)word);
	}
	trace(PTRACE_DETACH, pid, 0, NULL);
	return (int)err;
}

int attack_ptrace_patch_text(uint32_t pid, uint64_t address)
{
	unsigned long there;
	long err;

	err = trace(PTRACE_SEIZE, pid, 0, NULL);
	if (err)
		return (int)err;
	err = stop(pid);
	if (!err)
		err = trace(PTRACE_PEEKTEXT, pid, address, &there);
	if (!err)
		err = trace(PTRACE_POKETEXT, pid, address, (void *)~there);
	if (!err) {
		sleep_us(PATCHED_US);
		err = trace(PTRACE_POKETEXT, pid, address, (void *)there);
	}
	trace(PTRACE_DETACH, pid, 0, NULL);
	return (int)err;
}
