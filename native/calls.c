/*
 * The loader of bpf/calls.bpf.c. It is attached only while somebody asks for
 * it, since then every system call of the node costs a little more. Safe to
 * call from two threads: one that drains, one for all the rest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf.h"
#include "bpf/calls.h"
#include "bpf/calls.lskel.h"
#include "rimon.h"

struct numbered {
	uint16_t number;
	uint8_t call;
};

static const struct numbered native_calls[] = {
	{ SYS_ptrace, CALL_ATTACH }, { SYS_process_vm_readv, CALL_VM_READ }, { SYS_process_vm_writev, CALL_VM_WRITE },
	{ 438, CALL_GETFD }, { SYS_kcmp, CALL_COMPARE }, { SYS_perf_event_open, CALL_PERF },
	{ SYS_prlimit64, CALL_CORE_LIMIT }, { 440, CALL_ADVISE }, { SYS_prctl, CALL_DUMPABLE },
	{ SYS_bpf, CALL_BPF_LOAD }, { SYS_mmap, CALL_MAP_FILE }, { SYS_mprotect, CALL_MAP_CODE },
	{ SYS_pkey_mprotect, CALL_MAP_CODE },
#if defined(__x86_64__)
	/* Of x32 (arch/x86/entry/syscalls/syscall_64.tbl). */
	{ 521, CALL_ATTACH }, { 539, CALL_VM_READ }, { 540, CALL_VM_WRITE },
#endif
};

#if defined(__x86_64__)
/* arch/x86/entry/syscalls/syscall_32.tbl, which no header here has. */
static const struct numbered compat_calls[] = {
	{ 26, CALL_ATTACH }, { 347, CALL_VM_READ }, { 348, CALL_VM_WRITE }, { 438, CALL_GETFD }, { 349, CALL_COMPARE },
	{ 336, CALL_PERF }, { 340, CALL_CORE_LIMIT }, { 440, CALL_ADVISE }, { 172, CALL_DUMPABLE },
	{ 357, CALL_BPF_LOAD }, { 192, CALL_MAP_FILE }, { 125, CALL_MAP_CODE }, { 380, CALL_MAP_CODE },
};
#endif

struct calls {
	struct calls_bpf *skel;
	struct ring ring;
	uint64_t lost_told;
};

static void settings_fill(struct calls_bpf__rodata *settings)
{
	size_t i;

	settings->own_pid = (__u32)getpid();
	/* Without it stays 0, which is another kind of event: a kernel without uprobes has none. */
	(void)uprobe_type(&settings->uprobe_type);
	for (i = 0; i < sizeof(native_calls) / sizeof(native_calls[0]); i++)
		settings->calls[native_calls[i].number] = native_calls[i].call;
#if defined(__x86_64__)
	for (i = 0; i < sizeof(compat_calls) / sizeof(compat_calls[0]); i++)
		settings->calls[compat_calls[i].number] |= (uint16_t)(compat_calls[i].call << 8);
#endif
}

/* All but the one that every system call of the node goes through. */
static int attach_quiet(struct calls_bpf *skel)
{
	int err = calls_bpf__calls_fork__attach(skel);

	if (err >= 0)
		err = calls_bpf__calls_exec__attach(skel);
	if (err >= 0)
		err = calls_bpf__calls_exit__attach(skel);
	if (err >= 0)
		err = calls_bpf__calls_fill__attach(skel);
	return err < 0 ? err : 0;
}

int calls_open(struct calls **ret, const char **ret_what)
{
	struct calls *c;
	int err = bpf_check(ret_what);

	if (err)
		return err;
	c = calloc(1, sizeof(*c));
	*ret_what = "memory";
	if (!c)
		return -ENOMEM;
	err = -ENOMEM;
	c->skel = calls_bpf__open();
	if (!c->skel)
		goto fail;
	settings_fill(c->skel->rodata);
	*ret_what = "load the programs that see system calls (Linux 5.17, CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN)";
	err = calls_bpf__load(c->skel);
	if (err)
		goto fail;
	*ret_what = "map the ring of the programs that see system calls";
	err = ring_open(&c->ring, c->skel->maps.events.map_fd, CALLS_RING_SIZE);
	if (err)
		goto fail;
	*ret_what = "attach the programs that see system calls (tracepoints sched_process_*)";
	err = attach_quiet(c->skel);
	if (err)
		goto fail;
	/* Whether it can be had is known now and not at the first protected process. */
	*ret_what = "attach the programs that see system calls (tracepoint sys_enter)";
	err = calls_listen(c, true);
	if (!err)
		err = calls_listen(c, false);
	if (err)
		goto fail;
	*ret = c;
	return 0;
fail:
	calls_close(c);
	return err < 0 ? err : -EINVAL;
}

void calls_close(struct calls *c)
{
	if (!c)
		return;
	ring_close(&c->ring);
	calls_bpf__destroy(c->skel);
	free(c);
}

int calls_fd(const struct calls *c)
{
	return c->skel->maps.events.map_fd;
}

int calls_listen(struct calls *c, bool on)
{
	int *link = &c->skel->links.calls_enter_fd, err;

	if (on == (*link > 0))
		return 0;
	if (!on) {
		close(*link);
		*link = 0;
		return 0;
	}
	err = calls_bpf__calls_enter__attach(c->skel);
	return err < 0 ? err : 0;
}

int calls_protect(struct calls *c, const struct process_target *targets, size_t n)
{
	size_t i;
	int err;

	for (i = 0; i < n; i++) {
		err = bpf_map_set(c->skel->maps.processes.map_fd, &targets[i].pid, &targets[i].start_ticks);
		if (err)
			return err;
	}
	return bpf_iterate(c->skel->links.calls_fill_fd, NULL);
}

int calls_unprotect(struct calls *c, uint32_t pid)
{
	/* Its threads lead to nobody now, and are removed as they exit. */
	return bpf_map_remove(c->skel->maps.processes.map_fd, &pid);
}

uint64_t calls_lost(struct calls *c)
{
	return bpf_untold((uint64_t *)&c->skel->bss->control.lost, &c->lost_told);
}

size_t calls_drain(struct calls *c, size_t limit, event_take each, void *arg)
{
	return ring_drain(&c->ring, limit, sizeof(struct call_event), each, arg);
}
