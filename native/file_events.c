/* fanotify: who touches which file of a procfs, and who writes a marked file. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include "rimon.h"

/* v6.13: an event whose file cannot be opened carries the error in place of failing the read (522249f05c5a). */
#ifndef FAN_REPORT_FD_ERROR
#define FAN_REPORT_FD_ERROR	0x00002000
#endif

int file_events_open(int *ret_fd, const char **ret_what)
{
	/* The queue is bounded on purpose: what overflows is told, what piles up in the kernel is not. */
	unsigned int flags = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_MARKS;
	unsigned int open_flags = O_RDONLY | O_CLOEXEC | O_LARGEFILE | O_NONBLOCK;
	int fd;

	fd = fanotify_init(flags | FAN_REPORT_FD_ERROR, open_flags);
	if (fd < 0 && errno == EINVAL)
		fd = fanotify_init(flags, open_flags);
	if (fd < 0) {
		*ret_what = "fanotify_init (it needs CAP_SYS_ADMIN)";
		return -errno;
	}
	*ret_fd = fd;
	return 0;
}

int attribute_events_open(int *ret_fd)
{
	/* v5.1: a group that reports by file handle is told of attributes too (a8b13aa20afb). */
	int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_FID, 0);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* Takes the last component off a path; false if there is none. */
static bool take_last(const char *path, size_t *len, const char **ret_name, size_t *ret_len)
{
	const char *slash = memrchr(path, '/', *len);

	if (!slash)
		return false;
	*ret_name = slash + 1;
	*ret_len = *len - (size_t)(slash + 1 - path);
	*len = (size_t)(slash - path);
	return *ret_len > 0;
}

static bool is_pid(const char *name, size_t len, uint32_t *ret)
{
	uint32_t value = 0;
	size_t i;

	if (len == 0 || len > 9)
		return false;
	for (i = 0; i < len; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		value = value * 10 + (uint32_t)(name[i] - '0');
	}
	*ret = value;
	return value != 0;
}

static bool same(const char *name, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(name, word, len) == 0;
}

int proc_path_parse(const char *path, size_t len, struct proc_path *ret)
{
	static const char deleted[] = " (deleted)";
	static const struct {
		const char *name;
		uint32_t file;
	} files[] = {
		{ "mem", PROC_FILE_MEM },
		{ "environ", PROC_FILE_ENVIRON },
		{ "maps", PROC_FILE_MAPS },
		{ "smaps", PROC_FILE_SMAPS },
		{ "smaps_rollup", PROC_FILE_SMAPS },
		{ "numa_maps", PROC_FILE_SMAPS },
		{ "pagemap", PROC_FILE_PAGEMAP },
		{ "map_files", PROC_FILE_MAP_FILES },
		{ "auxv", PROC_FILE_AUXV },
		{ "stack", PROC_FILE_STACK },
		{ "syscall", PROC_FILE_SYSCALL },
		{ "coredump_filter", PROC_FILE_COREDUMP_FILTER },
	};
	struct proc_path parsed = { 0 };
	const char *name;
	size_t name_len, rest, i;

	/* The process is gone and its files with it. */
	if (len > sizeof(deleted) - 1 && memcmp(path + len - (sizeof(deleted) - 1), deleted, sizeof(deleted) - 1) == 0)
		len -= sizeof(deleted) - 1;
	parsed.len = len;
	rest = len;
	if (!take_last(path, &rest, &name, &name_len))
		return -ENOENT;
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (same(name, name_len, files[i].name))
			parsed.file = files[i].file;
	if (!parsed.file)
		return -ENOENT;
	if (!take_last(path, &rest, &name, &name_len) || !is_pid(name, name_len, &parsed.pid))
		return -ENOENT;
	if (take_last(path, &rest, &name, &name_len) && same(name, name_len, "task")) {
		uint32_t pid;

		if (take_last(path, &rest, &name, &name_len) && is_pid(name, name_len, &pid)) {
			parsed.tid = parsed.pid;
			parsed.pid = pid;
		}
	}
	*ret = parsed;
	return 0;
}

bool proc_path_is_kcore(const char *path, size_t len)
{
	const char *name;
	size_t name_len;

	return take_last(path, &len, &name, &name_len) && same(name, name_len, "kcore");
}

bool proc_path_is_sysctl(const char *path, size_t len)
{
	return memmem(path, len, "/sys/", 5) != NULL;
}
