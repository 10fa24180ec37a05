/*
 * Which places in which files have a uprobe, and who holds it, as far as the
 * kernel tells: what a perf event with an eBPF program is on
 * (BPF_TASK_FD_QUERY, v4.18), what eBPF links are on, and the events that are
 * defined in tracefs. A perf event without a program tells nobody what it is
 * on.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rimon.h"

#define PERF_EVENT	"anon_inode:[perf_event]"
#define BPF_LINK	"anon_inode:bpf_link"
#define PATH_ROOM	4096
#define EVENTS_ROOM	16384
#define OFFSETS_MAX	1024
#define LINKS_MAX	65536

/* include/linux/errno.h: what descriptors of other kinds answer. */
#define KERNEL_ENOTSUPP	524

/* v5.15, v6.6; of older headers missing. */
#define LINK_PERF_EVENT		7
#define LINK_UPROBE_MULTI	12
#define LINK_RETURNS		1
#define PERF_EVENT_UPROBE	1
#define PERF_EVENT_URETPROBE	2

/* struct bpf_link_info as it is since v6.8; a shorter one of an older kernel stays zero behind its end. */
struct link_info {
	uint32_t type;
	uint32_t id;
	uint32_t prog_id;
	uint32_t reserved;
	union {
		/* v6.6: 1b715e1b0ec5 */
		struct {
			uint32_t type;
			uint32_t reserved;
			uint64_t name;
			uint32_t name_len;
			uint32_t offset;
		} perf_event;
		/* v6.8: 7ac8d0d26192 */
		struct {
			uint64_t path;
			uint64_t offsets;
			uint64_t ref_ctr_offsets;
			uint64_t cookies;
			uint32_t path_size;
			uint32_t count;
			uint32_t flags;
			uint32_t pid;
		} uprobe_multi;
	};
};

/* Who has a link's descriptor. */
struct holder {
	uint64_t start_ticks;
	uint32_t pid;
	uint32_t link;
};

struct sweep {
	const struct procfs *procfs;
	struct batch *out;
	struct holder *holders;
	size_t n_holders;
	char path[PATH_ROOM];
	uint64_t offsets[OFFSETS_MAX];
};

static int bpf(int command, union bpf_attr *attr)
{
	int result = (int)syscall(SYS_bpf, command, attr, sizeof(*attr));

	return result < 0 ? -errno : result;
}

static void tell(struct sweep *s, uint32_t source, const struct holder *by, uint64_t offset, bool returns,
		 const char *path, size_t path_len, const char *name, size_t name_len)
{
	struct uprobe_record *r;

	if (!path_len || path_len > UINT16_MAX || name_len > UINT16_MAX)
		return;
	r = batch_begin(s->out, RECORD_UPROBE, sizeof(*r));
	if (!r)
		return;
	r->source = source;
	r->offset = offset;
	r->returns = returns;
	r->pid = by ? by->pid : 0;
	r->start_ticks = by ? by->start_ticks : 0;
	r->path_len = (uint16_t)path_len;
	r->name_len = (uint16_t)name_len;
	batch_bytes(s->out, path, path_len);
	batch_bytes(s->out, name, name_len);
	batch_end(s->out);
}

