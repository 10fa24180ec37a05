/*
 * The compiled table: rules, first match first, and digests. It is made in
 * src/baselines/gate-table.ts; everything it says of itself is checked here
 * once, so that judging need not. It is one block, that can be locked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gate.h"

struct gate_table {
	struct gate_table_head head;
	const struct gate_rule *rules;
	const struct gate_text *interpreters;
	const struct gate_text *updaters;
	const struct gate_hash *hashes;
	const char *strings;
	char bytes[] __attribute__((aligned(8)));
};

#define CONDITIONS_MAX	((GATE_ON_PATH << 1) - 1)

static bool text_fits(const struct gate_text *text, uint32_t strings)
{
	return text->len <= strings && text->at <= strings - text->len;
}

static bool rule_is_sound(const struct gate_rule *r, uint32_t strings)
{
	return (r->verdict == GATE_ALLOW || r->verdict == GATE_DENY) && r->conditions <= CONDITIONS_MAX &&
	       text_fits(&r->path, strings) && text_fits(&r->by, strings);
}

int gate_table_parse(const void *bytes, size_t len, struct gate_table **ret)
{
	struct gate_table_head h;
	struct gate_table *t;
	uint64_t size;
	uint32_t i;

	if (len < sizeof(h))
		return -EINVAL;
	memcpy(&h, bytes, sizeof(h));
	size = sizeof(h) + (uint64_t)h.rules * sizeof(struct gate_rule) +
	       ((uint64_t)h.interpreters + h.updaters) * sizeof(struct gate_text) +
	       (uint64_t)h.hashes * sizeof(struct gate_hash) + h.strings;
	if (h.magic != GATE_MAGIC || h.version != GATE_VERSION || h.rules > GATE_RULES_MAX ||
	    h.interpreters > GATE_TEXTS_MAX || h.updaters > GATE_TEXTS_MAX || h.hashes > GATE_HASHES_MAX || size != len || h.otherwise > GATE_DENY || h.unanswered > GATE_DENY ||
	    h.deadline_ms < GATE_DEADLINE_MIN_MS || h.deadline_ms > GATE_DEADLINE_MAX_MS)
		return -EINVAL;
	t = malloc(sizeof(*t) + len);
	if (!t)
		return -ENOMEM;
	t->head = h;
	memcpy(t->bytes, bytes, len);
	t->rules = (const struct gate_rule *)(t->bytes + sizeof(h));
	t->interpreters = (const struct gate_text *)(t->rules + h.rules);
	t->updaters = t->interpreters + h.interpreters;
	t->hashes = (const struct gate_hash *)(t->updaters + h.updaters);
	t->strings = (const char *)(t->hashes + h.hashes);
	for (i = 0; i < h.rules; i++)
		if (!rule_is_sound(&t->rules[i], h.strings))
			goto bad;
	for (i = 0; i < h.interpreters + h.updaters; i++)
		if (!text_fits(&t->interpreters[i], h.strings))
			goto bad;
	for (i = 1; i < h.hashes; i++)
		if (memcmp(t->hashes[i - 1].digest, t->hashes[i].digest, DIGEST_LEN) >= 0)
			goto bad;
	*ret = t;
	return 0;
bad:
	free(t);
	return -EINVAL;
}

void gate_table_free(struct gate_table *t)
{
	free(t);
}

const struct gate_table_head *gate_table_head(const struct gate_table *t)
{
	return &t->head;
}

uint32_t gate_table_sets(const struct gate_table *t, const unsigned char digest[DIGEST_LEN])
{
	uint32_t low = 0, high = t->head.hashes;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = memcmp(digest, t->hashes[middle].digest, DIGEST_LEN);

		if (!order)
			return t->hashes[middle].sets;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return 0;
}

static bool is_text(const struct gate_table *t, const struct gate_text *text, const char *other, size_t len)
{
	return text->len == len && !memcmp(t->strings + text->at, other, len);
}

static bool is_any(const struct gate_table *t, const struct gate_text *texts, uint32_t n, const char *other, size_t len)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (is_text(t, &texts[i], other, len))
			return true;
	return false;
}

bool gate_table_interprets(const struct gate_table *t, const char *exe, size_t len)
{
	return is_any(t, t->interpreters, t->head.interpreters, exe, len);
}

bool gate_table_updates(const struct gate_table *t, const char *exe, size_t len)
{
	return is_any(t, t->updaters, t->head.updaters, exe, len);
}

/* The file itself, or what is below the folder. */
static bool is_below(const char *path, size_t len, const char *prefix, size_t prefix_len)
{
	if (len < prefix_len || memcmp(path, prefix, prefix_len))
		return false;
	return len == prefix_len || (prefix_len && prefix[prefix_len - 1] == '/') || path[prefix_len] == '/';
}

