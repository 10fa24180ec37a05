/*
 * The loader of bpf/memory.bpf.c: who is protected, what is refused, and the
 * events. Safe to call from two threads: one that drains, one for all the rest.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf.h"
#include "bpf/memory.h"
#include "bpf/memory.lskel.h"
#include "rimon.h"

/* The numbers of 32-bit programs on x86-64 (arch/x86/entry/syscalls/syscall_32.tbl), which no header here has. */
static const struct {
	uint16_t number;
	uint8_t kind;
} compat_calls[] = {
#if defined(__x86_64__)
	{ 3, SYSCALL_FD_READ }, { 180, SYSCALL_FD_READ }, { 145, SYSCALL_FD_READ }, { 333, SYSCALL_FD_READ },
	{ 378, SYSCALL_FD_READ }, { 4, SYSCALL_FD_WRITE }, { 181, SYSCALL_FD_WRITE }, { 146, SYSCALL_FD_WRITE },
	{ 334, SYSCALL_FD_WRITE }, { 379, SYSCALL_FD_WRITE }, { 187, SYSCALL_FD_SECOND }, { 239, SYSCALL_FD_SECOND },
	{ 313, SYSCALL_FD_READ }, { 54, SYSCALL_FD_READ }, { 26, SYSCALL_PTRACE },
	{ 347, SYSCALL_IS + MEMORY_VM_READ }, { 348, SYSCALL_IS + MEMORY_VM_WRITE },
	{ 440, SYSCALL_IS + MEMORY_ADVISE }, { 336, SYSCALL_IS + MEMORY_UPROBE }, { 317, SYSCALL_IS + MEMORY_MOVE },
	{ 294, SYSCALL_IS + MEMORY_MOVE }, { 448, SYSCALL_IS + MEMORY_HARMLESS }, { 220, SYSCALL_FD_READ },
#else
	{ 0, SYSCALL_OTHER },
#endif
}, calls[] = {
	{ SYS_read, SYSCALL_FD_READ }, { SYS_pread64, SYSCALL_FD_READ }, { SYS_readv, SYSCALL_FD_READ },
	{ SYS_preadv, SYSCALL_FD_READ }, { SYS_preadv2, SYSCALL_FD_READ }, { SYS_write, SYSCALL_FD_WRITE },
	{ SYS_pwrite64, SYSCALL_FD_WRITE }, { SYS_writev, SYSCALL_FD_WRITE }, { SYS_pwritev, SYSCALL_FD_WRITE },
	{ SYS_pwritev2, SYSCALL_FD_WRITE }, { SYS_sendfile, SYSCALL_FD_SECOND }, { SYS_splice, SYSCALL_FD_READ },
	{ SYS_copy_file_range, SYSCALL_FD_READ }, { SYS_ioctl, SYSCALL_FD_READ }, { SYS_getdents64, SYSCALL_FD_READ },
	{ SYS_ptrace, SYSCALL_PTRACE }, { SYS_process_vm_readv, SYSCALL_IS + MEMORY_VM_READ },
	{ SYS_process_vm_writev, SYSCALL_IS + MEMORY_VM_WRITE }, { 440, SYSCALL_IS + MEMORY_ADVISE },
	{ SYS_perf_event_open, SYSCALL_IS + MEMORY_UPROBE }, { SYS_move_pages, SYSCALL_IS + MEMORY_MOVE },
	{ SYS_migrate_pages, SYSCALL_IS + MEMORY_MOVE }, { 448, SYSCALL_IS + MEMORY_HARMLESS },
#if defined(__x86_64__)
	/* Of x32 (arch/x86/entry/syscalls/syscall_64.tbl). */
	{ 515, SYSCALL_FD_READ }, { 516, SYSCALL_FD_WRITE }, { 534, SYSCALL_FD_READ }, { 535, SYSCALL_FD_WRITE },
	{ 546, SYSCALL_FD_READ }, { 547, SYSCALL_FD_WRITE }, { 514, SYSCALL_FD_READ }, { 521, SYSCALL_PTRACE },
	{ 533, SYSCALL_IS + MEMORY_MOVE }, { 539, SYSCALL_IS + MEMORY_VM_READ }, { 540, SYSCALL_IS + MEMORY_VM_WRITE },
#endif
};

