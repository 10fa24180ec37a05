/*
 * What the bench puts beside the walk over files and the file watch: files read
 * and hashed and nothing else, stat of a tree and nothing else, and a storm of
 * changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "digest.h"
#include "dirent64.h"

#define THREADS_MAX	64
#define PIECE		((size_t)256 << 10)
#define FOLDERS_MAX	65536	/* whose paths wait */

struct files {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Paths of files, or of folders that were found. */
	const char *next;
	const char *end;
	int *folders;
	size_t n_folders;
	size_t busy;
	uint64_t calls;
	int err;
	/* A storm's. */
	const char *folder;
	uint64_t per_second;
	uint64_t each;
	uint64_t threads;
	bool moves;
	uint64_t writes;
};

static uint64_t monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void failed(struct files *f, int err)
{
	pthread_mutex_lock(&f->lock);
	f->err = f->err ? f->err : err;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static int hash_file(const char *path, struct digest *digest, char *buf)
{
	unsigned char made[DIGEST_LEN];
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	err = digest_begin(digest);
	while (!err && (n = read(fd, buf, PIECE)) > 0)
		err = digest_add(digest, buf, (size_t)n);
	close(fd);
	return n < 0 ? -errno : err ? err : digest_end(digest, made);
}

static void *hash_files(void *arg)
{
	struct files *f = arg;
	char *buf = aligned_alloc(4096, PIECE);
	struct digest *digest = NULL;
	uint64_t done = 0;
	int err = buf ? digest_open(&digest) : -ENOMEM;

	while (!err) {
		const char *path = NULL;

		pthread_mutex_lock(&f->lock);
		if (f->next < f->end && !f->err) {
			path = f->next;
			f->next += strlen(path) + 1;
		}
		pthread_mutex_unlock(&f->lock);
		if (!path)
			break;
		err = hash_file(path, digest, buf);
		done++;
	}
	if (err)
		failed(f, err);
	__atomic_add_fetch(&f->calls, done, __ATOMIC_RELAXED);
	digest_close(digest);
	free(buf);
	return NULL;
}

/* Everything in one folder; the folders are left to whoever is free. */
static int stat_folder(struct files *f, int fd, char *buf, uint64_t *done)
{
	long got, at;

	while ((got = syscall(SYS_getdents64, fd, buf, PIECE)) > 0) {
		for (at = 0; at < got;) {
			const struct dirent64_head *d = (const struct dirent64_head *)(buf + at);
			struct statx st;
			int below;

			at += d->len;
			if (!strcmp(d->name, ".") || !strcmp(d->name, ".."))
				continue;
			if (statx(fd, d->name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &st) < 0)
				return -errno;
			++*done;
			if (!S_ISDIR(st.stx_mode))
				continue;
			below = openat(fd, d->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (below < 0)
				return -errno;
			pthread_mutex_lock(&f->lock);
			if (f->n_folders == FOLDERS_MAX) {
				pthread_mutex_unlock(&f->lock);
				close(below);
				return -ENFILE;
			}
			f->folders[f->n_folders++] = below;
			pthread_cond_signal(&f->changed);
			pthread_mutex_unlock(&f->lock);
		}
	}
	return got < 0 ? -errno : 0;
}

static void *stat_tree(void *arg)
{
	struct files *f = arg;
	char *buf = malloc(PIECE);
	uint64_t done = 0;
	int err = buf ? 0 : -ENOMEM, fd;

	pthread_mutex_lock(&f->lock);
	while (!err) {
		while (!f->n_folders && f->busy && !f->err)
			pthread_cond_wait(&f->changed, &f->lock);
		if (!f->n_folders || f->err)
			break;
		fd = f->folders[--f->n_folders];
		f->busy++;
		pthread_mutex_unlock(&f->lock);
		err = stat_folder(f, fd, buf, &done);
		close(fd);
		pthread_mutex_lock(&f->lock);
		f->busy--;
		if (!f->busy)
			pthread_cond_broadcast(&f->changed);
	}
	f->calls += done;
	pthread_mutex_unlock(&f->lock);
	if (err)
		failed(f, err);
	free(buf);
	return NULL;
}

/* One file: made, written as often as is asked for, closed, given another name where that is, removed. */
static int change(const struct files *f, int folder, uint64_t thread, uint64_t number)
{
	char name[64], other[sizeof(name) + 4];
	uint64_t i;
	int fd;

	snprintf(name, sizeof(name), "%llu-%llu", (unsigned long long)thread, (unsigned long long)number);
	snprintf(other, sizeof(other), f->moves ? "%s.new" : "%s", name);
	fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	for (i = 0; i < f->writes; i++) {
		if (write(fd, "x", 1) != 1) {
			close(fd);
			return -EIO;
		}
	}
	close(fd);
	if (f->moves && renameat(folder, name, folder, other) < 0)
		return -errno;
	return unlinkat(folder, other, 0) < 0 ? -errno : 0;
}

/* Sleeps where it is ahead of its rate: to spin would take the processor from who reads the events. */
static void keep_pace(uint64_t began, uint64_t done, uint64_t per_second)
{
	uint64_t due = began + (uint64_t)((double)done * 1e9 / (double)per_second), now = monotonic();

	if (due > now + 200000) {
		struct timespec rest = { 0, (long)((due - now) % 1000000000ull) };

		nanosleep(&rest, NULL);
	}
}

static void *storm(void *arg)
{
	struct files *f = arg;
	int folder = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = folder < 0 ? -errno : 0;
	uint64_t began = monotonic(), done = 0, thread = __atomic_fetch_add(&f->threads, 1, __ATOMIC_RELAXED);

	while (!err && done < f->each) {
		if (f->per_second)
			keep_pace(began, done, f->per_second);
		err = change(f, folder, thread, done++);
	}
	if (folder >= 0)
		close(folder);
	if (err)
		failed(f, err);
	__atomic_add_fetch(&f->calls, done, __ATOMIC_RELAXED);
	return NULL;
}

static int run(struct files *f, uint64_t threads, void *(*work)(void *), struct timing *ret)
{
	struct timing sum = { .wall_ns = monotonic(), .cpu_ns = bench_cpu_ns() };
	pthread_t thread[THREADS_MAX];
	uint64_t started, i;
	int err = 0;

	for (started = 0; started < threads; started++) {
		err = -pthread_create(&thread[started], NULL, work, f);
		if (err)
			break;
	}
	for (i = 0; i < started; i++)
		pthread_join(thread[i], NULL);
	sum.calls = f->calls;
	sum.wall_ns = monotonic() - sum.wall_ns;
	sum.cpu_ns = bench_cpu_ns() - sum.cpu_ns;
	*ret = sum;
	return err ? err : f->err;
}

int bench_files(const uint64_t how[BENCH_NUMBERS], const struct bytes *in, struct timing *ret)
{
	struct files f = { .next = in->data, .end = in->data + in->len, .per_second = how[4], .each = how[2],
			   .moves = how[3], .writes = how[5] };
	uint64_t threads = how[1];
	int err, fd;

	if (!threads || threads > THREADS_MAX || !in->len || in->data[in->len - 1])
		return -EINVAL;
	pthread_mutex_init(&f.lock, NULL);
	pthread_cond_init(&f.changed, NULL);
	if (how[0] == BENCH_HASH_FILES) {
		err = run(&f, threads, hash_files, ret);
	} else if (how[0] == BENCH_STORM) {
		f.folder = in->data;
		err = run(&f, threads, storm, ret);
	} else {
		f.folders = malloc(FOLDERS_MAX * sizeof(*f.folders));
		fd = open(in->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		err = f.folders && fd >= 0 ? 0 : fd < 0 ? -errno : -ENOMEM;
		if (!err) {
			f.folders[f.n_folders++] = fd;
			err = run(&f, threads, stat_tree, ret);
		}
		while (f.n_folders)
			close(f.folders[--f.n_folders]);
		free(f.folders);
	}
	pthread_cond_destroy(&f.changed);
	pthread_mutex_destroy(&f.lock);
	return err;
}
