/* A growing buffer of records. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rimon.h"

/* More than four million processes' worth; beyond it somebody counts wrongly. */
#define BATCH_MAX	((size_t)1 << 30)

static bool batch_reserve(struct batch *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 16384;
	char *data;

	if (b->error)
		return false;
	if (more > BATCH_MAX - b->len) {
		b->error = -EOVERFLOW;
		return false;
	}
	if (b->len + more <= b->cap)
		return true;
	while (cap < b->len + more)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data) {
		b->error = -ENOMEM;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

/* The record's fixed part, zeroed but for its kind; NULL after a failure. */
void *batch_begin(struct batch *b, uint16_t kind, size_t fixed_size)
{
	struct record_head *head;

	b->open = b->len;
	if (!batch_reserve(b, fixed_size))
		return NULL;
	b->len += fixed_size;
	head = batch_record(b);
	memset(head, 0, fixed_size);
	head->kind = kind;
	return head;
}

void *batch_record(struct batch *b)
{
	return b->error ? NULL : b->data + b->open;
}

void batch_bytes(struct batch *b, const void *bytes, size_t len)
{
	if (!len || !batch_reserve(b, len))
		return;
	memcpy(b->data + b->len, bytes, len);
	b->len += len;
}

void batch_end(struct batch *b)
{
	static const char zeros[8];
	struct record_head *head;

	batch_bytes(b, zeros, (8 - (b->len & 7)) & 7);
	head = batch_record(b);
	if (!head) {
		/* What found no room is not there in part, either. */
		b->len = b->open;
		return;
	}
	head->size = (uint32_t)(b->len - b->open);
	b->records++;
}

bool batch_lost(struct batch *b, uint32_t source, uint64_t count)
{
	struct lost_record *r = batch_begin(b, RECORD_LOST, sizeof(*r));

	if (r) {
		r->source = source;
		r->count = count;
	}
	batch_end(b);
	return r != NULL;
}

void batch_append(struct batch *b, const struct batch *more)
{
	if (more->error && !b->error)
		b->error = more->error;
	batch_bytes(b, more->data, more->len);
	if (!b->error)
		b->records += more->records;
}

/* A seq_file gives at most this at once (fs/seq_file.c, kernel/bpf/bpf_iter.c: eight pages). */
#define PIECE	((size_t)32 << 10)

int batch_read(struct batch *b, int fd)
{
	size_t start = b->len, records = 0;
	ssize_t n;
	int err;

	do {
		if (!batch_reserve(b, PIECE))
			return b->error;
		n = read(fd, b->data + b->len, b->cap - b->len);
		if (n > 0)
			b->len += (size_t)n;
		/* An iterator asks to be read again after a million tasks of which its program said nothing (kernel/bpf/bpf_iter.c). */
	} while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
	if (n < 0)
		return -errno;
	err = batch_count(b->data + start, b->len - start, &records);
	b->records += records;
	return err;
}

int batch_count(const char *data, size_t len, size_t *ret_records)
{
	struct record_head head;
	size_t at, n = 0;

	for (at = 0; at < len; at += head.size, n++) {
		if (len - at < sizeof(head))
			return -EBADMSG;
		memcpy(&head, data + at, sizeof(head));
		if (head.size < sizeof(head) || head.size > len - at)
			return -EBADMSG;
	}
	*ret_records = n;
	return 0;
}

void batch_clear(struct batch *b)
{
	b->len = 0;
	b->records = 0;
	b->error = 0;
}

void batch_free(struct batch *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

size_t batch_piece(const struct batch *b, size_t at, size_t limit)
{
	size_t end = at;

	while (end < b->len) {
		struct record_head head;

		memcpy(&head, b->data + end, sizeof(head));
		if (end > at && end + head.size - at > limit)
			break;
		end += head.size;
	}
	return end - at;
}
