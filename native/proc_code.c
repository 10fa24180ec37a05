/*
 * The code of a process, read from three places: as it executes it, as the page
 * cache has it, and as the disk has it. A page that was never written is the page
 * cache's own, so that only copies are read through mem; the disk is read past
 * the cache (O_DIRECT, open(2)). Who differs from whom tells a fault from an
 * attack: a cell of memory that lost a bit is not on the disk, a file that was
 * overwritten is everywhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "digest.h"
#include "isolation.h"

/* Of an entry of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst). */
#define ENTRY_FILE	(1ull << 61)	/* or shared anonymous */
#define ENTRY_SWAPPED	(1ull << 62)
#define ENTRY_PRESENT	(1ull << 63)

#define CHUNK		((size_t)256 * 1024)
/* O_DIRECT wants addresses and places that are multiples of the device's blocks. */
#define ALIGNMENT	65536
/* What differs is read so often before it does. */
#define READINGS	3

enum place {
	EXECUTED,
	CACHED,
	STORED,
	PLACES
};

struct code {
	int dir;		/* /proc/PID */
	int pagemap;
	int mem;		/* -1: not opened yet */
	size_t page_size;
	struct batch *out;
	unsigned char *bytes[PLACES];
	uint64_t *entries;
	struct digest *digest[PLACES];

	const struct proc_mapping *mapping;
	int file;
	int direct;		/* -1: the file system has no such thing */
	int disk_error;
};

static int read_whole(int fd, unsigned char *buf, size_t len, uint64_t at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, buf + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
		/* Past the cache there is no going on from the middle of a block: it was the end of the file. */
		if (done % 512)
			break;
	}
	/* As the kernel fills the last page of a file. */
	memset(buf + done, 0, len - done);
	return 0;
}

/* The pages that the process has copies of, over those of the cache. */
static int read_copies(struct code *c, uint64_t start, size_t len)
{
	size_t n = len / c->page_size, i;
	ssize_t got = pread(c->pagemap, c->entries, n * sizeof(*c->entries),
			    (off_t)(start / c->page_size * sizeof(*c->entries)));

	if (got < 0)
		return -errno;
	for (i = 0; i < (size_t)got / sizeof(*c->entries); i++) {
		uint64_t entry = c->entries[i];
		int err;

		if (!(entry & (ENTRY_PRESENT | ENTRY_SWAPPED)) || (entry & ENTRY_FILE))
			continue;
		/* Not before there is a copy: whoever opens it looks like one who reads secrets. */
		if (c->mem < 0)
			c->mem = openat(c->dir, "mem", O_RDONLY | O_CLOEXEC);
		if (c->mem < 0)
			return -errno;
		err = read_whole(c->mem, c->bytes[EXECUTED] + i * c->page_size, c->page_size, start + i * c->page_size);
		if (err)
			return err;
	}
	return 0;
}

static int read_chunk(struct code *c, uint64_t start, size_t len)
{
	uint64_t at = c->mapping->offset + (start - c->mapping->start);
	int err = read_whole(c->file, c->bytes[CACHED], len, at);

	if (err)
		return err;
	memcpy(c->bytes[EXECUTED], c->bytes[CACHED], len);
	err = read_copies(c, start, len);
	if (err)
		return err;
	if (c->direct >= 0) {
		c->disk_error = -read_whole(c->direct, c->bytes[STORED], len, at);
		if (c->disk_error) {
			close(c->direct);
			c->direct = -1;
		}
	}
	return 0;
}

static bool differs(const struct code *c, enum place place, size_t len)
{
	return (place == EXECUTED || c->direct >= 0) && memcmp(c->bytes[place], c->bytes[CACHED], len);
}

static unsigned int bits_in(unsigned int byte)
{
	unsigned int n;

	for (n = 0; byte; n++)
		byte &= byte - 1;
	return n;
}

static void count(const struct code *c, enum place place, size_t len, struct code_difference *ret)
{
	size_t page, i;

	if (!differs(c, place, len))
		return;
	for (page = 0; page < len; page += c->page_size) {
		uint64_t bits = 0;

		for (i = page; i < page + c->page_size; i++)
			bits += bits_in(c->bytes[place][i] ^ c->bytes[CACHED][i]);
		ret->bits += bits;
		ret->pages += bits != 0;
	}
}

/* A read may meet a write half done, and a bit may be misread: what differs at first has to go on doing so. */
static int settle_chunk(struct code *c, uint64_t start, size_t len)
{
	int i, err = 0;

	for (i = 0; !err && i < READINGS; i++) {
		err = read_chunk(c, start, len);
		if (!err && !differs(c, EXECUTED, len) && !differs(c, STORED, len))
			break;
	}
	return err;
}

