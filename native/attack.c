/*
 * What an attacker does, for the drill's own decoy; each primitive acts on the
 * pid it is given and on nothing else. System calls are made by number: rimon
 * itself tells debuggers by their import of ptrace and process_vm_readv.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rimon.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

#define STOP_DEADLINE_MS	2000
#define PATCHED_MS		50

/* A page of its own, so that what happens to it happens to nothing else. */
static unsigned char secret_page[4096] __attribute__((aligned(4096))) = { 1 };
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void secret_make(void)
{
	/* Should the kernel refuse, it is a poor secret and still a good decoy. */
	if (getrandom(secret_page, 32, 0) != 32)
		memset(secret_page, 0x5a, 32);
}

/* Nobody calls it: patchText changes it and puts it back. */
__attribute__((noinline, noclone, aligned(64))) static int decoy_code(int x)
{
	int i;

	for (i = 0; i < 8; i++)
		x = x * 31 + i;
	return x;
}

static int (*volatile decoy_code_pointer)(int) = decoy_code;

void attack_secret(const unsigned char **ret_bytes, size_t *ret_len, uint64_t *ret_code)
{
	pthread_once(&secret_once, secret_make);
	*ret_bytes = secret_page;
	*ret_len = 32;
	*ret_code = (uint64_t)(uintptr_t)decoy_code_pointer;
}

int attack_open_page(void)
{
	/* arm64 has pages of up to 64 KiB: the secret's neighbours are opened with it. */
	uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t page = (uintptr_t)secret_page & ~(size - 1);

	return mprotect((void *)page, size, PROT_READ | PROT_WRITE | PROT_EXEC) < 0 ? -errno : 0;
}

struct sleeper {
	pthread_mutex_t lock;
	pthread_cond_t told;
	uint32_t tid;
};

static void *sleeper_run(void *arg)
{
	struct sleeper *s = arg;

	pthread_mutex_lock(&s->lock);
	s->tid = (uint32_t)syscall(SYS_gettid);
	pthread_cond_signal(&s->told);
	pthread_mutex_unlock(&s->lock);
	for (;;)
		pause();
	return NULL;
}

int attack_start_thread(uint32_t *ret_tid)
{
	struct sleeper s = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };
	sigset_t all, before;
	pthread_t thread;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, NULL, sleeper_run, &s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return -err;
	pthread_detach(thread);
	pthread_mutex_lock(&s.lock);
	while (!s.tid)
		pthread_cond_wait(&s.told, &s.lock);
	pthread_mutex_unlock(&s.lock);
	*ret_tid = s.tid;
	return 0;
}

static void sleep_ms(long ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };

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

	for (waited = 0; waited < STOP_DEADLINE_MS; waited++) {
		pid_t stopped = waitpid((pid_t)pid, &status, __WALL | WNOHANG);

		if (stopped < 0 && errno != EINTR)
			return -errno;
		if (stopped == (pid_t)pid)
			return WIFSTOPPED(status) ? 0 : -ESRCH;
		sleep_ms(1);
	}
	return -ETIMEDOUT;
}

static ssize_t peek(uint32_t pid, uint64_t address, char *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t piece = len - done < sizeof(long) ? len - done : sizeof(long);
		long word, err;

		err = trace(PTRACE_PEEKDATA, pid, address + done, &word);
		if (err)
			return (ssize_t)err;
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

ssize_t attack_process_vm_readv(uint32_t pid, uint64_t address, char *buf, size_t len)
{
	struct iovec local = { buf, len }, remote = { (void *)(uintptr_t)address, len };
	ssize_t n = syscall(SYS_process_vm_readv, pid, &local, 1, &remote, 1, 0);

	return n < 0 ? -errno : n;
}

ssize_t attack_pidfd_getfd(uint32_t pid, uint32_t fd, char *buf, size_t len)
{
	ssize_t result;
	int pidfd, copy;

	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -errno;
	copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	if (copy < 0) {
		result = -errno;
	} else {
		result = pread(copy, buf, len, 0);
		if (result < 0)
			result = -errno;
		close(copy);
	}
	close(pidfd);
	return result;
}

ssize_t attack_proc_mem_detached_mount(uint32_t pid, uint64_t address, char *buf, size_t len)
{
	ssize_t result;
	char name[32];
	int root, mem, err;

	err = procfs_mount_detached(&root);
	if (err)
		return err;
	snprintf(name, sizeof(name), "%u/mem", pid);
	mem = openat(root, name, O_RDONLY | O_CLOEXEC);
	if (mem < 0) {
		result = -errno;
	} else {
		result = pread(mem, buf, len, (off_t)address);
		if (result < 0)
			result = -errno;
		close(mem);
	}
	close(root);
	return result;
}

int attack_patch_text(uint32_t pid, uint64_t address)
{
	unsigned char there, flipped;
	char name[32];
	int fd, err = 0;

	snprintf(name, sizeof(name), "/proc/%u/mem", pid);
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (pread(fd, &there, 1, (off_t)address) != 1) {
		err = errno ? -errno : -EIO;
		goto out;
	}
	flipped = there ^ 0xff;
	if (pwrite(fd, &flipped, 1, (off_t)address) != 1) {
		err = errno ? -errno : -EIO;
		goto out;
	}
	sleep_ms(PATCHED_MS);
	if (pwrite(fd, &there, 1, (off_t)address) != 1)
		err = errno ? -errno : -EIO;
out:
	close(fd);
	return err;
}
