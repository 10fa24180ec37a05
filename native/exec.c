/* The loader of bpf/exec.bpf.c. */
#include <errno.h>
#include <stdlib.h>

#include "bpf.h"
#include "bpf/exec.h"
#include "bpf/exec.lskel.h"
#include "rimon.h"

struct exec {
	struct exec_bpf *skel;
	struct ring ring;
	struct losses losses;
};

int exec_open(struct exec **ret, const char **ret_what)
{
	struct exec *e;
	int err;

	err = bpf_check(ret_what);
	if (err)
		return err;
	e = calloc(1, sizeof(*e));
	*ret_what = "memory";
	if (!e)
		return -ENOMEM;
	err = -ENOMEM;
	e->skel = exec_bpf__open();
	if (!e->skel)
		goto fail;
	*ret_what = "load the exec program (Linux 5.17, CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN)";
	err = exec_bpf__load(e->skel);
	if (err)
		goto fail;
	*ret_what = "map the ring of the exec program";
	err = ring_open(&e->ring, e->skel->maps.events.map_fd, EXEC_RING_SIZE);
	if (err)
		goto fail;
	*ret_what = "attach the exec program (tracepoint sched_process_exec)";
	err = exec_bpf__attach(e->skel);
	if (err)
		goto fail;
	*ret = e;
	return 0;
fail:
	exec_close(e);
	return err < 0 ? err : -EINVAL;
}

void exec_close(struct exec *e)
{
	if (!e)
		return;
	ring_close(&e->ring);
	exec_bpf__destroy(e->skel);
	free(e);
}

int exec_fd(const struct exec *e)
{
	return e->skel->maps.events.map_fd;
}

uint64_t exec_lost(struct exec *e)
{
	return bpf_untold(&e->losses, (uint64_t *)&e->skel->bss->lost, &e->skel->progs, sizeof(e->skel->progs));
}

size_t exec_drain(struct exec *e, size_t limit, event_take each, void *arg)
{
	return ring_drain(&e->ring, limit, offsetof(struct exec_event, strings), each, arg);
}
