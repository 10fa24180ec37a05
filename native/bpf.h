/*
 * What the loaders of native/bpf/ share: maps, iterators, the ring, and where
 * kernel functions lie. One loader a subject; they know nothing of each other.
 */
#ifndef RIMON_BPF_H
#define RIMON_BPF_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rimon.h"

/* Whether programs can be loaded and mean what they say here; what they see are pids of the first pid namespace. */
int bpf_check(const char **ret_what);

int bpf_map_set(int map, const void *key, const void *value);
int bpf_map_get(int map, const void *key, void *ret_value);
/* What is not there is deleted already. */
int bpf_map_remove(int map, const void *key);
int bpf_map_next(int map, const void *key, void *ret_next);
/* Calls each() for the keys of a map by pid; for one twice if others leave meanwhile. */
void bpf_map_pids(int map, pid_take each, void *arg);

/* What was lost of an object's events, as far as it was told; zeroed at first. */
struct losses {
	uint64_t told;
	uint64_t missed;
	uint64_t asked_ns;
};

/*
 * How many more were lost: what the programs counted, and how often the kernel went by them, one being at work on that
 * processor (bpf_prog_info.recursion_misses, v5.12), which is asked once a second. `programs`: the `progs` of a skeleton.
 */
uint64_t bpf_untold(struct losses *l, const uint64_t *counter, const void *programs, size_t size);

/* Makes a map of struct exempt_file hold exactly these. */
int bpf_map_files(int map, const struct watch_file *files, size_t n);

/* decoy.c: one that does nothing until it is ended, with its parent at the latest; its pid or -errno. */
pid_t decoy_start(void);
void decoy_end(pid_t pid);
/* What is tried on it: to read a byte that both have at one address; to become its tracer; to ask as its tracer. */
int decoy_read(pid_t pid);
int decoy_seize(pid_t pid);
int decoy_ask(pid_t pid);

/* Runs a task iterator over every task; `out` takes the records its program writes, if it does. */
int bpf_iterate(int link, struct batch *out);

/* A BPF_MAP_TYPE_RINGBUF as its one consumer sees it (v5.8; Documentation/bpf/ringbuf.rst). */
struct ring {
	size_t size;
	unsigned long *consumed;
	const unsigned long *produced;
	const char *data;
	void *produced_map;
};

int ring_open(struct ring *r, int map, size_t size);
void ring_close(struct ring *r);
/* Calls each() for at most `limit` samples that are there and not shorter than `least`; how many there were. */
size_t ring_drain(struct ring *r, size_t limit, size_t least, event_take each, void *arg);

struct kernel_function {
	const char *name;	/* without a compiler's suffix */
	uint64_t operation;
};

/* One part of one of them: suffixes make several (".cold", ".isra.0"). */
struct kernel_range {
	uint64_t start;
	uint64_t end;
	uint64_t operation;
};

/* What is looked for, line by line, and what was found. */
struct kallsyms {
	const struct kernel_function *functions;
	size_t n_functions;
	struct kernel_range *ranges;
	size_t room;
	size_t n;
	size_t open;		/* ranges before this one have their end */
};

void kallsyms_line(struct kallsyms *k, const char *line, size_t len);
/* Finds nothing where addresses are hidden. -ENOENT without a kallsyms. */
int kallsyms_read(struct kallsyms *k);

#endif
