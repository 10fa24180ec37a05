/*
 * What the bench puts beside rimon, or under it: the floor of reading /proc,
 * and loops of acts that rimon may slow down or has to keep up with.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "rimon.h"

#define THREADS_MAX	256
/* Of 4 KiB: one mapping that is made, touched and taken away. */
#define STORM_PAGES	64
/* The clock is looked at once in so many acts. */
#define ACTS_A_LOOK	16

static uint64_t used_ns(int who)
{
	struct rusage r;

	getrusage(who, &r);
	return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000ull +
	       (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000ull;
}

uint64_t bench_cpu_ns(void)
{
	return used_ns(RUSAGE_SELF) + used_ns(RUSAGE_CHILDREN);
}

struct floor_walk {
	int dir;
	const char *file;
};

static int floor_read(void *arg, uint32_t number)
{
	struct floor_walk *walk = arg;
	char name[64], buf[4096];
	int fd;

	snprintf(name, sizeof(name), "%u/%s", number, walk->file);
	fd = openat(walk->dir, name, O_RDONLY | O_CLOEXEC);
	/* Gone meanwhile. */
	if (fd < 0)
		return 0;
	if (read(fd, buf, sizeof(buf)) < 0 && errno != ESRCH) {
		close(fd);
		return -EIO;
	}
	close(fd);
	return 0;
}

/* The bare floor of a pass over /proc, or over the threads of one process. */
static int read_proc(uint32_t pid)
{
	struct floor_walk walk = { .file = pid ? "status" : "stat" };
	char name[64];
	int err;

	snprintf(name, sizeof(name), pid ? "/proc/%u/task" : "/proc", pid);
	walk.dir = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (walk.dir < 0)
		return -errno;
	err = proc_each(walk.dir, ".", floor_read, &walk);
	close(walk.dir);
	return err;
}

/* One mapping more; no two have neighbouring pages of the file, lest they become one. */
static int map_code(uint64_t number)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), err = 0;
	volatile const char *page;

	if (fd < 0)
		return -errno;
	page = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, (off_t)(number % 4096 * 2 * size));
	if (page == MAP_FAILED)
		err = -errno;
	else
		(void)*page;
	close(fd);
	return err;
}

static int map_touch_unmap(void)
{
	size_t page = 4096, i;
	volatile char *at = mmap(NULL, STORM_PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return -errno;
	/* One page at a time, whatever the kernel thinks of huge ones. */
	madvise((void *)at, STORM_PAGES * page, MADV_NOHUGEPAGE);
	for (i = 0; i < STORM_PAGES; i++)
		at[i * page] = 1;
	return munmap((void *)at, STORM_PAGES * page) < 0 ? -errno : 0;
}

static int open_close(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

struct load {
	enum bench_what what;
	uint64_t calls;
	uint64_t ms;
	uint64_t per_second;
	uint32_t pid;
	uint64_t address;
};

struct worker {
	pthread_t thread;
	const struct load *load;
	uint64_t done;
	int err;
};

static int read_memory(const struct load *load)
{
	char byte;
	struct iovec local = { &byte, 1 }, remote = { (void *)(uintptr_t)load->address, 1 };

	/* As in attack_memory.c: an addon that imports it is one of a debugger's. */
	return syscall(SYS_process_vm_readv, load->pid, &local, 1, &remote, 1, 0) == 1 ? 0 : -errno;
}

/* A child that reads, or one that executes a program that does nothing. */
static int fork_and(const struct load *load, const char *program)
{
	static char *const args[] = { "true", NULL }, *const env[] = { NULL };
	int status;
	pid_t pid = vfork();

	if (pid == 0) {
		if (load)
			_exit(read_memory(load) ? 1 : 0);
		execve(program, args, env);
		_exit(127);
	}
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}

static int act(const struct load *load, const char *path, uint64_t number)
{
	switch (load->what) {
	case BENCH_GETPPID:
		return syscall(SYS_getppid) < 0 ? -errno : 0;
	case BENCH_OPEN_CLOSE:
		return open_close("/dev/null");
	case BENCH_FORK_EXEC:
		return fork_and(NULL, "/bin/true");
	case BENCH_MAP_TOUCH:
		return map_touch_unmap();
	case BENCH_READ_MEMORY:
		return read_memory(load);
	case BENCH_OPEN_MAPS:
		return open_close(path);
	case BENCH_READ_PROC:
		return read_proc(load->pid);
	case BENCH_MAP_CODE:
		return map_code(number);
	case BENCH_FORK_READ:
		return fork_and(load, NULL);
	default:
		return -EINVAL;
	}
}

/* Paced by spinning: a sleep is longer than the time between two acts. */
static void *work(void *arg)
{
	struct worker *w = arg;
	const struct load *load = w->load;
	uint64_t began = monotonic_ns(), now = began;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/maps", load->pid);
	while (!w->err && (load->calls == 0 || w->done < load->calls)) {
		if (load->per_second || w->done % ACTS_A_LOOK == 0) {
			now = monotonic_ns();
			if (load->ms && now - began >= load->ms * 1000000ull)
				break;
			if (load->per_second && (double)w->done > (double)(now - began) * 1e-9 * (double)load->per_second)
				continue;
		}
		w->err = act(load, path, w->done);
		w->done++;
	}
	return NULL;
}

int bench_loop(const uint64_t how[BENCH_NUMBERS], struct timing *ret)
{
	const struct load load = { (enum bench_what)how[0], how[2], how[3], how[4], (uint32_t)how[5], how[6] };
	struct worker workers[THREADS_MAX] = { 0 };
	struct timing sum = { 0 };
	uint64_t threads = how[1], i, started;
	int err = 0;

	if (threads == 0 || threads > THREADS_MAX || (load.calls == 0 && load.ms == 0))
		return -EINVAL;
	sum.wall_ns = monotonic_ns();
	sum.cpu_ns = bench_cpu_ns();
	for (started = 0; started < threads; started++) {
		workers[started].load = &load;
		err = -pthread_create(&workers[started].thread, NULL, work, &workers[started]);
		if (err)
			break;
	}
	for (i = 0; i < started; i++) {
		pthread_join(workers[i].thread, NULL);
		err = err ? err : workers[i].err;
		sum.calls += workers[i].done;
	}
	sum.wall_ns = monotonic_ns() - sum.wall_ns;
	sum.cpu_ns = bench_cpu_ns() - sum.cpu_ns;
	if (!err)
		*ret = sum;
	return err;
}

int bench_exec(const uint64_t how[BENCH_NUMBERS], const struct bytes *path, char *into, size_t len)
{
	char program[4096];
	uint64_t i, began, took;
	int err;

	if (how[1] == 0 || len / sizeof(took) != how[1] || len % sizeof(took) || path->len == 0 || path->len > sizeof(program) - 32)
		return -EINVAL;
	memcpy(program, path->data, path->len);
	program[path->len] = '\0';
	for (i = 0; i < how[1]; i++) {
		if (how[2])
			snprintf(program + path->len, 32, ".%llu", (unsigned long long)i);
		began = monotonic_ns();
		err = fork_and(NULL, program);
		took = monotonic_ns() - began;
		if (err)
			return err;
		memcpy(into + i * sizeof(took), &took, sizeof(took));
	}
	return 0;
}
