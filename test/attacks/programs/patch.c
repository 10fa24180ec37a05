/*
 * Writes bytes over the code of another process and leaves them there: by
 * ptrace, word by word, or through /proc/PID/mem. With --back it puts the old
 * ones back at a line on stdin.
 */
#include "attack.h"
#include <sys/ptrace.h>
#include <sys/wait.h>

static int by_mem(const struct attack *a, unsigned char *old)
{
	char path[64];
	int fd, ok;

	snprintf(path, sizeof(path), "/proc/%d/mem", a->pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ok = pread(fd, old, a->length, a->address) == (ssize_t)a->length &&
	     pwrite(fd, a->bytes, a->length, a->address) == (ssize_t)a->length;
	close(fd);
	return ok ? 0 : -1;
}

static int by_ptrace(const struct attack *a, unsigned char *old)
{
	int status, err = 0;

	if (ptrace(PTRACE_ATTACH, a->pid, NULL, NULL) < 0 || waitpid(a->pid, &status, __WALL) < 0)
		return -1;
	for (size_t done = 0; done < a->length && !err; done += sizeof(long)) {
		size_t piece = a->length - done < sizeof(long) ? a->length - done : sizeof(long);
		long word;

		errno = 0;
		word = ptrace(PTRACE_PEEKTEXT, a->pid, a->address + done, NULL);
		if (errno) {
			err = -1;
			break;
		}
		memcpy(old + done, &word, piece);
		memcpy(&word, a->bytes + done, piece);
		err = ptrace(PTRACE_POKETEXT, a->pid, a->address + done, word) < 0 ? -1 : 0;
	}
	ptrace(PTRACE_DETACH, a->pid, NULL, NULL);
	return err;
}

int main(int argc, char **argv)
{
	const char *line = "patch PID ADDRESS LENGTH HEX ptrace|mem [--back]";
	struct attack a = parse_attack(argc, argv, line);
	unsigned char *old = calloc(1, a.length + sizeof(long));
	int (*write_code)(const struct attack *, unsigned char *);
	long long at;

	if (argc < 6 || strlen(argv[4]) != a.length * 2 || !old)
		usage(line);
	for (size_t i = 0; i < a.length; i++) {
		char byte[3] = { argv[4][i * 2], argv[4][i * 2 + 1], 0 };

		a.bytes[i] = strtoul(byte, NULL, 16);
	}
	write_code = strcmp(argv[5], "mem") ? by_ptrace : by_mem;
	at = now_ns();
	if (write_code(&a, old) < 0)
		return report_failure(at, argv[5]);
	report_done(at, argv[5]);
	if (argc > 6 && !strcmp(argv[6], "--back")) {
		wait_for_line();
		memcpy(a.bytes, old, a.length);
		at = now_ns();
		if (write_code(&a, old) < 0)
			return report_failure(at, argv[5]);
		report_done(at, "back");
	}
	return 0;
}
