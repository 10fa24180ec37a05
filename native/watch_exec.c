/*
 * The events of bpf/exec.bpf.c into records. Where it is live it stands for the
 * connector's exec events, which say no more than a pid.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "bpf/exec.h"
#include "watch.h"

/* Per turn, so that no source starves another. */
#define EXEC_EVENTS	1024

int watch_exec_open(struct watch *w, int *ret_fd, const char **ret_what)
{
	int err = exec_open(&w->exec_program, ret_what);

	if (!err)
		*ret_fd = exec_fd(w->exec_program);
	return err;
}

/* What the kernel said of a process that is gone. */
static void process_add(struct watch *w, const struct exec_event *event)
{
	struct process_record *r = batch_begin(&w->scratch, RECORD_PROCESS, sizeof(*r));
	size_t comm_len = strnlen(event->comm, sizeof(event->comm));
	/* A relative path is no name for a file. */
	size_t exe_len = event->path[0] == '/' ? event->path_len : 0;

	if (r) {
		r->start_ticks = event->start_ticks;
		r->have = HAVE_IDS | (exe_len ? HAVE_EXE : 0u) | (event->args_len ? HAVE_CMDLINE : 0u);
		r->pid = event->pid;
		r->parent_pid = event->parent_pid;
		r->uid = event->uid;
		r->euid = event->euid;
		r->gid = event->gid;
		r->comm_len = (uint16_t)comm_len;
		r->exe_len = (uint16_t)exe_len;
		r->cmdline_len = (uint16_t)event->args_len;
	}
	batch_bytes(&w->scratch, event->comm, comm_len);
	batch_bytes(&w->scratch, event->path, exe_len);
	batch_bytes(&w->scratch, event->strings, event->args_len);
	batch_end(&w->scratch);
}

/* What is out of the ordinary. */
static void facts_add(struct watch *w, const struct exec_event *event)
{
	size_t name_len = strnlen(event->name, sizeof(event->name));
	struct exec_record *r = batch_begin(&w->scratch, RECORD_EXEC, sizeof(*r));

	if (r) {
		r->time_ns = event->time_ns;
		r->start_ticks = event->start_ticks;
		r->pid = event->pid;
		r->facts = event->facts;
		r->name_len = (uint16_t)name_len;
		r->loader_len = (uint16_t)event->loader_len;
	}
	batch_bytes(&w->scratch, event->name, name_len);
	batch_bytes(&w->scratch, event->strings + event->args_len, event->loader_len);
	batch_end(&w->scratch);
}

static bool has_ended(struct watch *w)
{
	const struct process_record *r = batch_record(&w->scratch);

	return r && r->head.kind == RECORD_PROCESS && !(r->have & (HAVE_EXE | HAVE_KTHREAD)) && !r->cmdline_len;
}

static void exec_add(void *arg, const void *sample, size_t len)
{
	const struct exec_event *event = sample;
	struct process_event_record *r;
	struct watch *w = arg;

	/* It ends with its strings. */
	if (event->path_len >= EXEC_PATH_MAX || event->args_len > EXEC_ARGS_MAX ||
	    event->loader_len > EXEC_LOADER_MAX ||
	    event->args_len + event->loader_len > len - offsetof(struct exec_event, strings))
		return;
	w->exec.events++;
	watch_calls_exec(w, event->pid, event->time_ns);
	watch_forget(w, event->pid);
	/* Of one that has ended and was not waited for /proc has no more than its name. */
	if (!watch_enrich(w, event->pid) || has_ended(w))
		process_add(w, event);
	r = batch_begin(&w->scratch, RECORD_PROCESS_EVENT, sizeof(*r));
	if (r) {
		r->time_ns = event->time_ns;
		r->event = PROCESS_EXEC;
		r->pid = event->pid;
		r->tid = event->pid;
	}
	batch_end(&w->scratch);
	if (event->facts || event->loader_len)
		facts_add(w, event);
}

void watch_exec_drain(struct watch *w)
{
	uint64_t lost;

	if (!w->exec.live)
		return;
	exec_drain(w->exec_program, EXEC_EVENTS, exec_add, w);
	lost = exec_lost(w->exec_program);
	if (lost)
		watch_source_lost(w, &w->exec, LOST_EXEC, lost);
	watch_commit(w);
}
