/*
 * The loader of bpf/call_hooks.bpf.c and, where those cannot be had, of
 * bpf/calls.bpf.c: that one is attached only while somebody asks for it, since
 * then every system call of the node costs a little more. Safe to call from two
 * threads: one that drains, one for all the rest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf.h"
#include "bpf/calls.h"
#include "bpf/call_hooks.lskel.h"
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

/* The one that was loaded, and of either what is used. */
struct calls {
	struct call_hooks_bpf *hooks;
	struct calls_bpf *entry;
	int processes;
	int events;
	int fill;		/* the link of the iterator */
	struct calls_control *control;
	struct ring ring;
	struct losses losses;
};

static void numbers_fill(__u16 *calls)
{
	size_t i;

	for (i = 0; i < sizeof(native_calls) / sizeof(native_calls[0]); i++)
		calls[native_calls[i].number] = native_calls[i].call;
#if defined(__x86_64__)
	for (i = 0; i < sizeof(compat_calls) / sizeof(compat_calls[0]); i++)
		calls[compat_calls[i].number] |= (uint16_t)(compat_calls[i].call << 8);
#endif
}

/*
 * The compiler may have made more than one of a function that is static: then
 * the other is not called, or not always. So both ways into the first and one
 * into the second are gone.
 */
static int hooks_prove(struct calls_control *control)
{
	const __u32 expected = 1u << CALL_VM_READ | 1u << CALL_ATTACH | 1u << CALL_REGISTERS_READ;
	pid_t decoy = decoy_start();

	if (decoy < 0)
		return decoy;
	__atomic_store_n(&control->decoy, (__u32)decoy, __ATOMIC_RELEASE);
	(void)decoy_read(decoy);
	(void)decoy_seize(decoy);
	(void)decoy_ask(decoy);
	__atomic_store_n(&control->decoy, 0, __ATOMIC_RELEASE);
	decoy_end(decoy);
	return __atomic_load_n(&control->proofs, __ATOMIC_ACQUIRE) == expected ? 0 : -ENOENT;
}

static int hooks_open(struct calls *c, const char **ret_what)
{
	int err = -ENOMEM;

	*ret_what = "memory";
	c->hooks = call_hooks_bpf__open();
	if (!c->hooks)
		return err;
	c->hooks->rodata->own_pid = (__u32)getpid();
	/* Without it stays 0, which is another kind of event: a kernel without uprobes has none. */
	(void)uprobe_type(&c->hooks->rodata->uprobe_type);
	numbers_fill(c->hooks->rodata->calls);
	*ret_what = "load the programs that see calls where the kernel handles them";
	err = call_hooks_bpf__load(c->hooks);
	if (err)
		goto fail;
	*ret_what = "attach them (BPF trampolines, which arm64 has from Linux 6.4 on)";
	err = call_hooks_bpf__attach(c->hooks);
	if (err)
		goto fail;
	*ret_what = "see calls on a decoy where the kernel handles them";
	err = hooks_prove(&c->hooks->bss->control);
	if (err)
		goto fail;
	c->processes = c->hooks->maps.processes.map_fd;
	c->events = c->hooks->maps.events.map_fd;
	c->fill = c->hooks->links.calls_fill_fd;
	c->control = &c->hooks->bss->control;
	return 0;
fail:
	call_hooks_bpf__destroy(c->hooks);
	c->hooks = NULL;
	return err < 0 ? err : -EINVAL;
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

static int entry_open(struct calls *c, const char **ret_what)
{
	int err = -ENOMEM;

	*ret_what = "memory";
	c->entry = calls_bpf__open();
	if (!c->entry)
		return err;
	c->entry->rodata->own_pid = (__u32)getpid();
	(void)uprobe_type(&c->entry->rodata->uprobe_type);
	numbers_fill(c->entry->rodata->calls);
	*ret_what = "load the programs that see system calls (Linux 5.17, CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN)";
	err = calls_bpf__load(c->entry);
	if (err)
		goto fail;
	*ret_what = "attach the programs that see system calls (tracepoints sched_process_*)";
	err = attach_quiet(c->entry);
	if (err)
		goto fail;
	/* Whether it can be had is known now and not at the first protected process. */
	*ret_what = "attach the programs that see system calls (tracepoint sys_enter)";
	err = calls_listen(c, true);
	if (!err)
		err = calls_listen(c, false);
	if (err)
		goto fail;
	c->processes = c->entry->maps.processes.map_fd;
	c->events = c->entry->maps.events.map_fd;
	c->fill = c->entry->links.calls_fill_fd;
	c->control = &c->entry->bss->control;
	return 0;
fail:
	calls_bpf__destroy(c->entry);
	c->entry = NULL;
	return err < 0 ? err : -EINVAL;
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
	err = hooks_open(c, ret_what);
	if (err)
		err = entry_open(c, ret_what);
	if (err)
		goto fail;
	*ret_what = "map the ring of the programs that see system calls";
	err = ring_open(&c->ring, c->events, CALLS_RING_SIZE);
	if (err)
		goto fail;
	*ret = c;
	return 0;
fail:
	calls_close(c);
	return err;
}

void calls_close(struct calls *c)
{
	if (!c)
		return;
	ring_close(&c->ring);
	if (c->hooks)
		call_hooks_bpf__destroy(c->hooks);
	if (c->entry)
		calls_bpf__destroy(c->entry);
	free(c);
}

bool calls_at_entry(const struct calls *c)
{
	return c->entry != NULL;
}

int calls_fd(const struct calls *c)
{
	return c->events;
}

int calls_listen(struct calls *c, bool on)
{
	int *link, err;

	/* The hooks cost nobody anything, and are attached all the time. */
	if (c->hooks)
		return 0;
	link = &c->entry->links.calls_enter_fd;
	if (on == (*link > 0))
		return 0;
	if (!on) {
		close(*link);
		*link = 0;
		return 0;
	}
	err = calls_bpf__calls_enter__attach(c->entry);
	return err < 0 ? err : 0;
}

int calls_protect(struct calls *c, const struct process_target *targets, size_t n)
{
	size_t i;
	int err;

	for (i = 0; i < n; i++) {
		err = bpf_map_set(c->processes, &targets[i].pid, &targets[i].start_ticks);
		if (err)
			return err;
	}
	return bpf_iterate(c->fill, NULL);
}

int calls_unprotect(struct calls *c, uint32_t pid)
{
	/* Its threads lead to nobody now, and are removed as they exit. */
	return bpf_map_remove(c->processes, &pid);
}

void calls_protected(struct calls *c, pid_take each, void *arg)
{
	bpf_map_pids(c->processes, each, arg);
}

uint64_t calls_lost(struct calls *c)
{
	const uint64_t *counter = (uint64_t *)&c->control->lost;

	if (c->hooks)
		return bpf_untold(&c->losses, counter, &c->hooks->progs, sizeof(c->hooks->progs));
	return bpf_untold(&c->losses, counter, &c->entry->progs, sizeof(c->entry->progs));
}

size_t calls_drain(struct calls *c, size_t limit, event_take each, void *arg)
{
	return ring_drain(&c->ring, limit, sizeof(struct call_event), each, arg);
}
