/* What file_walk.c, file_read.c and file_rules.c share. */
#ifndef RIMON_FILE_WALK_H
#define RIMON_FILE_WALK_H

#include "rimon.h"

/* file_rules.c */
struct file_rule {
	const char *pattern;
	size_t len;
	size_t literal;		/* how much of it has no wildcard */
	unsigned int how;	/* FILE_RULE_* */
};

struct file_rules {
	char *text;
	struct file_rule *rule;
	size_t n;
};

int file_rules_parse(const char *text, size_t len, struct file_rules *ret);
void file_rules_free(struct file_rules *rules);
/* Which rule decides, of n: none. type: one of FILE_RULE_FILE and the like. */
size_t file_rules_find(const struct file_rules *rules, unsigned int type, const char *path, size_t len);
/* Whether one that comes before `by` may want something below this path. */
bool file_rules_want_below(const struct file_rules *rules, size_t by, const char *path, size_t len);

/* file_read.c: what one thread has to read files. */
struct file_reader {
	struct digest *digest;
	char *buf;
	uint64_t max_size;
	bool stat_only;
	/* Asked before bytes are read, told how many; false: stop. */
	bool (*may_read)(void *arg, size_t bytes);
	void *arg;
};

/* One file: `folder` and the last name of its path, or `self`, an open folder. */
struct file_item {
	int folder;
	int self;		/* -1: by its name */
	const char *path;	/* ends with a NUL */
	size_t path_len;
	size_t name_at;
	uint64_t limit;		/* how much of it counts */
	unsigned int type;	/* as it was listed; 0: not known */
	unsigned int how;	/* of its rule */
	uint16_t rule;
	uint16_t error;		/* a folder that could not be opened */
	bool is_mount;
};

int file_reader_open(struct file_reader *r);
void file_reader_close(struct file_reader *r);
/* -ENOENT if it is gone; -ECANCELED. */
int file_read(struct file_reader *r, const struct file_item *item, struct batch *out);
unsigned int file_type(uint32_t mode);

#endif
