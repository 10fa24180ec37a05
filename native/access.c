/*
 * The loader of bpf/access.bpf.c, and the proof that the kernel heeds it. Safe
 * to call from two threads: one that drains, one for all the rest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf.h"
#include "bpf/access.h"
#include "bpf/access.lskel.h"
#include "rimon.h"

/* The numbers of 32-bit programs on x86-64 (arch/x86/entry/syscalls/syscall_32.tbl), which no header here has. */
static const struct call_number {
	uint16_t number;
	uint8_t call;
} compat_calls[] = {
#if defined(__x86_64__)
	{ 26, ACCESS_BY_PTRACE }, { 347, ACCESS_BY_VM_READ }, { 348, ACCESS_BY_VM_WRITE }, { 5, ACCESS_BY_OPEN },
	{ 295, ACCESS_BY_OPEN }, { 437, ACCESS_BY_OPEN }, { 3, ACCESS_BY_READ }, { 180, ACCESS_BY_READ }, { 145, ACCESS_BY_READ },
	{ 333, ACCESS_BY_READ }, { 378, ACCESS_BY_READ }, { 187, ACCESS_BY_READ }, { 239, ACCESS_BY_READ }, { 313, ACCESS_BY_READ },
	{ 438, ACCESS_BY_PIDFD_GETFD }, { 349, ACCESS_BY_KCMP }, { 440, ACCESS_BY_ADVISE }, { 336, ACCESS_BY_PERF },
	{ 317, ACCESS_BY_MOVE }, { 294, ACCESS_BY_MOVE }, { 346, ACCESS_BY_SETNS },
#else
	{ 0, ACCESS_BY_OTHER },
#endif
}, calls[] = {
	{ SYS_ptrace, ACCESS_BY_PTRACE }, { SYS_process_vm_readv, ACCESS_BY_VM_READ }, { SYS_process_vm_writev, ACCESS_BY_VM_WRITE },
	{ SYS_openat, ACCESS_BY_OPEN }, { 437, ACCESS_BY_OPEN }, { SYS_read, ACCESS_BY_READ }, { SYS_pread64, ACCESS_BY_READ },
	{ SYS_readv, ACCESS_BY_READ }, { SYS_preadv, ACCESS_BY_READ }, { SYS_preadv2, ACCESS_BY_READ }, { SYS_sendfile, ACCESS_BY_READ },
	{ SYS_splice, ACCESS_BY_READ }, { 438, ACCESS_BY_PIDFD_GETFD }, { SYS_kcmp, ACCESS_BY_KCMP }, { 440, ACCESS_BY_ADVISE },
	{ SYS_perf_event_open, ACCESS_BY_PERF }, { SYS_move_pages, ACCESS_BY_MOVE }, { SYS_migrate_pages, ACCESS_BY_MOVE },
	{ SYS_setns, ACCESS_BY_SETNS },
#if defined(__x86_64__)
	{ SYS_open, ACCESS_BY_OPEN },
	/* Of x32 (arch/x86/entry/syscalls/syscall_64.tbl). */
	{ 515, ACCESS_BY_READ }, { 534, ACCESS_BY_READ }, { 546, ACCESS_BY_READ }, { 521, ACCESS_BY_PTRACE }, { 533, ACCESS_BY_MOVE },
	{ 539, ACCESS_BY_VM_READ }, { 540, ACCESS_BY_VM_WRITE },
#endif
};

struct access {
	struct access_bpf *skel;
	struct ring ring;
	struct losses losses;
};

static void calls_fill(__u8 *table, const struct call_number *numbers, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		table[numbers[i].number] = numbers[i].call;
}

/* Attached is not called, and called is not heeded: so a decoy of our own must come back out of reach. */
static int access_prove(struct access *a)
{
	pid_t decoy = decoy_start();
	uint64_t before;
	int answer;

	if (decoy < 0)
		return decoy;
	before = __atomic_load_n(&a->skel->bss->control.proofs, __ATOMIC_ACQUIRE);
	__atomic_store_n(&a->skel->bss->control.decoy, (__u32)decoy, __ATOMIC_RELEASE);
	answer = decoy_read(decoy);
	__atomic_store_n(&a->skel->bss->control.decoy, 0, __ATOMIC_RELEASE);
	decoy_end(decoy);
	if (__atomic_load_n(&a->skel->bss->control.proofs, __ATOMIC_ACQUIRE) == before)
		return -ENOENT;
	return answer == -EPERM ? 0 : -EACCES;
}

