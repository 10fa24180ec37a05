/*
 * The slots of the exec gate, one for each event that is not done with; and
 * what is left to the kernel, so that it makes no event.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gate_inner.h"

void gate_table_drop(struct table *t)
{
	if (!t || --t->held)
		return;
	gate_table_free(t->table);
	free(t);
}

void gate_unsettle_all(struct exec_gate *g)
{
	if (g->settled)
		fanotify_mark(g->fan, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL);
	g->settled = 0;
}

/* Of its file system; of one with many numbers, as btrfs has, the strictest that there is. */
uint32_t gate_mode_of(struct exec_gate *g, uint64_t dev)
{
	size_t i;

	for (i = 0; i < g->n_marks; i++)
		if (g->marks[i].dev == dev)
			return g->marks[i].mode;
	return g->strictest;
}

void gate_slot_free(struct exec_gate *g, struct slot *s)
{
	if (s->has_lease)
		gate_lease_give_up(s->fd);
	close(s->fd);
	gate_table_drop(s->table);
	s->table = NULL;
	s->state = SLOT_FREE;
	g->taken--;
}

/* The one that has held its lease for longest makes room. */
struct slot *gate_slot_take(struct exec_gate *g)
{
	struct slot *oldest = NULL, *s;

	for (s = g->slots; s < g->slots + GATE_SLOTS; s++) {
		if (s->state == SLOT_FREE)
			break;
		if (s->state == SLOT_HELD && (!oldest || s->until_ns < oldest->until_ns))
			oldest = s;
	}
	if (s == g->slots + GATE_SLOTS) {
		if (!oldest)
			return NULL;
		gate_slot_free(g, oldest);
		s = oldest;
	}
	g->taken++;
	return s;
}

bool gate_slot_is_exempt(struct slot *s)
{
	/* Signal 0 only asks. */
	return !s->table || s->tid == 1 || (s->tid && syscall(SYS_tgkill, getpid(), s->tid, 0) == 0) ||
	       gate_file_stat(s->fd, &s->file) < 0 || !S_ISREG(s->file.mode);
}

void gate_slot_lacks(struct exec_gate *g, struct gate_ask *ask, const struct fanotify_event_metadata *ev)
{
	struct slot s = { .fd = ev->fd, .tid = (uint32_t)ev->pid };
	struct fanotify_response response = { ev->fd, FAN_ALLOW };
	bool is_exempt, is_spared = false, tell = false;

	pthread_mutex_lock(&g->lock);
	s.table = g->table;
	if (s.table)
		s.table->held++;
	pthread_mutex_unlock(&g->lock);
	is_exempt = gate_slot_is_exempt(&s);
	if (!is_exempt) {
		gate_ask_begin(ask, g->procfs, s.fd, s.tid, &s.file);
		is_spared = gate_ask_is_spared(ask, s.table->table, __atomic_load_n(&g->is_upgrade, __ATOMIC_RELAXED));
	}
	pthread_mutex_lock(&g->lock);
	if (is_exempt) {
		g->status.allowed++;
	} else if (is_spared) {
		g->status.spared++;
	} else {
		if (gate_table_head(s.table->table)->unanswered == GATE_DENY &&
		    gate_mode_of(g, s.file.dev) == GATE_ENFORCE)
			response.response = FAN_DENY;
		g->status.unanswered++;
		g->untold++;
		tell = gate_told_any(g);
	}
	if (write(g->fan, &response, sizeof(response)) < 0)
		g->status.overflows += errno != ENOENT;
	gate_table_drop(s.table);
	pthread_mutex_unlock(&g->lock);
	close(s.fd);
	if (tell)
		gate_tell(g);
}

/*
 * Leaves the file to the kernel until it is changed: a write takes the mark
 * away at once, and the closing of one that wrote by a mapping comes as an
 * event. That is late, so it is done only where none but root may write.
 */
void gate_settle(struct exec_gate *g, struct slot *s)
{
	unsigned int evictable = FAN_MARK_EVICTABLE;

	if (!gate_file_is_roots(&s->file))
		return;
	pthread_mutex_lock(&g->lock);
	if (g->is_closing || s->table != g->table)
		goto out;
	if (g->settled >= GATE_SETTLED_MAX)
		gate_unsettle_all(g);
	/* v5.19: else it would hold the inode in memory. */
	if (fanotify_mark(g->fan, FAN_MARK_ADD | evictable, FAN_CLOSE_WRITE, s->fd, NULL) < 0 && errno == EINVAL) {
		evictable = 0;
		fanotify_mark(g->fan, FAN_MARK_ADD, FAN_CLOSE_WRITE, s->fd, NULL);
	}
	if (fanotify_mark(g->fan, FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | evictable, FAN_OPEN_EXEC_PERM, s->fd, NULL) == 0) {
		g->settled++;
		g->status.settled++;
	}
out:
	pthread_mutex_unlock(&g->lock);
}

/* Holds the lease until the exec is over: what opens the file for writing waits, and is then refused by the kernel. */
void gate_hold(struct exec_gate *g, struct slot *s)
{
	pthread_mutex_lock(&g->lock);
	if (s->users) {
		s->state = SLOT_LEFT;
	} else if (s->has_lease && s->is_allowed && !g->is_closing) {
		s->state = SLOT_HELD;
		s->wait_ns = GATE_HOLD_NS;
		s->look_ns = monotonic_ns() + s->wait_ns;
		/* Nobody is kept from writing to what is open: there this is the whole of it. */
		s->until_ns = s->look_ns + (s->is_open ? 0 : GATE_HOLD_MAX_NS);
	} else {
		gate_slot_free(g, s);
	}
	pthread_mutex_unlock(&g->lock);
}

/* What was left to the kernel was open for writing. */
void gate_unsettle(struct exec_gate *g, int fd)
{
	struct gate_file f;

	fanotify_mark(g->fan, FAN_MARK_REMOVE | FAN_MARK_IGNORED_MASK, FAN_OPEN_EXEC_PERM, fd, NULL);
	if (gate_file_stat(fd, &f) < 0)
		return;
	pthread_mutex_lock(&g->lock);
	gate_cache_forget(&g->cache, f.dev, f.inode);
	g->status.unsettled++;
	pthread_mutex_unlock(&g->lock);
}
