/*
 * One file, from its folder's descriptor: what stat says, extended attributes,
 * flags and content, all of one descriptor where it can have one. Nothing but
 * regular files and folders is opened: to open a device may act on it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "digest.h"
#include "file_walk.h"

#define PIECE		((size_t)256 << 10)
#define ATTEMPTS	3
/* Times of a file are as coarse as two seconds (vfat), and as a tick elsewhere before v6.13 (multigrain timestamps). */
#define RECENT_NS	2000000000ll
#define XATTR_VALUE_MAX	1024
#define XATTR_SUM_MAX	8192
/* v6.14: pages that were not in the cache leave it again. */
#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE	0x00000080
#endif
#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT	0x00002000
#endif

#define STAT_WANTED	(STATX_BASIC_STATS & ~(STATX_ATIME | STATX_BLOCKS))

unsigned int file_type(uint32_t mode)
{
	if (S_ISREG(mode))
		return FILE_RULE_FILE;
	if (S_ISDIR(mode))
		return FILE_RULE_FOLDER;
	return S_ISLNK(mode) ? FILE_RULE_LINK : FILE_RULE_OTHER;
}

int file_reader_open(struct file_reader *r)
{
	r->buf = aligned_alloc(4096, PIECE);
	if (!r->buf)
		return -ENOMEM;
	return r->stat_only ? 0 : digest_open(&r->digest);
}

void file_reader_close(struct file_reader *r)
{
	digest_close(r->digest);
	free(r->buf);
}

static int64_t ns_of(const struct statx_timestamp *t)
{
	/* What does not fit is the year 1677 or 2262. */
	if (t->tv_sec > INT64_MAX / 1000000000 - 1)
		return INT64_MAX;
	if (t->tv_sec < INT64_MIN / 1000000000 + 1)
		return INT64_MIN;
	return t->tv_sec * 1000000000 + t->tv_nsec;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void put_stat(struct file_entry_record *e, const struct statx *st)
{
	e->have |= FILE_HAS_STAT;
	e->dev = makedev(st->stx_dev_major, st->stx_dev_minor);
	e->inode = st->stx_ino;
	e->size = st->stx_size;
	e->mtime_ns = (uint64_t)ns_of(&st->stx_mtime);
	e->ctime_ns = (uint64_t)ns_of(&st->stx_ctime);
	e->rdev = makedev(st->stx_rdev_major, st->stx_rdev_minor);
	e->mode = st->stx_mode;
	e->uid = st->stx_uid;
	e->gid = st->stx_gid;
	e->links = st->stx_nlink;
}

static int stat_of(int fd, const char *name, struct statx *ret)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);

	return statx(fd, name, flags, STAT_WANTED, ret) < 0 ? -errno : 0;
}

