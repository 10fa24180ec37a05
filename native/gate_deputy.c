/*
 * The deputy: whoever stops rimon (SIGSTOP, Ctrl-Z, a debugger) stops each of
 * its threads, and with the one that leads every exec of the node; and the
 * kernel may keep the leader, as it opens a file for it. A process
 * of its own, which has our memory and our descriptors and nothing else of
 * ours, looks twice in each deadline whether the leader still turns while
 * somebody waits; if not, it answers as what cannot be judged is answered.
 * It shares our thread-local storage, too: it calls the kernel and no libc.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gate_inner.h"

#define LOOK_MIN_NS	100000000ull

#if defined(__x86_64__)
static long ask(long nr, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return ret;
}
#elif defined(__aarch64__)
static long ask(long nr, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}
#endif

static void answer(struct exec_gate *g, int fd, bool is_init)
{
	bool deny = __atomic_load_n(&g->denies_unanswered, __ATOMIC_ACQUIRE) && !is_init;
	struct fanotify_response response = { fd, deny ? FAN_DENY : FAN_ALLOW };

	ask(SYS_write, g->fan, (long)&response, sizeof(response), 0, 0);
	__atomic_add_fetch(&g->stood_in, 1, __ATOMIC_RELAXED);
}

/* What was read by those who stand still now, and has waited for longer than it may; true if there was any. */
static bool answer_overdue(struct exec_gate *g, uint64_t look_ns, bool only_asks)
{
	struct timespec now;
	struct slot *s;
	uint64_t ns;
	bool any = false;

	ask(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0, 0, 0);
	ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
	for (s = g->slots; s < g->slots + GATE_SLOTS; s++) {
		if (__atomic_load_n(&s->state, __ATOMIC_ACQUIRE) == SLOT_FREE || ns < s->until_ns + look_ns ||
		    __atomic_load_n(&s->is_answered, __ATOMIC_ACQUIRE))
			continue;
		any = true;
		if (only_asks)
			continue;
		/* Whoever works on it does not let its descriptor go meanwhile. */
		__atomic_add_fetch(&s->users, 1, __ATOMIC_ACQ_REL);
		if (!__atomic_exchange_n(&s->is_answered, true, __ATOMIC_ACQ_REL))
			answer(g, s->fd, s->tid == 1);
		__atomic_sub_fetch(&s->users, 1, __ATOMIC_ACQ_REL);
	}
	return any;
}

static void unopened(struct exec_gate *g, int error)
{
	__atomic_store_n(&g->unopened_error, error, __ATOMIC_RELAXED);
	__atomic_add_fetch(&g->unopened, 1, __ATOMIC_RELAXED);
}

/* As gate_queue_read(). */
static bool answer_next(struct exec_gate *g)
{
	struct fanotify_event_metadata ev;
	int bytes = 0;
	long n;

	if (!g->has_fd_errors)
		ask(SYS_ioctl, g->fan, FIONREAD, (long)&bytes, 0, 0);
	n = ask(SYS_read, g->fan, (long)&ev, sizeof(ev), 0, 0);
	if (n != sizeof(ev)) {
		if (n < 0 && (n != -EAGAIN || bytes > 0))
			unopened(g, (int)-n);
		return false;
	}
	if (ev.fd < 0) {
		if (!(ev.mask & FAN_Q_OVERFLOW))
			unopened(g, -ev.fd);
		return true;
	}
	if (ev.mask & GATE_PERMISSION)
		answer(g, ev.fd, ev.pid == 1);
	else	/* What was left to the kernel was open for writing. */
		ask(SYS_fanotify_mark, g->fan, FAN_MARK_REMOVE | FAN_MARK_IGNORED_MASK, FAN_OPEN_EXEC_PERM, ev.fd, 0);
	ask(SYS_close, ev.fd, 0, 0, 0, 0);
	return true;
}

static bool is_waited_for(struct exec_gate *g, uint64_t look_ns)
{
	int bytes = 0;

	return (ask(SYS_ioctl, g->fan, FIONREAD, (long)&bytes, 0, 0) == 0 && bytes > 0) || answer_overdue(g, look_ns, true);
}

static int stand_by(void *arg)
{
	struct exec_gate *g = arg;
	bool suspects = false;
	uint64_t one = 1;
	uint32_t beat = 0;

	/* With the thread that made it; and it is in no group that a terminal stops. */
	ask(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	ask(SYS_prctl, PR_SET_NAME, (long)"rimon-gate", 0, 0, 0);
	ask(SYS_setsid, 0, 0, 0, 0, 0);
	while (ask(SYS_getppid, 0, 0, 0, 0, 0) == g->self) {
		uint64_t look_ns = __atomic_load_n(&g->look_ns, __ATOMIC_ACQUIRE);
		struct timespec pause = { (time_t)(look_ns / 1000000000ull), (long)(look_ns % 1000000000ull) };
		struct timespec left = pause;
		uint32_t now;

		ask(SYS_ppoll, 0, 0, (long)&left, 0, 0);
		now = __atomic_load_n(&g->beat, __ATOMIC_ACQUIRE);
		/* Twice in a row: who was asked just now has not had the time. */
		if (now != beat || !suspects) {
			beat = now;
			suspects = is_waited_for(g, look_ns);
			continue;
		}
		suspects = is_waited_for(g, look_ns);
		/* Whoever is let go on sleeps on in the call that it was stopped in, and would leave us to answer: it is to turn. */
		if (suspects)
			ask(SYS_write, g->nudge, (long)&one, sizeof(one), 0, 0);
		while (suspects && __atomic_load_n(&g->beat, __ATOMIC_ACQUIRE) == beat) {
			struct pollfd ready = { .fd = g->fan, .events = POLLIN };

			answer_overdue(g, look_ns, false);
			if (answer_next(g))
				continue;
			left = pause;
			ask(SYS_ppoll, (long)&ready, 1, (long)&left, 0, 0);
		}
	}
	return 0;
}

void gate_deputy_pace(struct exec_gate *g, uint32_t deadline_ms)
{
	uint64_t half = deadline_ms * 1000000ull / 2;

	__atomic_store_n(&g->look_ns, half > LOOK_MIN_NS ? half : LOOK_MIN_NS, __ATOMIC_RELEASE);
}

int gate_deputy_start(struct exec_gate *g)
{
	sigset_t all, before;
	int pid, err;

	gate_deputy_pace(g, 2000);
	g->self = getpid();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = clone(stand_by, g->deputy_stack + sizeof(g->deputy_stack), CLONE_VM | CLONE_FILES, g);
	err = pid < 0 ? -errno : 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	g->deputy = err ? 0 : pid;
	return err;
}

void gate_deputy_end(struct exec_gate *g)
{
	if (!g->deputy)
		return;
	kill(g->deputy, SIGKILL);
	while (waitpid(g->deputy, NULL, __WALL) < 0 && errno == EINTR)
		;
	g->deputy = 0;
}

bool gate_deputy_is_there(struct exec_gate *g)
{
	if (g->deputy && waitpid(g->deputy, NULL, __WALL | WNOHANG) != 0)
		g->deputy = 0;
	return g->deputy != 0;
}
