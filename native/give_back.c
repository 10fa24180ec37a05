/* What only a start needs and stays resident all the same: pages of files that are as the files have them, memory freed since. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "rimon.h"

/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGE_PRESENT	(1ull << 63)
#define PAGE_SWAPPED	(1ull << 62)
#define PAGE_OF_FILE	(1ull << 61)

#define ENTRIES		512

struct giving {
	int pagemap;
	size_t page_size;
};

/* A page that was written to, as relocations are, would be lost, in swap or not. */
static bool is_as_the_file(const struct giving *g, const struct proc_mapping *m)
{
	uint64_t entries[ENTRIES], page = m->start / g->page_size, end = m->end / g->page_size;

	while (page < end) {
		size_t want = end - page < ENTRIES ? (size_t)(end - page) : ENTRIES, i;
		ssize_t n = pread(g->pagemap, entries, want * sizeof(entries[0]), (off_t)(page * sizeof(entries[0])));

		if (n < (ssize_t)sizeof(entries[0]))
			return false;
		for (i = 0; i < (size_t)n / sizeof(entries[0]); i++)
			if (entries[i] & (PAGE_PRESENT | PAGE_SWAPPED) && !(entries[i] & PAGE_OF_FILE))
				return false;
		page += (size_t)n / sizeof(entries[0]);
	}
	return true;
}

static int mapping_give_back(void *arg, const struct proc_mapping *m)
{
	if (m->inode && !(m->permissions & (MAPPING_WRITE | MAPPING_SHARED)) && is_as_the_file(arg, m))
		madvise((void *)m->start, (size_t)(m->end - m->start), MADV_DONTNEED);
	return 0;
}

void give_back(void)
{
	struct giving giving = { .page_size = (size_t)sysconf(_SC_PAGESIZE) };
	int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	giving.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (maps >= 0 && giving.pagemap >= 0)
		proc_maps_each(maps, mapping_give_back, &giving);
	if (maps >= 0)
		close(maps);
	if (giving.pagemap >= 0)
		close(giving.pagemap);
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
