/*
 * What there is below some roots, folder by folder: each is opened by its name in
 * its parent, never by a path, and never through a link.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dirent64.h"
#include "file_walk.h"

#define SLICE_BYTES	((size_t)64 << 10)	/* of paths */
#define DEPTH_MAX	512
#define PATH_LEN_MAX	65535u			/* of a record */
#define LIST_PIECE	((size_t)64 << 10)
/* v5.8; since the headers of some are older. */
#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT	0x00002000
#endif

struct name {
	uint32_t at;
	uint32_t type;	/* DT_* */
};

/* A folder that is being gone through. */
struct level {
	struct folder *folder;
	char *text;
	struct name *names;
	size_t n;
	size_t next;
	size_t path_len;
	uint64_t dev;
};

static struct folder *folder_new(int fd)
{
	struct folder *folder = malloc(sizeof(*folder));

	if (!folder) {
		close(fd);
		return NULL;
	}
	folder->fd = fd;
	folder->users = 1;
	return folder;
}

static struct folder *folder_use(struct folder *folder)
{
	__atomic_add_fetch(&folder->users, 1, __ATOMIC_RELAXED);
	return folder;
}

void folder_drop(struct folder *folder)
{
	if (!folder || __atomic_sub_fetch(&folder->users, 1, __ATOMIC_ACQ_REL))
		return;
	close(folder->fd);
	free(folder);
}

static int open_folder(int at, const char *name)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = openat(at, name, flags | O_NOATIME);

	if (fd < 0 && errno == EPERM)
		fd = openat(at, name, flags);
	return fd < 0 ? -errno : fd;
}

static int by_bytes(const void *a, const void *b, void *text)
{
	const struct name *left = a, *right = b;

	return strcmp((char *)text + left->at, (char *)text + right->at);
}

/* All names of a folder, sorted; at most 4 GiB of them. */
static int list(struct level *level)
{
	size_t text_len = 0, text_cap = 0, cap = 0;
	char *buf = malloc(LIST_PIECE);
	long got = 0, at;
	int err = buf ? 0 : -ENOMEM;

	while (!err && (got = syscall(SYS_getdents64, level->folder->fd, buf, LIST_PIECE)) > 0) {
		for (at = 0; at < got && !err;) {
			const struct dirent64_head *d = (const struct dirent64_head *)(buf + at);
			size_t len = strlen(d->name) + 1;

			at += d->len;
			if (d->name[0] == '.' && (len == 2 || (len == 3 && d->name[1] == '.')))
				continue;
			if (level->n == cap) {
				struct name *more = realloc(level->names, (cap = cap ? cap * 2 : 64) * sizeof(*more));

				if (!more) {
					err = -ENOMEM;
					break;
				}
				level->names = more;
			}
			if (text_len + len > text_cap) {
				char *more = realloc(level->text, text_cap = (text_cap ? text_cap * 2 : 1024) + len);

				if (!more || text_cap > UINT32_MAX) {
					level->text = more ? more : level->text;
					err = -ENOMEM;
					break;
				}
				level->text = more;
			}
			memcpy(level->text + text_len, d->name, len);
			level->names[level->n++] = (struct name){ (uint32_t)text_len, d->type };
			text_len += len;
		}
	}
	if (!err && got < 0)
		err = -errno;
	free(buf);
	if (level->n)
		qsort_r(level->names, level->n, sizeof(*level->names), by_bytes, level->text);
	return err;
}

static void pop(struct file_lister *w)
{
	struct level *level = &w->levels[--w->depth];

	folder_drop(level->folder);
	free(level->text);
	free(level->names);
	memset(level, 0, sizeof(*level));
}

static unsigned int listed_type(int fd, const char *name, uint32_t type)
{
	struct stat st;

	switch (type) {
	case DT_REG:
		return FILE_RULE_FILE;
	case DT_DIR:
		return FILE_RULE_FOLDER;
	case DT_LNK:
		return FILE_RULE_LINK;
	case DT_UNKNOWN:
		return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : file_type(st.st_mode);
	default:
		return FILE_RULE_OTHER;
	}
}

static bool is_at_or_below(const char *path, const char *above, size_t above_len)
{
	return !strncmp(above, path, above_len) &&
	       (path[above_len] == '\0' || path[above_len] == '/' || above[above_len - 1] == '/');
}

/* Whether a root is this path or below it: then it is gone into though another file system begins there. */
static bool is_asked_for(const struct file_lister *w, const char *path, size_t len)
{
	const char *root;

	for (root = w->roots; root < w->roots + w->roots_len; root += strlen(root) + 1)
		if (is_at_or_below(root, path, len))
			return true;
	return false;
}

/* It comes with the root that it is below. */
static bool is_below_another(const struct file_lister *w, const char *root)
{
	const char *other;

	for (other = w->roots; other < root; other += strlen(other) + 1)
		if (is_at_or_below(root, other, strlen(other)))
			return true;
	return false;
}

