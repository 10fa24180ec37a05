/*
 * What the drill does, to its own decoys and attackers and to nothing else, by
 * file. Results are as in rimon.h.
 */
#ifndef RIMON_ATTACK_H
#define RIMON_ATTACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* attack_decoy.c: what the drill's decoy does to itself. */
void attack_secret(const unsigned char **ret_bytes, size_t *ret_len, uint64_t *ret_code);
int attack_start_thread(uint32_t *ret_tid);
/* One that has the secret on its stack and something to do. */
int attack_start_computing(uint32_t *ret_tid);
/* The page of the secret becomes writable and executable at once. */
int attack_open_page(void);
/* A copy of the secret below 4 GiB; x86-64 only. */
int attack_low_copy(uint64_t *ret_address);
/* A connected socket in which the secret waits to be read. */
int attack_hold_socket(uint32_t *ret_fd);
int attack_become_dumpable(void);
/* No core file, until somebody raises the soft limit. */
int attack_lower_core_limit(void);

/* attack_hide.c: with this in the environment the addon, preloaded, takes LD_PRELOAD out of it. */
#define HIDE_ASKED "RIMON_DRILL_HIDE="

/*
 * attack_*.c: the primitives of the drill. Those that read return how many
 * bytes, or -errno; -ENOSYS also says that this kernel has no such thing.
 */

/* attack_ptrace.c. After hold, and until release, the caller's thread is the tracer. */
ssize_t attack_ptrace_attach(uint32_t pid, uint64_t address, char *buf, size_t len);
ssize_t attack_ptrace_seize(uint32_t pid, uint64_t address, char *buf, size_t len);
int attack_ptrace_hold(uint32_t tid, bool suspend_seccomp);
ssize_t attack_ptrace_peek(uint32_t tid, uint64_t address, char *buf, size_t len);
ssize_t attack_ptrace_registers(uint32_t tid, char *buf, size_t len);
int attack_ptrace_release(uint32_t tid);
int attack_ptrace_patch_text(uint32_t pid, uint64_t address);
/* And lets go without taking it away. */
int attack_ptrace_leave_breakpoint(uint32_t pid, uint64_t address);

/* attack_memory.c */
#define ATTACK_SHARED	4096
/* Maps the first bytes of a file, shared, for the rest of the process's life. */
int attack_share(const char *path, char **ret_bytes);
ssize_t attack_process_vm_readv(uint32_t pid, uint64_t address, char *buf, size_t len);
/* By int $0x80 and the table of 32-bit calls; the address has to be below 4 GiB. */
ssize_t attack_process_vm_readv_32(uint32_t pid, uint64_t address, char *buf, size_t len);
ssize_t attack_process_vm_writev(uint32_t pid, uint64_t address, const char *bytes, size_t len);
int attack_process_madvise(uint32_t pid, uint64_t address, size_t len);
ssize_t attack_proc_mem_detached_mount(uint32_t pid, uint64_t address, char *buf, size_t len);
int attack_patch_text(uint32_t pid, uint64_t address);

/* attack_descriptors.c */
ssize_t attack_pidfd_getfd(uint32_t pid, uint32_t fd, char *buf, size_t len);
int attack_kcmp(uint32_t pid);
int attack_bind_socket(const char *path, uint32_t *ret_fd);
int attack_send_descriptor(const char *path, uint32_t fd);
int attack_receive_descriptor(uint32_t socket, uint32_t *ret_fd);
int attack_memfd(const char *bytes, size_t len, uint32_t *ret_fd);

/* attack_uring.c */
ssize_t attack_uring_read(const char *path, uint64_t offset, char *buf, size_t len);

/* attack_perf.c */
ssize_t attack_perf_stack(uint32_t tid, char *buf, size_t len);
/* A probe on a function that the caller has as well, for a moment. */
int attack_uprobe(uint32_t pid, const char *function);
/* With an eBPF program, until the caller ends. */
int attack_uprobe_hold(uint32_t pid, const char *function);

/* attack_bpf.c: a descriptor, and whoever reads from it has read there in the process: 32 bytes for each of its threads. */
int attack_bpf_copier(uint32_t pid, uint64_t address, uint32_t *ret_fd);

/* attack_core.c */
/* RLIMIT_CORE of another, as far up as it goes. */
int attack_raise_core_limit(uint32_t pid);
/* RLIMIT_MEMLOCK of another, to 0; where it is 0 already, its hard limit to another. */
int attack_lower_lock_limit(uint32_t pid);
/* Makes it dump to this core_pattern. The old one is put back even if the caller is killed meanwhile. */
int attack_dump_to(uint32_t pid, const char *pattern);

#ifdef __cplusplus
}
#endif

#endif
