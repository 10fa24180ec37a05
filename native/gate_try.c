/* What a table says of a file that nobody waits for: for `rimon gate try`, and for what has run already. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gate_inner.h"

/* Takes the descriptor. */
static int judge_file(const struct procfs *p, const struct gate_table *t, int fd, uint32_t uid, const char *by,
		      struct batch *out)
{
	struct gate_reader *reader = calloc(1, sizeof(*reader));
	struct gate_told *told = calloc(1, sizeof(*told));
	struct gate_ask *ask = calloc(1, sizeof(*ask));
	struct slot s = { .fd = fd, .mode = GATE_LEARN };
	enum gate_reason reason = GATE_BY_RULE;
	struct gate_answer answer;
	bool never = false;
	int err = -ENOMEM;

	if (!reader || !ask || !told)
		goto out;
	err = digest_open(&reader->digest);
	if (!err)
		err = gate_file_stat(s.fd, &s.file);
	if (!err && !S_ISREG(s.file.mode))
		err = -EACCES;
	if (err)
		goto out;
	gate_ask_begin(ask, p, s.fd, 0, &s.file);
	ask->uid = uid;
	ask->by.len = *by ? (int)strnlen(by, sizeof(ask->by.text) - 1) : -ESRCH;
	if (*by)
		memcpy(ask->by.text, by, (size_t)ask->by.len);
	ask->by.is_proven = true;
	if (gate_table_judge(t, &ask->asked, &answer) == -EAGAIN) {
		answer = (struct gate_answer){ gate_table_head(t)->unanswered, GATE_RULE_NONE, false };
		if (s.file.size > gate_table_head(t)->size_max) {
			reason = GATE_TOO_LARGE;
		} else {
			err = gate_file_hash(reader, s.fd, &s.file, true, &never, s.digest);
			if (err)
				goto out;
			s.is_hashed = true;
			ask->asked.digest = s.digest;
			gate_table_judge(t, &ask->asked, &answer);
		}
	}
	gate_told_fill(told, p, ask, &s, answer.rule, reason, 0, answer.verdict == GATE_DENY);
	gate_told_write(out, told);
	err = out->error;
out:
	close(fd);
	if (reader)
		digest_close(reader->digest);
	free(told);
	free(ask);
	free(reader);
	return err;
}

int exec_gate_try(const struct procfs *p, const void *table, size_t len, const char *path, uint32_t uid, const char *by,
		  struct batch *out)
{
	struct gate_table *t;
	int err, fd;

	err = gate_table_parse(table, len, &t);
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	err = fd < 0 ? -errno : judge_file(p, t, fd, uid, by, out);
	gate_table_free(t);
	return err;
}

int exec_gate_place(struct exec_gate *g, uint32_t pid, const char *path, struct gate_place *ret)
{
	struct gate_known known;
	int fd, err;

	err = gate_find_known(g->procfs, pid, path, &fd, &known);
	if (err)
		return err;
	*ret = (struct gate_place){ known.mount, known.dev, known.inode, known.size, known.owner,
				    gate_is_marked(g, fd) };
	close(fd);
	return 0;
}

int exec_gate_look(struct exec_gate *g, uint32_t pid, const char *path, uint64_t mount_id, uint32_t uid, const char *by,
		   struct batch *out)
{
	struct gate_known known;
	struct table *t;
	char link[16];
	int named, fd, err;

	err = gate_find_known(g->procfs, pid, path, &named, &known);
	if (err)
		return err;
	if (known.mount != mount_id || !S_ISREG(known.mode)) {
		close(named);
		return -ENODEV;
	}
	snprintf(link, sizeof(link), "%d", named);
	/* Of the very file that was found to be on a file system that answers. */
	fd = openat(g->procfs->self_fds, link, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	err = fd < 0 ? -errno : 0;
	close(named);
	if (err)
		return err;
	pthread_mutex_lock(&g->lock);
	t = g->table;
	if (t)
		t->held++;
	pthread_mutex_unlock(&g->lock);
	if (!t) {
		close(fd);
		return -ENOENT;
	}
	err = judge_file(g->procfs, t->table, fd, uid, by, out);
	pthread_mutex_lock(&g->lock);
	gate_table_drop(t);
	pthread_mutex_unlock(&g->lock);
	return err;
}
