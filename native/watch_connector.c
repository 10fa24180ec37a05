/* The datagrams of the process connector into records. */
#include <errno.h>

#include "watch.h"

/* Per turn, so that no source starves another. */
#define CONNECTOR_ROUNDS	8

static void process_event_add(struct watch *w, const struct process_event_record *event)
{
	struct process_event_record *r;

	switch (event->event) {
	case PROCESS_EXEC:
		/* The eBPF program has told it, with more. */
		if (w->exec.live)
			return;
		watch_calls_exec(w, event->pid, event->time_ns);
		watch_forget(w, event->pid);
		watch_enrich(w, event->pid);
		break;
	case PROCESS_FORK:
	case PROCESS_EXIT:
		watch_forget(w, event->pid);
		break;
	case PROCESS_TRACED:
		watch_enrich(w, event->other_pid);
		watch_calls_deed(w, event->other_pid, event->pid, CALL_ATTACH, event->time_ns);
		break;
	case PROCESS_DUMPING:
		watch_enrich(w, event->pid);
		break;
	}
	r = batch_begin(&w->scratch, RECORD_PROCESS_EVENT, sizeof(*r));
	if (r)
		*r = *event;
	batch_end(&w->scratch);
}

void watch_connector_drain(struct watch *w)
{
	struct source *source = &w->connector;
	int round, n, i;

	if (!source->live)
		return;
	for (round = 0; round < CONNECTOR_ROUNDS; round++) {
		for (i = 0; i < DATAGRAMS; i++)
			w->headers[i].msg_hdr.msg_namelen = sizeof(w->senders[i]);
		n = recvmmsg(source->fd, w->headers, DATAGRAMS, MSG_DONTWAIT, NULL);
		if (n < 0) {
			if (errno == EAGAIN || errno == EINTR)
				break;
			if (errno == ENOBUFS) {
				watch_source_lost(w, source, LOST_CONNECTOR, 0);
				continue;
			}
			watch_source_dead(w, source, LOST_CONNECTOR, errno, "read from the process connector");
			break;
		}
		/* Who exits in these has its exec there by now: that must be told first. */
		watch_exec_drain(w);
		/* Who sent a signal is told before what came of it. */
		watch_signals_drain(w);
		for (i = 0; i < n; i++) {
			struct process_event_record event;
			enum connector_verdict verdict;

			/* Only the kernel's word counts: any root process may send to the group. */
			if (w->senders[i].nl_pid != 0)
				continue;
			if (connector_parse(w->datagrams[i], w->headers[i].msg_len, &event, &verdict) < 0) {
				source->unreadable++;
				continue;
			}
			if (verdict == CONNECTOR_IGNORED)
				continue;
			source->events++;
			process_event_add(w, &event);
		}
		watch_commit(w);
		if (n < DATAGRAMS)
			break;
	}
	watch_commit(w);
}
