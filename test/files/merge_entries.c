/*
 * Answers what native/file_merge.c makes of entries of before and of now. Each
 * case: its flags, how many pieces of before there are, each with its length,
 * then the length of all entries of now and these. Each answer: the error, how
 * many bytes of pairs there are, and these.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file_walk.h"

static struct {
	char *data;
	size_t len;
	size_t at;
} now;

/* In place of the walk: an entry or none at a time. */
int file_walk_take(struct file_walk *w, struct batch *into, bool *ret_end)
{
	static unsigned int turn;
	size_t size = 0;

	(void)w;
	batch_clear(into);
	*ret_end = now.at == now.len;
	if (*ret_end || turn++ % 3 == 0)
		return 0;
	if (file_entry_size(now.data + now.at, now.len - now.at, &size) || !size)
		abort();
	batch_bytes(into, now.data + now.at, size);
	now.at += size;
	return 0;
}

static uint32_t number(void)
{
	uint32_t n;

	if (fread(&n, sizeof(n), 1, stdin) != 1)
		exit(0);
	return n;
}

/* A copy of its own, so that one byte past it is found. */
static char *bytes(size_t len)
{
	char *data = malloc(len ? len : 1);

	if (len && fread(data, 1, len, stdin) != len)
		exit(2);
	return data;
}

int main(void)
{
	for (;;) {
		uint32_t flags = number(), n = number(), i, len[64], answer[2];
		struct batch pairs = { 0 }, part = { 0 };
		struct file_merge *m;
		char *piece[64];
		int err;

		if (n > 64)
			return 2;
		for (i = 0; i < n; i++) {
			len[i] = number();
			piece[i] = bytes(len[i]);
		}
		now.len = number();
		now.data = bytes(now.len);
		now.at = 0;
		if (file_merge_open(NULL, flags, &m))
			return 2;
		i = 0;
		do {
			err = 0;
			if (file_merge_is_hungry(m)) {
				err = i < n ? file_merge_give(m, piece[i], len[i]) : file_merge_give(m, "", 0);
				i++;
			}
			batch_clear(&part);
			err = err ? err : file_merge_next(m, &part);
			batch_append(&pairs, &part);
		} while (!err && (part.len || file_merge_is_hungry(m)));
		answer[0] = (uint32_t)-err;
		answer[1] = err ? 0 : (uint32_t)pairs.len;
		fwrite(answer, sizeof(answer), 1, stdout);
		if (answer[1])
			fwrite(pairs.data, 1, answer[1], stdout);
		file_merge_close(m);
		batch_free(&pairs);
		batch_free(&part);
		free(now.data);
		for (i = 0; i < n; i++)
			free(piece[i]);
	}
}
