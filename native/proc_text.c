/*
 * The pages of code of one process that no longer come from their file. A
 * page of a private file mapping belongs to the file until it is written:
 * by a debugger, by /proc/PID/mem, by a uprobe, by a relocation of the loader.
 * Then it is an anonymous copy, and stays one when the bytes are put back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rimon.h"

/* v6.7: PAGEMAP_SCAN, 52526ca7fdb9; the headers may be older. */
#define CATEGORY_FILE		(1ull << 2)
#define CATEGORY_PRESENT	(1ull << 3)
#define CATEGORY_SWAPPED	(1ull << 4)

struct scan_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct scan_arguments {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define RIMON_PAGEMAP_SCAN	_IOWR('f', 16, struct scan_arguments)

/* Of an entry of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst). */
#define ENTRY_FILE	(1ull << 61)	/* or shared anonymous */
#define ENTRY_SWAPPED	(1ull << 62)
#define ENTRY_PRESENT	(1ull << 63)

#define REGIONS		64
#define ENTRIES		4096
/* Hardly ever is one such page there; a process that makes many must not hold up the pass. */
#define PAGES_MAX	1024
#define RUNS_MAX	128
/* A jump may have a byte in common with what it was put over. */
#define GAP_MAX		3

#ifdef __aarch64__
#define INSTRUCTION	4	/* never smaller, and aligned */
#else
#define INSTRUCTION	1
#endif

struct text {
	int dir;		/* /proc/PID */
	int pagemap;
	int mem;		/* -1: may not be read */
	bool by_pagemap;
	size_t page_size;
	unsigned char *found;
	unsigned char *expected;
	struct scan_region *regions;
	uint64_t *entries;
	struct batch *out;
	uint32_t pages;
	uint32_t unread;

	const struct proc_mapping *mapping;
	int file;		/* -1: not opened yet, or not to be had */
	bool tried;
	bool is_regular;
};

size_t code_runs(const unsigned char *found, const unsigned char *expected, size_t len, struct code_run *runs, size_t max)
{
	size_t n = 0, at = 0;

	while (at < len) {
		size_t start, end;

		if (found[at] == expected[at]) {
			at++;
			continue;
		}
		start = at - at % INSTRUCTION;
		end = at + INSTRUCTION - at % INSTRUCTION;
		if (end > len)
			end = len;
		if (n && (n == max || start <= runs[n - 1].start + runs[n - 1].len + GAP_MAX))
			runs[n - 1].len = end - runs[n - 1].start;
		else if (n < max)
			runs[n++] = (struct code_run){ start, end - start };
		at = end;
	}
	return n;
}

/* The mapped file itself, also where its name is another's by now; needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE. */
static int open_mapped(int dir, const struct proc_mapping *m)
{
	char name[64];

	snprintf(name, sizeof(name), "map_files/%llx-%llx", (unsigned long long)m->start, (unsigned long long)m->end);
	return openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* By its name, as the process sees it, if that still is the same file. */
static int open_named(int dir, const struct proc_mapping *m)
{
	struct stat st;
	char *name;
	int fd = -1;

	if (!m->path_len || m->path[0] != '/')
		return -1;
	name = malloc(m->path_len + sizeof("root"));
	if (!name)
		return -1;
	memcpy(name, "root", 4);
	memcpy(name + 4, m->path, m->path_len);
	name[4 + m->path_len] = '\0';
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	free(name);
	if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_dev != m->dev || st.st_ino != m->inode)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int mapping_open(int dir, const struct proc_mapping *m)
{
	int fd = open_mapped(dir, m);

	return fd >= 0 ? fd : open_named(dir, m);
}

static void file_open(struct text *t)
{
	struct stat st;

	if (t->tried)
		return;
	t->tried = true;
	t->is_regular = true;
	t->file = mapping_open(t->dir, t->mapping);
	/* A private mapping of /dev/zero is anonymous memory by another name. */
	if (t->file >= 0 && fstat(t->file, &st) == 0)
		t->is_regular = S_ISREG(st.st_mode);
}

static bool page_read(int fd, unsigned char *buf, size_t len, uint64_t at, bool may_end)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, buf + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done < len && (!may_end || !done))
		return false;
	/* As the kernel fills the last page of a file. */
	memset(buf + done, 0, len - done);
	return true;
}

