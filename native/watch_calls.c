/* The events of bpf/calls.bpf.c into records. */
#include <string.h>

#include "bpf/calls.h"
#include "watch.h"

/* Per turn, so that no source starves another. */
#define CALL_EVENTS	64

/*
 * What was granted is told by those who see it happen, within microseconds;
 * then that it was asked for is no news. Longer than a time slice, since
 * whoever asks may be set aside in the middle of the call.
 */
#define ANSWERED_NS	4000000ull

int watch_calls_open(struct watch *w, int *ret_fd, const char **ret_what)
{
	int err = calls_open(&w->calls_programs, ret_what);

	if (!err)
		*ret_fd = calls_fd(w->calls_programs);
	return err;
}

static bool is_answered_elsewhere(uint32_t call)
{
	switch (call) {
	case CALL_ATTACH:
	case CALL_PEEK:
	case CALL_POKE:
	case CALL_VM_READ:
	case CALL_VM_WRITE:
	case CALL_ADVISE:
		return true;
	}
	return false;
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

static void asked_tell(struct watch *w, size_t i)
{
	call_add(w, &w->asked[i].event);
	memmove(&w->asked[i], &w->asked[i + 1], (--w->n_asked - i) * sizeof(w->asked[0]));
}

static void call_take(void *arg, const void *sample, size_t len)
{
	const struct call_event *event = sample;
	uint64_t wait_ns = is_answered_elsewhere(event->call) ? ANSWERED_NS : 0;
	struct watch *w = arg;

	(void)len;
	watch_actor_add(w, &event->actor);
	if (w->n_asked == ASKED)
		asked_tell(w, 0);
	w->asked[w->n_asked++] = (struct asked){ *event, monotonic_ns() + wait_ns };
}

void watch_calls_deed(struct watch *w, uint32_t by_pid, uint32_t target_pid, uint32_t call, uint64_t time_ns)
{
	if (call == CALL_NONE)
		return;
	w->deeds[w->deeds_next] = (struct deed){ time_ns, by_pid, target_pid, call };
	w->deeds_next = (w->deeds_next + 1) % DEEDS;
}

static bool was_done(const struct watch *w, const struct call_event *event)
{
	size_t i;

	for (i = 0; i < DEEDS; i++) {
		const struct deed *deed = &w->deeds[i];

		/* An earlier one answered an earlier call. */
		if (deed->by_pid == event->actor.pid && deed->target_pid == event->target_pid &&
		    deed->call == event->call && deed->time_ns >= event->time_ns)
			return true;
	}
	return false;
}

void watch_calls_exec(struct watch *w, uint32_t pid, uint64_t time_ns)
{
	size_t i = 0;

	while (i < w->n_asked) {
		const struct call_event *event = &w->asked[i].event;

		if (event->actor.pid == pid && event->time_ns < time_ns)
			asked_tell(w, i);
		else
			i++;
	}
}

int watch_calls_settle(struct watch *w)
{
	uint64_t now, soonest = UINT64_MAX;
	size_t i = 0;

	if (!w->n_asked)
		return -1;
	now = monotonic_ns();
	while (i < w->n_asked) {
		if (w->asked[i].until_ns <= now || was_done(w, &w->asked[i].event)) {
			asked_tell(w, i);
			continue;
		}
		if (w->asked[i].until_ns < soonest)
			soonest = w->asked[i].until_ns;
		i++;
	}
	watch_commit(w);
	return w->n_asked ? (int)((soonest - now + 999999) / 1000000) : -1;
}

void watch_calls_drain(struct watch *w)
{
	uint64_t lost;

	if (!w->calls.live)
		return;
	calls_drain(w->calls_programs, CALL_EVENTS, call_take, w);
	/* Who asks, and what was granted, is in the other queues by now and is told first. */
	watch_connector_drain(w);
	watch_memory_drain(w);
	watch_access_drain(w);
	watch_calls_settle(w);
	lost = calls_lost(w->calls_programs);
	if (lost)
		watch_source_lost(w, &w->calls, LOST_CALLS, lost);
	watch_commit(w);
}
