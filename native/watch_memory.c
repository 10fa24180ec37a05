/* The events of bpf/memory.bpf.c into records. */
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "bpf/memory.h"
#include "watch.h"

/* Per turn, so that no source starves another. */
#define MEMORY_EVENTS	1024

int watch_memory_open(struct watch *w, int *ret_fd, const char **ret_what)
{
	int err = memory_open(&w->memory_programs, ret_what);

	if (!err)
		*ret_fd = memory_fd(w->memory_programs);
	return err;
}

/* What the kernel said of a reader that is gone: less than /proc would have, and never nobody. */
static void reader_add(struct watch *w, const struct memory_event *event)
{
	struct process_record *r = batch_begin(&w->scratch, RECORD_PROCESS, sizeof(*r));
	size_t comm_len = strnlen(event->comm, sizeof(event->comm));

	if (r) {
		r->start_ticks = event->start_ticks;
		r->have = HAVE_IDS;
		r->pid = event->pid;
		r->parent_pid = event->parent_pid;
		r->uid = event->uid;
		r->euid = event->euid;
		r->gid = event->gid;
		r->comm_len = (uint16_t)comm_len;
	}
	batch_bytes(&w->scratch, event->comm, comm_len);
	batch_end(&w->scratch);
}

static void memory_add(void *arg, const struct memory_event *event)
{
	struct memory_record *r;
	struct watch *w = arg;

	w->memory.events++;
	if (!watch_enrich(w, event->pid))
		reader_add(w, event);
	r = batch_begin(&w->scratch, RECORD_MEMORY, sizeof(*r));
	if (r) {
		r->time_ns = event->time_ns;
		r->target_start_ticks = event->target_start_ticks;
		r->suppressed = event->suppressed;
		r->operation = event->operation;
		r->action = event->action;
		r->pid = event->pid;
		r->tid = event->tid;
		r->target_pid = event->target_pid;
		r->syscall = event->syscall;
		/* The kernel's own s_dev has 20 bits of minor (include/linux/kdev_t.h), st_dev is packed otherwise. */
		if (event->exe_inode)
			r->exe_dev = makedev(event->exe_dev >> 20, event->exe_dev & 0xfffff);
		r->exe_inode = event->exe_inode;
	}
	batch_end(&w->scratch);
}

void watch_memory_drain(struct watch *w)
{
	uint64_t lost;

	if (!w->memory.live)
		return;
	/* An exec before any of these is in the other queue by now: who the reader is must be told first. */
	watch_connector_drain(w);
	memory_drain(w->memory_programs, MEMORY_EVENTS, memory_add, w);
	lost = memory_lost(w->memory_programs);
	if (lost)
		watch_source_lost(w, &w->memory, LOST_MEMORY, lost);
	watch_commit(w);
}

static struct memory *programs(struct watch *w)
{
	return w->memory.live ? w->memory_programs : NULL;
}

int watch_protect(struct watch *w, const struct memory_target *targets, size_t n)
{
	return programs(w) ? memory_protect(w->memory_programs, targets, n) : -EBADF;
}

int watch_unprotect(struct watch *w, uint32_t pid)
{
	return programs(w) ? memory_unprotect(w->memory_programs, pid) : -EBADF;
}

int watch_enforce(struct watch *w, bool enforce)
{
	if (!programs(w))
		return -EBADF;
	memory_enforce(w->memory_programs, enforce);
	return 0;
}

int watch_beat(struct watch *w)
{
	if (!programs(w))
		return -EBADF;
	memory_beat(w->memory_programs);
	return 0;
}

int watch_exempt(struct watch *w, const struct watch_file *files, size_t n)
{
	return programs(w) ? memory_exempt(w->memory_programs, files, n) : -EBADF;
}
