/*
 * Who changes which file, now: the interface of file_watch.c and what it is
 * made of. A fanotify group of its own for whole filesystems, which only tells
 * and so cannot hold anybody up, and a thread that reads it.
 */
#ifndef RIMON_FILE_WATCH_H
#define RIMON_FILE_WATCH_H

#include <sys/types.h>

#include "rimon.h"

#ifdef __cplusplus
extern "C" {
#endif

/* MAX_HANDLE_SZ of fcntl.h */
#define FILE_HANDLE_MAX	128

/* file_parse.c: a file as the kernel names it in an event; len 0: it does not. */
struct file_id {
	uint64_t fsid;
	int32_t type;
	uint32_t len;
	const unsigned char *bytes;
};

struct file_entry {
	struct file_id folder;
	const char *name;	/* not terminated; "." is the folder itself */
	size_t name_len;
};

struct file_event {
	uint64_t mask;
	uint32_t pid;
	int pidfd;		/* to be closed; FAN_NOPIDFD: that process is gone; else negative: not known */
	struct file_entry entry;	/* of a rename, the new name */
	struct file_entry old;
	struct file_id target;
};

/* The first event of a read; -EBADMSG if it is not whole, -EPROTO of another version. What it names lies in buf. */
int file_event_parse(const char *buf, size_t len, struct file_event *ret, size_t *ret_used);

/* file_folders.c: which folder a handle means, and whether it is watched. Its callers take turns. */
struct file_folder {
	uint64_t hash;
	uint64_t fsid;
	int32_t type;
	uint16_t handle_len;
	uint16_t path_len;
	bool inside;		/* what lies in it is watched */
	bool mixed;		/* but not all of it, or only some: each name has to be looked at */
	unsigned char bytes[];	/* the handle, then the path */
};

struct file_folders;

int file_folders_new(const struct procfs *p, struct file_folders **ret);
void file_folders_free(struct file_folders *f);
/* What is watched: these, and what is below, but for what is below a longer one of the others. One string after another. */
int file_folders_aim(struct file_folders *f, const char *included, size_t included_len, const char *excluded, size_t excluded_len);
/* A filesystem by a path on it, as its handles are to be opened. */
int file_folders_view(struct file_folders *f, const char *path, uint64_t *ret_fsid);
void file_folders_forget_views(struct file_folders *f);
/* NULL: it is gone, or on no filesystem that was named. */
const struct file_folder *file_folders_find(struct file_folders *f, const struct file_id *id);
/* The folder that was just made there. */
void file_folders_learn(struct file_folders *f, const struct file_id *id, const struct file_folder *in, const char *name, size_t name_len);
/* Paths are not what they were. */
void file_folders_forget(struct file_folders *f);
const char *file_folder_path(const struct file_folder *folder);
/* Where a file is by its handle alone; its length, or -errno. The mounts it needs stay open until they are let go. */
ssize_t file_folders_path(struct file_folders *f, const struct file_id *id, char *path, size_t room, uint32_t *ret_links);
void file_folders_let_go(struct file_folders *f);
bool file_folders_wants(const struct file_folders *f, const char *path, size_t len);
/* Whether something that is watched lies below. */
bool file_folders_leads(const struct file_folders *f, const char *path, size_t len);

/* file_queue.c: changes that nobody has taken, those of one file by one process as one. */
struct file_change {
	uint64_t time_ns;
	uint64_t start_ticks;
	uint32_t pid;
	uint32_t bits;
	uint32_t count;
	uint16_t path_len;
	uint16_t from_len;
	uint32_t slot;
	size_t at;
};

struct file_queue {
	struct file_change *changes;
	size_t n;
	char *bytes;
	size_t len;
	uint32_t *slots;
	struct batch actors;
	uint64_t dropped;
	uint64_t key[2];
};

int file_queue_open(struct file_queue *q, const uint64_t key[2]);
void file_queue_close(struct file_queue *q);
/* False if there was no room; then it is counted. */
bool file_queue_add(struct file_queue *q, const struct file_change *change, const char *path, const char *from);
void file_queue_clear(struct file_queue *q);
void file_queue_swap(struct file_queue *a, struct file_queue *b);

/* watch_changes.c: the file watch of a watch; -EBADF where it is not live. */
int watch_changes_open(struct watch *w, uint32_t most, int *ret_without, const char **ret_what);
int watch_changes_walk(struct watch *w, const char *path);
int watch_changes_aim(struct watch *w, const char *included, size_t included_len, const char *excluded, size_t excluded_len);
int watch_changes_mark(struct watch *w, const char *path);

/* file_watch.c */
struct file_watch;

struct file_watch_status {
	uint64_t events;	/* as the kernel wrote them, which are fewer than happened: like follows like as one */
	uint64_t overflows;
	uint64_t dropped;
	uint64_t unresolved;	/* in folders that were gone */
	bool names_movers;	/* FAN_RENAME: a move is one event */
	bool has_pidfds;
	int error;		/* errno: it does not read any more */
};

/* What a kernel has, at most; less can be asked for. */
enum file_watch_level {
	FILE_WATCH_FOLDERS = 0,	/* inotify: a watch for each folder, and nobody is named */
	FILE_WATCH_NAMES = 1,	/* v5.9: FAN_REPORT_DFID_NAME */
	FILE_WATCH_PIDFDS = 2,	/* v5.15: FAN_REPORT_PIDFD */
	FILE_WATCH_MOVES = 3,	/* v5.17: FAN_REPORT_TARGET_FID and FAN_RENAME */
};

/* Where fanotify is not to be had it opens all the same, and *ret_without says why, as errno; 0: it is. */
int file_watch_open(const struct procfs *p, enum file_watch_level most, struct file_watch **ret, int *ret_without, const char **ret_what);
void file_watch_close(struct file_watch *f);
/* Readable when there is something to drain. */
int file_watch_fd(const struct file_watch *f);
int file_watch_aim(struct file_watch *f, const char *included, size_t included_len, const char *excluded, size_t excluded_len);
/* Has the filesystem of this path told; -EBADF without fanotify. Again is no harm. */
int file_watch_mark(struct file_watch *f, const char *path);
/* By inotify: this folder and all below that is aimed at. */
int file_watch_walk(struct file_watch *f, const char *path);
/* Into records, as many as have room; whether there are more. */
bool file_watch_drain(struct file_watch *f, size_t room, struct batch *out, uint64_t *ret_overflows, uint64_t *ret_dropped);
/* Until it is woken it has been heard. */
void file_watch_hush(struct file_watch *f);
/* Has file_watch_fd() become readable again. */
void file_watch_wake(struct file_watch *f);
void file_watch_get_status(struct file_watch *f, struct file_watch_status *ret);

#ifdef __cplusplus
}
#endif

#endif
