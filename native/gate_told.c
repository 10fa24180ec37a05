/* What the exec gate has to tell: a ring of fixed size, since nothing may be allocated while a program waits. */
#include <string.h>

#include "gate_inner.h"

static uint16_t name_take(char room[GATE_NAME], int err, const char *name, size_t len)
{
	if (err < 0)
		return 0;
	if (len > GATE_NAME - 1)
		len = GATE_NAME - 1;
	memcpy(room, name, len);
	return (uint16_t)len;
}

/* Who asks, as far as /proc says. */
static void who(struct gate_told *told, int root)
{
	struct gate_record *r = &told->r;
	struct proc_stat stat;
	char buf[1024];

	if (proc_stat_read(root, r->pid, buf, sizeof(buf), &stat) < 0)
		return;
	r->start_ticks = stat.start_ticks;
	r->parent = stat.parent_pid;
	r->comm_len = (uint16_t)(stat.comm_len < sizeof(told->comm) ? stat.comm_len : sizeof(told->comm));
	memcpy(told->comm, stat.comm, r->comm_len);
}

/* Before the answer: who asks is gone after it, or another program. */
void gate_told_fill(struct gate_told *told, const struct procfs *p, struct gate_ask *ask, const struct slot *s,
		    uint32_t rule, enum gate_reason reason, int error, bool is_denied)
{
	struct gate_record *r = &told->r;
	const char *name = "";
	bool is_proven;
	size_t len = 0;
	int err;

	memset(r, 0, sizeof(*r));
	r->dev = s->file.dev;
	r->inode = s->file.inode;
	r->size = s->file.size;
	r->owner = s->file.uid;
	if (s->tid && proc_thread_group(p->root, s->tid, &r->pid) == 0)
		who(told, p->root);
	ask->asked.uid(ask, &r->uid);
	r->rule = rule;
	r->is_denied = is_denied;
	r->mode = (uint16_t)s->mode;
	r->reason = (uint16_t)reason;
	r->is_open = s->is_open;
	r->error = (uint16_t)error;
	r->digest_len = s->is_hashed ? DIGEST_LEN : 0;
	memcpy(told->digest, s->digest, r->digest_len);
	err = ask->asked.path(ask, &name, &len, &is_proven);
	r->path_len = name_take(told->path, err, name, len);
	err = ask->asked.by(ask, &name, &len, &is_proven);
	r->by_len = name_take(told->by, err, name, len);
}

bool gate_told_any(struct exec_gate *g)
{
	bool tell = !g->is_notified;

	g->is_notified = true;
	return tell;
}

bool gate_told_add(struct exec_gate *g, const struct gate_told *told)
{
	if (g->ring_len == GATE_RING) {
		g->status.lost++;
		g->untold++;
	} else {
		g->ring[(g->ring_at + g->ring_len++) % GATE_RING] = *told;
	}
	return gate_told_any(g);
}

void gate_tell(struct exec_gate *g)
{
	pthread_mutex_lock(&g->notify_lock);
	if (g->notify)
		g->notify(g->notify_arg);
	pthread_mutex_unlock(&g->notify_lock);
}

void gate_told_write(struct batch *out, const struct gate_told *told)
{
	struct gate_record *r = batch_begin(out, RECORD_GATE, sizeof(*r));

	if (r) {
		struct record_head head = r->head;

		*r = told->r;
		r->head = head;
	}
	batch_bytes(out, told->digest, told->r.digest_len);
	batch_bytes(out, told->path, told->r.path_len);
	batch_bytes(out, told->by, told->r.by_len);
	batch_bytes(out, told->comm, told->r.comm_len);
	batch_end(out);
}

/*
 * One at a time, since a thread that has something to tell must not wait for
 * memory of ours. What finds none in the batch stays, for the next one.
 */
void exec_gate_take(struct exec_gate *g, struct batch *out)
{
	struct gate_told told;
	bool changed, any;
	uint64_t untold;
	size_t n;

	pthread_mutex_lock(&g->lock);
	g->is_notified = false;
	changed = g->mounts_changed;
	g->mounts_changed = false;
	untold = g->untold;
	g->untold = 0;
	any = g->ring_len > 0;
	if (any)
		told = g->ring[g->ring_at];
	pthread_mutex_unlock(&g->lock);
	if (changed) {
		batch_begin(out, RECORD_MOUNTS, sizeof(struct mounts_record));
		batch_end(out);
	}
	for (n = 0; any && n < GATE_RING; n++) {
		gate_told_write(out, &told);
		if (out->error)
			break;
		pthread_mutex_lock(&g->lock);
		g->ring_at = (g->ring_at + 1) % GATE_RING;
		any = --g->ring_len > 0;
		if (any)
			told = g->ring[g->ring_at];
		pthread_mutex_unlock(&g->lock);
	}
	if (untold)
		batch_lost(out, LOST_GATE, untold);
	if (!out->error)
		return;
	/* Whoever asks twice for a look at the mounts, or hears of a loss after what came later, is none the worse. */
	pthread_mutex_lock(&g->lock);
	g->mounts_changed |= changed;
	g->untold += untold;
	pthread_mutex_unlock(&g->lock);
}
