/*
 * What the files of the file watch share: file_watch.c has the thread and
 * delivers, file_changes.c makes changes of events, file_inotify.c stands in
 * where a kernel or a filesystem has no fanotify by handle.
 */
#ifndef RIMON_FILE_WATCHING_H
#define RIMON_FILE_WATCHING_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/fanotify.h>

#include "file_watch.h"

#define DIRENT_MASK	(FAN_CREATE | FAN_DELETE)
#define MOVED_MASK	(FAN_MOVED_FROM | FAN_MOVED_TO)
#define CONTENT_MASK	(FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ATTRIB)
/* A read opens a descriptor of the actor for each event, some 700 of them here. */
#define FILE_EVENTS_BUF	65536
#define FILE_ACTORS	64
#define FILE_PATH_MAX	4096

struct actor_seen {
	uint32_t pid;
	uint64_t start_ticks;
	uint64_t at_ns;
	uint64_t read;		/* the number of the read it was last found in */
};

/* Half of a move, where the kernel tells it in two. */
struct half_move {
	bool is_open;
	uint32_t pid;
	uint64_t start_ticks;
	bool wanted;
	bool folder;
	size_t len;
	char path[FILE_PATH_MAX];
};

struct file_watch {
	int group;
	int wake;		/* ends the thread */
	int ready;		/* there is something to drain */
	uint64_t mask;
	uint32_t self;
	bool has_pidfds;
	bool has_targets;
	pthread_t thread;
	bool has_thread;
	_Atomic bool stopping;

	/* Shared with who aims and marks. */
	pthread_mutex_t aim_lock;
	struct file_folders *folders;

	/* Shared with who drains. */
	pthread_mutex_t lock;
	struct file_queue filling;
	uint64_t overflows_untold;
	bool is_ready;

	/* The drainer's. */
	struct file_queue draining;
	size_t drained;

	/* The thread's. */
	const struct procfs *procfs;
	struct file_inotify *inotify;	/* NULL: not needed */
	struct proc_scan *scan;
	struct batch scratch;
	struct actor_seen actors[FILE_ACTORS];
	size_t actors_next;
	uint64_t reads;
	uint64_t storm_since_ns;
	uint64_t storm_events;
	bool is_storm;
	uint64_t now_ns;
	struct half_move half;
	char path[FILE_PATH_MAX];
	char from[FILE_PATH_MAX];
	char buf[FILE_EVENTS_BUF] __attribute__((aligned(8)));

	_Atomic uint64_t events;
	_Atomic uint64_t overflows;
	_Atomic uint64_t dropped;
	_Atomic uint64_t unresolved;
	_Atomic int error;
};

/* file_changes.c, on the thread. */
void file_event_take(struct file_watch *f, const struct file_event *event);
/* Ends the wait for the other half of a move: what was moved is gone from where it was. */
void file_half_settle(struct file_watch *f);
/* Of f->path, and f->from where it has one. */
void file_change_add(struct file_watch *f, uint32_t pid, int pidfd, uint32_t bits, size_t path_len, size_t from_len);
void file_overflow(struct file_watch *f);

/* file_inotify.c; its callers hold aim_lock. */
struct file_inotify;
int file_inotify_open(struct file_inotify **ret);
void file_inotify_close(struct file_inotify *n);
int file_inotify_fd(const struct file_inotify *n);
/* Watches a folder and what is below it, as far as that is wanted. */
int file_inotify_walk(struct file_watch *f, const char *path);
int file_inotify_read(struct file_watch *f);

#endif
