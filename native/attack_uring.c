/* What an attacker does by io_uring: the kernel opens and reads for it, and it makes neither call. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attack.h"

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#define SYS_io_uring_enter 426
#endif

struct uring {
	int fd;
	struct io_uring_params params;
	char *rings;
	size_t rings_size;
	struct io_uring_sqe *entries;
};

static void uring_close(struct uring *u)
{
	if (u->entries != MAP_FAILED)
		munmap(u->entries, u->params.sq_entries * sizeof(*u->entries));
	if (u->rings != MAP_FAILED)
		munmap(u->rings, u->rings_size);
	close(u->fd);
}

static int uring_open(struct uring *u)
{
	size_t submitted, completed;
	int err;

	memset(u, 0, sizeof(*u));
	u->rings = MAP_FAILED;
	u->entries = MAP_FAILED;
	u->fd = (int)syscall(SYS_io_uring_setup, 1, &u->params);
	if (u->fd < 0)
		return -errno;
	/* Both rings in one mapping since v5.4; opening and reading are v5.6. */
	submitted = u->params.sq_off.array + u->params.sq_entries * sizeof(uint32_t);
	completed = u->params.cq_off.cqes + u->params.cq_entries * sizeof(struct io_uring_cqe);
	u->rings_size = submitted > completed ? submitted : completed;
	u->rings = mmap(NULL, u->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->fd, IORING_OFF_SQ_RING);
	if (u->rings != MAP_FAILED)
		u->entries = mmap(NULL, u->params.sq_entries * sizeof(*u->entries), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_POPULATE, u->fd, IORING_OFF_SQES);
	if (u->entries != MAP_FAILED && (u->params.features & IORING_FEAT_SINGLE_MMAP))
		return 0;
	err = u->entries == MAP_FAILED ? -errno : -ENOSYS;
	uring_close(u);
	return err;
}

/* One operation, to its end; what it returned. */
static int uring_do(struct uring *u, const struct io_uring_sqe *entry)
{
	uint32_t *sq_tail = (uint32_t *)(u->rings + u->params.sq_off.tail);
	uint32_t *sq_array = (uint32_t *)(u->rings + u->params.sq_off.array);
	uint32_t *cq_head = (uint32_t *)(u->rings + u->params.cq_off.head);
	uint32_t *cq_tail = (uint32_t *)(u->rings + u->params.cq_off.tail);
	struct io_uring_cqe *completions = (struct io_uring_cqe *)(u->rings + u->params.cq_off.cqes);
	uint32_t to_submit = 1, head;
	int result;

	u->entries[0] = *entry;
	sq_array[*sq_tail & (u->params.sq_entries - 1)] = 0;
	__atomic_store_n(sq_tail, *sq_tail + 1, __ATOMIC_RELEASE);
	head = *cq_head;
	while (__atomic_load_n(cq_tail, __ATOMIC_ACQUIRE) == head) {
		if (syscall(SYS_io_uring_enter, u->fd, to_submit, 1, IORING_ENTER_GETEVENTS, NULL, 0) >= 0)
			to_submit = 0;
		else if (errno != EINTR)
			return -errno;
	}
	result = completions[head & (u->params.cq_entries - 1)].res;
	__atomic_store_n(cq_head, head + 1, __ATOMIC_RELEASE);
	return result;
}

ssize_t attack_uring_read(const char *path, uint64_t offset, char *buf, size_t len)
{
	struct io_uring_sqe opening = { .opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uintptr_t)path,
					.open_flags = O_RDONLY | O_CLOEXEC };
	struct io_uring_sqe reading = { .opcode = IORING_OP_READ, .addr = (uintptr_t)buf, .len = (uint32_t)len,
					.off = offset };
	struct uring u;
	int result, fd;

	result = uring_open(&u);
	if (result)
		return result;
	fd = uring_do(&u, &opening);
	if (fd >= 0) {
		reading.fd = fd;
		result = uring_do(&u, &reading);
		close(fd);
	} else {
		/* The rings are there, the operation is not. */
		result = fd == -EINVAL ? -ENOSYS : fd;
	}
	uring_close(&u);
	return result;
}
