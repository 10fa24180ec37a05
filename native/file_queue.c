/*
 * Changes that nobody has taken yet. What one process does to one file is one
 * change with a count, so a file that is written all day takes one place. What
 * has no room is counted.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "file_watch.h"

#define CHANGES_MAX	((size_t)65536)
#define BYTES_MAX	((size_t)8 << 20)
#define SLOTS		(2 * CHANGES_MAX)
/* Below this the pages are kept for the next time. */
#define KEPT		4096

static void *pages(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int file_queue_open(struct file_queue *q, const uint64_t key[2])
{
	memset(q, 0, sizeof(*q));
	memcpy(q->key, key, sizeof(q->key));
	q->changes = pages(CHANGES_MAX * sizeof(*q->changes));
	q->bytes = pages(BYTES_MAX);
	q->slots = pages(SLOTS * sizeof(*q->slots));
	if (q->changes && q->bytes && q->slots)
		return 0;
	file_queue_close(q);
	return -ENOMEM;
}

void file_queue_close(struct file_queue *q)
{
	if (q->changes)
		munmap(q->changes, CHANGES_MAX * sizeof(*q->changes));
	if (q->bytes)
		munmap(q->bytes, BYTES_MAX);
	if (q->slots)
		munmap(q->slots, SLOTS * sizeof(*q->slots));
	batch_free(&q->actors);
	memset(q, 0, sizeof(*q));
}

static size_t slot_of(const struct file_queue *q, uint32_t pid, const char *path, size_t len)
{
	size_t i = (siphash24(q->key, path, len) ^ pid * 0x9e3779b97f4a7c15ull) % SLOTS;

	for (; q->slots[i]; i = (i + 1) % SLOTS) {
		const struct file_change *c = &q->changes[q->slots[i] - 1];

		if (c->pid == pid && c->path_len == len && memcmp(q->bytes + c->at, path, len) == 0)
			break;
	}
	return i;
}

/* What is told as one keeps its order: made, changed, removed. A move is told by itself. */
static bool can_join(const struct file_change *before, const struct file_change *now)
{
	return !((before->bits | now->bits) & CHANGE_MOVED) && !(before->bits & CHANGE_REMOVED) &&
	       !(now->bits & CHANGE_CREATED) && (before->bits & CHANGE_FOLDER) == (now->bits & CHANGE_FOLDER) &&
	       before->start_ticks == now->start_ticks;
}

bool file_queue_add(struct file_queue *q, const struct file_change *change, const char *path, const char *from)
{
	size_t slot = slot_of(q, change->pid, path, change->path_len), len = (size_t)change->path_len + change->from_len;
	struct file_change *c;

	if (q->slots[slot]) {
		c = &q->changes[q->slots[slot] - 1];
		if (can_join(c, change)) {
			c->bits |= change->bits;
			c->count++;
			return true;
		}
	}
	if (q->n == CHANGES_MAX || len > BYTES_MAX - q->len) {
		q->dropped++;
		return false;
	}
	c = &q->changes[q->n++];
	*c = *change;
	c->count = 1;
	c->at = q->len;
	c->slot = (uint32_t)slot;
	memcpy(q->bytes + q->len, path, change->path_len);
	memcpy(q->bytes + q->len + change->path_len, from, change->from_len);
	q->len += len;
	q->slots[slot] = (uint32_t)q->n;
	return true;
}

void file_queue_clear(struct file_queue *q)
{
	size_t i;

	if (q->n > KEPT) {
		/* Zeros, when they are asked for again. */
		madvise(q->slots, SLOTS * sizeof(*q->slots), MADV_DONTNEED);
		madvise(q->changes, CHANGES_MAX * sizeof(*q->changes), MADV_DONTNEED);
		madvise(q->bytes, BYTES_MAX, MADV_DONTNEED);
		batch_free(&q->actors);
	}
	for (i = 0; q->n <= KEPT && i < q->n; i++)
		q->slots[q->changes[i].slot] = 0;
	batch_clear(&q->actors);
	q->n = 0;
	q->len = 0;
	q->dropped = 0;
}

void file_queue_swap(struct file_queue *a, struct file_queue *b)
{
	struct file_queue c = *a;

	*a = *b;
	*b = c;
}
