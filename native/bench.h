/*
 * Everything that the bench has done in C: one call by numbers, since what
 * crosses to JavaScript is most of what a call of its own would weigh. Nothing
 * of a monitor needs any of it.
 */
#ifndef RIMON_BENCH_H
#define RIMON_BENCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_NUMBERS	8

enum bench_what {
	/* Loops, each act of which is: */
	BENCH_GETPPID,
	BENCH_OPEN_CLOSE,
	BENCH_FORK_EXEC,
	/* A mapping of anonymous memory made, touched page by page and taken away. */
	BENCH_MAP_TOUCH,
	/* One byte of another process read. */
	BENCH_READ_MEMORY,
	BENCH_OPEN_MAPS,
	/* One file of every process, or of every thread of one, opened, read and closed, and nothing else. */
	BENCH_READ_PROC,
	/* One mapping of code more, with one page in memory. */
	BENCH_MAP_CODE,
	/* The same byte read by a process that ends with it. */
	BENCH_FORK_READ,
	/* Ciphers, timed; and done once, to be compared. */
	BENCH_TIME_ENCRYPT,
	BENCH_TIME_DECRYPT,
	BENCH_TIME_HKDF,
	BENCH_ENCRYPT,
	BENCH_DECRYPT,
	BENCH_HKDF,
	/* The CPU time of this process and of the children it has waited for. */
	BENCH_CPU,
	/* Of files: each of the first bytes read and hashed; stat of all below the folder; a storm of changes in the folder. */
	BENCH_HASH_FILES,
	BENCH_STAT_TREE,
	BENCH_STORM,
	/* A program executed and waited for, so many times, each timed. */
	BENCH_EXEC,
};

struct bytes {
	const char *data;
	size_t len;
};

/* What something cost that was done over and over: all threads' CPU time, the longest one's wall time. */
struct timing {
	uint64_t calls;
	uint64_t wall_ns;
	uint64_t cpu_ns;
};

/*
 * how[0] says what; the others are of a loop: threads, calls of each (0: until
 * the time is over), ms (0: until the calls are done), acts a second of each
 * (0: as fast as it goes), pid and address; of timing a cipher: threads, ms and
 * size; of files: threads, how many each changes in a storm, whether they are
 * moved, how many of them a second (in the place of a loop's) and how often each
 * is written, in[0] being paths, each with its NUL; of executing: how often, and
 * whether each time another file (".0", ".1", ... behind the path), in[0] being
 * the path. `into` is a struct timing, a uint64_t of nanoseconds for each time it
 * was executed, or what a cipher makes: the message and its tag. in: key, iv and
 * message, or key, salt and info.
 */
int bench_run(const uint64_t how[BENCH_NUMBERS], const struct bytes in[3], char *into, size_t len);

/* bench_loops.c */
int bench_loop(const uint64_t how[BENCH_NUMBERS], struct timing *ret);
uint64_t bench_cpu_ns(void);
int bench_exec(const uint64_t how[BENCH_NUMBERS], const struct bytes *path, char *into, size_t len);

/* bench_files.c; -ENOSYS to hash where Node exports no OpenSSL. */
int bench_files(const uint64_t how[BENCH_NUMBERS], const struct bytes *in, struct timing *ret);

/* bench_crypto.c: by the OpenSSL that Node carries; -ENOSYS where it exports none. */
int bench_cipher_time(const uint64_t how[BENCH_NUMBERS], struct timing *ret);
/* AES-256-GCM, -EPROTO if the tag is not that of what is decrypted; or HKDF-SHA256. */
int bench_cipher(enum bench_what what, const struct bytes in[3], char *into, size_t len);

#ifdef __cplusplus
}
#endif

#endif
