/* The events of bpf/access.bpf.c into records. */
#include "bpf/access.h"
#include "watch.h"

/* Per turn, so that no source starves another. */
#define ACCESS_EVENTS	1024

int watch_access_open(struct watch *w, int *ret_fd, const char **ret_what)
{
	int err = access_open(&w->access_programs, ret_what);

	if (!err)
		*ret_fd = access_fd(w->access_programs);
	return err;
}

/* The call that was asked by it. */
static uint32_t call_of(uint32_t access)
{
	switch (access) {
	case ACCESS_BY_PTRACE:
		return CALL_ATTACH;
	case ACCESS_BY_VM_READ:
		return CALL_VM_READ;
	case ACCESS_BY_VM_WRITE:
		return CALL_VM_WRITE;
	case ACCESS_BY_ADVISE:
		return CALL_ADVISE;
	}
	return CALL_NONE;
}

static void machine_memory_add(struct watch *w, const struct access_event *event)
{
	struct machine_memory_record *r = batch_begin(&w->scratch, RECORD_MACHINE_MEMORY, sizeof(*r));

	if (r) {
		r->time_ns = event->time_ns;
		r->suppressed = event->suppressed;
		r->memory = event->call == ACCESS_BY_KCORE ? MACHINE_KCORE : MACHINE_DEVICE;
		r->access = ACCESS_OPEN;
		r->action = event->action;
		r->pid = event->actor.pid;
		r->tid = event->actor.tid;
	}
	batch_end(&w->scratch);
}

static void access_add(void *arg, const void *sample, size_t len)
{
	const struct access_event *event = sample;
	struct access_record *r;
	struct watch *w = arg;

	(void)len;
	w->access.events++;
	watch_actor_add(w, &event->actor);
	if (!event->target_pid) {
		machine_memory_add(w, event);
		return;
	}
	watch_calls_deed(w, event->actor.pid, event->target_pid, call_of(event->call), event->time_ns);
	r = batch_begin(&w->scratch, RECORD_ACCESS, sizeof(*r));
	if (r) {
		r->time_ns = event->time_ns;
		r->target_start_ticks = event->target_start_ticks;
		r->suppressed = event->suppressed;
		r->call = event->call;
		r->action = event->action;
		r->mode = event->mode;
		r->pid = event->actor.pid;
		r->tid = event->actor.tid;
		r->target_pid = event->target_pid;
		r->target_tid = event->target_tid;
	}
	batch_end(&w->scratch);
}

void watch_access_drain(struct watch *w)
{
	uint64_t lost;

	if (!w->access.live)
		return;
	/* An exec before any of these is in the other queue by now: who it is must be told first. */
	watch_connector_drain(w);
	access_drain(w->access_programs, ACCESS_EVENTS, access_add, w);
	lost = access_lost(w->access_programs);
	if (lost)
		watch_source_lost(w, &w->access, LOST_ACCESS, lost);
	watch_commit(w);
}
