/*
 * What the files of the watch share: watch.c has the thread and delivers,
 * watch_connector.c, watch_exec.c, watch_files.c, watch_memory.c,
 * watch_access.c, watch_calls.c, watch_changes.c, watch_signals.c and watch_sysctl.c drain a source each on that thread.
 *
 * Shared with the callers, under the lock: pending, roots, mounts, changes_wait.
 * Everything else belongs to the thread or never changes.
 */
#ifndef RIMON_WATCH_H
#define RIMON_WATCH_H

#include <linux/netlink.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "bpf/actor.h"
#include "bpf/calls.h"
#include "file_watch.h"
#include "rimon.h"

#define DATAGRAMS	64
#define ENRICHED	64
#define ASKED		64
#define DEEDS		64

enum tag {
	TAG_WAKE,
	TAG_CONNECTOR,
	TAG_FILES,
	TAG_ATTRIBUTES,
	TAG_MOUNTS,
	TAG_MEMORY,
	TAG_ACCESS,
	TAG_EXEC,
	TAG_CALLS,
	TAG_SIGNALS,
	TAG_SYSCTL,
	TAG_CHANGES,
};

struct source {
	int fd;
	int error;
	const char *what;
	_Atomic bool live;
	_Atomic uint64_t events;
	_Atomic uint64_t lost;
	_Atomic uint64_t unreadable;
};

/* A marked procfs. Its path, not a descriptor: that would keep somebody else's mount busy. */
struct root {
	uint64_t dev;
	bool is_ours;		/* of our own pid namespace */
	char *path;
};

struct mounts {
	uint32_t id;
	int fd;
};

struct enriched {
	uint32_t pid;
	uint64_t start_ticks;
	uint64_t at_ns;
};

/* A call that is told once it is known whether it was granted, or when it is too late for that. */
struct asked {
	struct call_event event;
	uint64_t until_ns;
};

/* What was seen done, as the call that it answers. */
struct deed {
	uint64_t time_ns;
	uint32_t by_pid;
	uint32_t target_pid;
	uint32_t call;		/* enum call */
};

struct watch {
	const struct procfs *procfs;
	void (*notify)(void *arg);
	void *notify_arg;
	pthread_t thread;
	uint32_t self;
	int epoll;
	int wake;
	struct source connector;
	struct source files;
	int attributes;		/* fanotify with file handles; -1: not to be had */
	uint32_t files_invalid;	/* reads of files that failed with EINVAL, one after the other */
	struct source memory;
	struct memory *memory_programs;
	struct source access;
	struct access *access_programs;
	struct source exec;
	struct exec *exec_program;
	struct source calls;
	struct calls *calls_programs;
	struct source signals;
	struct signals *signals_programs;
	struct source sysctl;
	struct sysctl *sysctl_program;
	struct source changes;
	struct file_watch *file_watch;	/* set before the thread can hear of it */

	pthread_mutex_t lock;
	struct batch pending;
	bool notified;
	uint64_t dropped_untold;
	uint64_t dropped;
	bool changes_wait;	/* for room among what is pending */
	struct root *roots;
	size_t n_roots;
	struct mounts *mounts;
	size_t n_mounts;

	struct proc_scan *scan;
	struct batch scratch;
	struct enriched enriched[ENRICHED];
	size_t enriched_next;
	struct asked asked[ASKED];
	size_t n_asked;
	struct deed deeds[DEEDS];
	size_t deeds_next;
	struct mmsghdr headers[DATAGRAMS];
	struct iovec pieces[DATAGRAMS];
	struct sockaddr_nl senders[DATAGRAMS];
	char datagrams[DATAGRAMS][512];
};

/* watch.c */
/* What was written to scratch becomes pending; if there is no room it is dropped and counted. */
void watch_commit(struct watch *w);
/* The process goes up before its act does: soon it may be gone. False if it is, and was not read lately either. */
bool watch_enrich(struct watch *w, uint32_t pid);
/* The same, with what the kernel said of one that is gone: less than /proc would have, and never nobody. */
void watch_actor_add(struct watch *w, const struct actor *actor);
/* Whoever has that pid next is to be read again. */
void watch_forget(struct watch *w, uint32_t pid);
/* count 0: unknown */
void watch_source_lost(struct watch *w, struct source *source, uint32_t which, uint64_t count);
void watch_source_dead(struct watch *w, struct source *source, uint32_t which, int err, const char *what);

/* Has the thread drain what this descriptor says; callable from outside of it. */
int watch_listen_to(struct watch *w, int fd, enum tag tag);

/* watch_connector.c */
void watch_connector_drain(struct watch *w);

/* watch_files.c */
void watch_files_drain(struct watch *w);
void watch_attributes_drain(struct watch *w);
void watch_roots_free(struct watch *w);

/* watch_exec.c */
int watch_exec_open(struct watch *w, int *ret_fd, const char **ret_what);
void watch_exec_drain(struct watch *w);

/* watch_memory.c */
int watch_memory_open(struct watch *w, int *ret_fd, const char **ret_what);
void watch_memory_drain(struct watch *w);

/* watch_access.c */
int watch_access_open(struct watch *w, int *ret_fd, const char **ret_what);
void watch_access_drain(struct watch *w);

/* watch_calls.c */
int watch_calls_open(struct watch *w, int *ret_fd, const char **ret_what);
void watch_calls_drain(struct watch *w);
/* Ends the wait of the call that asked for it. */
void watch_calls_deed(struct watch *w, uint32_t by_pid, uint32_t target_pid, uint32_t call, uint64_t time_ns);
/* What that process has asked for is told before it becomes another program. */
void watch_calls_exec(struct watch *w, uint32_t pid, uint64_t time_ns);
/* Tells what need not wait any longer; in how many ms there is more, -1: nothing waits. */
int watch_calls_settle(struct watch *w);

/* watch_signals.c */
int watch_signals_open(struct watch *w, int *ret_fd, const char **ret_what);
void watch_signals_drain(struct watch *w);

/* watch_sysctl.c */
void watch_sysctl_drain(struct watch *w);

/* watch_changes.c */
void watch_changes_drain(struct watch *w);

#endif
