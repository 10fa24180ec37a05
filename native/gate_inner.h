/* The exec gate from inside: exec_gate.c answers, gate_control.c opens and sets it, gate_told.c keeps what is to be told. */
#ifndef RIMON_GATE_INNER_H
#define RIMON_GATE_INNER_H

#include <sys/fanotify.h>

#include "gate.h"

#define GATE_PERMISSION		(FAN_OPEN_EXEC_PERM | FAN_OPEN_PERM)
#define GATE_THREADS		4
#define GATE_SLOTS		256
#define GATE_MARKS		1024
#define GATE_RING		512
#define GATE_NAME		1024
#define GATE_AT_ONCE_MAX	((uint64_t)1 << 18)	/* what the leader reads itself, if it is in memory */
#define GATE_SETTLED_MAX	16384
#define GATE_STACK		16384

#define GATE_ALONE_MAX		((uint64_t)1 << 25)	/* the same where no other thread is free */

/* How long a lease is held at least; looked at again after twice that, and so on. An exec may be kept from a processor. */
#define GATE_HOLD_NS		5000000ull
#define GATE_HOLD_MAX_NS	1000000000ull
#define GATE_IDLE_NS		3600000000000ull

enum slot_state {
	SLOT_FREE,
	SLOT_NEW,	/* with the leader */
	SLOT_WAITING,	/* for a thread that reads it */
	SLOT_HASHING,	/* with a thread that reads it */
	SLOT_HELD,	/* answered; holds its lease */
	SLOT_LEFT,	/* its thread is done with it, and the leader not yet */
};

struct table {
	struct gate_table *table;
	unsigned int held;
};

/* An event and what is known of it. It belongs to whom its state says; is_answered and users change with the lock held, or by the deputy, who has none. */
struct slot {
	enum slot_state state;
	int fd;
	uint32_t tid;
	uint32_t mode;
	uint32_t users;
	bool is_open;
	bool is_interpreted;
	bool is_written;
	bool is_hashed;
	bool is_answered;
	bool is_allowed;	/* by its digest: it must run as it was read */
	bool has_lease;
	uint64_t since_ns;
	uint64_t until_ns;	/* when it is answered, or its lease let go, come what may */
	uint64_t look_ns;
	uint64_t wait_ns;
	struct table *table;
	struct gate_file file;
	unsigned char digest[DIGEST_LEN];
};

struct gate_told {
	struct gate_record r;
	unsigned char digest[DIGEST_LEN];
	char path[GATE_NAME];
	char by[GATE_NAME];
	char comm[16];
};

struct gate_mark {
	uint64_t dev;
	uint32_t mode;
	bool opens;
};

struct worker {
	struct exec_gate *gate;
	pthread_t thread;
	struct gate_reader reader;
	struct gate_ask ask;
};

struct exec_gate {
	const struct procfs *procfs;
	void (*notify)(void *arg);	/* NULL: nobody is told any more; with notify_lock held */
	void *notify_arg;
	pthread_mutex_t notify_lock;

	pthread_mutex_t lock;		/* everything below but the descriptors */
	int fan;
	bool has_fd_errors;		/* an event says itself that its file could not be opened */
	int wake;
	int leads;			/* a count of one is the lead */
	int gone;			/* counts the threads that ended */
	int nudge;			/* whoever leads turns once for it */
	int mounts;			/* our mountinfo; -1: none */
	bool is_closing;
	bool is_orphan;
	bool is_upgrade;
	unsigned int threads;		/* that have not ended */
	unsigned int started;
	unsigned int idle;

	struct table *table;
	struct gate_mark marks[GATE_MARKS];
	size_t n_marks;
	uint32_t strictest;
	size_t settled;

	struct slot slots[GATE_SLOTS];
	size_t taken;
	struct gate_cache cache;

	struct gate_told ring[GATE_RING];
	size_t ring_at;
	size_t ring_len;
	uint64_t untold;
	bool mounts_changed;
	bool is_notified;

	struct exec_gate_status status;
	struct worker workers[GATE_THREADS];

	/* What the deputy goes by; each is read and written at once. */
	uint32_t beat;			/* another one with each turn of who leads */
	uint64_t look_ns;
	uint64_t stood_in;		/* events that it answered */
	uint64_t unopened;		/* events without a file, whoever read them */
	int unopened_error;		/* errno of the last one */
	bool denies_unanswered;		/* whatever it is of */
	pid_t self;
	pid_t deputy;			/* 0: none */
	char deputy_stack[GATE_STACK] __attribute__((aligned(16)));
};

/* exec_gate.c; the argument is a struct worker. */
void *gate_run(void *arg);
void gate_post(int fd, uint64_t count);

/* gate_queue.c */
int gate_queue_open(struct exec_gate *g);
/* false: it is empty. Where the file could not be opened its descriptor is -errno. */
bool gate_queue_read(struct exec_gate *g, struct fanotify_event_metadata *ret);
void gate_queue_unopened(struct exec_gate *g, const struct fanotify_event_metadata *ev);

/* gate_slots.c; these five with the lock held. */
void gate_table_drop(struct table *t);
/* Forgets what was left to the kernel: it was so by another table, or mode. */
void gate_unsettle_all(struct exec_gate *g);
uint32_t gate_mode_of(struct exec_gate *g, uint64_t dev);
/* NULL: every slot is with a thread. */
struct slot *gate_slot_take(struct exec_gate *g);
void gate_slot_free(struct exec_gate *g, struct slot *s);
/* These without. */
/* Not for the gate to judge: the first process, our own threads, what is no file. Of all else the file is known then. */
bool gate_slot_is_exempt(struct slot *s);
/* Answers where every slot is at a disk that does not answer: what it is of is neither read nor told by name. */
void gate_slot_lacks(struct exec_gate *g, struct gate_ask *ask, const struct fanotify_event_metadata *ev);
void gate_settle(struct exec_gate *g, struct slot *s);
void gate_unsettle(struct exec_gate *g, int fd);
/* An answered slot: holds its lease until the exec is over, or is free. */
void gate_hold(struct exec_gate *g, struct slot *s);

/* gate_mounts.c: whether the file system that it lies on has a mark, now. */
bool gate_is_marked(struct exec_gate *g, int fd);

/* gate_mounts.c; with the lock held: the table or the marks are others. */
void gate_marks_changed(struct exec_gate *g);

/* gate_deputy.c */
int gate_deputy_start(struct exec_gate *g);
void gate_deputy_pace(struct exec_gate *g, uint32_t deadline_ms);
void gate_deputy_end(struct exec_gate *g);
bool gate_deputy_is_there(struct exec_gate *g);

/* gate_control.c */
void gate_free(struct exec_gate *g);

/* gate_told.c */
void gate_told_fill(struct gate_told *told, const struct procfs *p, struct gate_ask *ask, const struct slot *s,
		    uint32_t rule, enum gate_reason reason, int error, bool is_denied);
/* With the lock held; true: gate_tell() is due, without it. */
bool gate_told_add(struct exec_gate *g, const struct gate_told *told);
bool gate_told_any(struct exec_gate *g);
void gate_tell(struct exec_gate *g);
void gate_told_write(struct batch *out, const struct gate_told *told);

#endif