static uint64_t device_of(int fd)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) < 0)
		return 0;
	return (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor;
}

/*
 * Whether another file system than that of its parent, *dev, begins here; *dev
 * is its own then. A mount of the same one is one, too. v5.8 tells; before it,
 * and for want of it, the device does.
 */
static bool is_mount(int fd, uint64_t *dev)
{
	uint64_t parent = *dev;
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_TYPE, &st) < 0)
		return false;
	*dev = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor;
	return *dev != parent || st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

static struct slice_item *slice_add(struct slice *slice, const char *path, size_t len)
{
	struct slice_item *item = &slice->item[slice->n];

	if (slice->text_len + len + 1 > slice->text_cap) {
		size_t cap = slice->text_len + len + 1 + 8192;
		char *more = realloc(slice->text, cap);

		if (!more)
			return NULL;
		slice->text = more;
		slice->text_cap = cap;
	}
	memset(item, 0, sizeof(*item));
	item->path_at = slice->text_len;
	memcpy(slice->text + slice->text_len, path, len + 1);
	slice->text_len += len + 1;
	item->file.path_len = len;
	item->file.limit = UINT64_MAX;
	item->file.self = -1;
	item->file.folder = -1;
	slice->n++;
	return item;
}

/* One name of a folder, or a root: what its rule says, and, of a folder, what is in it comes next. */
static int add(struct file_lister *w, struct slice *slice, struct folder *folder, size_t len, size_t name_at,
	       uint32_t dirent_type, bool is_root)
{
	const char *name = w->path + name_at;
	unsigned int type = listed_type(folder->fd, name, dirent_type);
	size_t rule = file_rules_find(&w->rules, type, w->path, len);
	bool skip = rule == w->rules.n || w->rules.rule[rule].how & FILE_RULE_SKIP;
	bool enter = type == FILE_RULE_FOLDER && !(w->flags & FILE_WALK_LIST), mount = false;
	struct slice_item *item = NULL;
	struct folder *self = NULL;
	int fd = -1, error = 0;

	if (!type && rule == w->rules.n)
		skip = false;
	if (skip && !(enter && (file_rules_want_below(&w->rules, rule, w->path, len) || (is_root && rule == w->rules.n))))
		return 0;
	if (type == FILE_RULE_FOLDER) {
		fd = open_folder(folder->fd, name);
		if (fd == -ENOENT)
			return 0;
		/* Swapped for something else: what that is, is read by its name. */
		if (fd < 0)
			error = fd == -ELOOP || fd == -ENOTDIR ? 0 : -fd;
		else if (!(self = folder_new(fd)))
			return -ENOMEM;
	}
	if (self && enter) {
		uint64_t dev = is_root ? device_of(self->fd) : w->levels[w->depth - 1].dev;

		mount = !is_root && !(w->flags & FILE_WALK_CROSS) && is_mount(self->fd, &dev) && !is_asked_for(w, w->path, len);
		if (!mount && (w->depth == DEPTH_MAX || len + 257 > PATH_LEN_MAX))
			error = ELOOP;
		else if (!mount) {
			struct level *level = &w->levels[w->depth++];

			memset(level, 0, sizeof(*level));
			level->folder = folder_use(self);
			level->path_len = len;
			level->dev = dev;
			error = -list(level);
		}
	}
	if (!skip) {
		item = slice_add(slice, w->path, len);
		if (!item) {
			folder_drop(self);
			return -ENOMEM;
		}
		item->folder = folder_use(folder);
		item->self = self ? folder_use(self) : NULL;
		item->file.folder = folder->fd;
		item->file.self = self ? self->fd : -1;
		item->file.name_at = name_at;
		item->file.type = type;
		item->file.how = rule < w->rules.n ? w->rules.rule[rule].how : 0;
		item->file.rule = (uint16_t)rule;
		item->file.error = (uint16_t)error;
		item->file.is_mount = mount;
		if (is_root && w->n_limits)
			item->file.limit = w->limits[w->root_number];
	}
	folder_drop(self);
	return 0;
}

/* Opens the folder that a root is in, name after name; *ret_name_at is where the root's own begins. */
static int open_parent(struct file_lister *w, size_t len, size_t *ret_name_at, struct folder **ret)
{
	size_t name_at = len, at;
	struct folder *folder;
	int fd, next;

	if (len == 1) {
		/* "/" is its own parent: its name there is "/". */
		*ret_name_at = 0;
		name_at = 1;
	} else {
		while (w->path[name_at - 1] != '/')
			name_at--;
		*ret_name_at = name_at;
	}
	if (w->parent && strlen(w->parent_path) == name_at && !memcmp(w->parent_path, w->path, name_at)) {
		*ret = folder_use(w->parent);
		return 0;
	}
	fd = open_folder(AT_FDCWD, "/");
	for (at = 1; fd >= 0 && at < name_at;) {
		char *slash = memchr(w->path + at, '/', name_at - at);

		*slash = '\0';
		next = open_folder(fd, w->path + at);
		*slash = '/';
		close(fd);
		fd = next;
		at = (size_t)(slash - w->path) + 1;
	}
	if (fd < 0)
		return fd;
	folder = folder_new(fd);
	if (!folder)
		return -ENOMEM;
	folder_drop(w->parent);
	w->parent = folder_use(folder);
	memcpy(w->parent_path, w->path, name_at);
	w->parent_path[name_at] = '\0';
	*ret = folder;
	return 0;
}