static void run_add(struct text *t, uint64_t page, const struct code_run *run)
{
	size_t len = run->len < CODE_BYTES_MAX ? run->len : CODE_BYTES_MAX;
	struct code_run_record *r;

	r = batch_begin(t->out, RECORD_CODE_RUN, sizeof(*r));
	if (!r)
		return;
	r->address = page + run->start;
	r->length = (uint32_t)run->len;
	r->found_len = (uint16_t)len;
	r->expected_len = (uint16_t)len;
	batch_bytes(t->out, t->found + run->start, len);
	batch_bytes(t->out, t->expected + run->start, len);
	batch_end(t->out);
}

static int page_add(struct text *t, uint64_t page)
{
	const struct proc_mapping *m = t->mapping;
	struct code_run runs[RUNS_MAX];
	struct code_page_record *r;
	uint32_t differing = 0;
	bool compared = false;
	size_t n = 0, i;

	file_open(t);
	if (!t->is_regular)
		return 0;
	if (t->pages == PAGES_MAX) {
		t->unread++;
		return 0;
	}
	if (t->file >= 0 && t->mem >= 0)
		compared = page_read(t->mem, t->found, t->page_size, page, false) &&
			   page_read(t->file, t->expected, t->page_size, m->offset + (page - m->start), true);
	if (compared) {
		n = code_runs(t->found, t->expected, t->page_size, runs, RUNS_MAX);
		for (i = 0; i < t->page_size; i++)
			differing += t->found[i] != t->expected[i];
	}
	r = batch_begin(t->out, RECORD_CODE_PAGE, sizeof(*r));
	if (!r)
		return t->out->error;
	r->page = page;
	r->start = m->start;
	r->end = m->end;
	r->offset = m->offset + (page - m->start);
	r->dev = m->dev;
	r->inode = m->inode;
	r->permissions = m->permissions;
	r->compared = compared;
	r->differing = differing;
	r->runs = (uint16_t)n;
	r->path_len = (uint16_t)m->path_len;
	batch_bytes(t->out, m->path, m->path_len);
	batch_end(t->out);
	for (i = 0; i < n; i++)
		run_add(t, page, &runs[i]);
	t->pages++;
	return t->out->error;
}

static int mapping_scan(struct text *t)
{
	struct scan_arguments arguments = {
		.size = sizeof(arguments),
		.start = t->mapping->start,
		.end = t->mapping->end,
		.vec = (uint64_t)(uintptr_t)t->regions,
		.vec_len = REGIONS,
		.category_inverted = CATEGORY_FILE,
		.category_mask = CATEGORY_FILE,
		.category_anyof_mask = CATEGORY_PRESENT | CATEGORY_SWAPPED,
		.return_mask = CATEGORY_FILE,
	};

	while (arguments.start < arguments.end) {
		/* By number: the request is no int in one C library, and no unsigned long in another. */
		int n = (int)syscall(SYS_ioctl, t->pagemap, RIMON_PAGEMAP_SCAN, &arguments), i, err;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (i = 0; i < n; i++) {
			uint64_t page;

			for (page = t->regions[i].start; page < t->regions[i].end; page += t->page_size) {
				err = page_add(t, page);
				if (err)
					return err;
			}
		}
		/* It stops where the vector is full. */
		if (arguments.walk_end <= arguments.start)
			break;
		arguments.start = arguments.walk_end;
	}
	return 0;
}

static int mapping_read(struct text *t)
{
	uint64_t page = t->mapping->start;

	while (page < t->mapping->end) {
		uint64_t left = (t->mapping->end - page) / t->page_size;
		size_t asked = left < ENTRIES ? (size_t)left : ENTRIES, i;
		ssize_t n = pread(t->pagemap, t->entries, asked * sizeof(*t->entries),
				  (off_t)(page / t->page_size * sizeof(*t->entries)));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if ((size_t)n < sizeof(*t->entries))
			break;
		for (i = 0; i < (size_t)n / sizeof(*t->entries); i++, page += t->page_size) {
			uint64_t entry = t->entries[i];
			int err;

			if (!(entry & (ENTRY_PRESENT | ENTRY_SWAPPED)) || (entry & ENTRY_FILE))
				continue;
			err = page_add(t, page);
			if (err)
				return err;
		}
	}
	return 0;
}

