/*
 * Folders by inotify, where fanotify cannot be had: a watch for each folder, no
 * word of who did it, and a folder is there for a moment before it is watched.
 * What is found in it by then is told as made.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_watching.h"

#define BUCKETS		4096
#define DEPTH_MAX	256
#define MASK		(IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVE | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK)

struct folder {
	struct folder *next;
	int wd;
	size_t len;
	char path[];
};

struct file_inotify {
	int fd;
	struct folder *buckets[BUCKETS];
	/* Half of a move. */
	uint32_t cookie;
	bool is_folder;
	size_t from_len;
	char from[FILE_PATH_MAX];
	char buf[FILE_EVENTS_BUF] __attribute__((aligned(8)));
};

int file_inotify_open(struct file_inotify **ret)
{
	struct file_inotify *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return -ENOMEM;
	n->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (n->fd < 0) {
		err = -errno;
		free(n);
		return err;
	}
	*ret = n;
	return 0;
}

void file_inotify_close(struct file_inotify *n)
{
	size_t i;

	if (!n)
		return;
	close(n->fd);
	for (i = 0; i < BUCKETS; i++) {
		while (n->buckets[i]) {
			struct folder *next = n->buckets[i]->next;

			free(n->buckets[i]);
			n->buckets[i] = next;
		}
	}
	free(n);
}

int file_inotify_fd(const struct file_inotify *n)
{
	return n->fd;
}

static struct folder **find(struct file_inotify *n, int wd)
{
	struct folder **at = &n->buckets[(unsigned int)wd % BUCKETS];

	while (*at && (*at)->wd != wd)
		at = &(*at)->next;
	return at;
}

/* The folder of a watch has this path from now on. */
static int keep(struct file_inotify *n, int wd, const char *path, size_t len)
{
	struct folder **at = find(n, wd), *folder = malloc(sizeof(*folder) + len);

	if (!folder)
		return -ENOMEM;
	folder->next = *at ? (*at)->next : NULL;
	folder->wd = wd;
	folder->len = len;
	memcpy(folder->path, path, len);
	free(*at);
	*at = folder;
	return 0;
}

static void forget(struct file_inotify *n, int wd)
{
	struct folder **at = find(n, wd), *gone = *at;

	if (!gone)
		return;
	*at = gone->next;
	free(gone);
}

static bool is_below(const struct folder *folder, const char *path, size_t len)
{
	return folder->len >= len && memcmp(folder->path, path, len) == 0 &&
	       (folder->len == len || folder->path[len] == '/');
}

/* What lay below one path lies below another now; to_len 0: it is out of reach. */
static int moved(struct file_inotify *n, const char *from, size_t from_len, const char *to, size_t to_len)
{
	char path[FILE_PATH_MAX];
	size_t i;

	for (i = 0; i < BUCKETS; i++) {
		struct folder **at = &n->buckets[i];

		while (*at) {
			struct folder *folder = *at;
			size_t rest = folder->len - from_len;

			if (!is_below(folder, from, from_len)) {
				at = &folder->next;
				continue;
			}
			if (!to_len || to_len + rest > sizeof(path)) {
				/* Its IN_IGNORED finds nothing any more. */
				inotify_rm_watch(n->fd, folder->wd);
				*at = folder->next;
				free(folder);
				continue;
			}
			memcpy(path, to, to_len);
			memcpy(path + to_len, folder->path + from_len, rest);
			/* In place of this one: at still leads to it. */
			if (keep(n, folder->wd, path, to_len + rest) < 0)
				return -ENOMEM;
			at = &(*at)->next;
		}
	}
	return 0;
}

/* path has room for FILE_PATH_MAX; tell: what is in it was not there before. */
static int walk(struct file_watch *f, char *path, size_t len, unsigned int depth, bool tell)
{
	struct file_inotify *n = f->inotify;
	struct dirent *entry;
	int wd, err = 0;
	DIR *dir;

	if (!file_folders_wants(f->folders, path, len) && !file_folders_leads(f->folders, path, len))
		return 0;
	/* Before it is read, so that what is made meanwhile is told. */
	wd = inotify_add_watch(n->fd, len ? path : "/", MASK);
	if (wd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
	err = keep(n, wd, path, len);
	dir = err || depth == DEPTH_MAX ? NULL : opendir(len ? path : "/");
	if (!dir)
		return err;
	while (!err && (entry = readdir(dir))) {
		size_t name_len = strlen(entry->d_name);
		bool is_folder = entry->d_type == DT_DIR;
		struct stat st;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || len + 1 + name_len >= FILE_PATH_MAX)
			continue;
		path[len] = '/';
		memcpy(path + len + 1, entry->d_name, name_len + 1);
		if (entry->d_type == DT_UNKNOWN)
			is_folder = fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
		if (tell && file_folders_wants(f->folders, path, len + 1 + name_len)) {
			memcpy(f->path, path, len + 1 + name_len);
			file_change_add(f, 0, FAN_NOPIDFD,
					CHANGE_CREATED | CHANGE_NAMELESS | (is_folder ? CHANGE_FOLDER : 0u),
					len + 1 + name_len, 0);
		}
		if (is_folder)
			err = walk(f, path, len + 1 + name_len, depth + 1, tell);
	}
	path[len] = '\0';
	closedir(dir);
	return err;
}