static int add_root(struct file_lister *w, struct slice *slice)
{
	const char *root = w->roots + w->root_at;
	size_t len = strlen(root), name_at;
	struct folder *folder;
	int err;

	w->root_at += len + 1;
	if (!(w->flags & FILE_WALK_LIST) && is_below_another(w, root)) {
		w->root_number++;
		return 0;
	}
	memcpy(w->path, root, len + 1);
	err = open_parent(w, len, &name_at, &folder);
	if (err == -ENOENT)
		err = 0;
	else if (!err) {
		err = add(w, slice, folder, len, name_at, DT_UNKNOWN, true);
		folder_drop(folder);
	} else if (err != -ENOMEM) {
		/* A link on the way is ELOOP or ENOTDIR: the root is told as what cannot be read. */
		struct slice_item *item = slice_add(slice, w->path, len);

		if (!item)
			return -ENOMEM;
		item->file.error = (uint16_t)-err;
		item->file.rule = (uint16_t)w->rules.n;
		err = 0;
	}
	w->root_number++;
	return err;
}

int file_lister_fill(struct file_lister *w, struct slice *slice, const bool *stopped, bool *ret_end)
{
	size_t max = w->flags & FILE_WALK_STAT ? SLICE_ITEMS : SLICE_READS;
	int err = 0;

	slice->n = 0;
	slice->text_len = 0;
	while (!err && slice->n < max && slice->text_len < SLICE_BYTES &&
	       !__atomic_load_n(stopped, __ATOMIC_RELAXED)) {
		struct level *level = w->depth ? &w->levels[w->depth - 1] : NULL;
		size_t at, len;

		if (!level) {
			if (w->root_at == w->roots_len) {
				*ret_end = true;
				return 0;
			}
			err = add_root(w, slice);
			continue;
		}
		if (level->next == level->n) {
			pop(w);
			continue;
		}
		at = level->path_len;
		if (w->path[at - 1] != '/')
			w->path[at++] = '/';
		len = strlen(level->text + level->names[level->next].at);
		memcpy(w->path + at, level->text + level->names[level->next].at, len + 1);
		err = add(w, slice, level->folder, at + len, at, level->names[level->next++].type, false);
	}
	return err;
}

/* Absolute and plain, so that one path has one name. */
static bool is_root(const char *root)
{
	size_t len = strlen(root);

	return root[0] == '/' && len <= PATH_LEN_MAX && (len == 1 || root[len - 1] != '/') && !strstr(root, "//") &&
	       !strstr(root, "/./") && !strstr(root, "/../") && !(len > 1 && !strcmp(root + len - 2, "/.")) &&
	       !(len > 2 && !strcmp(root + len - 3, "/.."));
}

static int copy_roots(struct file_lister *w, const struct file_walk_options *options)
{
	size_t at, n = 0;

	if (!options->roots_len || options->roots[options->roots_len - 1])
		return -EINVAL;
	for (at = 0; at < options->roots_len; at += strlen(options->roots + at) + 1, n++)
		if (!is_root(options->roots + at))
			return -EINVAL;
	if (options->n_limits && options->n_limits != n)
		return -EINVAL;
	w->roots = malloc(options->roots_len);
	w->limits = malloc((options->n_limits + 1) * sizeof(*w->limits));
	if (!w->roots || !w->limits)
		return -ENOMEM;
	memcpy(w->roots, options->roots, options->roots_len);
	if (options->n_limits)
		memcpy(w->limits, options->limits, options->n_limits * sizeof(*w->limits));
	w->roots_len = options->roots_len;
	w->n_limits = options->n_limits;
	return 0;
}

int file_lister_open(struct file_lister *w, const struct file_walk_options *options)
{
	int err;

	w->flags = options->flags;
	w->levels = calloc(DEPTH_MAX, sizeof(*w->levels));
	w->path = malloc(PATH_LEN_MAX + 512);
	w->parent_path = malloc(PATH_LEN_MAX + 512);
	err = w->levels && w->path && w->parent_path ? copy_roots(w, options) : -ENOMEM;
	return err ? err : file_rules_parse(options->rules, options->rules_len, &w->rules);
}

void file_lister_close(struct file_lister *w)
{
	while (w->depth)
		pop(w);
	folder_drop(w->parent);
	file_rules_free(&w->rules);
	free(w->levels);
	free(w->path);
	free(w->parent_path);
	free(w->roots);
	free(w->limits);
}
