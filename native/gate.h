/* What the files of the exec gate share. */
#ifndef RIMON_GATE_H
#define RIMON_GATE_H

#include <pthread.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "digest.h"
#include "rimon.h"

/* What of a file and of who runs it a rule can ask for. */
struct gate_file {
	uint64_t dev;
	uint64_t inode;
	uint64_t size;
	int64_t mtime_ns;
	int64_t ctime_ns;
	uint32_t uid;
	uint32_t gid;
	uint32_t mode;
};

/* Everything but these is known at once; -errno if it cannot be known. */
struct gate_asked {
	const struct gate_file *file;
	const unsigned char *digest;	/* NULL: not hashed yet */
	int (*filesystem)(void *arg, uint32_t *ret);
	int (*uid)(void *arg, uint32_t *ret);
	/* The executable of who asks. `is_proven`: this path leads to that file for us, too; else it is what the asker's mounts make of it. */
	int (*by)(void *arg, const char **ret, size_t *ret_len, bool *ret_is_proven);
	int (*path)(void *arg, const char **ret, size_t *ret_len, bool *ret_is_proven);
	void *arg;
};

struct gate_answer {
	enum gate_verdict verdict;
	uint32_t rule;
	/* Whether nothing was asked for but content and file system: what is said of it holds until it is written to. */
	bool is_of_content;
};

struct gate_table;

/* Any bytes; -EINVAL if they are no table. The copy is the table's own. */
int gate_table_parse(const void *bytes, size_t len, struct gate_table **ret);
void gate_table_free(struct gate_table *t);
const struct gate_table_head *gate_table_head(const struct gate_table *t);
/* The sets that this digest is in; 0: none. */
uint32_t gate_table_sets(const struct gate_table *t, const unsigned char digest[DIGEST_LEN]);
/* Whether an opener of that executable runs what it opens. */
bool gate_table_interprets(const struct gate_table *t, const char *exe, size_t len);
/* Whether it installs software: what descends from it may run anything while an upgrade is declared. */
bool gate_table_updates(const struct gate_table *t, const char *exe, size_t len);
/* -EAGAIN: the digest is needed. */
int gate_table_judge(const struct gate_table *t, const struct gate_asked *asked, struct gate_answer *ret);

/* gate_ask.c: what is asked for of an open file and of the task that runs it, each once. */
struct gate_name {
	char text[4096];	/* PATH_MAX */
	int len;		/* -errno; 0: not asked for yet */
	bool is_proven;
};

struct gate_ask {
	struct gate_asked asked;
	const struct procfs *procfs;
	struct gate_name path;
	struct gate_name by;
	int fd;
	uint32_t tid;
	uint32_t uid;		/* where tid is 0 */
};

void gate_ask_begin(struct gate_ask *a, const struct procfs *p, int fd, uint32_t tid, const struct gate_file *f);
/* Whether it is started by rimon, by the first process, or, where `is_upgrade`, by what installs software. */
bool gate_ask_is_spared(const struct gate_ask *a, const struct gate_table *t, bool is_upgrade);

/* gate_mounts.c: without asking a file system for anything. */
struct gate_known {
	uint64_t dev;
	uint64_t inode;
	uint64_t size;
	uint64_t mount;		/* its number in mountinfo; 0: unknown */
	uint32_t owner;
	uint32_t mode;
	bool is_mount_root;
};

/* As far as the kernel knows it; flags as of statx(2). */
int gate_stat_known(int dir, const char *path, int flags, struct gate_known *ret);
/*
 * O_PATH, and what is known of it. pid 0: of our own; `path` from its root or its working folder, "" is its executable.
 * -EAGAIN if it is not in memory, -EOPNOTSUPP before v5.8, which numbers no mounts.
 */
int gate_find_known(const struct procfs *p, uint32_t pid, const char *path, int *ret_fd, struct gate_known *ret);

/* gate_file.c */
#define GATE_CHUNK	((size_t)1 << 17)

struct gate_reader {
	struct digest *digest;
	unsigned char chunk[GATE_CHUNK];
};

int gate_file_stat(int fd, struct gate_file *ret);
static inline bool gate_file_same(const struct gate_file *a, const struct gate_file *b)
{
	return a->dev == b->dev && a->inode == b->inode && a->size == b->size && a->mtime_ns == b->mtime_ns &&
	       a->ctime_ns == b->ctime_ns;
}
/* Whether nobody but root may write to it; the group's bits may be the mask of an access control list. */
static inline bool gate_file_is_roots(const struct gate_file *f)
{
	return f->uid == 0 && !(f->mode & (S_IWOTH | S_IWGRP));
}
/* Whether its change time tells of every change of its content that comes after now. */
bool gate_file_is_datable(int fd, const struct gate_file *f, uint64_t realtime_ns);
/* -EAGAIN: somebody has it open for writing. Until it is given up nobody can open it for that. */
int gate_lease_take(int fd);
void gate_lease_give_up(int fd);
/* -ECANCELED once `cancel` is set; -EAGAIN, where it must not `wait`, if not all of it is in memory. */
int gate_file_hash(struct gate_reader *r, int fd, const struct gate_file *f, bool wait, const bool *cancel,
		   unsigned char ret[DIGEST_LEN]);

/* gate_cache.c: digests of files that have not changed since. */
#define GATE_CACHED	4096u
#define GATE_WAYS	4u

struct gate_cached {
	struct gate_file file;
	unsigned char digest[DIGEST_LEN];
	uint32_t used;
	uint32_t is_set;
};

struct gate_cache {
	struct gate_cached entry[GATE_CACHED];
	uint32_t clock;
};

bool gate_cache_find(struct gate_cache *c, const struct gate_file *f, unsigned char ret[DIGEST_LEN]);
void gate_cache_keep(struct gate_cache *c, const struct gate_file *f, const unsigned char digest[DIGEST_LEN]);
void gate_cache_forget(struct gate_cache *c, uint64_t dev, uint64_t inode);
void gate_cache_clear(struct gate_cache *c);

#endif
