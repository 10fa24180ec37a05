/*
 * Puts a probe on a place in a file, in one process that has it mapped, as a
 * tracer does that looks into a library (uprobe PMU, Linux 4.17), and keeps
 * it until a line on stdin.
 */
#include "attack.h"
#include <linux/perf_event.h>
#include <stdint.h>
#include <sys/syscall.h>

int main(int argc, char **argv)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	FILE *type = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	long long at;
	int fd;

	if (argc != 4)
		usage("uprobe PID FILE OFFSET");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!type || fscanf(type, "%u", &attr.type) != 1)
		return report_failure(now_ns(), "uprobe/type");
	attr.uprobe_path = (uintptr_t)argv[2];
	attr.probe_offset = strtoul(argv[3], NULL, 0);
	at = now_ns();
	fd = syscall(SYS_perf_event_open, &attr, atoi(argv[1]), -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return report_failure(at, "perf_event_open");
	report_done(at, "uprobe");
	wait_for_line();
	at = now_ns();
	close(fd);
	report_done(at, "close");
	return 0;
}