int access_open(struct access **ret, const char **ret_what)
{
	struct access *a;
	int err = bpf_check(ret_what);

	if (err)
		return err;
	a = calloc(1, sizeof(*a));
	*ret_what = "memory";
	if (!a)
		return -ENOMEM;
	err = -ENOMEM;
	a->skel = access_bpf__open();
	if (!a->skel)
		goto fail;
	a->skel->rodata->own_pid = (__u32)getpid();
	calls_fill(a->skel->rodata->calls, calls, sizeof(calls) / sizeof(calls[0]));
	calls_fill(a->skel->rodata->compat_calls, compat_calls, sizeof(compat_calls) / sizeof(compat_calls[0]));
	*ret_what = "load the access check (Linux 5.17, CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN, and a kernel that lets eBPF change a result)";
	err = access_bpf__load(a->skel);
	if (err)
		goto fail;
	*ret_what = "map the ring of the access check";
	err = ring_open(&a->ring, a->skel->maps.events.map_fd, ACCESS_RING_SIZE);
	if (err)
		goto fail;
	*ret_what = "attach the access check (BPF trampolines, which arm64 has from Linux 6.4 on)";
	err = access_bpf__attach(a->skel);
	if (err)
		goto fail;
	*ret_what = "see a decoy's memory refused: the access check is attached, and the kernel does not call it or not heed it";
	err = access_prove(a);
	if (err)
		goto fail;
	*ret = a;
	return 0;
fail:
	access_close(a);
	return err < 0 ? err : -EINVAL;
}

void access_close(struct access *a)
{
	if (!a)
		return;
	ring_close(&a->ring);
	access_bpf__destroy(a->skel);
	free(a);
}

int access_fd(const struct access *a)
{
	return a->skel->maps.events.map_fd;
}

int access_protect(struct access *a, const struct process_target *targets, size_t n)
{
	size_t i;
	int err;

	for (i = 0; i < n; i++) {
		struct access_protected wanted = { targets[i].start_ticks, targets[i].enforce >> TARGET_ACCESS_SHIFT };

		err = bpf_map_set(a->skel->maps.processes.map_fd, &targets[i].pid, &wanted);
		if (err)
			return err;
	}
	return 0;
}

int access_unprotect(struct access *a, uint32_t pid)
{
	return bpf_map_remove(a->skel->maps.processes.map_fd, &pid);
}

void access_protected(struct access *a, pid_take each, void *arg)
{
	bpf_map_pids(a->skel->maps.processes.map_fd, each, arg);
}

void access_enforce(struct access *a, uint32_t enforce, pid_t family, bool machine)
{
	access_beat(a);
	__atomic_store_n(&a->skel->bss->control.family, (__u32)family, __ATOMIC_RELEASE);
	__atomic_store_n(&a->skel->bss->control.refuse_machine, machine, __ATOMIC_RELEASE);
	__atomic_store_n(&a->skel->bss->control.enforce, enforce, __ATOMIC_RELEASE);
}

void access_beat(struct access *a)
{
	__atomic_store_n(&a->skel->bss->control.heartbeat_ns, monotonic_ns(), __ATOMIC_RELEASE);
}

int access_exempt(struct access *a, const struct watch_file *files, size_t n)
{
	return bpf_map_files(a->skel->maps.exempt.map_fd, files, n);
}

uint64_t access_lost(struct access *a)
{
	return bpf_untold(&a->losses, (uint64_t *)&a->skel->bss->control.lost, &a->skel->progs, sizeof(a->skel->progs));
}

size_t access_drain(struct access *a, size_t limit, event_take each, void *arg)
{
	return ring_drain(&a->ring, limit, sizeof(struct access_event), each, arg);
}