static int text_read(struct code *c, struct code_text_record *text, bool apart)
{
	const struct proc_mapping *m = c->mapping;
	unsigned char *const into[PLACES] = { text->executed, text->cached, text->stored };
	uint64_t start;
	int i, err = 0;

	memset(&text->memory, 0, sizeof(text->memory));
	memset(&text->disk, 0, sizeof(text->disk));
	for (i = 0; !err && i < PLACES; i++)
		err = digest_begin(c->digest[i]);
	for (start = m->start; !err && start < m->end; start += CHUNK) {
		size_t len = m->end - start < CHUNK ? (size_t)(m->end - start) : CHUNK;

		err = settle_chunk(c, start, len);
		if (err)
			break;
		count(c, EXECUTED, len, &text->memory);
		count(c, STORED, len, &text->disk);
		for (i = 0; !err && i < PLACES; i++)
			if (apart || i == CACHED)
				err = digest_add(c->digest[i], c->bytes[i], len);
	}
	if (!err && !apart) {
		err = digest_end(c->digest[CACHED], text->cached);
		memcpy(text->executed, text->cached, DIGEST_LEN);
		memcpy(text->stored, text->cached, DIGEST_LEN);
	}
	for (i = 0; !err && apart && i < PLACES; i++)
		err = digest_end(c->digest[i], into[i]);
	return err;
}

static int mapping_look(void *arg, const struct proc_mapping *m)
{
	struct code *c = arg;
	struct code_text_record text = {}, *r;
	char name[32];
	struct stat st;
	int err;

	/* What may be written is no code of the file's, or it is told as such by its mapping. */
	if (!(m->permissions & MAPPING_EXEC) || (m->permissions & MAPPING_WRITE) || !m->inode)
		return 0;
	c->mapping = m;
	c->direct = -1;
	c->disk_error = 0;
	c->file = mapping_open(c->dir, m);
	err = c->file < 0 || fstat(c->file, &st) < 0 ? -errno : 0;
	if (!err && !S_ISREG(st.st_mode)) {
		close(c->file);
		return 0;
	}
	if (!err) {
		snprintf(name, sizeof(name), "/proc/self/fd/%d", c->file);
		c->direct = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_DIRECT);
		c->disk_error = c->direct < 0 ? errno : 0;
		/* As a rule all three are the same, and once hashed is enough. */
		err = text_read(c, &text, false);
		if (!err && (text.memory.bits || text.disk.bits))
			err = text_read(c, &text, true);
	}
	if (c->direct >= 0)
		close(c->direct);
	if (c->file >= 0)
		close(c->file);
	if (err == -ENOMEM)
		return err;
	if (err)
		memset(&text, 0, sizeof(text));
	if (c->disk_error)
		memset(text.stored, 0, sizeof(text.stored));
	r = batch_begin(c->out, RECORD_CODE_TEXT, sizeof(*r));
	if (!r)
		return c->out->error;
	text.head = r->head;
	*r = text;
	r->start = m->start;
	r->end = m->end;
	r->offset = m->offset;
	r->dev = m->dev;
	r->inode = m->inode;
	r->error = (uint32_t)-err;
	r->disk_error = (uint32_t)c->disk_error;
	r->path_len = (uint16_t)m->path_len;
	batch_bytes(c->out, m->path, m->path_len);
	batch_end(c->out);
	return c->out->error;
}

static int code_read(struct code *c)
{
	size_t start = c->out->len, records = c->out->records;
	int maps, err;

	/* pagemap first: should the process execute another program meanwhile, its old memory is gone and has no copies. */
	c->pagemap = openat(c->dir, "pagemap", O_RDONLY | O_CLOEXEC);
	maps = c->pagemap < 0 ? -1 : openat(c->dir, "maps", O_RDONLY | O_CLOEXEC);
	if (maps < 0)
		return -errno;
	err = proc_maps_each(maps, mapping_look, c);
	close(maps);
	if (err) {
		c->out->len = start;
		c->out->records = records;
	}
	return err;
}

int proc_code_read(const struct procfs *p, uint32_t pid, struct batch *out)
{
	struct code c = { .dir = -1, .pagemap = -1, .mem = -1, .out = out };
	char name[32];
	int i, err = 0;

	c.page_size = (size_t)sysconf(_SC_PAGESIZE);
	c.entries = malloc(CHUNK / c.page_size * sizeof(*c.entries));
	if (!c.entries)
		err = -ENOMEM;
	for (i = 0; !err && i < PLACES; i++) {
		c.bytes[i] = aligned_alloc(ALIGNMENT, CHUNK);
		err = c.bytes[i] ? digest_open(&c.digest[i]) : -ENOMEM;
	}
	if (!err) {
		/* Everything is opened below it: the pid may be another's by now. */
		snprintf(name, sizeof(name), "%u", pid);
		c.dir = openat(p->root, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		err = c.dir < 0 ? -errno : code_read(&c);
	}
	if (err == -ENOENT || err == -ESRCH)
		err = 0;
	for (i = 0; i < PLACES; i++) {
		digest_close(c.digest[i]);
		free(c.bytes[i]);
	}
	free(c.entries);
	if (c.pagemap >= 0)
		close(c.pagemap);
	if (c.mem >= 0)
		close(c.mem);
	if (c.dir >= 0)
		close(c.dir);
	return err;
}
