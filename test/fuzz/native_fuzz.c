/*
 * Every parser of native/ that takes bytes, behind libFuzzer's entry point,
 * and a main() that mutates seeds by itself where there is no libFuzzer:
 *
 *   native_fuzz ITERATIONS SEED
 *
 * It prints nothing unless a sanitizer stops it; the seed is then the test's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf.h"
#include "file_walk.h"
#include "file_watch.h"
#include "gate.h"
#include "rimon.h"

#define UNPACKED 3000

static void unpack(const char *buf, size_t len)
{
	unsigned char *data = malloc(UNPACKED);
	size_t size;

	for (size = 0; size <= UNPACKED; size += UNPACKED / 3)
		inflate_raw(buf, len, data, size);
	free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first half are rules, the second a path. */
static void match_rules(const char *buf, size_t len)
{
	struct file_rules rules;
	size_t half = len / 2, found;

	while (half && buf[half - 1])
		half--;
	if (file_rules_parse(buf, half, &rules))
		return;
	found = file_rules_find(&rules, FILE_RULE_FILE, buf + half, len - half);
	if (found > rules.n)
		abort();
	file_rules_want_below(&rules, found, buf + half, len - half);
	file_rules_free(&rules);
}

/* What a parser hands out must lie in what it was given. */
static void inside(const char *part, size_t part_len, const char *buf, size_t len)
{
	if (part < buf || part_len > len || part + part_len > buf + len)
		abort();
}

static void parse_environ(const char *buf, size_t len)
{
	struct proc_loader *loader = malloc(sizeof(*loader));
	size_t used;

	loader->len = 0;
	proc_environ_parse(buf, len, false, loader, &used);
	if (used > len)
		abort();
	proc_environ_parse(buf + used, len - used, true, loader, &used);
	if (loader->len > sizeof(loader->entries) || (loader->len && loader->entries[loader->len - 1] != '\0'))
		abort();
	free(loader);
}

static void parse_maps(const char *buf, size_t len)
{
	const char *line = buf, *end = buf + len;

	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		struct proc_mapping m;

		if (!newline)
			newline = end;
		if (proc_maps_parse_line(line, (size_t)(newline - line), &m) == 0)
			inside(m.path, m.path_len, buf, len);
		line = newline == end ? end : newline + 1;
	}
}

/* One half is what was found, the other what was expected. */
static void compare_code(const char *buf, size_t len)
{
	const unsigned char *found = (const unsigned char *)buf, *expected = found + len / 2;
	struct code_run runs[4];
	size_t n, at, end = 0, max = len % 4 + 1, left = 0, i;

	n = code_runs(found, expected, len / 2, runs, max);
	if (n > max)
		abort();
	for (i = 0, at = 0; i < n; i++) {
		if (runs[i].start < end || !runs[i].len || runs[i].start + runs[i].len > len / 2)
			abort();
		for (; at < runs[i].start; at++)
			left += found[at] != expected[at];
		at = end = runs[i].start + runs[i].len;
	}
	for (; at < len / 2; at++)
		left += found[at] != expected[at];
	if (left)
		abort();
}

static void parse_kallsyms(const char *buf, size_t len)
{
	static const struct kernel_function functions[] = { { "mem_rw", 1 }, { "process_vm_rw", 2 } };
	const char *line = buf, *end = buf + len;
	struct kernel_range ranges[4];
	struct kallsyms k = { .functions = functions, .n_functions = 2, .ranges = ranges, .room = 4 };
	size_t i;

	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		size_t line_len = (size_t)((newline ? newline + 1 : end) - line);
		/* A copy of its own, so that one byte past the line is found. */
		char *copy = malloc(line_len);

		memcpy(copy, line, line_len);
		kallsyms_line(&k, copy, line_len);
		free(copy);
		line += line_len;
	}
	if (k.n > k.room || k.open > k.n)
		abort();
	for (i = 0; i < k.n; i++)
		if (ranges[i].end < ranges[i].start || ranges[i].operation < 1 || ranges[i].operation > 2)
			abort();
}

