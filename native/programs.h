/* The loaders of bpf/ whose programs know the protected processes, and the one that guards settings. Part of rimon.h. */
#ifndef RIMON_PROGRAMS_H
#define RIMON_PROGRAMS_H

/* memory.c: who touches protected memory, told and, where asked for, stopped by eBPF (bpf/memory.bpf.c). */
struct memory;

/* From this bit on, what the access check refuses; below it, 1 << enum memory_operation. */
#define TARGET_ACCESS_SHIFT	32

/* Is given what a program told, one of its events (struct X_event of bpf/X.h), and how long it is. */
typedef void (*event_take)(void *arg, const void *event, size_t len);

/* Is given a pid. */
typedef void (*pid_take)(void *arg, uint32_t pid);

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
/* Calls each() for those that are protected now, and what they have forked since; for one twice if others leave meanwhile. */
void memory_protected(struct memory *m, pid_take each, void *arg);
/* enum enforce of bpf/enforce.h */
void memory_enforce(struct memory *m, uint32_t enforce);
/* Once in ten seconds at least, or enforcing falls back to watching. */
void memory_beat(struct memory *m);
/* In place of those exempt before: st_dev and inode of each. */
int memory_exempt(struct memory *m, const struct watch_file *files, size_t n);
/* How many events the ring had no room for since it was last asked. */
uint64_t memory_lost(struct memory *m);
size_t memory_drain(struct memory *m, size_t limit, event_take each, void *arg);

/*
 * access.c: who asks to reach into a protected process, told and, where asked
 * for, refused by eBPF (bpf/access.bpf.c). Opening it forks a decoy and proves
 * that the kernel calls the check.
 */
struct access;

int access_open(struct access **ret, const char **ret_what);
void access_close(struct access *a);
int access_fd(const struct access *a);
int access_protect(struct access *a, const struct process_target *targets, size_t n);
int access_unprotect(struct access *a, uint32_t pid);
void access_protected(struct access *a, pid_take each, void *arg);
/* `machine`: whether the memory of the whole machine is refused as well, to what descends from `family`; 0: to everybody. */
void access_enforce(struct access *a, uint32_t enforce, pid_t family, bool machine);
/* Once in ten seconds at least, or enforcing falls back to watching. */
void access_beat(struct access *a);
int access_exempt(struct access *a, const struct watch_file *files, size_t n);
uint64_t access_lost(struct access *a);
size_t access_drain(struct access *a, size_t limit, event_take each, void *arg);

/* calls.c: who asks the kernel for something of a protected process, by eBPF (bpf/call_hooks.bpf.c, bpf/calls.bpf.c). */
struct calls;

int calls_open(struct calls **ret, const char **ret_what);
void calls_close(struct calls *c);
int calls_fd(const struct calls *c);
/* Whether every system call of the node is looked at, for want of hooks at those that matter. */
bool calls_at_entry(const struct calls *c);
int calls_protect(struct calls *c, const struct process_target *targets, size_t n);
int calls_unprotect(struct calls *c, uint32_t pid);
void calls_protected(struct calls *c, pid_take each, void *arg);
/* Whether system calls are looked at: off until it is asked for. */
int calls_listen(struct calls *c, bool on);
uint64_t calls_lost(struct calls *c);
size_t calls_drain(struct calls *c, size_t limit, event_take each, void *arg);

/* signals.c: who sends a protected process a signal that matters, by eBPF (bpf/signals.bpf.c). */
struct signals;

int signals_open(struct signals **ret, const char **ret_what);
void signals_close(struct signals *s);
int signals_fd(const struct signals *s);
int signals_protect(struct signals *s, const struct process_target *targets, size_t n);
int signals_unprotect(struct signals *s, uint32_t pid);
void signals_protected(struct signals *s, pid_take each, void *arg);
uint64_t signals_lost(struct signals *s);
size_t signals_drain(struct signals *s, size_t limit, event_take each, void *arg);

/*
 * sysctl.c: who writes a setting that decides about core dumps, told and refused
 * by eBPF (bpf/sysctl.bpf.c). Opening it only loads it.
 */
struct sysctl;

int sysctl_open(struct sysctl **ret, const char **ret_what);
void sysctl_close(struct sysctl *s);
/* For whoever is below this cgroup of v2; NULL: the root of all. Where it is attached already it stays. */
int sysctl_attach(struct sysctl *s, const char *cgroup, const char **ret_what);
void sysctl_detach(struct sysctl *s);
int sysctl_fd(const struct sysctl *s);
/* enum enforce of bpf/enforce.h; a sign of life, too: once in ten seconds at least, or it falls back to watching. */
void sysctl_enforce(struct sysctl *s, uint32_t enforce);
void sysctl_beat(struct sysctl *s);
int sysctl_exempt(struct sysctl *s, const struct watch_file *files, size_t n);
uint64_t sysctl_lost(struct sysctl *s);
size_t sysctl_drain(struct sysctl *s, size_t limit, event_take each, void *arg);

#endif
