/*
 * Which folder a file handle means, and whether what is in it is watched. The
 * answers are kept: a folder that is changed is changed again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "file_watch.h"

#define FOLDERS_MAX	65536
#define SLOTS		(2 * FOLDERS_MAX)
#define VIEWS_MAX	1024
#define PATH_ROOM	4096

struct view {
	uint64_t fsid;
	int mount;
	char *path;
	/* As long as a read of events is taken in; for longer it would keep somebody else's mount busy. */
	int fd;
};

struct prefix {
	const char *path;
	size_t len;		/* 0: everything */
	bool excluded;
};

struct file_folders {
	const struct procfs *procfs;
	struct file_folder **slots;
	size_t n;
	struct view *views;
	size_t n_views;
	char *strings;
	struct prefix *prefixes;
	size_t n_prefixes;
};

int file_folders_new(const struct procfs *p, struct file_folders **ret)
{
	struct file_folders *f = calloc(1, sizeof(*f));

	if (f)
		f->slots = calloc(SLOTS, sizeof(*f->slots));
	if (!f || !f->slots) {
		free(f);
		return -ENOMEM;
	}
	f->procfs = p;
	*ret = f;
	return 0;
}

void file_folders_free(struct file_folders *f)
{
	if (!f)
		return;
	file_folders_forget(f);
	file_folders_forget_views(f);
	free(f->views);
	free(f->slots);
	free(f->strings);
	free(f->prefixes);
	free(f);
}

void file_folders_forget(struct file_folders *f)
{
	size_t i;

	for (i = 0; f->n && i < SLOTS; i++) {
		if (!f->slots[i])
			continue;
		free(f->slots[i]);
		f->slots[i] = NULL;
		f->n--;
	}
}

void file_folders_let_go(struct file_folders *f)
{
	size_t i;

	for (i = 0; i < f->n_views; i++) {
		if (f->views[i].fd >= 0)
			close(f->views[i].fd);
		f->views[i].fd = -1;
	}
}

void file_folders_forget_views(struct file_folders *f)
{
	file_folders_let_go(f);
	while (f->n_views)
		free(f->views[--f->n_views].path);
}

static size_t strings_count(const char *strings, size_t len)
{
	size_t n = 0, i;

	for (i = 0; i < len; i++)
		n += strings[i] == '\0';
	return n;
}

int file_folders_aim(struct file_folders *f, const char *included, size_t included_len, const char *excluded,
		     size_t excluded_len)
{
	size_t n = strings_count(included, included_len) + strings_count(excluded, excluded_len), i, at;
	struct prefix *prefixes = calloc(n ? n : 1, sizeof(*prefixes));
	char *strings = malloc(included_len + excluded_len + 1);

	if (!prefixes || !strings || (included_len && included[included_len - 1]) ||
	    (excluded_len && excluded[excluded_len - 1])) {
		bool is_memory = !prefixes || !strings;

		free(prefixes);
		free(strings);
		return is_memory ? -ENOMEM : -EINVAL;
	}
	memcpy(strings, included, included_len);
	memcpy(strings + included_len, excluded, excluded_len);
	for (i = 0, at = 0; i < n; i++) {
		size_t len = strlen(strings + at), next = at + len + 1;

		while (len && strings[at + len - 1] == '/')
			len--;
		prefixes[i] = (struct prefix){ strings + at, len, at >= included_len };
		at = next;
	}
	free(f->strings);
	free(f->prefixes);
	f->strings = strings;
	f->prefixes = prefixes;
	f->n_prefixes = n;
	file_folders_forget(f);
	return 0;
}

/* Whether `path` is `prefix` or below. */
static bool is_below(const char *path, size_t len, const char *prefix, size_t prefix_len)
{
	return len >= prefix_len && memcmp(path, prefix, prefix_len) == 0 && (len == prefix_len || path[prefix_len] == '/');
}

bool file_folders_wants(const struct file_folders *f, const char *path, size_t len)
{
	const struct prefix *best = NULL;
	size_t i;

	for (i = 0; i < f->n_prefixes; i++) {
		const struct prefix *p = &f->prefixes[i];

		if (is_below(path, len, p->path, p->len) &&
		    (!best || p->len > best->len || (p->len == best->len && p->excluded)))
			best = p;
	}
	return best && !best->excluded;
}

