/*
 * Threads that walk over files. One at a time lists; all read what was listed, a
 * slice after another, and the slices are handed on in order. The ring of slices
 * is the bound: where nobody takes them, all wait.
 */
#include <errno.h>
#include <linux/ioprio.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file_walk.h"

#define SLICES		64
#define HELD_BYTES	((size_t)16 << 20)	/* of records that wait */
#define ENOUGH		((size_t)256 << 10)
#define THREADS_MAX	64
#define FOLDERS_MAX	512			/* descriptors are few */
#define AHEAD		8			/* slices: so that whoever reads need not wait for who lists */

struct file_walk {
	pthread_mutex_t lock;
	pthread_cond_t changed;	/* for the threads of the walk */
	pthread_cond_t read;	/* for who takes */
	/* Behind the lock. To wake costs as much as many stats: only who waits is woken, and for what it waits for. */
	size_t idle;
	bool taking;
	/* Slices lie in a ring: [first, first + used). */
	struct slice slices[SLICES];
	size_t first;
	size_t used;
	size_t held;
	size_t waiting;		/* slices that are listed and not read */
	bool listing;
	bool listed;
	bool stopped;
	int error;
	bool has_allowance;
	int64_t allowance;	/* below 0: more was read than allowed */
	struct file_walk_progress progress;
	size_t folders;		/* open ones that wait to be read */
	struct file_lister lister;	/* of the one that lists */
	/* Of all, unchanged. */
	uint32_t flags;
	uint64_t max_size;
	size_t n_threads;
	pthread_t thread[THREADS_MAX];
};

static bool may_read(void *arg, size_t bytes)
{
	struct file_walk *w = arg;
	bool go;

	if (!w->has_allowance) {
		__atomic_add_fetch(&w->progress.bytes, bytes, __ATOMIC_RELAXED);
		return !__atomic_load_n(&w->stopped, __ATOMIC_RELAXED);
	}
	pthread_mutex_lock(&w->lock);
	while (!w->stopped && w->allowance <= 0) {
		w->idle++;
		pthread_cond_wait(&w->changed, &w->lock);
		w->idle--;
	}
	go = !w->stopped;
	w->allowance -= (int64_t)bytes;
	__atomic_add_fetch(&w->progress.bytes, bytes, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&w->lock);
	return go;
}

static void wake(struct file_walk *w)
{
	if (w->idle)
		pthread_cond_broadcast(&w->changed);
}

static void wake_taker(struct file_walk *w)
{
	if (w->taking)
		pthread_cond_signal(&w->read);
}

static int read_slice(struct file_walk *w, struct slice *slice, struct file_reader *reader, uint64_t *ret_vanished)
{
	int err = 0;
	size_t i;

	batch_clear(&slice->records);
	for (i = 0; i < slice->n; i++) {
		struct slice_item *item = &slice->item[i];

		item->file.path = slice->text + item->path_at;
		if (!err && item->folder) {
			err = file_read(reader, &item->file, &slice->records);
		} else if (!err) {
			struct file_entry_record *e = batch_begin(&slice->records, RECORD_FILE_ENTRY, sizeof(*e));

			if (e) {
				e->path_len = (uint16_t)item->file.path_len;
				e->error = item->file.error;
				e->rule = item->file.rule;
			}
			batch_bytes(&slice->records, item->file.path, item->file.path_len);
			batch_end(&slice->records);
		}
		if (err == -ENOENT) {
			++*ret_vanished;
			err = 0;
		}
		folder_drop(item->folder);
		folder_drop(item->self);
	}
	slice->n = 0;
	if (!err && __atomic_load_n(&w->stopped, __ATOMIC_RELAXED))
		err = -ECANCELED;
	return err ? err : slice->records.error;
}

static struct slice *slice_in(struct file_walk *w, enum slice_state state)
{
	size_t i;

	for (i = 0; i < w->used; i++) {
		struct slice *slice = &w->slices[(w->first + i) % SLICES];

		if (slice->state == state)
			return slice;
	}
	return NULL;
}

static void fail(struct file_walk *w, int err)
{
	if (!w->error)
		w->error = err;
	__atomic_store_n(&w->stopped, true, __ATOMIC_RELAXED);
	wake(w);
	wake_taker(w);
}

static size_t folders_in(const struct slice *slice)
{
	size_t i, n = 0;

	for (i = 0; i < slice->n; i++)
		n += slice->item[i].self != NULL;
	return n;
}

/* There is no place for one more slice. */
static bool is_full(const struct file_walk *w)
{
	return w->used == SLICES || w->held >= HELD_BYTES || w->folders >= FOLDERS_MAX;
}

/* With the lock held; gives it back for the work. */
static bool work(struct file_walk *w, struct file_reader *reader)
{
	bool may_list = !w->listing && !w->listed && !is_full(w), was_full, end = false;
	struct slice *slice;
	uint64_t vanished = 0;
	size_t folders;
	int err;

	if (may_list && w->waiting < AHEAD) {
		slice = &w->slices[(w->first + w->used) % SLICES];
		w->listing = true;
		pthread_mutex_unlock(&w->lock);
		err = file_lister_fill(&w->lister, slice, &w->stopped, &end);
		pthread_mutex_lock(&w->lock);
		w->folders += folders_in(slice);
		w->listing = false;
		w->listed = end;
		slice->state = SLICE_LISTED;
		w->used++;
		w->waiting++;
		wake(w);
	} else if (w->waiting) {
		slice = slice_in(w, SLICE_LISTED);
		slice->state = SLICE_TAKEN;
		w->waiting--;
		folders = folders_in(slice);
		pthread_mutex_unlock(&w->lock);
		err = read_slice(w, slice, reader, &vanished);
		pthread_mutex_lock(&w->lock);
		was_full = is_full(w);
		slice->state = SLICE_READ;
		w->folders -= folders;
		w->held += slice->records.len;
		w->progress.entries += slice->records.records;
		w->progress.vanished += vanished;
		if (was_full && !is_full(w))
			wake(w);
		if (slice == &w->slices[w->first])
			wake_taker(w);
	} else {
		return false;
	}
	if (err)
		fail(w, err);
	return true;
}

