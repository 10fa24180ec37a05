/*
 * The whole interface of the core, by file. Everything here is C without
 * JavaScript, callable from a test or a fuzzer. 0 or -errno; outputs are
 * ret_x, written only on success. Nothing here logs or exits; but for the
 * decoy's secret in attack_decoy.c there is no global state.
 */
#ifndef RIMON_H
#define RIMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "record.h"

#ifdef __cplusplus
extern "C" {
#endif

/* batch.c: a growing buffer of records. The first failure sticks, so only the last step has to look. */
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
void batch_append(struct batch *b, const struct batch *more);
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
#define WANT_STATUS	(1u << 0)
#define WANT_EXE	(1u << 1)
#define WANT_CMDLINE	(1u << 2)
#define WANT_CGROUP	(1u << 3)
#define WANT_NAMESPACES	(1u << 4)
#define WANT_THREADS	(1u << 5)
#define WANT_LOADER	(1u << 6)
#define WANT_DUMP	(1u << 7)

#define WANT_ENRICHED	(WANT_STATUS | WANT_EXE | WANT_CMDLINE | WANT_CGROUP | WANT_NAMESPACES)

/* Room that a pass over /proc uses again for every process. */
struct proc_scan;

int proc_scan_new(const struct procfs *p, struct proc_scan **ret);
void proc_scan_free(struct proc_scan *s);
/* Every process, or the pids named. Those that are gone or hidden from us are left out. */
int proc_scan_run(const struct procfs *p, uint32_t want, const struct pids *pids, struct batch *out);
/* One process; -ESRCH if it is not there. */
int proc_scan_one(struct proc_scan *s, uint32_t pid, uint32_t want, struct batch *out);

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
/* A process that is gone leaves nothing in `out`. by_pagemap: as on a kernel without PAGEMAP_SCAN. */
int proc_code_pages(const struct procfs *p, uint32_t pid, bool by_pagemap, struct batch *out);

/* proc_files.c: suffixes are strings one after another, each with its NUL. Our own process is left out. */
int proc_files_sweep(const struct procfs *p, const char *suffixes, size_t suffixes_len, const struct pids *pids,
		     struct batch *out);

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

struct proc_path {
	uint32_t file;		/* enum proc_file */
	uint32_t pid;
	uint32_t tid;		/* 0: not by way of task/ */
	size_t len;		/* of the path without " (deleted)" */
};

/* What of a procfs a path names, told from its end, since the mount may be anywhere; -ENOENT if nothing that counts. */
int proc_path_parse(const char *path, size_t len, struct proc_path *ret);
/* Whether the path can be one below /proc/sys. */
bool proc_path_is_sysctl(const char *path, size_t len);

/* priority.c: of the calling thread; SCHED_FIFO at the lowest priority where CAP_SYS_NICE allows it. */
struct priority {
	uint64_t began_ns;
	uint64_t used_ns;
	bool first;
};

void priority_start(struct priority *p);
/* Steps back after 0.1 s in which it ran for more than half, and forward again once it is calm. */
void priority_adjust(struct priority *p);

/* memory.c: who touches protected memory, told and, where asked for, stopped by eBPF (bpf/memory.bpf.c). */
struct memory;
struct memory_event;

/* From this bit on, what the access check refuses; below it, 1 << enum memory_operation. */
#define TARGET_ACCESS_SHIFT	32

struct watch_file {
	uint64_t dev;
	uint64_t inode;
};

/* A protected process, as every eBPF object is told of it. */
struct process_target {
	uint64_t start_ticks;
	uint64_t enforce;	/* what is refused in enforce mode */
	uint32_t pid;
};

int memory_open(struct memory **ret, const char **ret_what);
void memory_close(struct memory *m);
/* Readable when there is something to drain. */
int memory_fd(const struct memory *m);
int memory_protect(struct memory *m, const struct process_target *targets, size_t n);
int memory_unprotect(struct memory *m, uint32_t pid);
/* enum enforce of bpf/enforce.h */
void memory_enforce(struct memory *m, uint32_t enforce);
/* Once in ten seconds at least, or enforcing falls back to watching. */
void memory_beat(struct memory *m);
/* In place of those exempt before: st_dev and inode of each. */
int memory_exempt(struct memory *m, const struct watch_file *files, size_t n);
/* How many events the ring had no room for since it was last asked. */
uint64_t memory_lost(struct memory *m);
size_t memory_drain(struct memory *m, size_t limit, void (*each)(void *arg, const struct memory_event *event), void *arg);

/*
 * access.c: who asks to reach into a protected process, told and, where asked
 * for, refused by eBPF (bpf/access.bpf.c). Opening it forks a decoy and proves
 * that the kernel calls the check.
 */
struct access;
struct access_event;

int access_open(struct access **ret, const char **ret_what);
void access_close(struct access *a);
int access_fd(const struct access *a);
int access_protect(struct access *a, const struct process_target *targets, size_t n);
int access_unprotect(struct access *a, uint32_t pid);
void access_enforce(struct access *a, uint32_t enforce);
/* Once in ten seconds at least, or enforcing falls back to watching. */
void access_beat(struct access *a);
int access_exempt(struct access *a, const struct watch_file *files, size_t n);
uint64_t access_lost(struct access *a);
size_t access_drain(struct access *a, size_t limit, void (*each)(void *arg, const struct access_event *event), void *arg);

/* calls.c: who asks the kernel for something of a protected process, by eBPF (bpf/calls.bpf.c). */
struct calls;
struct call_event;

int calls_open(struct calls **ret, const char **ret_what);
void calls_close(struct calls *c);
int calls_fd(const struct calls *c);
int calls_protect(struct calls *c, const struct process_target *targets, size_t n);
int calls_unprotect(struct calls *c, uint32_t pid);
/* Whether system calls are looked at: off until it is asked for. */
int calls_listen(struct calls *c, bool on);
uint64_t calls_lost(struct calls *c);
size_t calls_drain(struct calls *c, size_t limit, void (*each)(void *arg, const struct call_event *event), void *arg);

/* signals.c: who sends a protected process a signal that matters, by eBPF (bpf/signals.bpf.c). */
struct signals;
struct signal_event;

int signals_open(struct signals **ret, const char **ret_what);
void signals_close(struct signals *s);
int signals_fd(const struct signals *s);
int signals_protect(struct signals *s, const struct process_target *targets, size_t n);
int signals_unprotect(struct signals *s, uint32_t pid);
uint64_t signals_lost(struct signals *s);
size_t signals_drain(struct signals *s, size_t limit, void (*each)(void *arg, const struct signal_event *event),
		     void *arg);

/* exec.c: every program that is started, by eBPF (bpf/exec.bpf.c). */
struct exec;
struct exec_event;

int exec_open(struct exec **ret, const char **ret_what);
void exec_close(struct exec *e);
int exec_fd(const struct exec *e);
uint64_t exec_lost(struct exec *e);
size_t exec_drain(struct exec *e, size_t limit, void (*each)(void *arg, const struct exec_event *event), void *arg);

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
/* Whether system calls are looked at. */
int watch_listen(struct watch *w, bool on);

/* watch_memory.c; -EBADF where the memory programs are not live. */
/* Whether what is to be refused is; on what descends from rimon only if `family`. */
int watch_enforce(struct watch *w, bool enforce, bool family);
/* User space lives: without it for ten seconds the kernel only watches. */
int watch_beat(struct watch *w);
/* Exactly these executables are never stopped. */
int watch_exempt(struct watch *w, const struct watch_file *files, size_t n);

/* pidfd.c */
enum signal_result {
	SIGNAL_SENT,
	SIGNAL_GONE,
	SIGNAL_REUSED,
};

int pidfd_signal(uint32_t pid, uint64_t start_ticks, int signal, enum signal_result *ret);

/* harden.c */
int harden(void);
/* NULL if this capability has no name. */
const char *capability_name(unsigned int capability);
int capability_number(const char *name);
int capabilities_effective(uint64_t *ret);
/* Returns only on failure; the bounding set may then be reduced already. */
int exec_with_capabilities(const char *path, char *const args[], char *const env[], uint64_t keep);

/* attack_decoy.c: what the drill's decoy does to itself. */
void attack_secret(const unsigned char **ret_bytes, size_t *ret_len, uint64_t *ret_code);
int attack_start_thread(uint32_t *ret_tid);
/* One that has the secret on its stack and something to do. */
int attack_start_computing(uint32_t *ret_tid);
/* The page of the secret becomes writable and executable at once. */
int attack_open_page(void);
/* A copy of the secret below 4 GiB; x86-64 only. */
int attack_low_copy(uint64_t *ret_address);
/* A connected socket in which the secret waits to be read. */
int attack_hold_socket(uint32_t *ret_fd);
int attack_become_dumpable(void);
/* No core file, until somebody raises the soft limit. */
int attack_lower_core_limit(void);

/*
 * attack_*.c: the primitives of the drill. Those that read return how many
 * bytes, or -errno; -ENOSYS also says that this kernel has no such thing.
 */

/* attack_ptrace.c. After hold, and until release, the caller's thread is the tracer. */
ssize_t attack_ptrace_attach(uint32_t pid, uint64_t address, char *buf, size_t len);
ssize_t attack_ptrace_seize(uint32_t pid, uint64_t address, char *buf, size_t len);
int attack_ptrace_hold(uint32_t tid, bool suspend_seccomp);
ssize_t attack_ptrace_peek(uint32_t tid, uint64_t address, char *buf, size_t len);
ssize_t attack_ptrace_registers(uint32_t tid, char *buf, size_t len);
int attack_ptrace_release(uint32_t tid);
int attack_ptrace_patch_text(uint32_t pid, uint64_t address);
/* And lets go without taking it away. */
int attack_ptrace_leave_breakpoint(uint32_t pid, uint64_t address);

/* attack_memory.c */
#define ATTACK_SHARED	4096
/* Maps the first bytes of a file, shared, for the rest of the process's life. */
int attack_share(const char *path, char **ret_bytes);
ssize_t attack_process_vm_readv(uint32_t pid, uint64_t address, char *buf, size_t len);
/* By int $0x80 and the table of 32-bit calls; the address has to be below 4 GiB. */
ssize_t attack_process_vm_readv_32(uint32_t pid, uint64_t address, char *buf, size_t len);
ssize_t attack_process_vm_writev(uint32_t pid, uint64_t address, const char *bytes, size_t len);
int attack_process_madvise(uint32_t pid, uint64_t address, size_t len);
ssize_t attack_proc_mem_detached_mount(uint32_t pid, uint64_t address, char *buf, size_t len);
int attack_patch_text(uint32_t pid, uint64_t address);

/* attack_descriptors.c */
ssize_t attack_pidfd_getfd(uint32_t pid, uint32_t fd, char *buf, size_t len);
int attack_kcmp(uint32_t pid);
int attack_bind_socket(const char *path, uint32_t *ret_fd);
int attack_send_descriptor(const char *path, uint32_t fd);
int attack_receive_descriptor(uint32_t socket, uint32_t *ret_fd);
int attack_memfd(const char *bytes, size_t len, uint32_t *ret_fd);

/* attack_uring.c */
ssize_t attack_uring_read(const char *path, uint64_t offset, char *buf, size_t len);

/* attack_perf.c */
ssize_t attack_perf_stack(uint32_t tid, char *buf, size_t len);
/* A probe on a function that the caller has as well, for a moment. */
int attack_uprobe(uint32_t pid, const char *function);

/* attack_bpf.c: at most 32 bytes. */
ssize_t attack_bpf_copy(uint32_t pid, uint64_t address, char *buf, size_t len);

/* attack_core.c */
/* RLIMIT_CORE of another, as far up as it goes. */
int attack_raise_core_limit(uint32_t pid);
/* Makes it dump to this core_pattern. The old one is put back even if the caller is killed meanwhile. */
int attack_dump_to(uint32_t pid, const char *pattern);

#ifdef __cplusplus
}
#endif

#endif