bool file_folders_leads(const struct file_folders *f, const char *path, size_t len)
{
	size_t i;

	for (i = 0; i < f->n_prefixes; i++) {
		const struct prefix *p = &f->prefixes[i];

		if (!p->excluded && p->len > len && is_below(p->path, p->len, path, len))
			return true;
	}
	return false;
}

/* Whether one name in this folder may be watched and another not. */
static bool is_mixed(const struct file_folders *f, const char *path, size_t len)
{
	size_t i;

	if (file_folders_leads(f, path, len))
		return true;
	for (i = 0; i < f->n_prefixes; i++) {
		const struct prefix *p = &f->prefixes[i];

		if (p->excluded && p->len > len && is_below(p->path, p->len, path, len) &&
		    !memchr(p->path + len + 1, '/', p->len - len - 1))
			return true;
	}
	return false;
}

int file_folders_view(struct file_folders *f, const char *path, uint64_t *ret_fsid)
{
	struct {
		struct file_handle head;
		unsigned char bytes[FILE_HANDLE_MAX];
	} handle = { .head.handle_bytes = FILE_HANDLE_MAX };
	struct view *views;
	struct statfs fs;
	uint64_t fsid;
	int mount;
	size_t i;

	if (name_to_handle_at(AT_FDCWD, path, &handle.head, &mount, AT_SYMLINK_FOLLOW) < 0 || statfs(path, &fs) < 0)
		return -errno;
	memcpy(&fsid, &fs.f_fsid, sizeof(fsid));
	*ret_fsid = fsid;
	for (i = 0; i < f->n_views; i++)
		if (f->views[i].fsid == fsid && f->views[i].mount == mount)
			return 0;
	views = f->n_views < VIEWS_MAX ? realloc(f->views, (f->n_views + 1) * sizeof(*views)) : NULL;
	if (!views)
		return f->n_views < VIEWS_MAX ? -ENOMEM : -ENOSPC;
	f->views = views;
	views[f->n_views] = (struct view){ fsid, mount, strdup(path), -1 };
	if (!views[f->n_views].path)
		return -ENOMEM;
	f->n_views++;
	/* What was not to be found may be found now. */
	file_folders_forget(f);
	return 0;
}

/* Of a folder that was removed and is still held the kernel says so behind its path. */
static size_t without_deleted(const char *path, size_t len, nlink_t links)
{
	static const char deleted[] = " (deleted)";
	size_t n = sizeof(deleted) - 1;

	return links == 0 && len > n && memcmp(path + len - n, deleted, n) == 0 ? len - n : len;
}

/* Outside of the mount it was opened by, what the kernel says is "/". */
static bool is_elsewhere(const char *path, ssize_t len, const struct stat *st)
{
	struct stat root;

	return len == 1 && path[0] == '/' &&
	       (fstatat(AT_FDCWD, "/", &root, 0) < 0 || root.st_ino != st->st_ino || root.st_dev != st->st_dev);
}

/* Something else may be mounted there by now. */
static int view_open(struct view *view)
{
	int fd = open(view->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), err = 0;
	struct statfs fs;

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) < 0)
		err = -errno;
	else if (memcmp(&fs.f_fsid, &view->fsid, sizeof(view->fsid)))
		err = -ESTALE;
	if (err)
		close(fd);
	else
		view->fd = fd;
	return err;
}

