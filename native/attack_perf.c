/* What an attacker does with perf_event_open: stacks of a running thread, and probes in its code. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"
#include "rimon.h"

#define EVERY_NS	100000
#define SAMPLE_MS	2000
#define PROBED_MS	50
#define RING_PAGES	8
#define STACK_MAX	4096

static void sleep_ms(long ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static int event_open(struct perf_event_attr *attr, uint32_t tid)
{
	int fd = (int)syscall(SYS_perf_event_open, attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* A sample of PERF_SAMPLE_STACK_USER alone: how much was asked for, that much, and how much of it was there. */
struct stack_sample {
	struct perf_event_header header;
	uint64_t size;
	char bytes[STACK_MAX];
	uint64_t filled;
};

static ssize_t take_stack(const char *ring, size_t page, char *buf, size_t len)
{
	const struct perf_event_mmap_page *head = (const void *)ring;
	struct stack_sample sample;

	/* The first record has not been wrapped around the end of the ring. */
	if (__atomic_load_n(&head->data_head, __ATOMIC_ACQUIRE) < sizeof(sample))
		return 0;
	memcpy(&sample, ring + page, sizeof(sample));
	if (sample.header.type != PERF_RECORD_SAMPLE || sample.size != STACK_MAX || sample.filled > STACK_MAX)
		return -EBADMSG;
	if (len > sample.filled)
		len = sample.filled;
	memcpy(buf, sample.bytes, len);
	return (ssize_t)len;
}

ssize_t attack_perf_stack(uint32_t tid, char *buf, size_t len)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_TASK_CLOCK,
					.sample_period = EVERY_NS, .sample_type = PERF_SAMPLE_STACK_USER,
					.sample_stack_user = STACK_MAX, .exclude_kernel = 1 };
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	ssize_t result = 0;
	int fd, waited;
	char *ring;

	fd = event_open(&attr, tid);
	if (fd < 0)
		return fd;
	ring = mmap(NULL, (1 + RING_PAGES) * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED) {
		result = -errno;
	} else {
		for (waited = 0; result == 0 && waited < SAMPLE_MS; waited++) {
			sleep_ms(1);
			result = take_stack(ring, page, buf, len);
		}
		munmap(ring, (1 + RING_PAGES) * page);
	}
	close(fd);
	return result == 0 ? -ETIMEDOUT : result;
}

/* Where in which file this process has a function: that of another process is the same. */
static int find_function(const char *name, char *path, size_t path_size, uint64_t *ret_offset)
{
	uintptr_t address = (uintptr_t)dlsym(RTLD_DEFAULT, name);
	unsigned long start, end, offset;
	char line[4096];
	int err = -ENOENT;
	FILE *maps;

	if (!address)
		return -ENOENT;
	maps = fopen("/proc/self/maps", "re");
	if (!maps)
		return -errno;
	while (fgets(line, sizeof(line), maps)) {
		int at = 0;

		if (sscanf(line, "%lx-%lx %*4c %lx %*s %*u %n", &start, &end, &offset, &at) < 3 || at == 0 ||
		    address < start || address >= end || line[at] != '/')
			continue;
		line[strcspn(line, "\n")] = 0;
		if ((size_t)snprintf(path, path_size, "%s", line + at) < path_size) {
			*ret_offset = address - start + offset;
			err = 0;
		}
		break;
	}
	fclose(maps);
	return err;
}

static int uprobe_open(uint32_t pid, const char *function)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	uint64_t offset = 0;
	char path[4096];
	int err;

	err = uprobe_type(&attr.type);
	if (!err)
		err = find_function(function, path, sizeof(path), &offset);
	if (err)
		return err;
	attr.uprobe_path = (uintptr_t)path;
	attr.probe_offset = offset;
	return event_open(&attr, pid);
}

int attack_uprobe(uint32_t pid, const char *function)
{
	int fd = uprobe_open(pid, function);

	if (fd < 0)
		return fd;
	sleep_ms(PROBED_MS);
	close(fd);
	return 0;
}

/* One that looks at nothing: who reads keys this way has a program like it. */
static int load_program(void)
{
	static const struct bpf_insn program[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = { 0 };
	int fd;

	attr.prog_type = BPF_PROG_TYPE_KPROBE;
	attr.insns = (uintptr_t)program;
	attr.insn_cnt = sizeof(program) / sizeof(program[0]);
	attr.license = (uintptr_t)"GPL";
	fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd;
}

int attack_uprobe_hold(uint32_t pid, const char *function)
{
	int fd, program, err = 0;

	fd = uprobe_open(pid, function);
	if (fd < 0)
		return fd;
	program = load_program();
	if (program < 0)
		err = program;
	else if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, program) < 0)
		err = -errno;
	/* The event has it now. */
	if (program >= 0)
		close(program);
	if (err)
		close(fd);
	return err;
}