static void parse_uprobes(const char *buf, size_t len)
{
	const char *line = buf, *end = buf + len;
	uint32_t id;

	link_id_parse(buf, len, &id);
	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		struct uprobe_event event;

		if (!newline)
			newline = end;
		if (uprobe_event_parse(line, (size_t)(newline - line), &event) == 0) {
			inside(event.name, event.name_len, buf, len);
			inside(event.path, event.path_len, buf, len);
			if (!event.name_len || !event.path_len)
				abort();
		}
		line = newline == end ? end : newline + 1;
	}
}

#define RING_SIZE 256

struct drained {
	const char *data;
	size_t n;
};

static void drained_one(void *arg, const void *sample, size_t len)
{
	struct drained *d = arg;

	inside(sample, len, d->data, 2 * RING_SIZE);
	d->n++;
}

/* What the kernel never writes must not take the reader out of the ring either. */
static void drain_ring(const char *buf, size_t len)
{
	unsigned long consumed = 0, produced = 0;
	char *data = aligned_alloc(8, 2 * RING_SIZE);
	struct ring ring = { .size = RING_SIZE, .consumed = &consumed, .produced = &produced, .data = data };
	struct drained d = { data, 0 };

	memset(data, 0, 2 * RING_SIZE);
	if (len > RING_SIZE)
		len = RING_SIZE;
	memcpy(data, buf, len);
	memcpy(data + RING_SIZE, data, RING_SIZE);
	if (len >= 2) {
		consumed = (unsigned char)buf[0] & ~7ul;
		produced = consumed + ((unsigned char)buf[1] & ~7ul);
	}
	if (ring_drain(&ring, 64, 0, drained_one, &d) != d.n || consumed > produced)
		abort();
	free(data);
}

static void inside_id(const struct file_id *id, const char *buf, size_t len)
{
	if (id->len > FILE_HANDLE_MAX)
		abort();
	if (id->bytes)
		inside((const char *)id->bytes, id->len, buf, len);
}

static void inside_entry(const struct file_entry *entry, const char *buf, size_t len)
{
	inside_id(&entry->folder, buf, len);
	/* That of the folder itself is no part of the event. */
	if (entry->name && !(entry->name_len == 1 && entry->name[0] == '.'))
		inside(entry->name, entry->name_len, buf, len);
}

static void parse_file_events(const char *buf, size_t len)
{
	struct file_event event;
	size_t at, used;

	for (at = 0; at < len && file_event_parse(buf + at, len - at, &event, &used) == 0; at += used) {
		if (!used || used > len - at)
			abort();
		inside_entry(&event.entry, buf, len);
		inside_entry(&event.old, buf, len);
		inside_id(&event.target, buf, len);
	}
}

/* What is watched in words of any bytes, and a path among them; the longest word decides. */
static void aim_folders(const char *buf, size_t len)
{
	struct procfs procfs = { .root = -1, .self_fds = -1, .digest_key = { 1, 2 } };
	size_t half = len / 2, i;
	struct file_folders *f;

	if (file_folders_new(&procfs, &f) < 0)
		abort();
	if (file_folders_aim(f, buf, half, buf + half, len - half) == 0) {
		for (i = 0; i < len; i++) {
			bool wants = file_folders_wants(f, buf + i, len - i);

			if (wants != file_folders_wants(f, buf + i, len - i))
				abort();
			file_folders_leads(f, buf + i, len - i);
		}
		if (!half && file_folders_wants(f, buf, len))
			abort();
	}
	file_folders_free(f);
}

