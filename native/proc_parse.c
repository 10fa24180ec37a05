/*
 * What the files below /proc/PID say: bytes in, numbers and pieces of the same
 * bytes out. Nothing here opens or reads a file.
 */
#include <errno.h>
#include <string.h>

#include "rimon.h"

static bool take_number(const char **at, const char *end, uint64_t *ret)
{
	const char *p = *at;
	uint64_t value = 0;

	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	if (p == end || *p < '0' || *p > '9')
		return false;
	for (; p < end && *p >= '0' && *p <= '9'; p++)
		value = value * 10 + (uint64_t)(*p - '0');
	*at = p;
	*ret = value;
	return true;
}

static bool take_u32(const char **at, const char *end, uint32_t *ret)
{
	uint64_t value;

	if (!take_number(at, end, &value))
		return false;
	*ret = (uint32_t)value;
	return true;
}

static bool take_hex(const char *p, const char *end, uint64_t *ret)
{
	uint64_t value = 0;
	const char *first;

	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	for (first = p; p < end; p++) {
		unsigned int digit;

		if (*p >= '0' && *p <= '9')
			digit = (unsigned int)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			digit = (unsigned int)(*p - 'a') + 10;
		else
			break;
		value = value << 4 | digit;
	}
	if (p == first)
		return false;
	*ret = value;
	return true;
}

int proc_number_parse(const char *buf, size_t len, uint32_t *ret)
{
	const char *at = buf, *end = buf + len;
	uint32_t number;

	if (!take_u32(&at, end, &number) || at != end)
		return -EBADMSG;
	*ret = number;
	return 0;
}

/* comm may hold ')' itself, so fields are counted from the last one. */
int proc_stat_parse(const char *buf, size_t len, struct proc_stat *ret)
{
	const char *end = buf + len, *at = buf, *open, *close;
	struct proc_stat stat = { 0 };
	uint64_t number;
	int field;

	open = memchr(buf, '(', len);
	close = memrchr(buf, ')', len);
	if (!open || !close || close < open)
		return -EBADMSG;
	if (!take_u32(&at, open, &stat.pid))
		return -EBADMSG;
	stat.comm = open + 1;
	stat.comm_len = (size_t)(close - stat.comm);
	if (end - close < 4 || close[1] != ' ' || close[3] != ' ')
		return -EBADMSG;
	stat.state = close[2];
	at = close + 3;
	for (field = 4; field <= 22; field++) {
		while (at < end && *at == ' ')
			at++;
		if (at < end && *at == '-')
			at++;
		if (!take_number(&at, end, &number))
			return -EBADMSG;
		/* A number at the very end may have been cut. */
		if (at == end)
			return -EBADMSG;
		if (field == 4)
			stat.parent_pid = (uint32_t)number;
		else if (field == 9)
			stat.flags = (uint32_t)number;
		else if (field == 22)
			stat.start_ticks = number;
	}
	*ret = stat;
	return 0;
}

static bool line_starts(const char *line, const char *end, const char *name, const char **ret_value)
{
	size_t len = strlen(name);

	if ((size_t)(end - line) < len || memcmp(line, name, len) != 0)
		return false;
	*ret_value = line + len;
	return true;
}

int proc_status_parse(const char *buf, size_t len, struct proc_status *ret)
{
	enum { TGID = 1, TRACER = 2, UID = 4, GID = 8, THREADS = 16, CAPABILITIES = 32, ALL = 63 };
	const char *line = buf, *end = buf + len;
	struct proc_status status;
	unsigned int seen = 0;

	memset(&status, 0, sizeof(status));
	while (line < end && seen != ALL) {
		const char *newline = memchr(line, '\n', (size_t)(end - line)), *at;

		if (!newline)
			break;
		/* The kernel escapes a newline in Name, so no process can forge a line. */
		if (line_starts(line, newline, "Tgid:", &at)) {
			if (take_u32(&at, newline, &status.tgid))
				seen |= TGID;
		} else if (line_starts(line, newline, "TracerPid:", &at)) {
			if (take_u32(&at, newline, &status.tracer_pid))
				seen |= TRACER;
		} else if (line_starts(line, newline, "Uid:", &at)) {
			if (take_u32(&at, newline, &status.uid) && take_u32(&at, newline, &status.euid))
				seen |= UID;
		} else if (line_starts(line, newline, "Gid:", &at)) {
			if (take_u32(&at, newline, &status.gid))
				seen |= GID;
		} else if (line_starts(line, newline, "NSpid:", &at)) {
			uint32_t pid;

			status.namespace_pids = 0;
			while (status.namespace_pids < NAMESPACE_PIDS_MAX && take_u32(&at, newline, &pid))
				status.namespace_pid[status.namespace_pids++] = pid;
		} else if (line_starts(line, newline, "Threads:", &at)) {
			if (take_u32(&at, newline, &status.threads))
				seen |= THREADS;
		} else if (line_starts(line, newline, "CapEff:", &at)) {
			if (take_hex(at, newline, &status.cap_effective))
				seen |= CAPABILITIES;
		}
		line = newline + 1;
	}
	if (seen != ALL)
		return -EBADMSG;
	*ret = status;
	return 0;
}