static int mapping_look(void *arg, const struct proc_mapping *m)
{
	struct text *t = arg;
	int err = 0;

	/* What has no inode (the vdso, uprobes, anonymous memory) is no file's code; a shared page is the file. */
	if (!(m->permissions & MAPPING_EXEC) || (m->permissions & MAPPING_SHARED) || !m->inode)
		return 0;
	t->mapping = m;
	t->file = -1;
	t->tried = false;
	if (!t->by_pagemap) {
		err = mapping_scan(t);
		/* An ioctl that the kernel has not. */
		if (err == -ENOTTY || err == -ENOSYS)
			t->by_pagemap = true;
	}
	if (t->by_pagemap)
		err = mapping_read(t);
	if (t->file >= 0)
		close(t->file);
	return err;
}

static int text_read(struct text *t, uint32_t pid)
{
	size_t start = t->out->len, records = t->out->records;
	struct code_pages_record *head;
	int mem_error = 0, maps, err;
	uint64_t start_ticks;

	err = proc_start_ticks_at(t->dir, &start_ticks);
	if (err)
		return err;
	/* mem first: should the process execute another program meanwhile, its old memory is gone and reads as nothing. */
	t->mem = openat(t->dir, "mem", O_RDONLY | O_CLOEXEC);
	/* Where nobody may attach (ptrace_scope=3, no CAP_SYS_PTRACE) pages can be looked for all the same. */
	if (t->mem < 0) {
		mem_error = errno;
		if (mem_error != EACCES && mem_error != EPERM)
			return -mem_error;
	}
	t->pagemap = openat(t->dir, "pagemap", O_RDONLY | O_CLOEXEC);
	maps = t->pagemap < 0 ? -1 : openat(t->dir, "maps", O_RDONLY | O_CLOEXEC);
	if (maps < 0)
		return -errno;
	batch_begin(t->out, RECORD_CODE_PAGES, sizeof(*head));
	batch_end(t->out);
	err = proc_maps_each(maps, mapping_look, t);
	close(maps);
	if (!err)
		err = t->out->error;
	if (err) {
		t->out->len = start;
		t->out->records = records;
		return err;
	}
	/* Appending may have moved it. */
	head = (struct code_pages_record *)(t->out->data + start);
	head->start_ticks = start_ticks;
	head->pid = pid;
	head->page_size = (uint32_t)t->page_size;
	head->count = t->pages;
	head->unread = t->unread;
	head->by_pagemap = t->by_pagemap;
	head->mem_error = (uint32_t)mem_error;
	return 0;
}

int proc_code_pages(const struct procfs *p, uint32_t pid, bool by_pagemap, struct batch *out)
{
	struct text t = { .dir = -1, .pagemap = -1, .mem = -1, .by_pagemap = by_pagemap, .out = out };
	char name[32];
	int err;

	t.page_size = (size_t)sysconf(_SC_PAGESIZE);
	t.found = malloc(t.page_size);
	t.expected = malloc(t.page_size);
	t.regions = malloc(REGIONS * sizeof(*t.regions));
	t.entries = malloc(ENTRIES * sizeof(*t.entries));
	if (!t.found || !t.expected || !t.regions || !t.entries) {
		err = -ENOMEM;
		goto out;
	}
	/* Everything is opened below it: the pid may be another's by now. */
	snprintf(name, sizeof(name), "%u", pid);
	t.dir = openat(p->root, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	err = t.dir < 0 ? -errno : text_read(&t, pid);
	if (err == -ENOENT || err == -ESRCH)
		err = 0;
out:
	if (t.pagemap >= 0)
		close(t.pagemap);
	if (t.mem >= 0)
		close(t.mem);
	if (t.dir >= 0)
		close(t.dir);
	free(t.entries);
	free(t.regions);
	free(t.expected);
	free(t.found);
	return err;
}
