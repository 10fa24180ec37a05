/* What file_walk.c, file_list.c, file_read.c, file_rules.c and file_merge.c share. */
#ifndef RIMON_FILE_WALK_H
#define RIMON_FILE_WALK_H

#include "files.h"

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

/* file_walk.c: the next records, in place of what is in `into`, and maybe none. */
int file_walk_take(struct file_walk *w, struct batch *into, bool *ret_end);

/* file_merge.c */
struct file_merge {
	struct file_walk *walk;
	struct batch was;
	size_t was_at;
	size_t was_size;	/* of the entry there; 0: not known yet */
	struct batch is;
	size_t is_at;
	uint32_t flags;
	bool was_ended;
	bool is_ended;
	bool hungry;
};

/* Of the entry that begins there; 0: not all of it is there. -EBADMSG: it is none. */
int file_entry_size(const char *bytes, size_t len, size_t *ret);
int file_path_order(const char *a, size_t a_len, const char *b, size_t b_len);

/* file_read.c: what one thread has to read files. */
struct file_reader {
	struct digest *digest;
	char *buf;
	uint64_t max_size;
	bool stat_only;
	uint64_t keeps_cached;	/* the device of the last file system that knows no RWF_DONTCACHE: it need not be asked for each file */
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

/* file_list.c: what there is to read, in order, a slice at a time; by one thread at a time. */
#define SLICE_ITEMS	256
#define SLICE_READS	64	/* where their content is read: so that there is something for every thread */

/* An open folder, which goes with its last user. */
struct folder {
	int fd;
	unsigned int users;
};

enum slice_state {
	SLICE_FREE,
	SLICE_LISTED,
	SLICE_TAKEN,
	SLICE_READ,
};

struct slice_item {
	struct file_item file;
	struct folder *folder;
	struct folder *self;
	size_t path_at;
};

struct slice {
	enum slice_state state;
	size_t n;
	size_t text_len;
	size_t text_cap;
	char *text;
	struct slice_item item[SLICE_ITEMS];
	struct batch records;
};

struct level;

struct file_lister {
	struct level *levels;
	size_t depth;
	char *path;
	char *roots;
	size_t roots_len;
	size_t root_at;
	size_t root_number;
	uint64_t *limits;
	size_t n_limits;
	struct folder *parent;	/* of the root before, and its path */
	char *parent_path;
	struct file_rules rules;
	uint32_t flags;
};

int file_lister_open(struct file_lister *w, const struct file_walk_options *options);
void file_lister_close(struct file_lister *w);
/* *ret_end: there is no more. */
int file_lister_fill(struct file_lister *w, struct slice *slice, const bool *stopped, bool *ret_end);
void folder_drop(struct folder *folder);

#endif
