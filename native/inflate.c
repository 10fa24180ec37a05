/* Raw deflate (RFC 1951), bit by bit: the loaders say the same many times over, and are unpacked once. */
#include <errno.h>
#include <string.h>

#include "rimon.h"

struct bits {
	const unsigned char *next;
	const unsigned char *end;
	unsigned int held;
	unsigned int n_held;
};

#define SYMBOLS_MAX	288
#define DISTANCES_MAX	30
#define LENGTH_MAX	15

/* A canonical Huffman code: how many of its words have each length, and what they stand for, in order. */
struct huffman {
	unsigned short counts[LENGTH_MAX + 1];
	unsigned short symbols[SYMBOLS_MAX];
};

static unsigned int bits_take(struct bits *b, unsigned int n)
{
	unsigned int value;

	while (b->n_held < n) {
		/* Behind the end are zeros, which are the beginning of no block that is whole. */
		if (b->next < b->end)
			b->held |= (unsigned int)*b->next++ << b->n_held;
		b->n_held += 8;
	}
	value = b->held & ((1u << n) - 1);
	b->held >>= n;
	b->n_held -= n;
	return value;
}

static void huffman_make(struct huffman *h, const unsigned char *lengths, size_t n)
{
	unsigned short at[LENGTH_MAX + 1] = { 0 };
	size_t i;

	memset(h, 0, sizeof(*h));
	for (i = 0; i < n; i++)
		h->counts[lengths[i]]++;
	h->counts[0] = 0;
	for (i = 1; i < LENGTH_MAX; i++)
		at[i + 1] = (unsigned short)(at[i] + h->counts[i]);
	for (i = 0; i < n; i++)
		if (lengths[i])
			h->symbols[at[lengths[i]]++] = (unsigned short)i;
}

/* -1: no word of this code. */
static int huffman_take(struct bits *b, const struct huffman *h)
{
	int word = 0, first = 0, at = 0, length;

	for (length = 1; length <= LENGTH_MAX; length++) {
		word |= (int)bits_take(b, 1);
		if (word - first < h->counts[length])
			return h->symbols[at + word - first];
		at += h->counts[length];
		first = (first + h->counts[length]) << 1;
		word <<= 1;
	}
	return -1;
}

/* The two codes of a block: as the RFC has them once and for all, or as they stand in front of it. */
static bool codes_take(struct bits *b, bool fixed, struct huffman *symbols, struct huffman *distances)
{
	static const unsigned char order[19] = { 16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15 };
	unsigned char lengths[SYMBOLS_MAX + DISTANCES_MAX + 2] = { 0 };
	unsigned int n_symbols, n_distances, n_lengths, n = 0, i;

	if (fixed) {
		for (i = 0; i < SYMBOLS_MAX; i++)
			lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
		huffman_make(symbols, lengths, SYMBOLS_MAX);
		memset(lengths, 5, DISTANCES_MAX);
		huffman_make(distances, lengths, DISTANCES_MAX);
		return true;
	}
	n_symbols = bits_take(b, 5) + 257;
	n_distances = bits_take(b, 5) + 1;
	n_lengths = bits_take(b, 4) + 4;
	for (i = 0; i < n_lengths; i++)
		lengths[order[i]] = (unsigned char)bits_take(b, 3);
	huffman_make(symbols, lengths, sizeof(order));
	memset(lengths, 0, sizeof(lengths));
	while (n < n_symbols + n_distances) {
		int symbol = huffman_take(b, symbols);
		unsigned int run = symbol == 16 ? bits_take(b, 2) + 3 : symbol == 17 ? bits_take(b, 3) + 3 :
				   symbol == 18 ? bits_take(b, 7) + 11 : 1;
		unsigned char length = symbol < 16 ? (unsigned char)symbol : symbol == 16 && n ? lengths[n - 1] : 0;

		if (symbol < 0 || run > sizeof(lengths) - n)
			return false;
		while (run--)
			lengths[n++] = length;
	}
	huffman_make(symbols, lengths, n_symbols);
	huffman_make(distances, lengths + n_symbols, n_distances);
	return true;
}

/* What length and distance symbols stand for: each `step` of them has a bit more behind it than those before. */
static unsigned int value_take(struct bits *b, unsigned int symbol, unsigned int step)
{
	unsigned int extra = symbol < 2 * step ? 0 : symbol / step - 1;

	return symbol < 2 * step ? symbol : ((step + symbol % step) << extra) + bits_take(b, extra);
}

/* A block as it is begins with the next byte, with its length and the complement of that. */
static bool stored_take(struct bits *b, unsigned char *data, size_t size, size_t *at)
{
	size_t len;

	b->held = b->n_held = 0;
	if (b->end - b->next < 4)
		return false;
	len = b->next[0] | (size_t)b->next[1] << 8;
	if ((b->next[2] | (size_t)b->next[3] << 8) != (len ^ 0xffff))
		return false;
	b->next += 4;
	if (len > (size_t)(b->end - b->next) || len > size - *at)
		return false;
	memcpy(data + *at, b->next, len);
	b->next += len;
	*at += len;
	return true;
}

int inflate_raw(const void *packed, size_t packed_len, unsigned char *ret_data, size_t size)
{
	struct bits b = { packed, (const unsigned char *)packed + packed_len, 0, 0 };
	struct huffman symbols, distances;
	bool last = false;
	size_t at = 0;

	while (!last) {
		unsigned int kind;

		last = bits_take(&b, 1);
		kind = bits_take(&b, 2);
		if (kind == 0) {
			if (!stored_take(&b, ret_data, size, &at))
				return -EBADMSG;
			continue;
		}
		if (kind == 3 || !codes_take(&b, kind == 1, &symbols, &distances))
			return -EBADMSG;
		for (;;) {
			int symbol = huffman_take(&b, &symbols);
			size_t run, back;

			if (symbol == 256)
				break;
			if (symbol < 256) {
				if (symbol < 0 || at == size)
					return -EBADMSG;
				ret_data[at++] = (unsigned char)symbol;
				continue;
			}
			/* The longest has a symbol of its own. */
			run = symbol == 285 ? 258 : 3 + value_take(&b, (unsigned int)symbol - 257, 4);
			symbol = huffman_take(&b, &distances);
			if (symbol < 0)
				return -EBADMSG;
			back = 1 + value_take(&b, (unsigned int)symbol, 2);
			if (run > size - at || back > at)
				return -EBADMSG;
			/* One by one: what is copied may be what was just written. */
			for (; run; run--, at++)
				ret_data[at] = ret_data[at - back];
		}
	}
	return at == size ? 0 : -EBADMSG;
}
