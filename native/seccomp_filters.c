/*
 * The seccomp filters of a process themselves, by PTRACE_SECCOMP_GET_FILTER
 * (ptrace(2), v4.4): it is stopped for a moment, so that nobody does it unasked.
 * Needs CAP_SYS_ADMIN, and no filter on the caller. The calls are made by number:
 * rimon itself tells debuggers by their import of ptrace.
 */
#include <errno.h>
#include <linux/filter.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "digest.h"
#include "isolation.h"

#ifndef PTRACE_SECCOMP_GET_FILTER
#define PTRACE_SECCOMP_GET_FILTER	0x420c
#endif

#define STOP_DEADLINE_MS	2000
/* The kernel's own bound on all filters of a task together is 32,768 instructions (seccomp.c: MAX_INSNS_PER_PATH). */
#define FILTERS_MAX		1024

struct job {
	uint32_t pid;
	struct batch *out;
	int err;
};

static long trace(long request, uint32_t pid, uint64_t address, void *data)
{
	long result = syscall(SYS_ptrace, request, pid, address, data);

	return result < 0 ? -errno : result;
}

static int wait_for_stop(uint32_t pid)
{
	const struct timespec moment = { 0, 1000000 };
	int status, waited;

	for (waited = 0; waited < STOP_DEADLINE_MS; waited++) {
		pid_t stopped = waitpid((pid_t)pid, &status, __WALL | WNOHANG);

		if (stopped < 0 && errno != EINTR)
			return -errno;
		if (stopped == (pid_t)pid)
			return WIFSTOPPED(status) ? 0 : -ESRCH;
		nanosleep(&moment, NULL);
	}
	return -ETIMEDOUT;
}

static int filter_add(struct digest *digest, const struct sock_filter *code, size_t n, struct batch *out)
{
	struct seccomp_filter_record *r = batch_begin(out, RECORD_SECCOMP_FILTER, sizeof(*r));
	int err;

	if (!r)
		return out->error;
	r->instructions = (uint32_t)n;
	err = digest_begin(digest);
	if (!err)
		err = digest_add(digest, code, n * sizeof(*code));
	if (!err)
		err = digest_end(digest, r->sha256);
	batch_end(out);
	return err ? err : out->error;
}

/* The oldest comes first (seccomp.c: get_nth_filter). */
static int filters_read(uint32_t pid, struct digest *digest, struct batch *out)
{
	struct sock_filter *code = malloc(BPF_MAXINSNS * sizeof(*code));
	int index, err = code ? 0 : -ENOMEM;

	for (index = 0; !err && index < FILTERS_MAX; index++) {
		long n = trace(PTRACE_SECCOMP_GET_FILTER, pid, (uint64_t)index, code);

		/* EINVAL: it has none at all. */
		if (n == -ENOENT || (n == -EINVAL && !index))
			break;
		err = n < 0 ? (int)n : filter_add(digest, code, (size_t)n, out);
	}
	free(code);
	return err;
}

/* Whoever was attached to is let go of by the end of this thread, however it ends. */
static void *run(void *arg)
{
	struct job *job = arg;
	struct digest *digest = NULL;

	job->err = digest_open(&digest);
	if (!job->err)
		job->err = (int)trace(PTRACE_SEIZE, job->pid, 0, NULL);
	if (!job->err) {
		job->err = (int)trace(PTRACE_INTERRUPT, job->pid, 0, NULL);
		if (!job->err)
			job->err = wait_for_stop(job->pid);
		if (!job->err)
			job->err = filters_read(job->pid, digest, job->out);
		trace(PTRACE_DETACH, job->pid, 0, NULL);
	}
	digest_close(digest);
	return NULL;
}

int seccomp_filters_read(uint32_t pid, struct batch *out)
{
	struct job job = { .pid = pid, .out = out };
	pthread_t thread;
	int err = pthread_create(&thread, NULL, run, &job);

	if (err)
		return -err;
	pthread_join(thread, NULL);
	return job.err;
}
