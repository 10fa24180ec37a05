/*
 * The scheduling of the watch's thread. A process that acts may end within a
 * millisecond and has to be read before that, so the thread goes before
 * ordinary work; but not if it does so all the time, since the node comes first.
 */
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "rimon.h"

#define WINDOW_NS	100000000ull
#define SLICE_NS	200000

/* sched_setattr(2), without what came after v3.14. */
struct attributes {
	__u32 size;
	__u32 policy;
	__u64 flags;
	__s32 nice;
	__u32 priority;
	__u64 runtime;
	__u64 deadline;
	__u64 period;
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static int set_policy(__u32 policy, __u32 priority)
{
	struct attributes a = { .size = sizeof(a), .policy = policy, .priority = priority };

	/* v6.12: a short slice lets it go before others of its kind too (857b158dc5e8); before, no meaning. */
	if (policy == SCHED_OTHER)
		a.runtime = SLICE_NS;
	return (int)syscall(SYS_sched_setattr, 0, &a, 0);
}

static void set_first(struct priority *p, bool first)
{
	p->first = first && set_policy(SCHED_FIFO, 1) == 0;
	if (!p->first)
		set_policy(SCHED_OTHER, 0);
}

void priority_start(struct priority *p)
{
	memset(p, 0, sizeof(*p));
	p->began_ns = clock_ns(CLOCK_MONOTONIC);
	p->used_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	set_first(p, true);
	p->may_go_first = p->first;
}

int priority_adjust(struct priority *p)
{
	uint64_t now, elapsed, used, share;

	if (!p->may_go_first)
		return -1;
	now = clock_ns(CLOCK_MONOTONIC);
	elapsed = now - p->began_ns;
	if (elapsed >= WINDOW_NS) {
		used = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		share = (used - p->used_ns) * 100 / elapsed;
		p->began_ns = now;
		p->used_ns = used;
		elapsed = 0;
		if (p->first && share > 50)
			set_first(p, false);
		else if (!p->first && share < 25)
			set_first(p, true);
	}
	/* Whoever stepped back and then has nothing to do must not meet the next event from there. */
	return p->first ? -1 : (int)((WINDOW_NS - elapsed + 999999) / 1000000);
}