int file_inotify_walk(struct file_watch *f, const char *folder)
{
	char path[FILE_PATH_MAX];
	size_t len = strlen(folder);
	struct stat st;
	int wd;

	while (len && folder[len - 1] == '/')
		len--;
	if (folder[0] != '/')
		return -EINVAL;
	if (len >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(path, folder, len);
	path[len] = '\0';
	/* What is done to a file is told by the folder it is in. */
	if (len && fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode)) {
		len = (size_t)(strrchr(path, '/') - path);
		path[len] = '\0';
		wd = inotify_add_watch(f->inotify->fd, len ? path : "/", MASK);
		return wd < 0 ? -errno : keep(f->inotify, wd, path, len);
	}
	return walk(f, path, len, 0, false);
}

/* Of a half whose other half did not come: it left what is watched. */
static void settle(struct file_watch *f)
{
	struct file_inotify *n = f->inotify;

	if (!n->cookie)
		return;
	n->cookie = 0;
	if (n->is_folder)
		moved(n, n->from, n->from_len, NULL, 0);
	if (!file_folders_wants(f->folders, n->from, n->from_len))
		return;
	memcpy(f->path, n->from, n->from_len);
	file_change_add(f, 0, FAN_NOPIDFD, CHANGE_REMOVED | CHANGE_NAMELESS | (n->is_folder ? CHANGE_FOLDER : 0u),
			n->from_len, 0);
}

static void moved_to(struct file_watch *f, uint32_t cookie, const char *path, size_t len, bool is_folder, bool wanted)
{
	struct file_inotify *n = f->inotify;
	bool is_pair = n->cookie && n->cookie == cookie, from_wanted;
	uint32_t bits = CHANGE_NAMELESS | (is_folder ? CHANGE_FOLDER : 0u);
	char below[FILE_PATH_MAX];

	if (is_pair) {
		n->cookie = 0;
		from_wanted = file_folders_wants(f->folders, n->from, n->from_len);
		if (is_folder)
			moved(n, n->from, n->from_len, path, len);
		if (!wanted && !from_wanted)
			return;
		memcpy(f->path, path, len);
		memcpy(f->from, n->from, n->from_len);
		file_change_add(f, 0, FAN_NOPIDFD,
				bits | CHANGE_MOVED | (wanted ? 0u : CHANGE_TO_OUTSIDE) |
					(from_wanted ? 0u : CHANGE_FROM_OUTSIDE),
				len, n->from_len);
		return;
	}
	if (!wanted)
		return;
	/* From where nothing is watched. */
	memcpy(f->path, path, len);
	file_change_add(f, 0, FAN_NOPIDFD, bits | CHANGE_MOVED | CHANGE_FROM_OUTSIDE, len, 0);
	if (is_folder) {
		memcpy(below, path, len);
		below[len] = '\0';
		walk(f, below, len, 0, true);
	}
}

static uint32_t bits_of(uint32_t mask)
{
	return (mask & IN_CREATE ? CHANGE_CREATED : 0u) | (mask & IN_DELETE ? CHANGE_REMOVED : 0u) |
	       (mask & IN_MODIFY ? CHANGE_WRITTEN : 0u) | (mask & IN_CLOSE_WRITE ? CHANGE_CLOSED : 0u) |
	       (mask & IN_ATTRIB ? CHANGE_ATTRIBUTES : 0u);
}

static void folder_event(struct file_watch *f, const struct inotify_event *event)
{
	struct file_inotify *n = f->inotify;
	struct folder *folder = *find(n, event->wd);
	bool is_folder = event->mask & IN_ISDIR, wanted;
	char path[FILE_PATH_MAX];
	uint32_t bits = bits_of(event->mask);
	size_t name_len, len;

	if (!folder)
		return;
	if (event->mask & IN_IGNORED)
		return forget(n, event->wd);
	f->events++;
	name_len = event->len ? strnlen(event->name, event->len) : 0;
	len = folder->len;
	if (len + 1 + name_len >= sizeof(path))
		return;
	memcpy(path, folder->path, len);
	if (name_len) {
		path[len++] = '/';
		memcpy(path + len, event->name, name_len);
		len += name_len;
	}
	path[len] = '\0';
	wanted = file_folders_wants(f->folders, path, len);
	if (event->mask & IN_MOVED_FROM) {
		settle(f);
		n->cookie = event->cookie;
		n->is_folder = is_folder;
		n->from_len = len;
		memcpy(n->from, path, len);
		return;
	}
	if (event->mask & IN_MOVED_TO)
		return moved_to(f, event->cookie, path, len, is_folder, wanted);
	if (wanted && bits) {
		memcpy(f->path, path, len);
		file_change_add(f, 0, FAN_NOPIDFD, bits | CHANGE_NAMELESS | (is_folder ? CHANGE_FOLDER : 0u), len, 0);
	}
	if (is_folder && (event->mask & IN_CREATE) && walk(f, path, len, 0, true) < 0)
		/* No watch left for it, or no memory: what is done there will not be told. */
		file_overflow(f);
}

int file_inotify_read(struct file_watch *f)
{
	struct file_inotify *n = f->inotify;
	ssize_t len = read(n->fd, n->buf, sizeof(n->buf));
	size_t at;

	if (len < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (at = 0; at + sizeof(struct inotify_event) <= (size_t)len;) {
		const struct inotify_event *event = (const void *)(n->buf + at);

		if (event->len > (size_t)len - at - sizeof(*event))
			return -EBADMSG;
		if (!(event->mask & IN_MOVED_TO))
			settle(f);
		if (event->mask & IN_Q_OVERFLOW)
			file_overflow(f);
		else
			folder_event(f, event);
		at += sizeof(*event) + event->len;
	}
	/* Both halves of a move are put there under one lock of the rename, and read together but for the end of a full buffer. */
	settle(f);
	return 0;
}