static ssize_t view_path(const struct file_folders *f, struct view *view, struct file_handle *handle, char *path,
			 size_t room, nlink_t *ret_links)
{
	int fd, err = view->fd < 0 ? view_open(view) : 0;
	struct stat st;
	ssize_t len;
	char name[16];

	if (err)
		return err;
	fd = open_by_handle_at(view->fd, handle, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(name, sizeof(name), "%d", fd);
	len = fstat(fd, &st) == 0 ? readlinkat(f->procfs->self_fds, name, path, room) : -1;
	if (len < 0 || (size_t)len == room || is_elsewhere(path, len, &st))
		err = -ESTALE;
	close(fd);
	if (err)
		return err;
	*ret_links = st.st_nlink;
	return (ssize_t)without_deleted(path, (size_t)len, st.st_nlink);
}

ssize_t file_folders_path(struct file_folders *f, const struct file_id *id, char *path, size_t room, uint32_t *ret_links)
{
	struct {
		struct file_handle head;
		unsigned char bytes[FILE_HANDLE_MAX];
	} handle;
	ssize_t len = -ENODEV;
	nlink_t links = 0;
	size_t i;

	if (!id->len || id->len > FILE_HANDLE_MAX)
		return -ENOENT;
	for (i = 0; i < f->n_views; i++) {
		struct view *view = &f->views[i];
		ssize_t n;

		if (view->fsid != id->fsid)
			continue;
		handle.head.handle_bytes = id->len;
		handle.head.handle_type = id->type;
		memcpy(handle.head.f_handle, id->bytes, id->len);
		n = view_path(f, view, &handle.head, path, room, &links);
		if (n < 0) {
			if (len < 0)
				len = n;
			continue;
		}
		*ret_links = (uint32_t)links;
		len = n;
		/* Mounted in several places it has a path in each; that which is watched counts. */
		if (file_folders_wants(f, path, (size_t)n) || file_folders_leads(f, path, (size_t)n))
			break;
	}
	return len;
}

const char *file_folder_path(const struct file_folder *folder)
{
	return (const char *)folder->bytes + folder->handle_len;
}

static uint64_t id_hash(const struct file_folders *f, const struct file_id *id)
{
	return siphash24(f->procfs->digest_key, id->bytes, id->len) ^ id->fsid ^ (uint64_t)(uint32_t)id->type << 32;
}

static struct file_folder **slot_of(struct file_folders *f, const struct file_id *id, uint64_t hash)
{
	size_t i = hash % SLOTS;

	for (; f->slots[i]; i = (i + 1) % SLOTS) {
		const struct file_folder *folder = f->slots[i];

		if (folder->hash == hash && folder->fsid == id->fsid && folder->type == id->type &&
		    folder->handle_len == id->len && memcmp(folder->bytes, id->bytes, id->len) == 0)
			break;
	}
	return &f->slots[i];
}

static const struct file_folder *folder_keep(struct file_folders *f, const struct file_id *id, const char *path,
					     size_t path_len)
{
	uint64_t hash = id_hash(f, id);
	struct file_folder *folder = malloc(sizeof(*folder) + id->len + path_len), **slot;

	if (!folder)
		return NULL;
	*folder = (struct file_folder){
		.hash = hash,
		.fsid = id->fsid,
		.type = id->type,
		.handle_len = (uint16_t)id->len,
		.path_len = (uint16_t)path_len,
		.inside = file_folders_wants(f, path, path_len),
		.mixed = is_mixed(f, path, path_len),
	};
	memcpy(folder->bytes, id->bytes, id->len);
	memcpy(folder->bytes + id->len, path, path_len);
	/* Which of them will be asked for again nobody knows. */
	if (f->n == FOLDERS_MAX)
		file_folders_forget(f);
	slot = slot_of(f, id, hash);
	if (*slot)
		free(*slot);
	else
		f->n++;
	*slot = folder;
	return folder;
}

const struct file_folder *file_folders_find(struct file_folders *f, const struct file_id *id)
{
	const struct file_folder *folder;
	char path[PATH_ROOM];
	uint32_t links;
	ssize_t len;

	if (!id->len)
		return NULL;
	folder = *slot_of(f, id, id_hash(f, id));
	if (folder)
		return folder;
	len = file_folders_path(f, id, path, sizeof(path), &links);
	if (len < 0)
		return NULL;
	/* "/" is the empty path, to which names are added like to any other. */
	return folder_keep(f, id, path, len == 1 ? 0 : (size_t)len);
}

void file_folders_learn(struct file_folders *f, const struct file_id *id, const struct file_folder *in, const char *name,
			size_t name_len)
{
	char path[PATH_ROOM];
	size_t len = in->path_len;

	if (!id->len || id->len > FILE_HANDLE_MAX || len + 1 + name_len > sizeof(path))
		return;
	memcpy(path, file_folder_path(in), len);
	path[len] = '/';
	memcpy(path + len + 1, name, name_len);
	folder_keep(f, id, path, len + 1 + name_len);
}
