/*
 * storm victim: holds 32 random bytes below 4 GiB, tells where, and sleeps
 * until its input ends.
 *
 * storm PID ADDRESS LENGTH TECHNIQUE RUNS: forks RUNS attackers, one after the
 * other, each of which reads straight into memory that it shares with its
 * parent: what was fetched is there whether or not the attacker lived to tell.
 * Says how many were killed and how many bytes came out.
 */
#include "attack.h"
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define PAGE 4096
#define UNSUPPORTED 77
#ifndef MAP_32BIT
#define MAP_32BIT 0
#endif

static int by_readv(struct attack *a)
{
	struct iovec local = { a->bytes, a->length }, remote = { (void *)a->address, a->length };

	return process_vm_readv(a->pid, &local, 1, &remote, 1, 0) < 0;
}

static int by_readv_int80(struct attack *a)
{
#if defined(__x86_64__)
	unsigned int *iov = (unsigned int *)(a->bytes + PAGE);
	int ret;

	iov[0] = (unsigned int)(unsigned long)a->bytes;
	iov[1] = a->length;
	iov[2] = (unsigned int)a->address;
	iov[3] = a->length;
	/* The sixth argument, flags, is in ebp. */
	__asm__ volatile("push %%rbp; xor %%ebp, %%ebp; int $0x80; pop %%rbp"
			 : "=a"(ret)
			 : "0"(347), "b"(a->pid), "c"(iov), "d"(1), "S"(iov + 2), "D"(1)
			 : "memory", "r8", "r9", "r10", "r11");
	if (ret == -ENOSYS)
		return UNSUPPORTED;
	return ret < 0;
#else
	(void)a;
	return UNSUPPORTED;
#endif
}

static int by_mem(struct attack *a)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", a->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 || pread(fd, a->bytes, a->length, a->address) < 0;
}

static int by_peek(struct attack *a)
{
	if (ptrace(PTRACE_SEIZE, a->pid, 0, 0) < 0 || ptrace(PTRACE_INTERRUPT, a->pid, 0, 0) < 0)
		return 1;
	if (waitpid(a->pid, NULL, __WALL) < 0)
		return 1;
	for (size_t i = 0; i < a->length; i += sizeof(long))
		/* The kernel's own call: it stores the word, the C library's only returns it. */
		if (syscall(SYS_ptrace, PTRACE_PEEKDATA, a->pid, a->address + i, a->bytes + i) < 0)
			return 1;
	return 0;
}

static int by_io_uring(struct attack *a)
{
	struct io_uring_params p = { 0 };
	struct io_uring_sqe *sqes;
	unsigned char *ring;
	char path[64];
	int ring_fd, fd;

	ring_fd = syscall(SYS_io_uring_setup, 2, &p);
	if (ring_fd < 0)
		return UNSUPPORTED;
	snprintf(path, sizeof(path), "/proc/%d/mem", a->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ring = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring_fd, IORING_OFF_SQ_RING);
	sqes = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring_fd, IORING_OFF_SQES);
	if (fd < 0 || ring == MAP_FAILED || sqes == MAP_FAILED)
		return 1;
	memset(sqes, 0, sizeof(*sqes));
	sqes->opcode = IORING_OP_READ;
	sqes->fd = fd;
	sqes->addr = (unsigned long)a->bytes;
	sqes->len = a->length;
	sqes->off = a->address;
	((unsigned int *)(ring + p.sq_off.array))[0] = 0;
	__atomic_store_n((unsigned int *)(ring + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	return syscall(SYS_io_uring_enter, ring_fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0;
}

static const struct {
	const char *name;
	int (*read)(struct attack *a);
} techniques[] = {
	{ "readv", by_readv },
	{ "readv-int80", by_readv_int80 },
	{ "mem", by_mem },
	{ "peek", by_peek },
	{ "io_uring", by_io_uring },
};

static int victim(void)
{
	unsigned char *secret = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (secret == MAP_FAILED || getrandom(secret, 32, 0) != 32)
		return 1;
	/* No byte is zero, so that each that leaks can be counted. */
	for (int i = 0; i < 32; i++)
		secret[i] |= 1;
	printf("{\"pid\":%d,\"address\":\"%p\",\"length\":32}\n", getpid(), secret);
	fflush(stdout);
	wait_for_line();
	return 0;
}

int main(int argc, char **argv)
{
	const char *line = "storm PID ADDRESS LENGTH TECHNIQUE RUNS | storm victim";
	long runs, killed = 0, leaks = 0, bytes = 0, failed = 0;
	struct attack a;
	size_t which;

	if (argc == 2 && !strcmp(argv[1], "victim"))
		return victim();
	a = parse_attack(argc, argv, line);
	if (argc != 6)
		usage(line);
	for (which = 0; strcmp(techniques[which].name, argv[4]); which++)
		if (which + 1 == sizeof(techniques) / sizeof(techniques[0]))
			usage(line);
	runs = atol(argv[5]);
	a.bytes = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (a.bytes == MAP_FAILED)
		return report_failure(now_ns(), "mmap");

	for (long run = 0; run < runs; run++) {
		long came = 0;
		int status;
		pid_t pid;

		memset(a.bytes, 0, 2 * PAGE);
		pid = fork();
		if (pid < 0)
			return report_failure(now_ns(), "fork");
		if (pid == 0)
			_exit(techniques[which].read(&a));
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		for (size_t i = 0; i < a.length; i++)
			came += a.bytes[i] != 0;
		bytes += came;
		leaks += came != 0;
		killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		failed += WIFEXITED(status) && WEXITSTATUS(status) != 0;
		if (WIFEXITED(status) && WEXITSTATUS(status) == UNSUPPORTED) {
			printf("{\"unsupported\":true}\n");
			return 0;
		}
	}
	printf("{\"runs\":%ld,\"killed\":%ld,\"leaks\":%ld,\"bytes\":%ld,\"failed\":%ld}\n", runs, killed, leaks, bytes, failed);
	return 0;
}
