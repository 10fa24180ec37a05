/*
 * Puts a probe on a place in a file, in one process that has it mapped, as a
 * tracer does that looks into a library (uprobe PMU, Linux 4.17), and keeps
 * it until a line on stdin. --program hands every hit to an eBPF program.
 */
#include "attack.h"
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

static int run_program(int event)
{
	/* r0 = 0; exit */
	struct bpf_insn program[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K }, { .code = BPF_JMP | BPF_EXIT } };
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_KPROBE, .insn_cnt = 2 };
	int fd;

	attr.insns = (uintptr_t)program;
	attr.license = (uintptr_t)"GPL";
	fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	return fd < 0 ? -1 : ioctl(event, PERF_EVENT_IOC_SET_BPF, fd);
}

int main(int argc, char **argv)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	FILE *type = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	long long at;
	int fd;

	if (argc != 4 && (argc != 5 || strcmp(argv[4], "--program")))
		usage("uprobe PID FILE OFFSET [--program]");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!type || fscanf(type, "%u", &attr.type) != 1)
		return report_failure(now_ns(), "uprobe/type");
	attr.uprobe_path = (uintptr_t)argv[2];
	attr.probe_offset = strtoul(argv[3], NULL, 0);
	at = now_ns();
	fd = syscall(SYS_perf_event_open, &attr, atoi(argv[1]), -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return report_failure(at, "perf_event_open");
	if (argc == 5 && run_program(fd) < 0)
		return report_failure(at, "eBPF");
	report_done(at, "uprobe");
	wait_for_line();
	at = now_ns();
	close(fd);
	report_done(at, "close");
	return 0;
}