static bool is_same_state(const struct statx *a, const struct statx *b)
{
	return a->stx_size == b->stx_size && ns_of(&a->stx_mtime) == ns_of(&b->stx_mtime) &&
	       ns_of(&a->stx_ctime) == ns_of(&b->stx_ctime);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static ssize_t xattr_list(int fd, const char *path, char *buf, size_t len)
{
	return fd >= 0 ? flistxattr(fd, buf, len) : llistxattr(path, buf, len);
}

static ssize_t xattr_get(int fd, const char *path, const char *name, void *buf, size_t len)
{
	return fd >= 0 ? fgetxattr(fd, name, buf, len) : lgetxattr(path, name, buf, len);
}

/* Their values are bounded: what is larger, and what comes after 8 KiB of them, is kept as its digest. */
static int put_xattrs(struct file_reader *r, int fd, const char *path, struct batch *out, uint32_t *ret_len)
{
	size_t before = out->len, sum = 0, n = 0, i;
	char *list, **names;
	ssize_t len;
	int err = 0;

	len = xattr_list(fd, path, NULL, 0);
	if (len < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	*ret_len = 0;
	if (!len)
		return 1;
	list = malloc(XATTR_LIST_MAX + 1);
	names = malloc((XATTR_LIST_MAX / 2 + 1) * sizeof(*names));
	len = list && names ? xattr_list(fd, path, list, XATTR_LIST_MAX) : -1;
	if (len < 0) {
		err = list && names ? -errno : -ENOMEM;
		goto out;
	}
	list[len] = '\0';
	for (i = 0; i < (size_t)len; i += strlen(list + i) + 1)
		if (list[i])
			names[n++] = list + i;
	qsort(names, n, sizeof(*names), by_name);
	for (i = 0; i < n; i++) {
		unsigned char digest[DIGEST_LEN];
		const void *value = r->buf;
		uint32_t size;

		/* A value is at most XATTR_SIZE_MAX, 64 KiB. */
		len = xattr_get(fd, path, names[i], r->buf, PIECE);
		if (len < 0 && errno == ENODATA)
			continue;
		if (len < 0) {
			err = -errno;
			goto out;
		}
		size = (uint32_t)len;
		if (len > XATTR_VALUE_MAX || sum + (size_t)len > XATTR_SUM_MAX) {
			err = digest_begin(r->digest);
			err = err ? err : digest_add(r->digest, r->buf, (size_t)len);
			err = err ? err : digest_end(r->digest, digest);
			if (err)
				goto out;
			value = digest;
			size = DIGEST_LEN;
		}
		sum += size;
		batch_bytes(out, names[i], strlen(names[i]) + 1);
		batch_bytes(out, &(uint32_t){ value == digest ? size | XATTR_HASHED : size }, sizeof(uint32_t));
		batch_bytes(out, value, size);
	}
	*ret_len = (uint32_t)(out->len - before);
	err = 1;
out:
	/* Those before the one that could not be read are in no entry: its length is that of all of them. */
	if (err < 0)
		out->len = before;
	free(list);
	free(names);
	return err;
}

/* Reads `size` bytes, or fewer if it ends before; what was read is the digest's. */
static int hash(struct file_reader *r, int fd, uint64_t dev, uint64_t size, unsigned char ret[DIGEST_LEN])
{
	int flags = dev == r->keeps_cached ? 0 : RWF_DONTCACHE, err = digest_begin(r->digest);
	uint64_t at = 0;

	while (!err && at < size) {
		size_t want = size - at < PIECE ? (size_t)(size - at) : PIECE;
		struct iovec piece = { r->buf, want };
		ssize_t n;

		if (!r->may_read(r->arg, want))
			return -ECANCELED;
		n = flags ? preadv2(fd, &piece, 1, (off_t)at, flags) : pread(fd, r->buf, want, (off_t)at);
		if (n < 0 && flags && (errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS)) {
			flags = 0;
			r->keeps_cached = dev;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		at += (uint64_t)n;
		err = digest_add(r->digest, r->buf, (size_t)n);
	}
	return err ? err : digest_end(r->digest, ret);
}

static int open_file(int folder, const char *name)
{
	int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int fd = openat(folder, name, flags | O_NOATIME);

	/* Of files of others that takes CAP_FOWNER. */
	if (fd < 0 && errno == EPERM)
		fd = openat(folder, name, flags);
	return fd < 0 ? -errno : fd;
}

/* Its content, as one state of it that did not change meanwhile, if it holds still. */
static int put_content(struct file_reader *r, const struct file_item *item, int fd, struct statx *st,
		       struct file_entry_record *e)
{
	struct statx after;
	int err, attempt;

	for (attempt = 0; attempt < ATTEMPTS; attempt++) {
		uint64_t size = st->stx_size < item->limit ? st->stx_size : item->limit;

		if (size > r->max_size) {
			e->notes |= FILE_WAS_TOO_LARGE;
			return 0;
		}
		err = hash(r, fd, makedev(st->stx_dev_major, st->stx_dev_minor), size, e->digest);
		if (err)
			return err;
		err = stat_of(fd, "", &after);
		if (err)
			return err;
		e->have |= FILE_HAS_DIGEST;
		if (size < st->stx_size)
			e->notes |= FILE_WAS_CUT;
		if (is_same_state(st, &after))
			return 0;
		/* What is told of it is of the state that was read: of a log that grows, how much of it that was. */
		if (attempt + 1 < ATTEMPTS)
			*st = after;
	}
	e->notes |= FILE_WAS_UNSTABLE;
	return 0;
}

/* The fixed part is filled in `e` and copied when its strings stand behind it. */
static int put_entry(struct file_reader *r, const struct file_item *item, int fd, struct statx *st,
		     struct file_entry_record *e, struct batch *out)
{
	/* As long as the folder is open, its name leads to nothing else. */
	char by_folder[64 + 256], *path = NULL;
	const char *name = item->path + item->name_at;
	bool is_file = S_ISREG(st->stx_mode);
	int flags, err;

	if (fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
		e->flags = (uint32_t)flags;
		e->have |= FILE_HAS_FLAGS;
	}
	if (fd < 0 && strlen(name) < 256 && item->folder >= 0) {
		snprintf(by_folder, sizeof(by_folder), "/proc/self/fd/%d/%s", item->folder, name);
		path = by_folder;
	}
	if (S_ISLNK(st->stx_mode)) {
		ssize_t n = readlinkat(item->folder, name, r->buf, PIECE);

		/* It is no link any more: what it is now is looked at from the beginning. */
		if (n < 0)
			return errno == EINVAL ? -EAGAIN : -errno;
		e->target_len = (uint16_t)(n > UINT16_MAX ? UINT16_MAX : n);
		e->have |= FILE_HAS_TARGET;
		batch_bytes(out, r->buf, e->target_len);
	}
	if (fd >= 0 || path) {
		err = put_xattrs(r, fd, path, out, &e->xattrs_len);
		if (err > 0)
			e->have |= FILE_HAS_XATTRS;
		else if (err && !e->error)
			e->error = (uint16_t)-err;
	}
	if (is_file && fd >= 0 && item->how & FILE_RULE_CONTENT) {
		err = put_content(r, item, fd, st, e);
		if (err == -ECANCELED)
			return err;
		if (err)
			e->error = (uint16_t)-err;
	}
	return 0;
}

/*
 * What it is, and a descriptor of it where that is a file. Only what was a file
 * a moment ago is opened, as its folder was listed, or as stat has it where
 * filesystems list no types: to open a device may act on it.
 */
static int look(const struct file_reader *r, const struct file_item *item, struct statx *st,
		struct file_entry_record *e, int *ret_fd)
{
	const char *name = item->path + item->name_at;
	int err, fd;

	if (item->self >= 0)
		return stat_of(item->self, "", st);
	if (item->type != FILE_RULE_FILE || r->stat_only) {
		err = stat_of(item->folder, name, st);
		if (err || r->stat_only || !S_ISREG(st->stx_mode))
			return err;
	}
	fd = open_file(item->folder, name);
	if (fd >= 0) {
		*ret_fd = fd;
		err = stat_of(fd, "", st);
		/* It may have become something else, which is then what it is. */
		if (!err && !S_ISREG(st->stx_mode))
			e->notes |= FILE_WAS_SWAPPED;
		return err;
	}
	if (fd == -ENOENT)
		return fd;
	if (fd == -ELOOP)
		e->notes |= FILE_WAS_SWAPPED;
	else
		e->error = (uint16_t)-fd;
	return stat_of(item->folder, name, st);
}

static int read_once(struct file_reader *r, const struct file_item *item, struct batch *out)
{
	struct file_entry_record e = { .head = { .kind = RECORD_FILE_ENTRY } };
	struct file_entry_record *record;
	int opened = -1, err;
	int64_t began = now_ns();
	struct statx st;

	e.rule = item->rule;
	e.path_len = (uint16_t)item->path_len;
	e.error = item->error;
	batch_begin(out, RECORD_FILE_ENTRY, sizeof(e));
	batch_bytes(out, item->path, item->path_len);
	err = look(r, item, &st, &e, &opened);
	if (err == -ENOENT)
		goto out;
	if (err) {
		e.error = (uint16_t)-err;
		err = 0;
	} else {
		if (item->type && item->type != file_type(st.stx_mode))
			e.notes |= FILE_WAS_SWAPPED;
		if (item->is_mount)
			e.notes |= FILE_IS_MOUNT;
		if (!r->stat_only)
			err = put_entry(r, item, opened >= 0 ? opened : item->self, &st, &e, out);
		/* What reading it has settled on. */
		put_stat(&e, &st);
		if (ns_of(&st.stx_ctime) > began - RECENT_NS)
			e.notes |= FILE_WAS_RECENT;
	}
out:
	if (opened >= 0)
		close(opened);
	record = batch_record(out);
	if (!record)
		return out->error;
	if (err) {
		out->len = out->open;
		return err;
	}
	memcpy(record, &e, sizeof(e));
	batch_end(out);
	return out->error;
}

int file_read(struct file_reader *r, const struct file_item *item, struct batch *out)
{
	int err, attempt = 0;

	do
		err = read_once(r, item, out);
	while (err == -EAGAIN && ++attempt < 64);
	/* Whoever swaps it so often will be seen with what it was in between. */
	return err == -EAGAIN ? -ENOENT : err;
}
