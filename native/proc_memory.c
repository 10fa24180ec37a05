/* The executable mappings of one process and their digest. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "rimon.h"

/* A line holds a path of at most 4096 bytes, a newline in it as four. */
#define MAPS_BUF	((size_t)64 << 10)
#define PATH_ROOM	4096

static uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

/* Aumasson and Bernstein; words in the machine's order, since a digest never leaves it. */
uint64_t siphash24(const uint64_t key[2], const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint64_t v[4] = {
		key[0] ^ 0x736f6d6570736575ull, key[1] ^ 0x646f72616e646f6dull,
		key[0] ^ 0x6c7967656e657261ull, key[1] ^ 0x7465646279746573ull,
	};
	uint64_t word, last = (uint64_t)len << 56;
	size_t i;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&word, p, 8);
		v[3] ^= word;
		sip_round(v);
		sip_round(v);
		v[0] ^= word;
	}
	for (i = 0; i < len; i++)
		last |= (uint64_t)p[i] << (8 * i);
	v[3] ^= last;
	sip_round(v);
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static bool take_hex(const char **at, const char *end, char after, uint64_t *ret)
{
	const char *p = *at;
	uint64_t value = 0;

	for (; p < end; p++) {
		if (*p >= '0' && *p <= '9')
			value = value << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			value = value << 4 | (uint64_t)(*p - 'a' + 10);
		else
			break;
	}
	if (p == *at || p == end || *p != after)
		return false;
	*at = p + 1;
	*ret = value;
	return true;
}

/* "start-end rwxp offset major:minor inode   path", without its newline */
int proc_maps_parse_line(const char *buf, size_t len, struct proc_mapping *ret)
{
	static const struct {
		char letter;
		uint32_t bit;
	} permissions[4] = {
		{ 'r', MAPPING_READ }, { 'w', MAPPING_WRITE }, { 'x', MAPPING_EXEC }, { 's', MAPPING_SHARED },
	};
	const char *at = buf, *end = buf + len;
	struct proc_mapping m;
	uint64_t major, minor;
	size_t i;

	memset(&m, 0, sizeof(m));
	if (!take_hex(&at, end, '-', &m.start) || !take_hex(&at, end, ' ', &m.end))
		return -EBADMSG;
	if (end - at < 5 || at[4] != ' ')
		return -EBADMSG;
	for (i = 0; i < 4; i++)
		if (at[i] == permissions[i].letter)
			m.permissions |= permissions[i].bit;
	at += 5;
	if (!take_hex(&at, end, ' ', &m.offset) || !take_hex(&at, end, ':', &major) || !take_hex(&at, end, ' ', &minor))
		return -EBADMSG;
	m.dev = makedev((unsigned int)major, (unsigned int)minor);
	if (at == end || *at < '0' || *at > '9')
		return -EBADMSG;
	for (; at < end && *at >= '0' && *at <= '9'; at++)
		m.inode = m.inode * 10 + (uint64_t)(*at - '0');
	while (at < end && *at == ' ')
		at++;
	m.path = at;
	m.path_len = (size_t)(end - at);
	if (m.path_len > PATH_ROOM)
		m.path_len = PATH_ROOM;
	*ret = m;
	return 0;
}

/* The kernel splits and joins mappings as it likes; what is one to the eye becomes one record. */
static bool continues(const struct mapping_record *last, const char *last_path, const struct proc_mapping *m)
{
	if (last->end != m->start || last->permissions != m->permissions || last->dev != m->dev ||
	    last->inode != m->inode || last->path_len != m->path_len || memcmp(last_path, m->path, m->path_len) != 0)
		return false;
	return m->inode == 0 || last->offset + (last->end - last->start) == m->offset;
}

static void mapping_add(struct batch *out, size_t first, const struct proc_mapping *m)
{
	struct mapping_record *r;

	if (!out->error && out->len > first) {
		r = batch_record(out);
		if (continues(r, (const char *)(r + 1), m)) {
			r->end = m->end;
			return;
		}
	}
	r = batch_begin(out, RECORD_MAPPING, sizeof(*r));
	if (!r)
		return;
	r->start = m->start;
	r->end = m->end;
	r->offset = m->offset;
	r->dev = m->dev;
	r->inode = m->inode;
	r->permissions = m->permissions;
	r->path_len = (uint16_t)m->path_len;
	batch_bytes(out, m->path, m->path_len);
	batch_end(out);
}

/* Until each() returns other than 0. A line that is longer than the buffer is skipped. */
int proc_maps_each(int fd, int (*each)(void *arg, const struct proc_mapping *m), void *arg)
{
	char *buf = malloc(MAPS_BUF);
	bool skip_to_newline = false;
	size_t have = 0;
	int err = 0;

	if (!buf)
		return -ENOMEM;
	while (!err) {
		ssize_t n = read(fd, buf + have, MAPS_BUF - have);
		char *line = buf, *end, *newline;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = -errno;
		if (n <= 0)
			break;
		have += (size_t)n;
		end = buf + have;
		while (!err && line < end && (newline = memchr(line, '\n', (size_t)(end - line)))) {
			struct proc_mapping m;

			if (!skip_to_newline && proc_maps_parse_line(line, (size_t)(newline - line), &m) == 0)
				err = each(arg, &m);
			skip_to_newline = false;
			line = newline + 1;
		}
		have = (size_t)(end - line);
		memmove(buf, line, have);
		if (have == MAPS_BUF) {
			skip_to_newline = true;
			have = 0;
		}
	}
	free(buf);
	return err;
}

struct mappings {
	struct batch *out;
	size_t first;
};

static int mapping_take(void *arg, const struct proc_mapping *m)
{
	struct mappings *taken = arg;

	if (m->permissions & MAPPING_EXEC)
		mapping_add(taken->out, taken->first, m);
	return taken->out->error;
}

static int maps_read(const struct procfs *p, int dir, uint32_t pid, bool is_known, uint64_t known, struct batch *out)
{
	size_t start = out->len, records = out->records, first;
	struct mappings taken = { out, 0 };
	struct maps_record *head;
	uint64_t digest, start_ticks;
	int fd, err;

	err = proc_start_ticks_at(dir, &start_ticks);
	if (err)
		return err;
	fd = openat(dir, "maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	head = batch_begin(out, RECORD_MAPS, sizeof(*head));
	batch_end(out);
	first = out->len;
	taken.first = first;
	err = proc_maps_each(fd, mapping_take, &taken);
	close(fd);
	if (!err)
		err = out->error;
	if (err) {
		out->len = start;
		out->records = records;
		return err;
	}
	digest = siphash24(p->digest_key, out->data + first, out->len - first);
	/* Appending may have moved it. */
	head = (struct maps_record *)(out->data + start);
	head->digest = digest;
	head->start_ticks = start_ticks;
	head->pid = pid;
	head->count = (uint32_t)(out->records - records - 1);
	if (is_known && known == digest) {
		head->count = MAPS_UNCHANGED;
		out->len = first;
		out->records = records + 1;
	}
	return 0;
}

int proc_maps_read(const struct procfs *p, uint32_t pid, bool is_known, uint64_t known, struct batch *out)
{
	char name[32];
	int dir, err;

	/* Everything is opened below it: the pid may be another's by now. */
	snprintf(name, sizeof(name), "%u", pid);
	dir = openat(p->root, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		err = -errno;
	else
		err = maps_read(p, dir, pid, is_known, known, out);
	if (dir >= 0)
		close(dir);
	return err == -ENOENT || err == -ESRCH ? 0 : err;
}
