/* The exec gate's interface, a part of rimon.h. */
#ifndef RIMON_EXEC_GATE_H
#define RIMON_EXEC_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gate_table.h"

#ifdef __cplusplus
extern "C" {
#endif

struct batch;
struct procfs;

/*
 * exec_gate.c: what is executed on marked file systems, judged by a compiled
 * table before it runs. The procfs must outlive the gate. notify() comes from
 * a thread of its own, once until records were taken. Where the gate is gone,
 * closed or dead, everything runs.
 */
struct exec_gate;

struct exec_gate_status {
	uint64_t events;
	uint64_t allowed;
	uint64_t denied;	/* as all that follows: counted once for each event */
	uint64_t would_deny;	/* by its mode it went on */
	uint64_t unanswered;	/* could not be judged */
	uint64_t spared;	/* of rimon, of the first process, of an upgrade */
	uint64_t hashed;
	uint64_t hashed_bytes;
	uint64_t remembered;	/* answered without reading the file again */
	uint64_t settled;	/* left to the kernel until the file changes */
	uint64_t unsettled;	/* taken back since the file was open for writing */
	uint64_t lost;		/* records for which the ring had no room */
	uint64_t overflows;	/* of the kernel's queue */
	uint64_t unopened;	/* the kernel could not open the file for us, and refused it */
	int unopened_error;	/* errno of the last one; 0: none */
	uint64_t longest_ns;	/* from the reading of an event to its answer */
	uint32_t queued;	/* events that wait to be read, now */
	uint32_t busy;		/* threads that read files, now */
	uint64_t stood_in;	/* of unanswered: by the deputy, while all of rimon stood still */
	bool has_deputy;
	int lock_error;		/* errno of mlock(2); 0: the gate's memory cannot be paged out */
};

int exec_gate_open(const struct procfs *p, void (*notify)(void *arg), void *arg, struct exec_gate **ret,
		   const char **ret_what);
void exec_gate_close(struct exec_gate *g);
/* Any bytes; -EINVAL if they are no table, and the one before holds. Until there is one everything is allowed. */
int exec_gate_load(struct exec_gate *g, const void *table, size_t len);
/*
 * The whole file system that is mounted there for that process (0: for us), by that number in mountinfo: -ENODEV if it is
 * another mount, or none, -EOPNOTSUPP below Linux 5.8, or 5.12 for others. `opens`: also what is opened there by
 * interpreters, and ELF files by anybody. `ret_is_new`: it had no mark.
 */
int exec_gate_mark(struct exec_gate *g, uint32_t pid, const char *path, uint64_t mount_id, uint32_t mode, bool opens,
		   uint64_t *ret_dev, bool *ret_is_new);
/* `pid`, `path`: where it was marked; it may lead elsewhere by now. */
void exec_gate_unmark(struct exec_gate *g, uint32_t pid, const char *path, uint64_t dev);

struct gate_place {
	uint64_t mount;
	uint64_t dev;
	uint64_t inode;
	uint64_t size;
	uint32_t owner;
	bool is_marked;
};

/*
 * Where what a process has at that path lies ("": its executable), without asking any file system, as one that does not
 * answer would keep us. -EAGAIN if the kernel does not have it in memory.
 */
int exec_gate_place(struct exec_gate *g, uint32_t pid, const char *path, struct gate_place *ret);
/* What the table in force says of it, a gate_record; reads it. -ENODEV if it no longer lies on that mount. */
int exec_gate_look(struct exec_gate *g, uint32_t pid, const char *path, uint64_t mount_id, uint32_t uid, const char *by,
		   struct batch *out);
/* Whether what descends from one of the table's updaters may run anything. */
void exec_gate_upgrade(struct exec_gate *g, bool on);
void exec_gate_take(struct exec_gate *g, struct batch *out);
void exec_gate_get_status(struct exec_gate *g, struct exec_gate_status *ret);

/* What this table says of a file that somebody of that uid would run from that executable (""; unknown). A gate_record. */
int exec_gate_try(const struct procfs *p, const void *table, size_t len, const char *path, uint32_t uid, const char *by,
		  struct batch *out);

#ifdef __cplusplus
}
#endif

#endif
