/* Seizes a thread without stopping it, interrupts it, peeks, holds it for HOLD_MS and lets go. */
#include "attack.h"
#include <sys/ptrace.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
	struct attack a = parse_attack(argc, argv, "seize PID ADDRESS LENGTH [HOLD_MS]");
	long long at = now_ns();

	if (ptrace(PTRACE_SEIZE, a.pid, 0, 0) < 0)
		return report_failure(at, "PTRACE_SEIZE");
	if (ptrace(PTRACE_INTERRUPT, a.pid, 0, 0) < 0)
		return report_failure(at, "PTRACE_INTERRUPT");
	if (waitpid(a.pid, NULL, __WALL) < 0)
		return report_failure(at, "waitpid");
	for (size_t i = 0; i < a.length; i += sizeof(long)) {
		errno = 0;
		long word = ptrace(PTRACE_PEEKDATA, a.pid, a.address + i, 0);

		if (errno)
			return report_failure(at, "PTRACE_PEEKDATA");
		memcpy(a.bytes + i, &word, sizeof(word));
	}
	report_bytes(at, a.bytes, a.length);
	hold_ms(argc > 4 ? atol(argv[4]) : 0);
	if (ptrace(PTRACE_DETACH, a.pid, 0, 0) < 0)
		return report_failure(at, "PTRACE_DETACH");
	return 0;
}
