/* The loader of bpf/tasks.bpf.c. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bpf.h"
#include "bpf/tasks.h"
#include "bpf/tasks.lskel.h"
#include "rimon.h"

struct tasks {
	struct tasks_bpf *skel;
	pthread_mutex_t lock;	/* its programs have room for one path */
};

int tasks_open(struct tasks **ret, const char **ret_what)
{
	struct tasks *t;
	int err;

	err = bpf_check(ret_what);
	if (err)
		return err;
	t = calloc(1, sizeof(*t));
	*ret_what = "memory";
	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	err = -ENOMEM;
	t->skel = tasks_bpf__open();
	if (!t->skel)
		goto fail;
	*ret_what = "load the task iterator (Linux 5.17, CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN)";
	err = tasks_bpf__load(t->skel);
	if (err)
		goto fail;
	*ret_what = "attach the task iterator";
	err = tasks_bpf__attach(t->skel);
	if (err)
		goto fail;
	*ret = t;
	return 0;
fail:
	tasks_close(t);
	return err < 0 ? err : -EINVAL;
}

void tasks_close(struct tasks *t)
{
	if (!t)
		return;
	tasks_bpf__destroy(t->skel);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

int tasks_read(struct tasks *t, uint32_t want, struct batch *out)
{
	int err;

	pthread_mutex_lock(&t->lock);
	t->skel->bss->want = want;
	err = bpf_iterate(t->skel->links.tasks_walk_fd, out);
	pthread_mutex_unlock(&t->lock);
	return err;
}

int tasks_files(struct tasks *t, const char *suffixes, size_t suffixes_len, struct batch *out)
{
	uint32_t endings[ENDINGS_MAX] = { 0 };
	size_t at, len, n = 0;
	int err;

	for (at = 0; at < suffixes_len; at += len + 1) {
		len = strnlen(suffixes + at, suffixes_len - at);
		if (len < sizeof(endings[0]) || n == ENDINGS_MAX)
			return -EINVAL;
		memcpy(&endings[n++], suffixes + at + len - sizeof(endings[0]), sizeof(endings[0]));
	}
	pthread_mutex_lock(&t->lock);
	memcpy(t->skel->bss->endings, endings, sizeof(endings));
	err = bpf_iterate(t->skel->links.files_walk_fd, out);
	pthread_mutex_unlock(&t->lock);
	return err;
}
