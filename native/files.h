/* Walks over files: the part of the core's interface that rimon.h has no room for. */
#ifndef RIMON_FILES_H
#define RIMON_FILES_H

#include "rimon.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * file_walk.c: files as they are, in the order of their paths ('/' sorts before
 * all), by threads of its own that read ahead as far as a bound allows.
 */
struct file_walk;

#define FILE_WALK_LIST	(1u << 0)	/* the roots alone, in the order given */
#define FILE_WALK_STAT	(1u << 1)	/* only what stat says */
#define FILE_WALK_CROSS	(1u << 2)	/* into other file systems, too */
#define FILE_WALK_IDLE	(1u << 3)	/* the disk and the processor are for everybody else first */

/* What is not to be looked at, or not in full. */
#define FILE_RULE_FILE		(1u << 0)	/* it is of regular files; without any type, of all */
#define FILE_RULE_FOLDER	(1u << 1)
#define FILE_RULE_LINK		(1u << 2)
#define FILE_RULE_OTHER		(1u << 3)
#define FILE_RULE_SKIP		(1u << 4)	/* it, and what is below it */
#define FILE_RULE_CONTENT	(1u << 5)	/* regular files are read */

struct file_walk_options {
	/*
	 * Absolute, without "." and ".."; each with its NUL. One below another, which
	 * stands before it, comes with that, and is gone into where another file system
	 * begins there.
	 */
	const char *roots;
	size_t roots_len;
	const uint64_t *limits;	/* of each root, where there are any: how much of it counts */
	size_t n_limits;
	const char *rules;	/* each a byte of FILE_RULE_*, a pattern and a NUL; the first that matches decides */
	size_t rules_len;
	uint32_t flags;
	uint32_t threads;
	uint64_t max_size;	/* larger ones are not read */
	bool has_allowance;	/* reads no more than file_walk_allow() lets it */
};

struct file_walk_progress {
	uint64_t entries;
	uint64_t bytes;		/* read */
	uint64_t vanished;	/* between the listing of a folder and the look */
};

int file_walk_open(const struct file_walk_options *options, struct file_walk **ret);
/* Some 256 KiB of records, or the rest; nothing at the end. One call at a time. -ECANCELED once it was stopped. */
int file_walk_next(struct file_walk *w, struct batch *out);
void file_walk_allow(struct file_walk *w, uint64_t bytes);
void file_walk_progress(struct file_walk *w, struct file_walk_progress *ret);
/* From any thread. */
void file_walk_stop(struct file_walk *w);
void file_walk_close(struct file_walk *w);

/*
 * file_merge.c: what a walk finds against entries of before, which are given in
 * pieces. One call at a time.
 */
struct file_merge;

#define FILE_MERGE_FULL	(1u << 0)	/* all that is kept is compared, for walks that read it; else what stat says */
#define FILE_MERGE_KEEP	(1u << 1)	/* what is alike is handed on, too */

/* Before each entry or two of what is handed on: how many bytes of what was and of what is follow. */
struct file_pair {
	uint32_t was;		/* 0: there was none; FILE_PAIR_ALIKE: what follows is what it was */
	uint32_t is;		/* 0: there is none */
};

#define FILE_PAIR_ALIKE	UINT32_MAX

/* The walk must outlive it. */
int file_merge_open(struct file_walk *walk, uint32_t flags, struct file_merge **ret);
void file_merge_close(struct file_merge *m);
/* It goes on only with more of before, or the word that there is no more. True at the beginning. */
bool file_merge_is_hungry(const struct file_merge *m);
/* More of before, copied; nothing: that was all. -EBADMSG if that is in the middle of an entry. */
int file_merge_give(struct file_merge *m, const char *bytes, size_t len);
/* Some 256 KiB of pairs; nothing and not hungry: the end. -EBADMSG if what was given is no entries. */
int file_merge_next(struct file_merge *m, struct batch *out);

/* file_rules.c: '*' and '?' within a name, '**' across, '\\' before one that is meant; what is below a match matches, too. */
bool file_pattern_matches(const char *pattern, size_t len, const char *path, size_t path_len);

#ifdef __cplusplus
}
#endif

#endif
