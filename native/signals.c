/* The loader of bpf/signals.bpf.c. Safe to call from two threads: one that drains, one for all the rest. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf.h"
#include "bpf/signals.h"
#include "bpf/signals.lskel.h"
#include "rimon.h"

/* Those whose default is a core dump (signal(7)), the one that cannot be refused, and the inspector's. */
static const uint8_t told_signals[] = {
	SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS, SIGSTOP, SIGUSR1,
};

/* rt_sigqueueinfo, rt_tgsigqueueinfo and pidfd_send_signal */
static const uint32_t queueing[] = {
	SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, 424,
#if defined(__x86_64__)
	/* Of x32 (arch/x86/entry/syscalls/syscall_64.tbl). */
	524, 536,
#endif
};

#if defined(__x86_64__)
/* arch/x86/entry/syscalls/syscall_32.tbl, which no header here has. */
static const uint32_t compat_queueing[] = { 178, 335, 424 };
#endif

/* linux: include/linux/signal.h, sig_specific_sicodes */
static const uint8_t fault_signals[] = { SIGILL, SIGFPE, SIGSEGV, SIGBUS, SIGTRAP, SIGSYS };

struct signals {
	struct signals_bpf *skel;
	struct ring ring;
	struct losses losses;
};

static void settings_fill(struct signals_bpf__rodata *settings)
{
	size_t i;

	settings->own_pid = (__u32)getpid();
	for (i = 0; i < sizeof(told_signals); i++)
		settings->told_signals |= 1ull << told_signals[i];
	for (i = 0; i < sizeof(fault_signals); i++)
		settings->fault_signals |= 1ull << fault_signals[i];
	/* No call has this number. */
	memset((void *)settings->queueing, 0xff, sizeof(settings->queueing));
	memset((void *)settings->compat_queueing, 0xff, sizeof(settings->compat_queueing));
	memcpy((void *)settings->queueing, queueing, sizeof(queueing));
#if defined(__x86_64__)
	memcpy((void *)settings->compat_queueing, compat_queueing, sizeof(compat_queueing));
#endif
}

int signals_open(struct signals **ret, const char **ret_what)
{
	struct signals *s;
	int err = bpf_check(ret_what);

	if (err)
		return err;
	s = calloc(1, sizeof(*s));
	*ret_what = "memory";
	if (!s)
		return -ENOMEM;
	err = -ENOMEM;
	s->skel = signals_bpf__open();
	if (!s->skel)
		goto fail;
	settings_fill(s->skel->rodata);
	*ret_what = "load the programs that see signals (Linux 5.17, CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN)";
	err = signals_bpf__load(s->skel);
	if (err)
		goto fail;
	*ret_what = "map the ring of the programs that see signals";
	err = ring_open(&s->ring, s->skel->maps.events.map_fd, SIGNALS_RING_SIZE);
	if (err)
		goto fail;
	*ret_what = "attach the programs that see signals (tracepoints signal_generate, sched_process_*)";
	err = signals_bpf__attach(s->skel);
	if (err)
		goto fail;
	*ret = s;
	return 0;
fail:
	signals_close(s);
	return err < 0 ? err : -EINVAL;
}

void signals_close(struct signals *s)
{
	if (!s)
		return;
	ring_close(&s->ring);
	signals_bpf__destroy(s->skel);
	free(s);
}

int signals_fd(const struct signals *s)
{
	return s->skel->maps.events.map_fd;
}

int signals_protect(struct signals *s, const struct process_target *targets, size_t n)
{
	size_t i;
	int err;

	for (i = 0; i < n; i++) {
		err = bpf_map_set(s->skel->maps.processes.map_fd, &targets[i].pid, &targets[i].start_ticks);
		if (err)
			return err;
	}
	return 0;
}

int signals_unprotect(struct signals *s, uint32_t pid)
{
	return bpf_map_remove(s->skel->maps.processes.map_fd, &pid);
}

void signals_protected(struct signals *s, pid_take each, void *arg)
{
	bpf_map_pids(s->skel->maps.processes.map_fd, each, arg);
}

uint64_t signals_lost(struct signals *s)
{
	return bpf_untold(&s->losses, (uint64_t *)&s->skel->bss->control.lost, &s->skel->progs, sizeof(s->skel->progs));
}

size_t signals_drain(struct signals *s, size_t limit, event_take each, void *arg)
{
	return ring_drain(&s->ring, limit, sizeof(struct signal_event), each, arg);
}
