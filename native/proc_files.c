/* Who holds a file of a certain name open: a sweep over every process's descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rimon.h"

#define PATH_ROOM	4096

/* Ends the walk over one process's descriptors, not the sweep. */
#define PROCESS_GONE	1

struct sweep {
	const struct procfs *procfs;
	const char *suffixes;
	size_t suffixes_len;
	struct batch *out;
	uint32_t pid;
	uint64_t start_ticks;
	bool has_start;
	int fds;
};

static bool ends_as_asked(const struct sweep *s, const char *link, size_t len)
{
	size_t at = 0;

	while (at < s->suffixes_len) {
		const char *suffix = s->suffixes + at;
		size_t suffix_len = strnlen(suffix, s->suffixes_len - at);

		if (suffix_len && suffix_len <= len && memcmp(link + len - suffix_len, suffix, suffix_len) == 0)
			return true;
		at += suffix_len + 1;
	}
	return false;
}

static int fd_look(void *arg, uint32_t fd)
{
	struct open_file_record *r;
	char link[PATH_ROOM], name[16];
	struct sweep *s = arg;
	ssize_t len;

	snprintf(name, sizeof(name), "%u", fd);
	len = readlinkat(s->fds, name, link, sizeof(link));
	/* Closed meanwhile. */
	if (len < 0 || !ends_as_asked(s, link, (size_t)len))
		return 0;
	if (!s->has_start && proc_start_ticks(s->procfs->root, s->pid, &s->start_ticks) < 0)
		return PROCESS_GONE;
	s->has_start = true;
	r = batch_begin(s->out, RECORD_OPEN_FILE, sizeof(*r));
	if (!r)
		return s->out->error;
	r->start_ticks = s->start_ticks;
	r->pid = s->pid;
	r->fd = fd;
	r->path_len = (uint16_t)len;
	batch_bytes(s->out, link, (size_t)len);
	batch_end(s->out);
	return s->out->error;
}

static int process_look(void *arg, uint32_t pid)
{
	struct sweep *s = arg;
	char name[32];
	int err;

	if (pid == s->procfs->self)
		return 0;
	snprintf(name, sizeof(name), "%u/fd", pid);
	s->fds = openat(s->procfs->root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fds < 0)
		return proc_is_out_of_reach(-errno) ? 0 : -errno;
	s->pid = pid;
	s->has_start = false;
	err = proc_each(s->fds, ".", fd_look, s);
	close(s->fds);
	return err == PROCESS_GONE || proc_is_out_of_reach(err) ? 0 : err;
}

struct walked {
	struct sweep sweep;
	struct batch tasks;
	size_t next;	/* the record of `tasks` that is looked at next */
};

/* Both are in ascending order. */
static int process_look_beside(void *arg, uint32_t pid)
{
	struct walked *walked = arg;
	struct process_record r;

	while (walked->next < walked->tasks.len) {
		memcpy(&r, walked->tasks.data + walked->next, sizeof(r));
		if (r.pid >= pid)
			break;
		walked->next += r.head.size;
	}
	if (walked->next < walked->tasks.len && r.pid == pid)
		return 0;
	return process_look(&walked->sweep, pid);
}

static int files_walk(const struct sweep *s, struct tasks *t)
{
	struct walked walked = { .sweep = *s };
	struct batch files = { 0 };
	struct open_file_record r;
	size_t at;
	int err;

	err = tasks_files(t, s->suffixes, s->suffixes_len, &files);
	for (at = 0; !err && at < files.len; at += r.head.size) {
		const char *record = files.data + at;

		memcpy(&r, record, sizeof(r));
		if (r.pid == s->procfs->self || !ends_as_asked(s, record + sizeof(r), r.path_len))
			continue;
		batch_bytes(s->out, record, r.head.size);
		s->out->records++;
	}
	batch_free(&files);
	/* A kernel may keep a process out of its walks. */
	if (!err)
		err = tasks_read(t, 0, &walked.tasks);
	if (!err)
		err = proc_each(s->procfs->root, ".", process_look_beside, &walked);
	batch_free(&walked.tasks);
	return err;
}

int proc_files_sweep(const struct procfs *p, struct tasks *t, const char *suffixes, size_t suffixes_len,
		     const struct pids *pids, struct batch *out)
{
	struct sweep s = { .procfs = p, .suffixes = suffixes, .suffixes_len = suffixes_len, .out = out, .fds = -1 };
	int err = 0;
	size_t i;

	if (!pids->named && t) {
		err = files_walk(&s, t);
		/* It cannot tell these suffixes. */
		if (err != -EINVAL)
			return err;
	}
	if (!pids->named)
		return proc_each(p->root, ".", process_look, &s);
	for (i = 0; i < pids->n && !err; i++)
		err = process_look(&s, pids->pid[i]);
	return err;
}
