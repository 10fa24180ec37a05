/* Who is protected, told to every eBPF object that is live; each follows fork, exec and exit by itself. */
#include <errno.h>

#include "watch.h"

static bool any_live(const struct watch *w)
{
	return w->memory.live || w->calls.live || w->signals.live;
}

/* All are told, whatever becomes of one; the first failure is the answer. */
static int first_of(int a, int b)
{
	return a ? a : b;
}

int watch_protect(struct watch *w, const struct process_target *targets, size_t n)
{
	int err = any_live(w) ? 0 : -EBADF;

	if (w->memory.live)
		err = first_of(err, memory_protect(w->memory_programs, targets, n));
	if (w->calls.live)
		err = first_of(err, calls_protect(w->calls_programs, targets, n));
	if (w->signals.live)
		err = first_of(err, signals_protect(w->signals_programs, targets, n));
	return err;
}

int watch_unprotect(struct watch *w, uint32_t pid)
{
	int err = any_live(w) ? 0 : -EBADF;

	if (w->memory.live)
		err = first_of(err, memory_unprotect(w->memory_programs, pid));
	if (w->calls.live)
		err = first_of(err, calls_unprotect(w->calls_programs, pid));
	if (w->signals.live)
		err = first_of(err, signals_unprotect(w->signals_programs, pid));
	return err;
}

int watch_listen(struct watch *w, bool on)
{
	return w->calls.live ? calls_listen(w->calls_programs, on) : -EBADF;
}
