/*
 * Puts a probe on a place in a file, in one process that has it mapped, as a
 * tracer does that looks into a library (uprobe PMU, Linux 4.17), and keeps
 * it until a line on stdin: alone, with an eBPF program, by an eBPF link that it
 * holds (--multi: without a perf event, Linux 6.6), or by one that is pinned.
 */
#include "attack.h"
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

/* linux: include/uapi/linux/bpf.h; v5.15, v6.6 */
#define ATTACH_PERF_EVENT	41
#define ATTACH_UPROBE_MULTI	48

struct link_create {
	uint32_t prog_fd;
	uint32_t target_fd;
	uint32_t attach_type;
	uint32_t flags;
	uint64_t path;
	uint64_t offsets;
	uint64_t ref_ctr_offsets;
	uint64_t cookies;
	uint32_t count;
	uint32_t multi_flags;
	uint32_t pid;
	uint32_t reserved;
};

static int load_program(int attach_type)
{
	/* r0 = 0; exit */
	struct bpf_insn program[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K }, { .code = BPF_JMP | BPF_EXIT } };
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_KPROBE, .insn_cnt = 2 };

	attr.expected_attach_type = attach_type;
	attr.insns = (uintptr_t)program;
	attr.license = (uintptr_t)"GPL";
	return syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static int create_link(struct link_create *attr)
{
	attr->prog_fd = load_program(attr->attach_type == ATTACH_UPROBE_MULTI ? ATTACH_UPROBE_MULTI : 0);
	return syscall(SYS_bpf, BPF_LINK_CREATE, attr, sizeof(*attr));
}

static int link_event(int event)
{
	struct link_create attr = { .target_fd = event, .attach_type = ATTACH_PERF_EVENT };

	return create_link(&attr);
}

/* On the place and the one behind it, in every process that has the file mapped, on their return. */
static int link_file(const char *path, uint64_t offset)
{
	uint64_t offsets[] = { offset, offset + 16 };
	struct link_create attr = { .attach_type = ATTACH_UPROBE_MULTI, .path = (uintptr_t)path,
				    .offsets = (uintptr_t)offsets, .count = 2, .multi_flags = 1 };

	return create_link(&attr);
}

static int pin(int link, const char *path)
{
	union bpf_attr attr = { .bpf_fd = link };

	attr.pathname = (uintptr_t)path;
	return syscall(SYS_bpf, BPF_OBJ_PIN, &attr, sizeof(attr));
}

static int open_event(pid_t pid, const char *path, uint64_t offset)
{
	struct perf_event_attr attr = { .size = sizeof(attr), .uprobe_path = (uintptr_t)path, .probe_offset = offset };
	FILE *type = fopen("/sys/bus/event_source/devices/uprobe/type", "re");

	if (!type || fscanf(type, "%u", &attr.type) != 1)
		return -1;
	fclose(type);
	return syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

int main(int argc, char **argv)
{
	const char *line = "uprobe PID FILE OFFSET [--program | --link | --multi | --pin PATH]";
	const char *how = argc > 4 ? argv[4] : "";
	int fd = -1, link = 0;
	uint64_t offset;
	long long at;

	if (argc < 4 || argc > 6 || (argc == 6) != !strcmp(how, "--pin"))
		usage(line);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	offset = strtoul(argv[3], NULL, 0);
	at = now_ns();
	if (strcmp(how, "--multi")) {
		fd = open_event(atoi(argv[1]), argv[2], offset);
		if (fd < 0)
			return report_failure(at, "perf_event_open");
	}
	if (!strcmp(how, "--program"))
		link = ioctl(fd, PERF_EVENT_IOC_SET_BPF, load_program(0));
	else if (!strcmp(how, "--multi"))
		link = link_file(argv[2], offset);
	else if (*how)
		link = link_event(fd);
	if (link < 0)
		return report_failure(at, "eBPF");
	if (!strcmp(how, "--pin") && (pin(link, argv[5]) < 0 || close(link) < 0))
		return report_failure(at, "BPF_OBJ_PIN");
	/* The link has the event. */
	if (!strcmp(how, "--link") || !strcmp(how, "--pin"))
		close(fd);
	report_done(at, "uprobe");
	wait_for_line();
	at = now_ns();
	if (fd >= 0)
		close(fd);
	report_done(at, "close");
	return 0;
}
