/* The digests of files by what changes with their content; the change time is in it, which nobody can set back. */
#include <string.h>

#include "gate.h"

static struct gate_cached *set_of(struct gate_cache *c, uint64_t dev, uint64_t inode)
{
	uint64_t mixed = (inode ^ dev << 20) * 0x9e3779b97f4a7c15ull;

	return &c->entry[(mixed >> 40) % (GATE_CACHED / GATE_WAYS) * GATE_WAYS];
}

bool gate_cache_find(struct gate_cache *c, const struct gate_file *f, unsigned char ret[DIGEST_LEN])
{
	struct gate_cached *set = set_of(c, f->dev, f->inode);
	unsigned int i;

	for (i = 0; i < GATE_WAYS; i++) {
		if (!set[i].is_set || !gate_file_same(&set[i].file, f))
			continue;
		set[i].used = ++c->clock;
		memcpy(ret, set[i].digest, DIGEST_LEN);
		return true;
	}
	return false;
}

void gate_cache_keep(struct gate_cache *c, const struct gate_file *f, const unsigned char digest[DIGEST_LEN])
{
	struct gate_cached *set = set_of(c, f->dev, f->inode), *to = set;
	unsigned int i;

	for (i = 0; i < GATE_WAYS; i++) {
		if (!set[i].is_set || (set[i].file.dev == f->dev && set[i].file.inode == f->inode)) {
			to = &set[i];
			break;
		}
		if ((int32_t)(set[i].used - to->used) < 0)
			to = &set[i];
	}
	to->file = *f;
	memcpy(to->digest, digest, DIGEST_LEN);
	to->used = ++c->clock;
	to->is_set = 1;
}

void gate_cache_forget(struct gate_cache *c, uint64_t dev, uint64_t inode)
{
	struct gate_cached *set = set_of(c, dev, inode);
	unsigned int i;

	for (i = 0; i < GATE_WAYS; i++)
		if (set[i].is_set && set[i].file.dev == dev && set[i].file.inode == inode)
			set[i].is_set = 0;
}

void gate_cache_clear(struct gate_cache *c)
{
	unsigned int i;

	for (i = 0; i < GATE_CACHED; i++)
		c->entry[i].is_set = 0;
}
