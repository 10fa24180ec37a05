/* The events of bpf/signals.bpf.c into records. */
#include <errno.h>

#include "bpf/signals.h"
#include "watch.h"

/* Per turn, so that no source starves another. */
#define SIGNAL_EVENTS	1024

int watch_signals_open(struct watch *w, int *ret_fd, const char **ret_what)
{
	int err = signals_open(&w->signals_programs, ret_what);

	if (!err)
		*ret_fd = signals_fd(w->signals_programs);
	return err;
}

static void signal_add(void *arg, const void *sample, size_t len)
{
	const struct signal_event *event = sample;
	struct signal_record *r;
	struct watch *w = arg;

	(void)len;
	w->signals.events++;
	if (event->actor.pid)
		watch_actor_add(w, &event->actor);
	r = batch_begin(&w->scratch, RECORD_SIGNAL, sizeof(*r));
	if (r) {
		r->time_ns = event->time_ns;
		r->target_start_ticks = event->target_start_ticks;
		r->suppressed = event->suppressed;
		r->signal = event->signal;
		r->pid = event->actor.pid;
		r->tid = event->actor.tid;
		r->target_pid = event->target_pid;
	}
	batch_end(&w->scratch);
}

void watch_signals_drain(struct watch *w)
{
	uint64_t lost;

	if (!w->signals.live)
		return;
	signals_drain(w->signals_programs, SIGNAL_EVENTS, signal_add, w);
	lost = signals_lost(w->signals_programs);
	if (lost)
		watch_source_lost(w, &w->signals, LOST_SIGNALS, lost);
	watch_commit(w);
}
