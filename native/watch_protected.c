/* Who is protected and what of them is refused, told to every eBPF object that is live; each follows fork, exec and exit by itself. */
#include <errno.h>

#include "bpf/enforce.h"
#include "watch.h"

static bool any_live(const struct watch *w)
{
	return w->memory.live || w->access.live || w->calls.live || w->signals.live;
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
	if (w->access.live)
		err = first_of(err, access_protect(w->access_programs, targets, n));
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
	if (w->access.live)
		err = first_of(err, access_unprotect(w->access_programs, pid));
	if (w->calls.live)
		err = first_of(err, calls_unprotect(w->calls_programs, pid));
	if (w->signals.live)
		err = first_of(err, signals_unprotect(w->signals_programs, pid));
	return err;
}

void watch_protected(struct watch *w, pid_take each, void *arg)
{
	if (w->memory.live)
		memory_protected(w->memory_programs, each, arg);
	if (w->access.live)
		access_protected(w->access_programs, each, arg);
	if (w->calls.live)
		calls_protected(w->calls_programs, each, arg);
	if (w->signals.live)
		signals_protected(w->signals_programs, each, arg);
}

int watch_listen(struct watch *w, bool on)
{
	return w->calls.live ? calls_listen(w->calls_programs, on) : -EBADF;
}

int watch_enforce(struct watch *w, bool enforce, pid_t family, bool machine)
{
	uint32_t how = !enforce ? ENFORCE_OFF : family ? ENFORCE_FAMILY : ENFORCE_ON;

	if (w->memory.live)
		memory_enforce(w->memory_programs, how);
	if (w->access.live)
		access_enforce(w->access_programs, how, family, machine);
	return w->memory.live || w->access.live ? 0 : -EBADF;
}

void watch_beat(struct watch *w)
{
	if (w->memory.live)
		memory_beat(w->memory_programs);
	if (w->access.live)
		access_beat(w->access_programs);
	if (w->sysctl.live)
		sysctl_beat(w->sysctl_program);
}

int watch_exempt(struct watch *w, const struct watch_file *files, size_t n)
{
	int err = w->memory.live || w->access.live ? 0 : -EBADF;

	if (w->memory.live)
		err = first_of(err, memory_exempt(w->memory_programs, files, n));
	if (w->access.live)
		err = first_of(err, access_exempt(w->access_programs, files, n));
	return err;
}
