/* The events of bpf/memory.bpf.c into records. */
#include <errno.h>
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

/* The call that comes to nothing else than this. */
static uint32_t call_of(uint32_t operation)
{
	switch (operation) {
	case MEMORY_VM_READ:
		return CALL_VM_READ;
	case MEMORY_VM_WRITE:
		return CALL_VM_WRITE;
	case MEMORY_PEEK:
		return CALL_PEEK;
	case MEMORY_POKE:
		return CALL_POKE;
	case MEMORY_ADVISE:
		return CALL_ADVISE;
	}
	return CALL_NONE;
}

static void memory_add(void *arg, const void *sample, size_t len)
{
	const struct memory_event *event = sample;
	struct memory_record *r;
	struct watch *w = arg;

	(void)len;
	w->memory.events++;
	watch_actor_add(w, &event->actor);
	watch_calls_deed(w, event->actor.pid, event->target_pid, call_of(event->operation), event->time_ns);
	r = batch_begin(&w->scratch, RECORD_MEMORY, sizeof(*r));
	if (r) {
		r->time_ns = event->time_ns;
		r->target_start_ticks = event->target_start_ticks;
		r->suppressed = event->suppressed;
		r->operation = event->operation;
		r->action = event->action;
		r->pid = event->actor.pid;
		r->tid = event->actor.tid;
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