/* ioprio_set(2): of this thread alone, as is setpriority(2) on Linux. What is refused is done without. */
static void step_back(void)
{
	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
}

static void *run(void *arg)
{
	struct file_walk *w = arg;
	struct file_reader reader = { .max_size = w->max_size, .may_read = may_read, .arg = w };
	int err;

	pthread_setname_np(pthread_self(), "rimon-files");
	if (w->flags & FILE_WALK_IDLE)
		step_back();
	reader.stat_only = w->flags & FILE_WALK_STAT;
	err = file_reader_open(&reader);
	pthread_mutex_lock(&w->lock);
	if (err)
		fail(w, err);
	while (!w->stopped) {
		if (work(w, &reader))
			continue;
		if (w->listed && !w->waiting)
			break;
		w->idle++;
		pthread_cond_wait(&w->changed, &w->lock);
		w->idle--;
	}
	pthread_mutex_unlock(&w->lock);
	file_reader_close(&reader);
	return NULL;
}

int file_walk_take(struct file_walk *w, struct batch *into, bool *ret_end)
{
	struct slice *slice = NULL;
	struct batch read;
	bool was_full;
	int err = 0;

	batch_clear(into);
	/* What an odd file made large does not stay so. */
	if (into->cap > ENOUGH)
		batch_free(into);
	pthread_mutex_lock(&w->lock);
	w->taking = true;
	while (!w->stopped && (w->used || !w->listed) && (!w->used || w->slices[w->first].state != SLICE_READ))
		pthread_cond_wait(&w->read, &w->lock);
	w->taking = false;
	if (w->stopped)
		err = w->error ? w->error : -ECANCELED;
	else if (w->used)
		slice = &w->slices[w->first];
	*ret_end = !slice;
	if (slice) {
		was_full = is_full(w);
		read = slice->records;
		slice->records = *into;
		*into = read;
		w->held -= read.len;
		slice->state = SLICE_FREE;
		w->first = (w->first + 1) % SLICES;
		w->used--;
		if (was_full && !is_full(w))
			wake(w);
	}
	pthread_mutex_unlock(&w->lock);
	return err;
}

int file_walk_next(struct file_walk *w, struct batch *out)
{
	struct batch read = { 0 };
	bool end = false;
	int err = 0;

	while (!err && out->len < ENOUGH) {
		err = file_walk_take(w, &read, &end);
		if (err || end)
			break;
		batch_append(out, &read);
		err = out->error;
	}
	batch_free(&read);
	return err;
}

void file_walk_allow(struct file_walk *w, uint64_t bytes)
{
	pthread_mutex_lock(&w->lock);
	w->allowance += (int64_t)bytes;
	/* What nobody asked for is not saved up. */
	if (w->allowance > 4 * (int64_t)bytes)
		w->allowance = 4 * (int64_t)bytes;
	wake(w);
	pthread_mutex_unlock(&w->lock);
}

void file_walk_progress(struct file_walk *w, struct file_walk_progress *ret)
{
	pthread_mutex_lock(&w->lock);
	*ret = w->progress;
	ret->bytes = __atomic_load_n(&w->progress.bytes, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&w->lock);
}

void file_walk_stop(struct file_walk *w)
{
	pthread_mutex_lock(&w->lock);
	__atomic_store_n(&w->stopped, true, __ATOMIC_RELAXED);
	wake(w);
	wake_taker(w);
	pthread_mutex_unlock(&w->lock);
}

int file_walk_open(const struct file_walk_options *options, struct file_walk **ret)
{
	struct file_walk *w;
	int err;

	if (!options->threads || options->threads > THREADS_MAX)
		return -EINVAL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	pthread_cond_init(&w->read, NULL);
	w->flags = options->flags;
	w->max_size = options->max_size;
	w->has_allowance = options->has_allowance;
	err = file_lister_open(&w->lister, options);
	while (!err && w->n_threads < options->threads) {
		err = -pthread_create(&w->thread[w->n_threads], NULL, run, w);
		w->n_threads += !err;
	}
	if (err) {
		file_walk_close(w);
		return err;
	}
	*ret = w;
	return 0;
}

void file_walk_close(struct file_walk *w)
{
	size_t i, j;

	file_walk_stop(w);
	for (i = 0; i < w->n_threads; i++)
		pthread_join(w->thread[i], NULL);
	for (i = 0; i < SLICES; i++) {
		for (j = 0; j < w->slices[i].n; j++) {
			folder_drop(w->slices[i].item[j].folder);
			folder_drop(w->slices[i].item[j].self);
		}
		free(w->slices[i].text);
		batch_free(&w->slices[i].records);
	}
	file_lister_close(&w->lister);
	pthread_cond_destroy(&w->read);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
