/* What an attacker does with memory without ptrace, calling by number: see attack_ptrace.c. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"
#include "rimon.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
/* v5.10: ecb8ac8b1f14 */
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
/* v5.4: 9c276cc65a58 */
#ifndef MADV_COLD
#define MADV_COLD 20
#endif

#define PATCHED_MS	50

int attack_share(const char *path, char **ret_bytes)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), flags = MAP_SHARED;
	void *bytes;

	if (fd < 0)
		return -errno;
#ifdef MAP_32BIT
	/* So that a 32-bit call can read straight into it. */
	flags |= MAP_32BIT;
#endif
	bytes = mmap(NULL, ATTACK_SHARED, PROT_READ | PROT_WRITE, flags, fd, 0);
	close(fd);
	if (bytes == MAP_FAILED)
		return -errno;
	*ret_bytes = bytes;
	return 0;
}

ssize_t attack_process_vm_readv(uint32_t pid, uint64_t address, char *buf, size_t len)
{
	struct iovec local = { buf, len }, remote = { (void *)(uintptr_t)address, len };
	ssize_t n = syscall(SYS_process_vm_readv, pid, &local, 1, &remote, 1, 0);

	return n < 0 ? -errno : n;
}

ssize_t attack_process_vm_writev(uint32_t pid, uint64_t address, const char *bytes, size_t len)
{
	struct iovec local = { (void *)bytes, len }, remote = { (void *)(uintptr_t)address, len };
	ssize_t n = syscall(SYS_process_vm_writev, pid, &local, 1, &remote, 1, 0);

	return n < 0 ? -errno : n;
}

#ifdef __x86_64__

/* arch/x86/entry/syscalls/syscall_32.tbl */
#define GETPID_32		20
#define PROCESS_VM_READV_32	347

struct iovec_32 {
	uint32_t base;
	uint32_t len;
};

/* Below 4 GiB, since everything a 32-bit call is told has 32 bits. */
struct low_page {
	struct iovec_32 local;
	struct iovec_32 remote;
	char bytes[2048];
};

/* The stack pointer first leaves the red zone; before v5.6 the kernel does not keep r8 to r11. */
static long call_32(long number, long a, long b, long c, long d, long e)
{
	long result = number;

	__asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
			 "push %%rbp\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "int $0x80\n\t"
			 "pop %%rbp\n\t"
			 "lea 128(%%rsp), %%rsp"
			 : "+a"(result)
			 : "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory", "cc", "r8", "r9", "r10", "r11");
	return (int)result;
}

/* Where 32-bit calls are off, int $0x80 ends the caller: a child tries it. */
static bool has_calls_32(void)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
		signal(SIGSEGV, SIG_DFL);
		_exit(call_32(GETPID_32, 0, 0, 0, 0, 0) > 0 ? 0 : 1);
	}
	while (child > 0 && waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return child > 0 && status == 0;
}

ssize_t attack_process_vm_readv_32(uint32_t pid, uint64_t address, char *buf, size_t len)
{
	struct low_page *low;
	char *into;
	ssize_t n;

	if (!has_calls_32())
		return -ENOSYS;
	if (address > UINT32_MAX || len > sizeof(low->bytes))
		return -EINVAL;
	low = mmap(NULL, sizeof(*low), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (low == MAP_FAILED)
		return -errno;
	/* What is shared lies there itself: what was fetched is in it whether or not the caller lives on. */
	into = (uintptr_t)buf + len <= UINT32_MAX ? buf : low->bytes;
	low->local = (struct iovec_32){ (uint32_t)(uintptr_t)into, (uint32_t)len };
	low->remote = (struct iovec_32){ (uint32_t)address, (uint32_t)len };
	n = call_32(PROCESS_VM_READV_32, (long)pid, (long)&low->local, 1, (long)&low->remote, 1);
	if (n > 0 && into != buf)
		memcpy(buf, into, (size_t)n);
	munmap(low, sizeof(*low));
	return n;
}

#else

ssize_t attack_process_vm_readv_32(uint32_t pid, uint64_t address, char *buf, size_t len)
{
	(void)pid;
	(void)address;
	(void)buf;
	(void)len;
	return -ENOSYS;
}

#endif

int attack_process_madvise(uint32_t pid, uint64_t address, size_t len)
{
	struct iovec pages = { (void *)(uintptr_t)address, len };
	int pidfd, err = 0;

	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -errno;
	if (syscall(SYS_process_madvise, pidfd, &pages, 1, MADV_COLD, 0) < 0)
		err = -errno;
	close(pidfd);
	return err;
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

static void sleep_ms(long ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
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
