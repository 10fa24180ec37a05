/* What snapshots of isolation structures read that is in no file of /proc; part of the core's interface (rimon.h). */
#ifndef RIMON_ISOLATION_H
#define RIMON_ISOLATION_H

#include "rimon.h"

#ifdef __cplusplus
extern "C" {
#endif

/* bpf_programs.c */
int bpf_programs_read(struct batch *out);

/* seccomp_filters.c: stops the process for a moment, and lets go of it whatever happens. */
int seccomp_filters_read(uint32_t pid, struct batch *out);

/*
 * proc_code.c: the code of each file that a process has mapped: as it executes
 * it, as the page cache has it and as the disk has it. Reads all of it, at about
 * a gigabyte a second where it is cached. A process that is gone leaves nothing.
 */
int proc_code_read(const struct procfs *p, uint32_t pid, struct batch *out);

#ifdef __cplusplus
}
#endif

#endif