static uint32_t writers_of(const struct gate_file *f)
{
	/*
	 * Who owns a file can open it for writing whatever its mode says. Of one with an access control list the mode has the mask
	 * where the group's bits are (acl(5)): whom that lets write, to whatever group it belongs, is not asked of the disk.
	 */
	return (f->uid != 0 ? GATE_WRITERS_OWNER : 0u) | ((f->mode & S_IWGRP) ? GATE_WRITERS_GROUP : 0u) |
	       ((f->mode & S_IWOTH) ? GATE_WRITERS_OTHERS : 0u);
}

/* 1: all of it holds; 0: something does not; -EAGAIN. What decides is asked for from the cheapest on. */
static int matches(const struct gate_table *t, const struct gate_rule *r, const struct gate_asked *a, bool *of_content)
{
	uint32_t on = r->conditions, number;
	const char *text;
	bool is_proven;
	size_t len;

	if ((on & GATE_ON_FILESYSTEM) && (a->filesystem(a->arg, &number) < 0 || number != r->filesystem))
		return 0;
	/* Of these nothing tells when they change: a group that is given descriptors has no event for it. */
	if (on & (GATE_ON_OWNER | GATE_ON_WRITERS))
		*of_content = false;
	if ((on & GATE_ON_OWNER) && a->file->uid != r->owner)
		return 0;
	if ((on & GATE_ON_WRITERS) && !(writers_of(a->file) & r->writers))
		return 0;
	if (on & GATE_ON_SETS) {
		uint32_t sets;

		if (!a->digest)
			return -EAGAIN;
		sets = gate_table_sets(t, a->digest);
		if (!(sets & r->sets))
			return 0;
	}
	if (on & (GATE_ON_UID | GATE_ON_BY | GATE_ON_PATH))
		*of_content = false;
	if ((on & GATE_ON_UID) && (a->uid(a->arg, &number) < 0 || number != r->uid))
		return 0;
	/* A mount namespace of one's own puts any file at any path: a name that is not proven allows nothing. */
	if ((on & GATE_ON_BY) && (a->by(a->arg, &text, &len, &is_proven) < 0 || !is_text(t, &r->by, text, len) ||
				  (r->verdict == GATE_ALLOW && !is_proven)))
		return 0;
	if ((on & GATE_ON_PATH) &&
	    (a->path(a->arg, &text, &len, &is_proven) < 0 ||
	     !is_below(text, len, t->strings + r->path.at, r->path.len) || (r->verdict == GATE_ALLOW && !is_proven)))
		return 0;
	return 1;
}

int gate_table_judge(const struct gate_table *t, const struct gate_asked *asked, struct gate_answer *ret)
{
	bool of_content = true;
	uint32_t i;

	for (i = 0; i < t->head.rules; i++) {
		int matched = matches(t, &t->rules[i], asked, &of_content);

		if (matched < 0)
			return matched;
		if (!matched)
			continue;
		*ret = (struct gate_answer){ t->rules[i].verdict, i, of_content };
		return 0;
	}
	*ret = (struct gate_answer){ t->head.otherwise, GATE_RULE_NONE, of_content };
	return 0;
}
