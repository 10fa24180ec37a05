/*
 * The exec gate: a fanotify group whose permission events are answered from a
 * compiled table. Four threads take turns: one leads, which reads events and
 * answers what needs no disk; an event whose file has to be read is worked on
 * by the leader itself, who hands the lead to another before. So a disk that
 * hangs takes threads, and never the lead; whatever is not answered in time
 * the leader answers. Between the reading of an event and its answer nothing
 * is allocated, and nothing is opened but what the kernel holds in memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gate_inner.h"

#define NICE		(-10)

void gate_post(int fd, uint64_t count)
{
	/* A counter that small always has room. */
	while (write(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

static void await(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

/* With the lock held. */
static void answer_write(struct exec_gate *g, struct slot *s, bool allow)
{
	struct fanotify_response response = { s->fd, allow ? FAN_ALLOW : FAN_DENY };
	uint64_t took;

	if (!g->is_closing && write(g->fan, &response, sizeof(response)) < 0)
		g->status.overflows += errno != ENOENT;
	__atomic_store_n(&s->is_answered, true, __ATOMIC_RELEASE);
	took = monotonic_ns() - s->since_ns;
	if (took > g->status.longest_ns)
		g->status.longest_ns = took;
}

/* Settles who is told what; `error` only of those that could not be judged. */
static void answer(struct exec_gate *g, struct gate_ask *ask, struct slot *s, const struct gate_answer *a,
		   enum gate_reason reason, int error)
{
	bool judged = reason == GATE_BY_RULE || reason == GATE_WRITTEN_TO, tells = !judged || a->verdict == GATE_DENY;
	struct gate_told told;
	bool tell = false, deny;

	/* By the leader, since it was late; or the gate closes. */
	if (__atomic_load_n(&s->is_answered, __ATOMIC_ACQUIRE))
		return;
	if (tells && gate_ask_is_spared(ask, s->table->table, __atomic_load_n(&g->is_upgrade, __ATOMIC_RELAXED))) {
		pthread_mutex_lock(&g->lock);
		if (!s->is_answered) {
			answer_write(g, s, true);
			g->status.spared++;
		}
		pthread_mutex_unlock(&g->lock);
		return;
	}
	deny = a->verdict == GATE_DENY && s->mode == GATE_ENFORCE;
	if (tells)
		gate_told_fill(&told, g->procfs, ask, s, a->rule, reason, error, deny);
	pthread_mutex_lock(&g->lock);
	if (!s->is_answered) {
		answer_write(g, s, !deny);
		if (!judged)
			g->status.unanswered++;
		else if (a->verdict != GATE_DENY)
			g->status.allowed++;
		else if (deny)
			g->status.denied++;
		else
			g->status.would_deny++;
		if (tells)
			tell = gate_told_add(g, &told);
	}
	pthread_mutex_unlock(&g->lock);
	if (tell)
		gate_tell(g);
}

static void unanswered(struct exec_gate *g, struct gate_ask *ask, struct slot *s, enum gate_reason reason, int error)
{
	struct gate_answer a = { gate_table_head(s->table->table)->unanswered, GATE_RULE_NONE, false };

	answer(g, ask, s, &a, reason, error);
}

/* With a digest: always an answer. */
static void judge(struct exec_gate *g, struct gate_ask *ask, struct slot *s)
{
	struct gate_answer a;

	ask->asked.digest = s->digest;
	s->is_hashed = true;
	if (gate_table_judge(s->table->table, &ask->asked, &a) < 0)
		return unanswered(g, ask, s, GATE_UNREADABLE, EAGAIN);
	s->is_allowed = a.verdict == GATE_ALLOW;
	answer(g, ask, s, &a, GATE_BY_RULE, 0);
	if (s->is_allowed && a.is_of_content && !s->is_open)
		gate_settle(g, s);
}

static bool is_elf(int fd)
{
	char magic[4];

	return pread(fd, magic, sizeof(magic), 0) == sizeof(magic) && !memcmp(magic, "\177ELF", sizeof(magic));
}

/* Reads and judges an executable; false, where it must not `wait`, if for that it had to. */
static bool read_and_judge(struct exec_gate *g, struct worker *me, struct slot *s, bool wait)
{
	struct gate_file after;
	struct timespec now;
	int err;

	clock_gettime(CLOCK_REALTIME, &now);
	err = gate_file_hash(&me->reader, s->fd, &s->file, wait, &s->is_answered, s->digest);
	if (err == -EAGAIN && !wait)
		return false;
	if (!err && (gate_file_stat(s->fd, &after) < 0 || !gate_file_same(&after, &s->file)))
		err = -ESTALE;
	if (err) {
		if (err != -ECANCELED)
			unanswered(g, &me->ask, s, GATE_UNREADABLE, -err);
		return true;
	}
	judge(g, &me->ask, s);
	pthread_mutex_lock(&g->lock);
	g->status.hashed++;
	g->status.hashed_bytes += s->file.size;
	if (gate_file_is_datable(s->fd, &s->file, (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec))
		gate_cache_keep(&g->cache, &s->file, s->digest);
	pthread_mutex_unlock(&g->lock);
	return true;
}

/* On the thread that it may hang. */
static void work(struct exec_gate *g, struct worker *me, struct slot *s)
{
	struct gate_answer a = { GATE_ALLOW, GATE_RULE_NONE, false };

	gate_ask_begin(&me->ask, g->procfs, s->fd, s->tid, &s->file);
	if (s->is_open && !s->is_interpreted && !is_elf(s->fd)) {
		answer(g, &me->ask, s, &a, GATE_BY_RULE, 0);
	} else if (s->is_written) {
		a.verdict = GATE_DENY;
		answer(g, &me->ask, s, &a, GATE_WRITTEN_TO, 0);
	} else if (s->file.size > gate_table_head(s->table->table)->size_max) {
		unanswered(g, &me->ask, s, GATE_TOO_LARGE, EFBIG);
	} else {
		read_and_judge(g, me, s, true);
	}
	gate_hold(g, s);
}

static bool is_interpreted(struct gate_ask *ask, const struct table *t)
{
	const char *by;
	bool is_proven;
	size_t len;

	return ask->asked.by(ask, &by, &len, &is_proven) == 0 && gate_table_interprets(t->table, by, len);
}

/* Whether the file has to be read; else the slot is done with. */
static bool consider(struct exec_gate *g, struct gate_ask *ask, struct slot *s)
{
	struct gate_answer a = { GATE_ALLOW, GATE_RULE_NONE, false };
	int err;

	if (gate_slot_is_exempt(s)) {
		pthread_mutex_lock(&g->lock);
		answer_write(g, s, true);
		g->status.allowed++;
		gate_slot_free(g, s);
		pthread_mutex_unlock(&g->lock);
		return false;
	}
	pthread_mutex_lock(&g->lock);
	s->mode = gate_mode_of(g, s->file.dev);
	pthread_mutex_unlock(&g->lock);
	gate_ask_begin(ask, g->procfs, s->fd, s->tid, &s->file);
	if (s->is_open)
		s->is_interpreted = is_interpreted(ask, s->table);
	else if (gate_table_judge(s->table->table, &ask->asked, &a) == 0) {
		answer(g, ask, s, &a, GATE_BY_RULE, 0);
		if (a.verdict == GATE_ALLOW && a.is_of_content)
			gate_settle(g, s);
		goto done;
	}
	err = gate_lease_take(s->fd);
	s->has_lease = !err;
	s->is_written = err == -EAGAIN;
	if (s->is_open && (s->is_written || err))
		return true;
	if (s->is_written) {
		a = (struct gate_answer){ GATE_DENY, GATE_RULE_NONE, false };
		answer(g, ask, s, &a, GATE_WRITTEN_TO, 0);
		goto done;
	}
	if (err) {
		unanswered(g, ask, s, GATE_NO_LEASE, -err);
		goto done;
	}
	/* Only now does it stay as it is. */
	gate_file_stat(s->fd, &s->file);
	pthread_mutex_lock(&g->lock);
	err = gate_cache_find(&g->cache, &s->file, s->digest) ? 0 : -ENOENT;
	g->status.remembered += !err;
	pthread_mutex_unlock(&g->lock);
	if (!err && (!s->is_open || s->is_interpreted)) {
		judge(g, ask, s);
		goto done;
	}
	/* A program must be told from data first, which may take a disk. */
	if ((s->is_open && !s->is_interpreted) || s->file.size <= gate_table_head(s->table->table)->size_max)
		return true;
	unanswered(g, ask, s, GATE_TOO_LARGE, EFBIG);
done:
	gate_hold(g, s);
	return false;
}

/* A slot whose file has to be read, or NULL. */
static struct slot *event_consider(struct exec_gate *g, struct gate_ask *ask, const struct fanotify_event_metadata *ev)
{
	uint64_t now = monotonic_ns();
	struct slot *s;
	bool tell;

	if (ev->fd < 0 && !(ev->mask & FAN_Q_OVERFLOW)) {
		gate_queue_unopened(g, ev);
		return NULL;
	}
	if (ev->fd < 0) {
		pthread_mutex_lock(&g->lock);
		g->status.overflows++;
		g->untold++;
		tell = gate_told_any(g);
		pthread_mutex_unlock(&g->lock);
		if (tell)
			gate_tell(g);
		return NULL;
	}
	if (!(ev->mask & GATE_PERMISSION)) {
		gate_unsettle(g, ev->fd);
		close(ev->fd);
		return NULL;
	}
	pthread_mutex_lock(&g->lock);
	g->status.events++;
	s = gate_slot_take(g);
	if (s) {
		*s = (struct slot){ .state = SLOT_NEW, .fd = ev->fd, .tid = (uint32_t)ev->pid,
				    .is_open = ev->mask & FAN_OPEN_PERM, .since_ns = now, .table = g->table };
		if (s->table) {
			s->table->held++;
			s->until_ns = now + gate_table_head(s->table->table)->deadline_ms * 1000000ull;
		}
	}
	pthread_mutex_unlock(&g->lock);
	if (!s) {
		gate_slot_lacks(g, ask, ev);
		return NULL;
	}
	return consider(g, ask, s) ? s : NULL;
}

/* Whether the exec is over: it runs that file, or is gone. */
static bool is_over(struct exec_gate *g, const struct slot *s)
{
	struct gate_known known;
	char link[32];

	snprintf(link, sizeof(link), "%u/exe", s->tid);
	if (gate_stat_known(g->procfs->root, link, 0, &known) < 0)
		return true;
	return known.dev == s->file.dev && known.inode == s->file.inode;
}

/* Answers what is late, lets leases go; how long until there is something to do. */
static uint64_t expire(struct exec_gate *g, struct worker *me)
{
	uint64_t now = monotonic_ns(), next = GATE_IDLE_NS;
	struct slot *s;
	size_t left;

	pthread_mutex_lock(&g->lock);
	left = g->taken;
	for (s = g->slots; left && s < g->slots + GATE_SLOTS; s++) {
		uint64_t at = s->state == SLOT_HELD ? s->look_ns : s->until_ns;
		bool is_waiting = s->state == SLOT_WAITING;

		if (s->state == SLOT_FREE)
			continue;
		left--;
		/* Its thread lets nobody know when it leaves a lease behind. */
		if (s->state == SLOT_HASHING && GATE_HOLD_NS < next)
			next = GATE_HOLD_NS;
		if (s->state == SLOT_NEW || (s->state == SLOT_HASHING && s->is_answered))
			continue;
		if (now < at) {
			next = at - now < next ? at - now : next;
			continue;
		}
		if (s->state == SLOT_HELD) {
			s->wait_ns *= 2;
			s->look_ns = now + s->wait_ns;
			if (now >= s->until_ns || is_over(g, s))
				gate_slot_free(g, s);
			else
				next = s->wait_ns < next ? s->wait_ns : next;
			continue;
		}
		/* While it waits nobody else takes it; what a thread works on it lets go of itself. */
		if (is_waiting)
			s->state = SLOT_NEW;
		__atomic_add_fetch(&s->users, 1, __ATOMIC_ACQ_REL);
		pthread_mutex_unlock(&g->lock);
		gate_ask_begin(&me->ask, g->procfs, s->fd, s->tid, &s->file);
		unanswered(g, &me->ask, s, GATE_DEADLINE, ETIMEDOUT);
		pthread_mutex_lock(&g->lock);
		__atomic_sub_fetch(&s->users, 1, __ATOMIC_ACQ_REL);
		if (is_waiting || s->state == SLOT_LEFT)
			gate_slot_free(g, s);
	}
	pthread_mutex_unlock(&g->lock);
	return next;
}

/* Reads events until one has to be worked on and another can lead; NULL: the gate closes. */
static struct slot *lead(struct exec_gate *g, struct worker *me)
{
	struct pollfd ready[4] = { { .fd = g->fan, .events = POLLIN },
				   { .fd = g->wake, .events = POLLIN },
				   { .fd = g->mounts, .events = POLLPRI },
				   { .fd = g->nudge, .events = POLLIN } };

	for (;;) {
		struct fanotify_event_metadata ev;
		uint64_t next = expire(g, me), turn_ns;
		struct timespec timeout = { (time_t)(next / 1000000000ull), (long)(next % 1000000000ull) };
		struct slot *s;

		if (ppoll(ready, 4, &timeout, NULL) < 0)
			continue;
		__atomic_add_fetch(&g->beat, 1, __ATOMIC_RELEASE);
		if (__atomic_load_n(&g->is_closing, __ATOMIC_ACQUIRE))
			return NULL;
		if (ready[3].revents)
			await(g->nudge);
		if (ready[2].revents) {
			bool tell;

			pthread_mutex_lock(&g->lock);
			g->mounts_changed = true;
			tell = gate_told_any(g);
			pthread_mutex_unlock(&g->lock);
			if (tell)
				gate_tell(g);
		}
		turn_ns = monotonic_ns() + GATE_HOLD_NS;
		/* Where there is always another event, what is late and what else is waited for have their turn all the same. */
		while (monotonic_ns() < turn_ns && gate_queue_read(g, &ev)) {
			bool hands_over;
			uint64_t at_once;

			__atomic_add_fetch(&g->beat, 1, __ATOMIC_RELEASE);
			s = event_consider(g, &me->ask, &ev);
			if (!s)
				continue;
			/*
			 * To wake another thread takes longer than to read what is small; and where all of them are at a disk that does
			 * not answer, what is in memory need not wait for it.
			 */
			pthread_mutex_lock(&g->lock);
			at_once = g->idle ? GATE_AT_ONCE_MAX : GATE_ALONE_MAX;
			pthread_mutex_unlock(&g->lock);
			if (!s->is_open && s->file.size <= at_once && read_and_judge(g, me, s, false)) {
				gate_hold(g, s);
				continue;
			}
			pthread_mutex_lock(&g->lock);
			hands_over = g->idle > 0;
			s->state = hands_over ? SLOT_HASHING : SLOT_WAITING;
			pthread_mutex_unlock(&g->lock);
			if (hands_over)
				return s;
		}
	}
}

static struct slot *next_waiting(struct exec_gate *g)
{
	struct slot *s, *oldest = NULL;

	pthread_mutex_lock(&g->lock);
	for (s = g->slots; s < g->slots + GATE_SLOTS; s++)
		if (s->state == SLOT_WAITING && (!oldest || s->since_ns < oldest->since_ns))
			oldest = s;
	if (oldest && !g->is_closing)
		oldest->state = SLOT_HASHING;
	else
		oldest = NULL;
	pthread_mutex_unlock(&g->lock);
	return oldest;
}

void *gate_run(void *arg)
{
	struct worker *me = arg;
	struct exec_gate *g = me->gate;
	struct slot *s;
	bool last;

	pthread_setname_np(pthread_self(), "rimon-gate");
	/* Of this thread only; where it may not, it goes on as it is. */
	setpriority(PRIO_PROCESS, 0, NICE);
	for (;;) {
		pthread_mutex_lock(&g->lock);
		g->idle++;
		pthread_mutex_unlock(&g->lock);
		await(g->leads);
		pthread_mutex_lock(&g->lock);
		g->idle--;
		pthread_mutex_unlock(&g->lock);
		s = __atomic_load_n(&g->is_closing, __ATOMIC_ACQUIRE) ? NULL : lead(g, me);
		if (!s)
			break;
		gate_post(g->leads, 1);
		__atomic_add_fetch(&g->status.busy, 1, __ATOMIC_RELAXED);
		for (; s; s = next_waiting(g))
			work(g, me, s);
		__atomic_sub_fetch(&g->status.busy, 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_lock(&g->lock);
	last = --g->threads == 0 && g->is_orphan;
	pthread_mutex_unlock(&g->lock);
	if (last)
		gate_free(g);
	else
		gate_post(g->gone, 1);
	return NULL;
}
