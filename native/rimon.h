/*
 * The whole interface of the core, by file; that of the drill's primitives is attack.h, that of walks over files files.h.
 * Everything is C without JavaScript, callable from a test or a fuzzer. 0 or -errno; outputs are ret_x, written only on
 * success. Nothing logs or exits; but for the decoy's secret in attack_decoy.c there is no global state.
 */
#ifndef RIMON_H
#define RIMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "exec_gate.h"
#include "record.h"

#ifdef __cplusplus
extern "C" {
#endif

/* CLOCK_MONOTONIC, as bpf_ktime_get_ns() reads it. */
static inline uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* batch.c: a growing buffer of whole records. The first failure sticks, so only the last step has to look. */
struct batch {
	char *data;
	size_t len;
	size_t cap;
	size_t records;
	size_t open;	/* where the record being written begins */
	int error;
};

void *batch_begin(struct batch *b, uint16_t kind, size_t fixed_size);
void batch_bytes(struct batch *b, const void *bytes, size_t len);
/* The fixed part again: batch_bytes may have moved it. */
void *batch_record(struct batch *b);
void batch_end(struct batch *b);
bool batch_lost(struct batch *b, uint32_t source, uint64_t count);	/* false: there was no room */
void batch_append(struct batch *b, const struct batch *more);
/* Whole records out of a file, to its end. */
int batch_read(struct batch *b, int fd);
/* -EBADMSG if these bytes are not whole records. */
int batch_count(const char *data, size_t len, size_t *ret_records);
void batch_clear(struct batch *b);
void batch_free(struct batch *b);
/* How many bytes from `at` on make whole records of at most `limit` together; one record if it alone is larger. */
size_t batch_piece(const struct batch *b, size_t at, size_t limit);

/* procfs.c: a procfs of our own where the kernel gives one, else the visible one. */
struct procfs {
	int root;
	int self_fds;		/* self/fd */
	uint32_t self;		/* our pid as that procfs numbers it */
	bool is_private;
	uint64_t pid_ns;	/* 0: unknown */
	uint64_t digest_key[2];
};

int procfs_open(struct procfs **ret);
void procfs_close(struct procfs *p);
/* Whether another procfs numbers processes as ours does. */
bool procfs_is_ours(const struct procfs *p, int root);
/* A procfs that nobody else sees, as a directory. */
int procfs_mount_detached(int *ret_fd);
/* The same of any file system that needs no device. */
int mount_detached(const char *type, int *ret_fd);
/* Reads up to len bytes of a file that comes in one piece, as those of one show function do. */
ssize_t read_at(int dir, const char *name, char *buf, size_t len);
/* "pid:[4026531836]" */
int namespace_link_parse(const char *buf, size_t len, uint64_t *ret_inode);
int namespace_inode(int dir, const char *name, uint64_t *ret_inode);

/* Gone, or hidden from us (hidepid, a stronger process): to be left out. Other errors are to be told. */
bool proc_is_out_of_reach(int err);
/* Calls each() for every number in the directory, until it returns other than 0. */
int proc_each(int dir, const char *name, int (*each)(void *arg, uint32_t number), void *arg);

int proc_start_ticks(int root, uint32_t pid, uint64_t *ret_ticks);
int proc_start_ticks_at(int dir, uint64_t *ret_ticks); /* of a process by its directory, which no other ever has */
int proc_thread_group(int root, uint32_t tid, uint32_t *ret_pid);

/* Which processes are meant: all of them, or those named. */
struct pids {
	bool named;
	const uint32_t *pid;
	size_t n;
};

/* proc_parse.c */
#define NAMESPACE_PIDS_MAX 33	/* MAX_PID_NS_LEVEL and the outermost */

struct proc_stat {
	const char *comm;
	size_t comm_len;
	uint64_t start_ticks;
	uint32_t pid;
	uint32_t parent_pid;
	uint32_t flags;
	char state;
};

struct proc_status {
	uint64_t cap_effective;
	uint32_t tgid;
	uint32_t tracer_pid;
	uint32_t uid;
	uint32_t euid;
	uint32_t gid;
	uint32_t threads;
	uint32_t namespace_pids;
	uint32_t namespace_pid[NAMESPACE_PIDS_MAX];
};

/* They survive any bytes, cut anywhere; -EBADMSG if what is needed is not there. */
int proc_stat_parse(const char *buf, size_t len, struct proc_stat *ret);
/* Of a process; what `ret` names lies in `buf`. */
int proc_stat_read(int root, uint32_t pid, char *buf, size_t size, struct proc_stat *ret);
int proc_status_parse(const char *buf, size_t len, struct proc_status *ret);
/* Of a status that may be cut behind it. */
int proc_tgid_parse(const char *buf, size_t len, uint32_t *ret_pid);
int proc_cgroup_parse(const char *buf, size_t len, const char **ret_path, size_t *ret_len);
int proc_limits_parse(const char *buf, size_t len, uint64_t *ret_soft, uint64_t *ret_hard);
int proc_coredump_filter_parse(const char *buf, size_t len, uint32_t *ret);
/* The whole of it is one number, as the name of a process's directory is. */
int proc_number_parse(const char *buf, size_t len, uint32_t *ret);

/* Keeps the LD_PRELOAD= and LD_AUDIT= entries of an environment, NUL separated, as far as there is room. */
struct proc_loader {
	size_t len;
	char entries[16384];
};

/* Consumes whole entries only, unless `last`; *ret_used says how many bytes. */
void proc_environ_parse(const char *buf, size_t len, bool last, struct proc_loader *loader, size_t *ret_used);

/* proc_scan.c */
#define WANT_ENRICHED	(WANT_STATUS | WANT_EXE | WANT_CMDLINE | WANT_CGROUP | WANT_NAMESPACES)

/* Room that a pass over /proc uses again for every process. */
struct proc_scan;

int proc_scan_new(const struct procfs *p, struct proc_scan **ret);
void proc_scan_free(struct proc_scan *s);
/* Every process, or the pids named. Those that are gone or hidden from us are left out. */
int proc_scan_run(const struct procfs *p, uint32_t want, const struct pids *pids, struct batch *out);
/* One process; -ESRCH if it is not there. */
int proc_scan_one(struct proc_scan *s, uint32_t pid, uint32_t want, struct batch *out);

/*
 * tasks.c: the process table in one sweep, by eBPF (bpf/tasks.bpf.c). Of what
 * can be wanted it knows STATUS, EXE, NAMESPACES and TRACED. One pass at a
 * time; others wait.
 */
struct tasks;

int tasks_open(struct tasks **ret, const char **ret_what);
void tasks_close(struct tasks *t);
int tasks_read(struct tasks *t, uint32_t want, struct batch *out);
/* Open files whose path ends at least in the last four bytes of a suffix; -EINVAL of suffixes too many or shorter. */
int tasks_files(struct tasks *t, const char *suffixes, size_t suffixes_len, struct batch *out);

/* proc_memory.c */
struct proc_mapping {
	uint64_t start;
	uint64_t end;
	uint64_t offset;
	uint64_t dev;
	uint64_t inode;
	uint32_t permissions;
	const char *path;
	size_t path_len;
};

int proc_maps_parse_line(const char *buf, size_t len, struct proc_mapping *ret);
int proc_maps_each(int fd, int (*each)(void *arg, const struct proc_mapping *m), void *arg);
/* A process that is gone leaves nothing in `out`. */
int proc_maps_read(const struct procfs *p, uint32_t pid, bool is_known, uint64_t known, struct batch *out);
uint64_t siphash24(const uint64_t key[2], const void *bytes, size_t len);

/* proc_text.c */
struct code_run {
	size_t start;
	size_t len;
};

/* Where the two differ, at most `max` runs; the last one reaches over all that is left. */
size_t code_runs(const unsigned char *found, const unsigned char *expected, size_t len, struct code_run *runs, size_t max);
/* The mapped file itself, or -1. `dir`: /proc/PID. */
int mapping_open(int dir, const struct proc_mapping *m);
/* A process that is gone leaves nothing in `out`. by_pagemap: as on a kernel without PAGEMAP_SCAN. */
int proc_code_pages(const struct procfs *p, uint32_t pid, bool by_pagemap, struct batch *out);

/*
 * proc_files.c: suffixes are strings one after another, each with its NUL. Our
 * own process is left out. Where all are meant and `t` is not NULL the kernel
 * looks through their descriptors, and /proc is read for those it leaves out.
 */
int proc_files_sweep(const struct procfs *p, struct tasks *t, const char *suffixes, size_t suffixes_len,
		     const struct pids *pids, struct batch *out);

/* uprobes.c: every uprobe the kernel tells of, then what of it could not be asked for. */
struct uprobe_event {
	const char *name;	/* "group/name" */
	size_t name_len;
	const char *path;
	size_t path_len;
	uint64_t offset;
	bool returns;
};

int uprobes_read(const struct procfs *p, struct tasks *t, struct batch *out);
/* perf_event_attr.type of uprobes, which the kernel gives out as it starts. */
int uprobe_type(uint32_t *ret);
/* A line of uprobe_events. */
int uprobe_event_parse(const char *buf, size_t len, struct uprobe_event *ret);
/* Of the fdinfo of an eBPF link. */
int link_id_parse(const char *buf, size_t len, uint32_t *ret);

/* proc_events.c: the netlink process connector. */
int connector_open(int *ret_fd, const char **ret_what);
void connector_close(int fd);

enum connector_verdict {
	CONNECTOR_IGNORED,
	CONNECTOR_EVENT,
};

/* One datagram. Events of mere threads are ignored, but for their tracers. */
int connector_parse(const char *buf, size_t len, struct process_event_record *ret, enum connector_verdict *ret_verdict);

/* file_events.c */
int file_events_open(int *ret_fd, const char **ret_what);
/* Another group: it tells what changes a file's attributes, and names no path. */
int attribute_events_open(int *ret_fd);

struct proc_path {
	uint32_t file;		/* enum proc_file */
	uint32_t pid;
	uint32_t tid;		/* 0: not by way of task/ */
	size_t len;		/* of the path without " (deleted)" */
};

/* What of a procfs a path names, told from its end, since the mount may be anywhere; -ENOENT if nothing that counts. */
int proc_path_parse(const char *path, size_t len, struct proc_path *ret);
/* Whether a path on a procfs is that of kcore, wherever it is mounted. */
bool proc_path_is_kcore(const char *path, size_t len);
/* Whether the path can be one below /proc/sys. */
bool proc_path_is_sysctl(const char *path, size_t len);

/* priority.c: of the calling thread; SCHED_FIFO at the lowest priority where CAP_SYS_NICE allows it. */
struct priority {
	uint64_t began_ns;
	uint64_t used_ns;
	bool may_go_first;
	bool first;
};

void priority_start(struct priority *p);
/*
 * Steps back after 0.1 s in which it ran for more than half, and forward again
 * once it is calm. Returns in how many ms it wants to be asked again, -1 if it need not be.
 */
int priority_adjust(struct priority *p);

#include "programs.h"

/* exec.c: every program that is started, by eBPF (bpf/exec.bpf.c). */
struct exec;

int exec_open(struct exec **ret, const char **ret_what);
void exec_close(struct exec *e);
int exec_fd(const struct exec *e);
uint64_t exec_lost(struct exec *e);
size_t exec_drain(struct exec *e, size_t limit, event_take each, void *arg);

/* watch.c and its neighbours: one thread that drains every event source. */
#define WATCH_CONNECTOR	1
#define WATCH_FILES	2
#define WATCH_MEMORY	4
#define WATCH_EXEC	8
#define WATCH_CALLS	16
#define WATCH_SIGNALS	32
#define WATCH_ACCESS	64

struct watch_source {
	bool live;
	int error;		/* errno */
	const char *what;	/* what failed */
	uint64_t events;
	uint64_t lost;
	uint64_t unreadable;
};

struct watch_status {
	struct watch_source connector;
	struct watch_source files;
	struct watch_source memory;
	struct watch_source access;
	struct watch_source exec;
	struct watch_source calls;
	struct watch_source signals;
	struct watch_source sysctl;
	struct watch_source changes;
	bool calls_at_entry;	/* see calls_at_entry() */
	uint64_t dropped;
};

struct watch;

/*
 * The procfs must outlive the watch. notify() is called on the watch's thread
 * when there is something to take, once until it was taken.
 */
int watch_open(uint32_t sources, const struct procfs *p, void (*notify)(void *arg), void *arg, struct watch **ret);
/* Ends the thread; no notify() comes after it. */
void watch_close(struct watch *w);
/* Swaps everything pending into `out`, which must be empty. */
void watch_take(struct watch *w, struct batch *out);
void watch_get_status(struct watch *w, struct watch_status *ret);
int watch_mark_procfs(struct watch *w, const char *path, uint64_t *ret_dev, uint64_t *ret_pid_ns);
/* Its mark went with its last mount. */
void watch_forget_procfs(struct watch *w, uint64_t dev);
int watch_mark_file(struct watch *w, const char *path, uint64_t *ret_dev, uint64_t *ret_inode);
int watch_unmark_file(struct watch *w, const char *path);
int watch_add_mounts(struct watch *w, const char *path, uint32_t id);
void watch_remove_mounts(struct watch *w, uint32_t id);

/* watch_protected.c; -EBADF where none of the eBPF programs that need it are live. */
int watch_protect(struct watch *w, const struct process_target *targets, size_t n);
int watch_unprotect(struct watch *w, uint32_t pid);
/* Calls each() for every process that any of them takes for protected; some of them twice. */
void watch_protected(struct watch *w, pid_take each, void *arg);
/* Whether system calls are looked at. */
int watch_listen(struct watch *w, bool on);

/* watch_memory.c; -EBADF where the memory programs are not live. */
/*
 * Whether what is to be refused is; of the machine's memory only if `machine`.
 * `family`: a pid, where not even what descends from rimon is spared and the
 * machine's memory is refused only to what descends from that process; or 0.
 */
int watch_enforce(struct watch *w, bool enforce, pid_t family, bool machine);
/* User space lives: without it for ten seconds the kernel only watches. Where nothing is refused it does nothing. */
void watch_beat(struct watch *w);
/* Exactly these executables are never stopped. */
int watch_exempt(struct watch *w, const struct watch_file *files, size_t n);

/*
 * watch_sysctl.c: has writes of what decides about core dumps refused, but to
 * these executables. Each call is a sign of life, of which one is due in ten
 * seconds. `cgroup`: whose tasks are meant; NULL: everybody.
 */
int watch_guard_settings(struct watch *w, const char *cgroup, bool family, const struct watch_file *exempt, size_t n);
void watch_leave_settings(struct watch *w);

#define MARKS_MAX	64

struct mark {
	const unsigned char *bytes;
	size_t len;	/* at least 2 */
};

/* marks.c: a bit for each of 1 to MARKS_MAX marks that stand in these bytes, or -EINVAL. */
int marks_find(const unsigned char *bytes, size_t len, const struct mark *marks, size_t n, uint64_t *ret_found);

/* inflate.c: exactly `size` bytes, or -EBADMSG. */
int inflate_raw(const void *packed, size_t packed_len, unsigned char *ret_data, size_t size);

/* pidfd.c */
enum signal_result {
	SIGNAL_SENT,
	SIGNAL_GONE,
	SIGNAL_REUSED,
};

int pidfd_signal(uint32_t pid, uint64_t start_ticks, int signal, enum signal_result *ret);

/* give_back.c; does nothing where the kernel does not let this process see its own mappings. */
void give_back(void);

/* harden.c */
int harden(void);
/* NULL if this capability has no name. */
const char *capability_name(unsigned int capability);
int capability_number(const char *name);
int capabilities_effective(uint64_t *ret);
/* Returns only on failure; the bounding set may then be reduced already. */
int exec_with_capabilities(const char *path, char *const args[], char *const env[], uint64_t keep);

#ifdef __cplusplus
}
#endif

#endif