int link_id_parse(const char *buf, size_t len, uint32_t *ret)
{
	static const char key[] = "link_id:\t";
	const char *end = buf + len, *at = buf, *stop;

	while (at < end) {
		stop = memchr(at, '\n', (size_t)(end - at));
		if (!stop)
			stop = end;
		if ((size_t)(stop - at) >= sizeof(key) && !memcmp(at, key, sizeof(key) - 1)) {
			at += sizeof(key) - 1;
			return proc_number_parse(at, (size_t)(stop - at), ret);
		}
		at = stop == end ? end : stop + 1;
	}
	return -ENOENT;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "p:group/name /path:0x00000000002085a0(0x10) args", "r:..." (kernel/trace/trace_uprobe.c). */
int uprobe_event_parse(const char *buf, size_t len, struct uprobe_event *ret)
{
	const char *end = buf + len, *at, *colon;

	if (len < 3 || (buf[0] != 'p' && buf[0] != 'r') || buf[1] != ':')
		return -EBADMSG;
	ret->returns = buf[0] == 'r';
	ret->name = buf + 2;
	at = memchr(ret->name, ' ', (size_t)(end - ret->name));
	if (!at || at == ret->name)
		return -EBADMSG;
	ret->name_len = (size_t)(at - ret->name);
	ret->path = ++at;
	/* The path itself may hold colons. */
	for (colon = at; colon < end; colon++) {
		uint64_t offset = 0;
		size_t digits = 0;

		if (*colon != ':' || end - colon < 4 || colon[1] != '0' || colon[2] != 'x')
			continue;
		for (at = colon + 3; at < end && digits < 16 && hex(*at) >= 0; at++, digits++)
			offset = offset << 4 | (uint64_t)hex(*at);
		if (!digits || colon == ret->path || (at < end && *at != ' ' && *at != '(' && *at != '%'))
			continue;
		ret->path_len = (size_t)(colon - ret->path);
		ret->offset = offset;
		return 0;
	}
	return -EBADMSG;
}

/* One descriptor of a perf event; those that are on something else say nothing. */
static int query(struct sweep *s, const struct open_file_record *file)
{
	struct holder by = { .pid = file->pid, .start_ticks = file->start_ticks };
	union bpf_attr attr = { 0 };
	uint32_t type;
	int err;

	attr.task_fd_query.pid = file->pid;
	attr.task_fd_query.fd = file->fd;
	attr.task_fd_query.buf = (uintptr_t)s->path;
	attr.task_fd_query.buf_len = sizeof(s->path);
	err = bpf(BPF_TASK_FD_QUERY, &attr);
	/* No program, another kind, closed meanwhile, its process gone. */
	if (err == -ENOENT || err == -EOPNOTSUPP || err == -KERNEL_ENOTSUPP || err == -EBADF || err == -ESRCH)
		return 0;
	if (err < 0)
		return err;
	type = attr.task_fd_query.fd_type;
	if (type == BPF_FD_TYPE_UPROBE || type == BPF_FD_TYPE_URETPROBE)
		tell(s, UPROBE_BY_PERF, &by, attr.task_fd_query.probe_offset, type == BPF_FD_TYPE_URETPROBE, s->path,
		     strnlen(s->path, sizeof(s->path)), NULL, 0);
	return 0;
}

static int add_holder(struct sweep *s, const struct open_file_record *file)
{
	struct holder by = { .pid = file->pid, .start_ticks = file->start_ticks }, *more;
	char name[48], buf[1024];
	ssize_t n;

	snprintf(name, sizeof(name), "%u/fdinfo/%u", file->pid, file->fd);
	n = read_at(s->procfs->root, name, buf, sizeof(buf));
	/* Closed meanwhile, or its process gone. */
	if (n < 0 || link_id_parse(buf, (size_t)n, &by.link) < 0)
		return 0;
	more = realloc(s->holders, (s->n_holders + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->holders = more;
	s->holders[s->n_holders++] = by;
	return 0;
}

static int look_at_descriptors(struct sweep *s, struct tasks *t)
{
	static const char kinds[] = PERF_EVENT "\0" BPF_LINK;
	struct batch found = { 0 };
	struct pids all = { 0 };
	size_t at = 0;
	int err, first = 0;

	err = proc_files_sweep(s->procfs, t, kinds, sizeof(kinds), &all, &found);
	while (!err && at < found.len) {
		struct open_file_record file;
		int failed;

		memcpy(&file, found.data + at, sizeof(file));
		failed = file.path_len == sizeof(BPF_LINK) - 1 ? add_holder(s, &file) : query(s, &file);
		if (failed && !first)
			first = failed;
		at += file.head.size;
	}
	batch_free(&found);
	return err ? err : first;
}

static int link_info(int fd, struct link_info *info)
{
	union bpf_attr attr = { 0 };

	attr.info.bpf_fd = (uint32_t)fd;
	attr.info.info = (uintptr_t)info;
	attr.info.info_len = sizeof(*info);
	return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
}

/* For each who holds it; one that is pinned, or kept by the kernel, is held by nobody. */
static void tell_link(struct sweep *s, uint32_t id, uint64_t offset, bool returns)
{
	size_t len = strnlen(s->path, sizeof(s->path)), i;
	bool held = false;

	for (i = 0; i < s->n_holders; i++) {
		if (s->holders[i].link != id)
			continue;
		tell(s, UPROBE_BY_LINK, &s->holders[i], offset, returns, s->path, len, NULL, 0);
		held = true;
	}
	if (!held)
		tell(s, UPROBE_BY_LINK, NULL, offset, returns, s->path, len, NULL, 0);
}

static int look_at_link(struct sweep *s, int fd)
{
	struct link_info first = { 0 }, info = { 0 };
	uint32_t count, i;
	int err;

	/* What may be asked for more depends on its type. */
	err = link_info(fd, &first);
	if (err < 0)
		return err;
	s->path[0] = '\0';
	if (first.type == LINK_PERF_EVENT &&
	    (first.perf_event.type == PERF_EVENT_UPROBE || first.perf_event.type == PERF_EVENT_URETPROBE)) {
		info.perf_event.name = (uintptr_t)s->path;
		info.perf_event.name_len = sizeof(s->path);
		err = link_info(fd, &info);
		if (err < 0)
			return err;
		tell_link(s, first.id, info.perf_event.offset, first.perf_event.type == PERF_EVENT_URETPROBE);
	} else if (first.type == LINK_UPROBE_MULTI && first.uprobe_multi.count) {
		count = first.uprobe_multi.count < OFFSETS_MAX ? first.uprobe_multi.count : OFFSETS_MAX;
		info.uprobe_multi.path = (uintptr_t)s->path;
		info.uprobe_multi.path_size = sizeof(s->path);
		info.uprobe_multi.offsets = (uintptr_t)s->offsets;
		info.uprobe_multi.count = count;
		err = link_info(fd, &info);
		/* The first ones are there if not all had room. */
		if (err < 0 && err != -ENOSPC)
			return err;
		for (i = 0; i < count; i++)
			tell_link(s, first.id, s->offsets[i], first.uprobe_multi.flags & LINK_RETURNS);
	}
	return 0;
}

static int look_at_links(struct sweep *s)
{
	int err = 0, fd, i, first = 0;
	uint32_t id = 0;

	for (i = 0; i < LINKS_MAX; i++) {
		union bpf_attr attr = { 0 };

		attr.start_id = id;
		err = bpf(BPF_LINK_GET_NEXT_ID, &attr);
		if (err < 0)
			break;
		id = attr.next_id;
		memset(&attr, 0, sizeof(attr));
		attr.link_id = id;
		fd = bpf(BPF_LINK_GET_FD_BY_ID, &attr);
		/* Gone meanwhile. */
		if (fd == -ENOENT || fd == -EAGAIN)
			continue;
		err = fd < 0 ? fd : look_at_link(s, fd);
		if (fd >= 0)
			close(fd);
		if (err < 0 && !first)
			first = err;
	}
	/* No more; or, before v5.8, no links. */
	return first ? first : err == -ENOENT || err == -EINVAL ? 0 : err;
}

static void look_at_events(struct sweep *s, const char *text, size_t len, bool last, size_t *ret_used)
{
	size_t at = 0;

	while (at < len) {
		const char *newline = memchr(text + at, '\n', len - at);
		size_t line = newline ? (size_t)(newline - text) - at : len - at;
		struct uprobe_event event;

		if (!newline && !last)
			break;
		if (uprobe_event_parse(text + at, line, &event) == 0)
			tell(s, UPROBE_BY_EVENT, NULL, event.offset, event.returns, event.path, event.path_len,
			     event.name, event.name_len);
		at += line + (newline ? 1 : 0);
	}
	*ret_used = at;
}

static int look_at_tracefs(struct sweep *s)
{
	size_t len = 0, used;
	int root, fd, err;
	char *buf;
	ssize_t n;

	/* It need not be mounted, and whoever looks for a mount of it looks elsewhere. */
	err = mount_detached("tracefs", &root);
	if (err)
		return err == -ENODEV ? 0 : err;
	fd = openat(root, "uprobe_events", O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? -errno : 0;
	close(root);
	if (err)
		return err == -ENOENT ? 0 : err;
	buf = malloc(EVENTS_ROOM);
	err = buf ? 0 : -ENOMEM;
	while (!err) {
		n = read(fd, buf + len, EVENTS_ROOM - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = -errno;
		if (n <= 0)
			break;
		len += (size_t)n;
		look_at_events(s, buf, len, false, &used);
		/* No event is that long. */
		if (!used && len == EVENTS_ROOM)
			used = len;
		len -= used;
		memmove(buf, buf + used, len);
	}
	if (!err)
		look_at_events(s, buf, len, true, &used);
	free(buf);
	close(fd);
	return err;
}

int uprobe_type(uint32_t *ret)
{
	FILE *file = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	int n;

	if (!file)
		return -errno;
	n = fscanf(file, "%" SCNu32, ret);
	fclose(file);
	return n == 1 ? 0 : -EBADMSG;
}

int uprobes_read(const struct procfs *p, struct tasks *t, struct batch *out)
{
	struct sweep *s = calloc(1, sizeof(*s));
	int descriptors, links, events;
	struct uprobes_record *r;

	if (!s)
		return -ENOMEM;
	s->procfs = p;
	s->out = out;
	descriptors = look_at_descriptors(s, t);
	links = look_at_links(s);
	events = look_at_tracefs(s);
	free(s->holders);
	free(s);
	r = batch_begin(out, RECORD_UPROBES, sizeof(*r));
	if (r) {
		r->descriptors_error = (uint32_t)-descriptors;
		r->links_error = (uint32_t)-links;
		r->events_error = (uint32_t)-events;
	}
	batch_end(out);
	return out->error;
}
