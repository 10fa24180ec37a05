/* bpf(2) as far as the loaders need it, and the ring that carries events out of the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "bpf.h"
#include "bpf/enforce.h"
#include "bpf/skel_internal.h"
#include "rimon.h"

/* Twice what the largest of them has room for. */
#define PIDS_MAX	((size_t)2 * 16384)
#define ASKED_NS	1000000000ull

static int call(enum bpf_cmd command, union bpf_attr *attr)
{
	int ret = (int)syscall(SYS_bpf, command, attr, sizeof(*attr));

	return ret < 0 ? -errno : ret;
}

static int map_call(enum bpf_cmd command, int map, const void *key, uint64_t value)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (__u32)map;
	attr.key = (uintptr_t)key;
	attr.value = value;
	return call(command, &attr);
}

int bpf_check(const char **ret_what)
{
	uint64_t inode;

	*ret_what = "see the pids of the node (rimon is in a pid namespace of its own)";
	/* include/linux/proc_ns.h: that of the first is fixed. */
	if (namespace_inode(AT_FDCWD, "/proc/self/ns/pid", &inode) < 0 || inode != 0xeffffffcu)
		return -EOPNOTSUPP;
	*ret_what = "read the kernel's types (CONFIG_DEBUG_INFO_BTF)";
	return access("/sys/kernel/btf/vmlinux", R_OK) < 0 ? -errno : 0;
}

int bpf_map_set(int map, const void *key, const void *value)
{
	return map_call(BPF_MAP_UPDATE_ELEM, map, key, (uintptr_t)value);
}

int bpf_map_get(int map, const void *key, void *ret_value)
{
	return map_call(BPF_MAP_LOOKUP_ELEM, map, key, (uintptr_t)ret_value);
}

int bpf_map_remove(int map, const void *key)
{
	int err = map_call(BPF_MAP_DELETE_ELEM, map, key, 0);

	return err == -ENOENT ? 0 : err;
}

int bpf_map_next(int map, const void *key, void *ret_next)
{
	return map_call(BPF_MAP_GET_NEXT_KEY, map, key, (uintptr_t)ret_next);
}

void bpf_map_pids(int map, pid_take each, void *arg)
{
	const uint32_t *before = NULL;
	uint32_t pid;
	size_t n;

	/* Where the one before is gone the kernel begins anew; those who come and go must not keep us here. */
	for (n = 0; n < PIDS_MAX && bpf_map_next(map, before, &pid) == 0; n++) {
		before = &pid;
		each(arg, pid);
	}
}

static uint64_t missed_by(int program)
{
	struct bpf_prog_info info;
	union bpf_attr attr;

	memset(&info, 0, sizeof(info));
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (__u32)program;
	attr.info.info_len = sizeof(info);
	attr.info.info = (uintptr_t)&info;
	return call(BPF_OBJ_GET_INFO_BY_FD, &attr) < 0 ? 0 : info.recursion_misses;
}

uint64_t bpf_untold(struct losses *l, const uint64_t *counter, const void *programs, size_t size)
{
	const struct bpf_prog_desc *all = programs;
	uint64_t now = monotonic_ns(), missed = 0, lost, untold;
	size_t i;

	if (now - l->asked_ns >= ASKED_NS) {
		l->asked_ns = now;
		for (i = 0; i < size / sizeof(*all); i++)
			missed += missed_by(all[i].prog_fd);
		/* Less only if one could not be asked. */
		if (missed > l->missed)
			l->missed = missed;
	}
	lost = __atomic_load_n(counter, __ATOMIC_ACQUIRE) + l->missed;
	untold = lost - l->told;
	l->told = lost;
	return untold;
}

/* st_dev is packed for user space; the kernel's own s_dev has 20 bits of minor (include/linux/kdev_t.h). */
static struct exempt_file exempt_of(const struct watch_file *file)
{
	return (struct exempt_file){ file->inode, (uint64_t)major(file->dev) << 20 | minor(file->dev) };
}

