/*
 * The events of bpf/sysctl.bpf.c into records, and whether it is attached: what
 * stands in front of every setting of the node is there only while it is asked for.
 */
#include <errno.h>
#include <string.h>

#include "bpf/sysctl.h"
#include "watch.h"

/* Per turn, so that no source starves another. */
#define SYSCTL_EVENTS	1024

static int guard_start(struct watch *w, const char *cgroup, const char **ret_what)
{
	struct sysctl *program;
	int err;

	if (!w->sysctl_program) {
		err = sysctl_open(&program, ret_what);
		if (err)
			return err;
		/* Before the thread can hear of it. */
		w->sysctl_program = program;
		w->sysctl.fd = sysctl_fd(program);
		*ret_what = "epoll_ctl";
		err = watch_listen_to(w, w->sysctl.fd, TAG_SYSCTL);
		if (err)
			return err;
	}
	return sysctl_attach(w->sysctl_program, cgroup, ret_what);
}

int watch_guard_settings(struct watch *w, const char *cgroup, bool family, const struct watch_file *exempt, size_t n)
{
	const char *what = NULL;
	int err = -w->sysctl.error;

	/* What the kernel refused once it is not asked again every second. */
	if (err)
		return err;
	err = guard_start(w, cgroup, &what);
	if (!err) {
		what = "spare executables";
		err = sysctl_exempt(w->sysctl_program, exempt, n);
	}
	w->sysctl.what = what;
	w->sysctl.error = -err;
	w->sysctl.live = err == 0;
	if (!err)
		sysctl_enforce(w->sysctl_program, family ? ENFORCE_FAMILY : ENFORCE_ON);
	return err;
}

void watch_leave_settings(struct watch *w)
{
	if (!w->sysctl.live)
		return;
	sysctl_detach(w->sysctl_program);
	w->sysctl.what = "not asked for";
	w->sysctl.live = false;
}

static void sysctl_add(void *arg, const void *sample, size_t len)
{
	const struct sysctl_event *event = sample;
	size_t value_len = strnlen(event->value, sizeof(event->value));
	struct sysctl_record *r;
	struct watch *w = arg;

	(void)len;
	w->sysctl.events++;
	watch_actor_add(w, &event->actor);
	r = batch_begin(&w->scratch, RECORD_SYSCTL, sizeof(*r));
	if (r) {
		r->time_ns = event->time_ns;
		r->suppressed = event->suppressed;
		r->setting = event->setting;
		r->action = event->action;
		r->pid = event->actor.pid;
		r->tid = event->actor.tid;
		r->value_len = (uint16_t)value_len;
	}
	batch_bytes(&w->scratch, event->value, value_len);
	batch_end(&w->scratch);
}

void watch_sysctl_drain(struct watch *w)
{
	uint64_t lost;

	/* An exec before any of these is in the other queue by now: who it is must be told first. */
	watch_connector_drain(w);
	sysctl_drain(w->sysctl_program, SYSCTL_EVENTS, sysctl_add, w);
	lost = sysctl_lost(w->sysctl_program);
	if (lost)
		watch_source_lost(w, &w->sysctl, LOST_SYSCTL, lost);
	watch_commit(w);
}