/* Each piece of the bytes is a path, of a few processes: what is in the queue is what was put in, or counted. */
static void fill_queue(const char *buf, size_t len)
{
	static const uint64_t key[2] = { 3, 4 };
	uint64_t added = 0, told = 0;
	struct file_queue q;
	size_t at = 0, i;

	if (file_queue_open(&q, key) < 0)
		abort();
	while (at < len) {
		size_t path_len = (unsigned char)buf[at] % 16, from_len = (unsigned char)buf[at] / 16 % 4;
		struct file_change change = { .pid = (unsigned char)buf[at] & 3, .bits = 1u << (unsigned char)buf[at] % 8 };

		at++;
		if (path_len + from_len > len - at)
			break;
		change.path_len = (uint16_t)path_len;
		change.from_len = (uint16_t)from_len;
		if (!file_queue_add(&q, &change, buf + at, buf + at + path_len))
			abort();
		added++;
		at += path_len + from_len;
	}
	for (i = 0; i < q.n; i++) {
		told += q.changes[i].count;
		inside(q.bytes + q.changes[i].at, (size_t)q.changes[i].path_len + q.changes[i].from_len, q.bytes, q.len);
	}
	if (told != added)
		abort();
	file_queue_clear(&q);
	for (i = 0; i < 2 * 65536; i++)
		if (q.slots[i])
			abort();
	file_queue_close(&q);
}

static int ask_number(void *arg, uint32_t *ret)
{
	*ret = *(const uint32_t *)arg;
	return 0;
}

static int ask_name(void *arg, const char **ret, size_t *ret_len, bool *ret_is_proven)
{
	(void)arg;
	*ret = "/bin/sh";
	*ret_len = 7;
	*ret_is_proven = true;
	return 0;
}

/* A table that is taken judges whatever comes, and needs a digest at most. */
static void judge_gate(const char *buf, size_t len)
{
	static const unsigned char digest[DIGEST_LEN] = "digest";
	static uint32_t number = 1;
	struct gate_file file = { .mode = 0100757, .uid = 1, .gid = 1 };
	struct gate_asked asked = { &file, NULL, ask_number, ask_number, ask_name, ask_name, &number };
	struct gate_answer answer;
	struct gate_table *t;
	int err;

	if (gate_table_parse(buf, len, &t) < 0)
		return;
	err = gate_table_judge(t, &asked, &answer);
	if (err && err != -EAGAIN)
		abort();
	asked.digest = digest;
	if (gate_table_judge(t, &asked, &answer) || answer.verdict > GATE_DENY ||
	    (answer.rule != GATE_RULE_NONE && answer.rule >= gate_table_head(t)->rules))
		abort();
	gate_table_interprets(t, "/bin/sh", 7);
	gate_table_updates(t, "/bin/sh", 7);
	gate_table_free(t);
}