static bool is_among(const struct exempt_file *key, const struct watch_file *files, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct exempt_file other = exempt_of(&files[i]);

		if (key->inode == other.inode && key->dev == other.dev)
			return true;
	}
	return false;
}

int bpf_map_files(int map, const struct watch_file *files, size_t n)
{
	struct exempt_file keys[EXEMPT_MAX];
	const void *before = NULL;
	uint32_t one = 1;
	size_t known, i;
	int err;

	/* Taken back first, or a full map had no room; who stays is spared without a gap. */
	for (known = 0; known < EXEMPT_MAX && bpf_map_next(map, before, &keys[known]) == 0; known++)
		before = &keys[known];
	for (i = 0; i < known; i++) {
		err = is_among(&keys[i], files, n) ? 0 : bpf_map_remove(map, &keys[i]);
		if (err)
			return err;
	}
	for (i = 0; i < n; i++) {
		struct exempt_file key = exempt_of(&files[i]);

		err = bpf_map_set(map, &key, &one);
		if (err)
			return err;
	}
	return 0;
}

int bpf_iterate(int link, struct batch *out)
{
	struct batch nothing = { 0 };
	union bpf_attr attr;
	int fd, err;

	memset(&attr, 0, sizeof(attr));
	attr.iter_create.link_fd = (__u32)link;
	fd = call(BPF_ITER_CREATE, &attr);
	if (fd < 0)
		return fd;
	err = batch_read(out ? out : &nothing, fd);
	batch_free(&nothing);
	close(fd);
	return err;
}

int ring_open(struct ring *r, int map, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *consumed, *produced;

	consumed = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	if (consumed == MAP_FAILED)
		return -errno;
	/* The data is there twice, one behind the other, so that no sample is cut. */
	produced = mmap(NULL, page + 2 * size, PROT_READ, MAP_SHARED, map, (off_t)page);
	if (produced == MAP_FAILED) {
		int err = -errno;

		munmap(consumed, page);
		return err;
	}
	*r = (struct ring){
		.size = size,
		.consumed = consumed,
		.produced = produced,
		.produced_map = produced,
		.data = (const char *)produced + page,
	};
	return 0;
}

void ring_close(struct ring *r)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (!r->consumed)
		return;
	munmap(r->consumed, page);
	munmap(r->produced_map, page + 2 * r->size);
	memset(r, 0, sizeof(*r));
}

size_t ring_drain(struct ring *r, size_t limit, size_t least, event_take each, void *arg)
{
	unsigned long at = __atomic_load_n(r->consumed, __ATOMIC_ACQUIRE);
	unsigned long end = __atomic_load_n(r->produced, __ATOMIC_ACQUIRE);
	unsigned long next;
	size_t n = 0, size;

	while (at < end && n < limit) {
		const uint32_t *head = (const uint32_t *)(r->data + (at & (r->size - 1)));
		uint32_t len = __atomic_load_n(head, __ATOMIC_ACQUIRE);

		/* Reserved before what is behind it, and not written yet. */
		if (len & BPF_RINGBUF_BUSY_BIT)
			break;
		size = len & ~(uint32_t)BPF_RINGBUF_DISCARD_BIT;
		next = at + ((size + BPF_RINGBUF_HDR_SZ + 7) & ~7ul);
		/* No kernel writes that; what came after it cannot be found any more. */
		if (next > end || next - at > r->size) {
			__atomic_store_n(r->consumed, end, __ATOMIC_RELEASE);
			break;
		}
		if (!(len & BPF_RINGBUF_DISCARD_BIT) && len >= least) {
			each(arg, (const char *)head + BPF_RINGBUF_HDR_SZ, len);
			n++;
		}
		at = next;
		__atomic_store_n(r->consumed, at, __ATOMIC_RELEASE);
		end = __atomic_load_n(r->produced, __ATOMIC_ACQUIRE);
	}
	return n;
}
