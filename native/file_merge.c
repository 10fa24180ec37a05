/*
 * What there is against what there was: both come in the order of their paths,
 * and only what is not alike goes on. Of the entries of before each piece was
 * proven by whoever gives it; they are checked here all the same, since
 * whoever wrote them may be anybody.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "file_walk.h"

#define ENOUGH		((size_t)256 << 10)
/* A path, a target, all names of extended attributes and what is kept of their values: MAX_ENTRY_BYTES of entry.ts. */
#define ENTRY_MAX	((size_t)2 << 20)

static size_t min_of(size_t a, size_t b)
{
	return a < b ? a : b;
}

int file_entry_size(const char *bytes, size_t len, size_t *ret)
{
	struct file_entry_record e;
	size_t strings, size;

	*ret = 0;
	if (len < sizeof(e))
		return 0;
	memcpy(&e, bytes, sizeof(e));
	size = e.head.size;
	strings = (size_t)e.path_len + e.target_len + e.xattrs_len;
	if (e.head.kind != RECORD_FILE_ENTRY || size > ENTRY_MAX || size % 8 || size < sizeof(e) + strings ||
	    size - sizeof(e) - strings >= 8)
		return -EBADMSG;
	*ret = len < size ? 0 : size;
	return 0;
}

/* '/' before every other byte, so that what is in a folder follows it. */
int file_path_order(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t i, len = min_of(a_len, b_len);

	for (i = 0; i < len && a[i] == b[i]; i++)
		;
	if (i == len)
		return a_len < b_len ? -1 : a_len > b_len;
	if (a[i] == '/' || b[i] == '/')
		return a[i] == '/' ? -1 : 1;
	return (unsigned char)a[i] < (unsigned char)b[i] ? -1 : 1;
}

static bool is_same_path(const struct file_entry_record *a, const struct file_entry_record *b)
{
	return a->path_len == b->path_len && !memcmp(a + 1, b + 1, a->path_len);
}

#define FIELDS(e, from, to)	(const char *)(e) + offsetof(struct file_entry_record, from), \
	offsetof(struct file_entry_record, to) - offsetof(struct file_entry_record, from)

static bool is_same(const void *a, size_t len, const void *b, size_t b_len)
{
	return len == b_len && !memcmp(a, b, len);
}

static bool is_same_fields(const struct file_entry_record *was, const struct file_entry_record *is)
{
	return is_same(FIELDS(was, dev, rule), FIELDS(is, dev, rule)) &&
	       (was->notes & FILE_IS_MOUNT) == (is->notes & FILE_IS_MOUNT);
}

/*
 * Nothing of it can have changed: the same device, inode, size, mtime and ctime,
 * none of them so young when it was read that it may not tell. Every change of
 * what is not read here (content, extended attributes, flags) moves ctime.
 */
static bool is_same_stat(const struct file_entry_record *was, const struct file_entry_record *is)
{
	return is_same_path(was, is) && is_same_fields(was, is) && !(was->notes & FILE_WAS_RECENT) &&
	       (was->have & FILE_HAS_STAT) == (is->have & FILE_HAS_STAT) && (!is->error || is->error == was->error);
}

/* All that is kept is the same but for how it was read. */
static bool is_same_entry(const struct file_entry_record *was, const struct file_entry_record *is)
{
	size_t size = was->head.size, digest = offsetof(struct file_entry_record, digest);

	return size == is->head.size && is_same_path(was, is) && is_same_fields(was, is) &&
	       is_same(FIELDS(was, rule, notes), FIELDS(is, rule, notes)) &&
	       !memcmp((const char *)was + digest, (const char *)is + digest, size - digest);
}

int file_merge_open(struct file_walk *walk, uint32_t flags, struct file_merge **ret)
{
	struct file_merge *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->walk = walk;
	m->flags = flags;
	m->hungry = true;
	*ret = m;
	return 0;
}

void file_merge_close(struct file_merge *m)
{
	batch_free(&m->was);
	batch_free(&m->is);
	free(m);
}

bool file_merge_is_hungry(const struct file_merge *m)
{
	return m->hungry;
}

int file_merge_give(struct file_merge *m, const char *bytes, size_t len)
{
	size_t rest = m->was.len - m->was_at;

	if (!len) {
		m->was_ended = true;
		m->hungry = false;
		return rest ? -EBADMSG : 0;
	}
	if (rest)
		memmove(m->was.data, m->was.data + m->was_at, rest);
	m->was.len = rest;
	m->was_at = 0;
	batch_bytes(&m->was, bytes, len);
	m->hungry = false;
	return m->was.error;
}

/* A multiple of 8 bytes each, so that they are aligned as they lie. */
static const struct file_entry_record *at(const struct batch *b, size_t from)
{
	return (const void *)(b->data + from);
}

static void put(struct batch *out, const struct file_entry_record *was, const struct file_entry_record *is, bool alike)
{
	struct file_pair pair = { .was = was ? was->head.size : 0, .is = is ? is->head.size : 0 };

	if (alike)
		pair.was = FILE_PAIR_ALIKE;
	batch_bytes(out, &pair, sizeof(pair));
	if (was && !alike)
		batch_bytes(out, was, was->head.size);
	if (is)
		batch_bytes(out, is, is->head.size);
}

static void step(struct file_merge *m, struct batch *out)
{
	const struct file_entry_record *was = m->was_size ? at(&m->was, m->was_at) : NULL;
	const struct file_entry_record *is = m->is_at < m->is.len ? at(&m->is, m->is_at) : NULL;
	bool full = m->flags & FILE_MERGE_FULL;
	int order;

	if (was && is && (full ? is_same_entry(was, is) : is_same_stat(was, is))) {
		/* What stat alone was asked of knows less than what there is of it. */
		if (m->flags & FILE_MERGE_KEEP)
			put(out, NULL, full ? is : was, true);
		order = 0;
	} else {
		order = !was ? 1 : !is ? -1 :
			file_path_order((const char *)(was + 1), was->path_len, (const char *)(is + 1), is->path_len);
		put(out, order <= 0 ? was : NULL, order >= 0 ? is : NULL, false);
	}
	if (order <= 0) {
		m->was_at += m->was_size;
		m->was_size = 0;
	}
	if (order >= 0)
		m->is_at += is->head.size;
}

int file_merge_next(struct file_merge *m, struct batch *out)
{
	int err = 0;

	while (!err && out->len < ENOUGH) {
		if (!m->was_size && !m->was_ended) {
			err = file_entry_size(m->was.data + m->was_at, m->was.len - m->was_at, &m->was_size);
			if (err)
				break;
			if (!m->was_size) {
				m->hungry = true;
				break;
			}
		}
		while (m->is_at == m->is.len && !m->is_ended && !err) {
			m->is_at = 0;
			err = file_walk_take(m->walk, &m->is, &m->is_ended);
		}
		if (err || (m->was_ended && !m->was_size && m->is_at == m->is.len))
			break;
		step(m, out);
		err = out->error;
	}
	return err;
}
