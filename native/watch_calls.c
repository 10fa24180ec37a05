/* The events of bpf/calls.bpf.c into records. */
#include <errno.h>
#include <time.h>

#include "bpf/calls.h"
#include "watch.h"

/* Per turn, so that no source starves another. */
#define CALL_EVENTS	64

/* As long as an attach takes, many times over. */
#define ANSWERED_NS	1000000

struct asked {
	struct watch *w;
	bool answered_elsewhere;
	size_t n;
	struct call_event events[CALL_EVENTS];
};

int watch_calls_open(struct watch *w, int *ret_fd, const char **ret_what)
{
	int err = calls_open(&w->calls_programs, ret_what);

	if (!err)
		*ret_fd = calls_fd(w->calls_programs);
	return err;
}

static void call_take(void *arg, const struct call_event *event)
{
	struct asked *asked = arg;

	watch_actor_add(asked->w, &event->actor);
	asked->events[asked->n++] = *event;
	switch (event->call) {
	case CALL_ATTACH:
	case CALL_PEEK:
	case CALL_POKE:
	case CALL_VM_READ:
	case CALL_VM_WRITE:
	case CALL_ADVISE:
		asked->answered_elsewhere = true;
	}
}

static void call_add(struct watch *w, const struct call_event *event)
{
	struct call_record *r = batch_begin(&w->scratch, RECORD_CALL, sizeof(*r));

	w->calls.events++;
	if (r) {
		r->time_ns = event->time_ns;
		r->target_start_ticks = event->target_start_ticks;
		r->argument = event->argument;
		r->suppressed = event->suppressed;
		r->call = event->call;
		r->pid = event->actor.pid;
		r->tid = event->actor.tid;
		r->target_pid = event->target_pid;
		r->target_tid = event->target_tid;
		r->has_argument = event->has_argument;
	}
	batch_end(&w->scratch);
}

void watch_calls_drain(struct watch *w)
{
	struct asked asked = { .w = w };
	uint64_t lost;
	size_t i;

	if (!w->calls.live)
		return;
	calls_drain(w->calls_programs, CALL_EVENTS, call_take, &asked);
	/* What was granted is told first, by those who see it happen; then that it was asked for is no news. */
	if (asked.answered_elsewhere)
		nanosleep(&(struct timespec){ .tv_nsec = ANSWERED_NS }, NULL);
	watch_connector_drain(w);
	watch_memory_drain(w);
	watch_access_drain(w);
	for (i = 0; i < asked.n; i++)
		call_add(w, &asked.events[i]);
	lost = calls_lost(w->calls_programs);
	if (lost)
		watch_source_lost(w, &w->calls, LOST_CALLS, lost);
	watch_commit(w);
}