/* What is found is what was kept for that very file. */
static void remember(const char *buf, size_t len)
{
	static struct gate_cache cache;
	unsigned char digest[DIGEST_LEN] = { 0 }, found[DIGEST_LEN];
	size_t at;

	for (at = 0; at + 4 <= len; at += 4) {
		const unsigned char *b = (const unsigned char *)buf + at;
		struct gate_file f = { .dev = b[0] & 1, .inode = b[1], .size = b[2] & 3, .ctime_ns = b[3] & 3 };

		/* The digest says which file it is of. */
		digest[0] = (unsigned char)f.dev;
		digest[1] = (unsigned char)f.inode;
		digest[2] = (unsigned char)f.size;
		digest[3] = (unsigned char)f.ctime_ns;
		if (gate_cache_find(&cache, &f, found) && memcmp(found, digest, DIGEST_LEN))
			abort();
		if (b[0] & 2)
			gate_cache_keep(&cache, &f, digest);
		else if (b[0] & 4)
			gate_cache_forget(&cache, f.dev, f.inode);
		if ((b[0] & 2) && (!gate_cache_find(&cache, &f, found) || memcmp(found, digest, DIGEST_LEN)))
			abort();
		if ((b[0] & 6) == 4 && gate_cache_find(&cache, &f, found))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Exactly as large as what it holds, so that one byte too far is found. */
	char *buf = malloc(size ? size : 1);
	struct process_event_record event;
	enum connector_verdict verdict;
	struct proc_status status;
	struct proc_path path;
	struct proc_stat stat;
	uint64_t a, b;
	uint32_t number;
	const char *part;
	size_t part_len;

	if (size)
		memcpy(buf, data, size);
	if (proc_stat_parse(buf, size, &stat) == 0)
		inside(stat.comm, stat.comm_len, buf, size);
	if (proc_status_parse(buf, size, &status) == 0 && status.namespace_pids > NAMESPACE_PIDS_MAX)
		abort();
	if (proc_cgroup_parse(buf, size, &part, &part_len) == 0)
		inside(part, part_len, buf, size);
	proc_tgid_parse(buf, size, &number);
	proc_limits_parse(buf, size, &a, &b);
	proc_coredump_filter_parse(buf, size, &number);
	proc_number_parse(buf, size, &number);
	if (batch_count(buf, size, &part_len) == 0 && part_len > size / sizeof(struct record_head))
		abort();
	parse_environ(buf, size);
	match_rules(buf, size);
	parse_maps(buf, size);
	compare_code(buf, size);
	parse_kallsyms(buf, size);
	parse_uprobes(buf, size);
	drain_ring(buf, size);
	parse_file_events(buf, size);
	/* These take room that costs more to get than to fill. */
	a = siphash24((const uint64_t[2]){ 5, 6 }, buf, size);
	if (a % 512 == 0)
		aim_folders(buf, size);
	if (a % 512 == 1)
		fill_queue(buf, size);
	unpack(buf, size);
	judge_gate(buf, size);
	remember(buf, size);
	if (proc_path_parse(buf, size, &path) == 0) {
		if (path.len > size || !path.file || !path.pid)
			abort();
	}
	proc_path_is_sysctl(buf, size);
	proc_path_is_kcore(buf, size);
	namespace_link_parse(buf, size, &a);
	if (connector_parse(buf, size, &event, &verdict) == 0 && verdict == CONNECTOR_EVENT && !event.event)
		abort();
	free(buf);
	return 0;
}

#ifndef LIBFUZZER
static const char *const texts[] = {
	"42 (a) b (c)) S 1 42 42 0 -1 4194304 99 0 0 0 1 2 0 0 20 0 1 0 123456 1000 200 18446744073709551615 1 1 0\n",
	"Name:\ta\\nb\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t42\nNgid:\t0\nPid:\t42\nPPid:\t1\nTracerPid:\t7\n"
	"Uid:\t0\t1\t2\t3\nGid:\t4\t5\t6\t7\nFDSize:\t64\nGroups:\t1 2 3 \nNSpid:\t42\t2\t1\nThreads:\t3\n"
	"CapInh:\t0000000000000000\nCapEff:\t000001ffffffffff\n",
	"12:cpu:/a\n1:name=systemd:/system.slice/x.service\n0::/\n",
	"0::/user.slice/user-0.slice/session-1.scope\n",
	"Limit                     Soft Limit           Hard Limit           Units     \n"
	"Max core file size        0                    unlimited            bytes     \n",
	"00400000-00452000 r-xp 00001000 fd:00 173521      /usr/bin/dbus daemon (deleted)\n"
	"7ffff7fc1000-7ffff7fc3000 r-xp 00000000 00:00 0                          [vdso]\n"
	"7f0000000000-7f0000001000 rwxp 00000000 00:00 0 \n",
	"/proc/42/task/43/environ",
	"/a/b/2015/mem (deleted)",
	"/proc/42/map_files",
	"/proc/sys/kernel/core_pattern",
	"pid:[4026531836]",
	"ffffffff8177d090 t mem_rw.isra.0\nffffffff8177d090 t alias\nffffffff8177d1f0 T process_vm_rw\t[module]\n"
	"ffffffff8177d2f0 t mem_rw.cold\nffffffff8177d300 D data\n",
	"p:uprobes/a_0x2085a0 /usr/lib/libcrypto.so.3:0x00000000002085a0(0x10) arg1=%di:x64\n"
	"r:b/c /a:0x:0x1%return\n",
	"pos:\t0\nflags:\t02\nlink_type:\tuprobe_multi\nlink_id:\t7\nprog_tag:\tb91e80b8aa6c6cfd\n",
};

static const char environment[] = "PATH=/bin\0LD_PRELOAD=/a.so:/b.so\0LD_AUDIT=/c.so\0LAST=1\0unterminated";

/* Rules, each how and a pattern, and a path as long as they are. */
static const char rules_and_path[] = "\x11/etc/**/*.conf\0\x20/e*c\\*\0\x30/etc\0/etc/a/b/x.conf/etc/a/b/x.conf/ef";

/* nlmsghdr, cn_msg, proc_event: a tracer that attaches. */
static const uint32_t datagram[] = {
	76, 3, 0, 0, 1, 1, 9, 0, 40, 0x100, 0, 1, 0, 42, 43, 7, 7, 0, 0,
};

/* Three of a ring: one whole, one thrown away, one that is being written; each has a length and a page offset. */
static const uint32_t samples[] = {
	16, 0, 1, 2, 3, 4, 8 | BPF_RINGBUF_DISCARD_BIT, 0, 5, 6, 8 | BPF_RINGBUF_BUSY_BIT, 0, 7, 8,
};

/* Two: each begins with its kind and its size. */
static const uint32_t records[] = {
	1, 24, 7, 7, 7, 7, 2, 8,
};

/*
 * fanotify_event_metadata and three infos behind it: a file made in a folder, its
 * own handle, a descriptor of who did it.
 */
static const uint32_t file_event[] = {
	24 + 36 + 28 + 8, 3 | 24 << 16, 0x100, 0, 0xffffffff, 93,
	2 | 36 << 16, 7, 8, 8, 1, 42, 43, 0x656c6966, 0,
	1 | 28 << 16, 7, 8, 8, 1, 44, 45,
	4 | 8 << 16, 5,
};

static const char aimed[] = "/usr/bin\0/etc\0/etc/ssl\0/usr/bin/x\0/";

/* A table of the exec gate. */
static const struct {
	struct gate_table_head head;
	struct gate_rule rules[3];
	struct gate_text texts[2];
	struct gate_hash hashes[2];
	char strings[8];
} gate_table = {
	{ GATE_MAGIC, GATE_VERSION, 3, 1, 1, 2, 8, GATE_DENY, GATE_ALLOW, 1000, 1 << 20 },
	{ { GATE_DENY, GATE_ON_OWNER | GATE_ON_WRITERS | GATE_ON_PATH, 0, 1, 7, 0, 0, 0, { 0, 0 }, { 4, 4 } },
	  { GATE_ALLOW, GATE_ON_BY | GATE_ON_UID | GATE_ON_FILESYSTEM, 1, 0, 0, 0, 2, 0, { 0, 7 }, { 0, 0 } },
	  { GATE_ALLOW, GATE_ON_SETS, 0, 0, 0, 2, 0, 0, { 0, 0 }, { 0, 0 } } },
	{ { 0, 7 }, { 0, 4 } },
	{ { "digest", 2 }, { "e", 1 } },
	"/bin/sh",
};

/* Deflated text: a block with codes of its own, and one with those of the RFC. */
static const uint8_t own_codes[] = {
	0x95, 0x96, 0x4b, 0x6a, 0x04, 0x41, 0x0c, 0x43, 0xaf, 0x52, 0x07, 0xc8, 0xa2, 0xfc, 0xab, 0x0f, 0x3a, 0x4d, 0x43, 0x1a,
	0x12, 0x48, 0x67, 0x60, 0x66, 0x08, 0xcc, 0xed, 0xe3, 0xb9, 0x81, 0xb5, 0xeb, 0x85, 0x29, 0x8c, 0x9e, 0x25, 0x75, 0x6f,
	0x47, 0xfb, 0xb9, 0x1d, 0x9f, 0xe7, 0xbd, 0x3d, 0x8e, 0xd7, 0xa3, 0x3d, 0xbf, 0xce, 0xfc, 0xb8, 0xce, 0x76, 0x1d, 0xbf,
	0xaf, 0xf6, 0xfc, 0xbe, 0xce, 0x47, 0xbb, 0xfd, 0x9d, 0xf7, 0x8f, 0xd6, 0x21, 0xe5, 0x59, 0x81, 0x97, 0x67, 0x15, 0xbb,
	0x3c, 0x6b, 0x90, 0x51, 0x1e, 0x76, 0x68, 0x94, 0x87, 0x03, 0x56, 0x7f, 0x79, 0xc0, 0xeb, 0x3b, 0x4f, 0x8c, 0xba, 0x18,
	0x0b, 0xab, 0xae, 0xf2, 0x86, 0xf4, 0x5e, 0x67, 0x92, 0x00, 0x95, 0x40, 0x28, 0x10, 0xaf, 0x2f, 0x2e, 0x9a, 0x68, 0xea,
	0xa2, 0x48, 0x92, 0xdc, 0x75, 0xc1, 0x25, 0x59, 0x12, 0x30, 0x25, 0x12, 0x3d, 0xf1, 0xfa, 0x80, 0x2e, 0x62, 0xf7, 0x09,
	0x53, 0x42, 0x99, 0x95, 0xa7, 0x45, 0xe8, 0xbe, 0xe1, 0x04, 0x55, 0xed, 0x70, 0xaf, 0xbf, 0xae, 0xe9, 0xcc, 0x45, 0x78,
	0x53, 0x11, 0x5a, 0x57, 0x46, 0x0d, 0x31, 0xeb, 0xba, 0xab, 0x63, 0x10, 0x54, 0x35, 0x30, 0x98, 0xd7, 0x07, 0x26, 0xb3,
	0xfb, 0xc4, 0x64, 0x94, 0x49, 0xa7, 0x32, 0xba, 0x6f, 0x6c, 0x82, 0xaa, 0x75, 0x6c, 0xe2, 0x66, 0x2c, 0xbd, 0xda, 0x89,
	0x93, 0xb4, 0x34, 0x6b, 0x27, 0x2e, 0xde, 0xd2, 0xad, 0x42, 0x18, 0xca, 0x3c, 0xa3, 0x86, 0x20, 0x6b, 0x91, 0xf3, 0x44,
	0x1c, 0xd8, 0x80, 0x18, 0x91, 0x36, 0x36, 0xdf, 0x59, 0x46, 0xe8, 0xb3, 0x20, 0x41, 0x64, 0xa5, 0x65, 0x12, 0x0f, 0x02,
	0xaf, 0x67, 0x14, 0x0f, 0x22, 0xe8, 0x3d, 0xf9, 0x4e, 0xa2, 0x45, 0x3c, 0xf9, 0x2e, 0xa2, 0xa2, 0xfc, 0x9d, 0xc6, 0x44,
	0xff, 0x79, 0xc6, 0x71, 0x27, 0xf8, 0x7a, 0xe6, 0xb1, 0x30, 0xcd, 0x9d, 0x81, 0xac, 0x9d, 0xd8, 0x7f, 0x42, 0xad, 0x13,
	0xfa, 0x2c, 0xa8, 0x77, 0x42, 0xff, 0x9d, 0x7d, 0x42, 0xf0, 0x8d, 0x0e, 0x1d, 0xc4, 0xfb, 0x21, 0xd0, 0x49, 0xec, 0x1f,
	0x9a, 0x85, 0x45, 0xe8, 0x13, 0x06, 0xdd, 0x84, 0xfe, 0xe1, 0x30, 0x86, 0x6f, 0xe4, 0xdf, 0x93, 0x10, 0xf7, 0x13, 0xe3,
	0xdd, 0xa0, 0xc4, 0xfe, 0xd9, 0xb8, 0x46, 0xdc, 0x7f, 0x64, 0xe5, 0x3a, 0xe1, 0xaf, 0xd8, 0xf8, 0x07,
};

static const uint8_t fixed_codes[] = {
	0x4b, 0x4c, 0x4a, 0x4e, 0x04, 0x23, 0x85, 0x44, 0x04, 0x4b, 0x21, 0x27, 0x3f, 0x31, 0x25, 0xb5, 0x48, 0x07, 0x0b, 0x0b,
	0x00,
};

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static size_t seed_choose(uint64_t *state, uint8_t *buf)
{
	size_t n = sizeof(texts) / sizeof(texts[0]), which = next(state) % (n + 10), len;
	const void *seed;

	if (which < n) {
		seed = texts[which];
		len = strlen(texts[which]);
	} else if (which == n) {
		seed = environment;
		len = sizeof(environment) - 1;
	} else if (which == n + 1) {
		seed = samples;
		len = sizeof(samples);
	} else if (which == n + 2) {
		seed = records;
		len = sizeof(records);
	} else if (which == n + 8) {
		seed = &gate_table;
		len = sizeof(gate_table);
	} else if (which == n + 3) {
		seed = own_codes;
		len = sizeof(own_codes);
	} else if (which == n + 4) {
		seed = fixed_codes;
		len = sizeof(fixed_codes);
	} else if (which == n + 5) {
		seed = file_event;
		len = sizeof(file_event);
	} else if (which == n + 6) {
		seed = aimed;
		len = sizeof(aimed) - 1;
	} else if (which == n + 7) {
		seed = rules_and_path;
		len = sizeof(rules_and_path) - 1;
	} else {
		seed = datagram;
		len = sizeof(datagram);
	}
	memcpy(buf, seed, len);
	return len;
}

static size_t mutate(uint64_t *state, uint8_t *buf, size_t len, size_t room)
{
	static const char telling[] = "()[]\n\0\t :-=/09fx\xff";
	size_t at = len ? next(state) % len : 0, count = 1 + next(state) % 16;

	switch (next(state) % 6) {
	case 0:
		if (len)
			buf[at] = (uint8_t)next(state);
		return len;
	case 1:
		if (len)
			buf[at] = (uint8_t)telling[next(state) % (sizeof(telling) - 1)];
		return len;
	case 2:	/* cut the end */
		return at;
	case 3:	/* cut the beginning */
		memmove(buf, buf + at, len - at);
		return len - at;
	case 4:	/* say a piece again */
		if (count > len - at)
			count = len - at;
		if (len + count > room)
			return len;
		memmove(buf + at + count, buf + at, len - at);
		return len + count;
	default: /* leave a piece out */
		if (count > len - at)
			count = len - at;
		memmove(buf + at, buf + at + count, len - at - count);
		return len - count;
	}
}

int main(int argc, char **argv)
{
	unsigned long iterations, i;
	uint8_t buf[4096];
	uint64_t state;

	if (argc != 3) {
		fprintf(stderr, "usage: native_fuzz ITERATIONS SEED\n");
		return 2;
	}
	iterations = strtoul(argv[1], NULL, 10);
	state = strtoull(argv[2], NULL, 10) | 1;
	for (i = 0; i < iterations; i++) {
		size_t len = seed_choose(&state, buf), times = next(&state) % 8;

		while (times--)
			len = mutate(&state, buf, len, sizeof(buf));
		LLVMFuzzerTestOneInput(buf, len);
	}
	return 0;
}
#endif