/* Who calls whom differs between kernels; the innermost that is found decides. */
static const struct kernel_function functions[] = {
	{ "mem_rw", MEMORY_MEM_READ },
	{ "mem_read", MEMORY_MEM_READ },
	{ "mem_write", MEMORY_MEM_WRITE },
	{ "process_vm_rw", MEMORY_VM_READ },
	{ "process_vm_rw_core", MEMORY_VM_READ },
	{ "process_vm_rw_single_vec", MEMORY_VM_READ },
	{ "ptrace_access_vm", MEMORY_PEEK },
	{ "generic_ptrace_peekdata", MEMORY_PEEK },
	{ "generic_ptrace_pokedata", MEMORY_POKE },
	{ "bpf_copy_from_user_task", MEMORY_BPF },
	{ "bpf_copy_from_user_task_str", MEMORY_BPF },
	{ "environ_read", MEMORY_ENVIRON },
	{ "proc_pid_cmdline_read", MEMORY_CMDLINE },
	{ "get_mm_cmdline", MEMORY_CMDLINE },
	{ "get_mm_proctitle", MEMORY_CMDLINE },
	{ "get_cmdline", MEMORY_CMDLINE },
	{ "m_start", MEMORY_MAPS },
	{ "m_next", MEMORY_MAPS },
	{ "show_smap", MEMORY_MAPS },
	{ "show_smaps_rollup", MEMORY_MAPS },
	{ "show_numa_map", MEMORY_MAPS },
	{ "do_procmap_query", MEMORY_MAPS },
	{ "pagemap_read", MEMORY_PAGEMAP },
	{ "do_pagemap_cmd", MEMORY_PAGEMAP },
	{ "do_pagemap_scan", MEMORY_PAGEMAP },
	{ "proc_map_files_get_link", MEMORY_MAP_FILES },
	{ "map_files_get_link", MEMORY_MAP_FILES },
	{ "proc_map_files_lookup", MEMORY_MAP_FILES },
	{ "proc_map_files_readdir", MEMORY_MAP_FILES },
	{ "map_files_d_revalidate", MEMORY_MAP_FILES },
	{ "register_for_each_vma", MEMORY_UPROBE },
	{ "exit_mmap", MEMORY_HARMLESS },
	{ "__mmput", MEMORY_HARMLESS },
	{ "__oom_reap_task_mm", MEMORY_HARMLESS },
	{ "try_to_unuse", MEMORY_HARMLESS },
	{ "unuse_mm", MEMORY_HARMLESS },
	/* Whoever needs memory looks for it in that of others (mm/vmscan.c of v6.1, CONFIG_LRU_GEN). */
	{ "walk_mm", MEMORY_HARMLESS },
	{ "try_to_inc_max_seq", MEMORY_HARMLESS },
	{ "shrink_node", MEMORY_HARMLESS },
	/* MADV_COLLAPSE of a file that others have mapped, too (mm/khugepaged.c of v6.1). */
	{ "retract_page_tables", MEMORY_HARMLESS },
	/* cpuset.mems, and what a cgroup of version 1 takes with a process (kernel/cgroup/cpuset.c, mm/memcontrol.c). */
	{ "mpol_rebind_mm", MEMORY_HARMLESS },
	{ "cpuset_attach", MEMORY_HARMLESS },
	{ "mem_cgroup_move_charge", MEMORY_HARMLESS },
	{ "mem_cgroup_can_attach", MEMORY_HARMLESS },
};

struct memory {
	struct memory_bpf *skel;
	struct ring ring;
	struct losses losses;
	/* Looks for the functions while the programs are loaded, and on until the first process is protected. */
	pthread_t finder;
	bool is_finding;
	struct kernel_range ranges[MEMORY_FUNCTIONS];
	size_t n_ranges;
};

static void settings_fill(struct memory_bpf__rodata *settings)
{
	size_t i;

	settings->own_pid = (__u32)getpid();
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		settings->syscalls[calls[i].number] = calls[i].kind;
	for (i = 0; i < sizeof(compat_calls) / sizeof(compat_calls[0]); i++)
		settings->compat_syscalls[compat_calls[i].number] = compat_calls[i].kind;
}

/* Where addresses are hidden nothing is found, and the call in flight has to do. */
static void *functions_find(void *arg)
{
	struct memory *m = arg;
	struct kallsyms k = {
		.functions = functions,
		.n_functions = sizeof(functions) / sizeof(functions[0]),
		.ranges = m->ranges,
		.room = MEMORY_FUNCTIONS,
	};

	m->n_ranges = kallsyms_read(&k) < 0 ? 0 : k.open;
	return NULL;
}

