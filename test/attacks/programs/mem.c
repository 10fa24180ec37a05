/*
 * Opens /proc/PID/mem, or the path given instead of a pid, and reads LENGTH
 * bytes at ADDRESS. A second opening way is a relative path from --chdir.
 * --hold reports the open, and reads only after a line on stdin.
 * --open opens and reads nothing.
 */
#include "attack.h"

int main(int argc, char **argv)
{
	const char *line = "mem PID|PATH ADDRESS LENGTH [--hold] [--open] [--chdir DIR]";
	struct attack a = parse_attack(argc, argv, line);
	char path[4096];
	int hold = 0, only_open = 0;

	if (strspn(argv[1], "0123456789") == strlen(argv[1]))
		snprintf(path, sizeof(path), "/proc/%s/mem", argv[1]);
	else
		snprintf(path, sizeof(path), "%s", argv[1]);
	for (int i = 4; i < argc; i++) {
		if (!strcmp(argv[i], "--hold"))
			hold = 1;
		else if (!strcmp(argv[i], "--open"))
			only_open = 1;
		else if (strcmp(argv[i], "--chdir") || ++i == argc)
			usage(line);
		else if (chdir(argv[i]) < 0)
			return report_failure(now_ns(), "chdir");
	}

	long long at = now_ns();
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return report_failure(at, "open");
	if (hold || only_open)
		report_done(at, "open");
	if (hold) {
		wait_for_line();
		at = now_ns();
	}
	if (only_open)
		return 0;

	ssize_t n = pread(fd, a.bytes, a.length, a.address);

	if (n < 0)
		return report_failure(at, "pread");
	report_bytes(at, a.bytes, n);
	return 0;
}