int proc_tgid_parse(const char *buf, size_t len, uint32_t *ret_pid)
{
	const char *line = buf, *end = buf + len;

	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line)), *at;

		if (!newline)
			break;
		if (line_starts(line, newline, "Tgid:", &at) && take_u32(&at, newline, ret_pid))
			return 0;
		line = newline + 1;
	}
	return -EBADMSG;
}

int proc_cgroup_parse(const char *buf, size_t len, const char **ret_path, size_t *ret_len)
{
	static const char systemd[] = ":name=systemd:";
	const char *line = buf, *end = buf + len;
	const char *unified = NULL, *named = NULL;
	size_t unified_len = 0, named_len = 0;

	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line)), *at;

		if (!newline)
			break;
		if (line_starts(line, newline, "0::", &at)) {
			unified = at;
			unified_len = (size_t)(newline - at);
		} else {
			at = memmem(line, (size_t)(newline - line), systemd, sizeof(systemd) - 1);
			if (at) {
				named = at + sizeof(systemd) - 1;
				named_len = (size_t)(newline - named);
			}
		}
		line = newline + 1;
	}
	if (named && unified_len <= 1) {
		unified = named;
		unified_len = named_len;
	}
	if (!unified)
		return -EBADMSG;
	*ret_path = unified;
	*ret_len = unified_len;
	return 0;
}

static bool take_limit(const char **at, const char *end, uint64_t *ret)
{
	static const char unlimited[] = "unlimited";
	const char *p = *at;

	while (p < end && *p == ' ')
		p++;
	*at = p;
	if ((size_t)(end - p) >= sizeof(unlimited) - 1 && memcmp(p, unlimited, sizeof(unlimited) - 1) == 0) {
		*at = p + sizeof(unlimited) - 1;
		*ret = CORE_UNLIMITED;
		return true;
	}
	return take_number(at, end, ret);
}

int proc_limits_parse(const char *buf, size_t len, uint64_t *ret_soft, uint64_t *ret_hard)
{
	const char *line = buf, *end = buf + len;

	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line)), *at;
		uint64_t soft, hard;

		if (!newline)
			break;
		if (line_starts(line, newline, "Max core file size ", &at)) {
			if (!take_limit(&at, newline, &soft) || !take_limit(&at, newline, &hard))
				return -EBADMSG;
			*ret_soft = soft;
			*ret_hard = hard;
			return 0;
		}
		line = newline + 1;
	}
	return -EBADMSG;
}

int proc_coredump_filter_parse(const char *buf, size_t len, uint32_t *ret)
{
	uint64_t filter;

	if (!take_hex(buf, buf + len, &filter))
		return -EBADMSG;
	*ret = (uint32_t)filter;
	return 0;
}

static void loader_keep(struct proc_loader *loader, const char *entry, size_t len)
{
	const char *end = entry + len, *value;
	size_t room = sizeof(loader->entries) - loader->len;

	if (!line_starts(entry, end, "LD_PRELOAD=", &value) && !line_starts(entry, end, "LD_AUDIT=", &value))
		return;
	if (room < 2)
		return;
	if (len > room - 1)
		len = room - 1;
	memcpy(loader->entries + loader->len, entry, len);
	loader->entries[loader->len + len] = '\0';
	loader->len += len + 1;
}

void proc_environ_parse(const char *buf, size_t len, bool last, struct proc_loader *loader, size_t *ret_used)
{
	const char *at = buf, *end = buf + len;

	while (at < end) {
		const char *nul = memchr(at, '\0', (size_t)(end - at));

		if (!nul && !last)
			break;
		if (!nul)
			nul = end;
		loader_keep(loader, at, (size_t)(nul - at));
		at = nul < end ? nul + 1 : end;
	}
	*ret_used = (size_t)(at - buf);
}