/* Before it, and where there was no thread for it, the call in flight has to do. */
static void functions_settle(struct memory *m)
{
	size_t i;

	if (!m->is_finding)
		return;
	pthread_join(m->finder, NULL);
	m->is_finding = false;
	for (i = 0; i < m->n_ranges; i++) {
		const struct kernel_range *found = &m->ranges[i];

		m->skel->bss->functions[i] = (struct memory_function){ found->start, found->end, found->operation };
	}
}

int memory_open(struct memory **ret, const char **ret_what)
{
	struct memory *m;
	int err;

	err = bpf_check(ret_what);
	if (err)
		return err;
	m = calloc(1, sizeof(*m));
	*ret_what = "memory";
	if (!m)
		return -ENOMEM;
	err = -ENOMEM;
	m->skel = memory_bpf__open();
	if (!m->skel)
		goto fail;
	settings_fill(m->skel->rodata);
	*ret_what = "load the memory programs (Linux 5.17, CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN)";
	m->is_finding = pthread_create(&m->finder, NULL, functions_find, m) == 0;
	err = memory_bpf__load(m->skel);
	if (err)
		goto fail;
	*ret_what = "map the ring of the memory programs";
	err = ring_open(&m->ring, m->skel->maps.events.map_fd, MEMORY_RING_SIZE);
	if (err)
		goto fail;
	*ret_what = "attach the memory programs (tracepoint mmap_lock_start_locking: Linux 5.11)";
	err = memory_bpf__attach(m->skel);
	if (err)
		goto fail;
	*ret = m;
	return 0;
fail:
	memory_close(m);
	return err < 0 ? err : -EINVAL;
}

void memory_close(struct memory *m)
{
	if (!m)
		return;
	if (m->is_finding)
		pthread_join(m->finder, NULL);
	ring_close(&m->ring);
	memory_bpf__destroy(m->skel);
	free(m);
}

int memory_fd(const struct memory *m)
{
	return m->skel->maps.events.map_fd;
}

int memory_protect(struct memory *m, const struct process_target *targets, size_t n)
{
	int map = m->skel->maps.processes.map_fd, err;
	size_t i;

	functions_settle(m);
	for (i = 0; i < n; i++) {
		struct memory_protected known = { 0 }, wanted = { 0, targets[i].start_ticks, targets[i].enforce };

		/* What the programs found of it stays, or an exec between the two calls would be forgotten. */
		if (bpf_map_get(map, &targets[i].pid, &known) == 0 && known.start_ticks == wanted.start_ticks)
			wanted.mm = known.mm;
		err = bpf_map_set(map, &targets[i].pid, &wanted);
		if (err)
			return err;
	}
	return bpf_iterate(m->skel->links.memory_fill_fd, NULL);
}

int memory_unprotect(struct memory *m, uint32_t pid)
{
	int spaces = m->skel->maps.address_spaces.map_fd, err;
	struct memory_protected known;
	uint32_t owner;

	if (bpf_map_get(m->skel->maps.processes.map_fd, &pid, &known) < 0)
		return 0;
	err = bpf_map_remove(m->skel->maps.processes.map_fd, &pid);
	if (!err && known.mm && bpf_map_get(spaces, &known.mm, &owner) == 0 && owner == pid)
		err = bpf_map_remove(spaces, &known.mm);
	return err;
}

void memory_protected(struct memory *m, pid_take each, void *arg)
{
	bpf_map_pids(m->skel->maps.processes.map_fd, each, arg);
}

void memory_enforce(struct memory *m, uint32_t enforce)
{
	memory_beat(m);
	__atomic_store_n(&m->skel->bss->control.enforce, enforce, __ATOMIC_RELEASE);
}

void memory_beat(struct memory *m)
{
	__atomic_store_n(&m->skel->bss->control.heartbeat_ns, monotonic_ns(), __ATOMIC_RELEASE);
}

int memory_exempt(struct memory *m, const struct watch_file *files, size_t n)
{
	return bpf_map_files(m->skel->maps.exempt.map_fd, files, n);
}

uint64_t memory_lost(struct memory *m)
{
	return bpf_untold(&m->losses, (uint64_t *)&m->skel->bss->control.lost, &m->skel->progs, sizeof(m->skel->progs));
}

size_t memory_drain(struct memory *m, size_t limit, event_take each, void *arg)
{
	return ring_drain(&m->ring, limit, sizeof(struct memory_event), each, arg);
}
