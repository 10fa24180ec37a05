/*
 * Which of some byte strings stand in a piece of a file, in one look at the
 * piece: by the last two bytes of where the shortest of them could stand, most
 * of it is skipped (Wu and Manber, "A fast algorithm for multi-pattern
 * searching", 1994). In C, since it is needed once in a while and in a hurry:
 * JavaScript would be interpreted that often.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "rimon.h"

#define PAIRS	(1 << 16)

static unsigned int pair_at(const unsigned char *bytes, size_t at)
{
	return (unsigned int)bytes[at - 1] << 8 | bytes[at];
}

static size_t shortest_of(const struct mark *marks, size_t n)
{
	size_t i, shortest = SIZE_MAX;

	for (i = 0; i < n; i++)
		if (marks[i].len < shortest)
			shortest = marks[i].len;
	return shortest;
}

/* How far from each pair of bytes on none of the marks can end its first `last` + 1 bytes. */
static void skips_of(const struct mark *marks, size_t n, size_t last, unsigned char *ret_skip)
{
	size_t i, at, far;

	memset(ret_skip, last < UINT8_MAX ? (int)last : UINT8_MAX, PAIRS);
	for (i = 0; i < n; i++) {
		for (at = 1; at <= last; at++) {
			unsigned char *skip = &ret_skip[pair_at(marks[i].bytes, at)];

			far = last - at;
			if (far < *skip)
				*skip = (unsigned char)far;
		}
	}
}

int marks_find(const unsigned char *bytes, size_t len, const struct mark *marks, size_t n, uint64_t *ret_found)
{
	unsigned char skip[PAIRS];
	uint64_t found = 0, all;
	size_t i, at, last;

	if (n == 0 || n > MARKS_MAX)
		return -EINVAL;
	last = shortest_of(marks, n);
	if (last < 2)
		return -EINVAL;
	last--;
	skips_of(marks, n, last, skip);
	all = n == MARKS_MAX ? UINT64_MAX : (UINT64_C(1) << n) - 1;
	for (at = last; at < len && found != all;) {
		unsigned char far = skip[pair_at(bytes, at)];
		size_t start = at - last;

		if (far) {
			at += far;
			continue;
		}
		for (i = 0; i < n; i++)
			if (len - start >= marks[i].len && !memcmp(bytes + start, marks[i].bytes, marks[i].len))
				found |= UINT64_C(1) << i;
		at++;
	}
	*ret_found = found;
	return 0;
}
