/*
 * The loader of bpf/sysctl.bpf.c, and where it is attached. Safe to call from
 * two threads: one that drains, one for all the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "bpf.h"
#include "bpf/sysctl.h"
#include "bpf/sysctl.lskel.h"
#include "rimon.h"

#define CGROUP2_SUPER_MAGIC	0x63677270
/* linux: fs/kernfs, of the root of each hierarchy; a cgroup namespace shows another at its top. */
#define ROOT_INODE		1

/* Where the root of all cgroups is mounted: that of the node first, since ours may be a container's. */
static const char *const roots[] = {
	"/proc/1/root/sys/fs/cgroup", "/proc/1/root/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/unified",
};

struct sysctl {
	struct sysctl_bpf *skel;
	struct ring ring;
	struct losses losses;
};

int sysctl_open(struct sysctl **ret, const char **ret_what)
{
	struct sysctl *s;
	int err = bpf_check(ret_what);

	if (err)
		return err;
	s = calloc(1, sizeof(*s));
	*ret_what = "memory";
	if (!s)
		return -ENOMEM;
	err = -ENOMEM;
	s->skel = sysctl_bpf__open();
	if (!s->skel)
		goto fail;
	s->skel->rodata->own_pid = (__u32)getpid();
	*ret_what = "load the program for writes of settings (Linux 5.17, CONFIG_CGROUP_BPF, CAP_SYS_ADMIN)";
	err = sysctl_bpf__load(s->skel);
	if (err)
		goto fail;
	*ret_what = "map the ring of the program for writes of settings";
	err = ring_open(&s->ring, s->skel->maps.events.map_fd, SYSCTL_RING_SIZE);
	if (err)
		goto fail;
	*ret = s;
	return 0;
fail:
	sysctl_close(s);
	return err < 0 ? err : -EINVAL;
}

void sysctl_close(struct sysctl *s)
{
	if (!s)
		return;
	ring_close(&s->ring);
	sysctl_bpf__destroy(s->skel);
	free(s);
}

static int cgroup_open(const char *path, bool root)
{
	struct statfs fs;
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC && fstat(fd, &st) == 0 &&
	    (!root || st.st_ino == ROOT_INODE))
		return fd;
	close(fd);
	return -ENOENT;
}

static int root_open(void)
{
	size_t i;
	int fd = -ENOENT;

	for (i = 0; i < sizeof(roots) / sizeof(roots[0]) && fd < 0; i++)
		fd = cgroup_open(roots[i], true);
	return fd < 0 ? -ENOENT : fd;
}

int sysctl_attach(struct sysctl *s, const char *cgroup, const char **ret_what)
{
	int fd, link;

	if (s->skel->links.sysctl_write_fd > 0)
		return 0;
	*ret_what = "find the root of cgroup v2 (mounted at /sys/fs/cgroup or /sys/fs/cgroup/unified)";
	fd = cgroup ? cgroup_open(cgroup, false) : root_open();
	if (fd < 0)
		return fd;
	*ret_what = "attach the program for writes of settings to a cgroup (CONFIG_CGROUP_BPF)";
	link = skel_link_create(s->skel->progs.sysctl_write.prog_fd, fd, BPF_CGROUP_SYSCTL);
	close(fd);
	if (link < 0)
		return link;
	s->skel->links.sysctl_write_fd = link;
	return 0;
}

void sysctl_detach(struct sysctl *s)
{
	sysctl_bpf__detach(s->skel);
	s->skel->links.sysctl_write_fd = 0;
}

int sysctl_fd(const struct sysctl *s)
{
	return s->skel->maps.events.map_fd;
}

void sysctl_enforce(struct sysctl *s, uint32_t enforce)
{
	sysctl_beat(s);
	__atomic_store_n(&s->skel->bss->control.enforce, enforce, __ATOMIC_RELEASE);
}

void sysctl_beat(struct sysctl *s)
{
	__atomic_store_n(&s->skel->bss->control.heartbeat_ns, monotonic_ns(), __ATOMIC_RELEASE);
}

int sysctl_exempt(struct sysctl *s, const struct watch_file *files, size_t n)
{
	return bpf_map_files(s->skel->maps.exempt.map_fd, files, n);
}

uint64_t sysctl_lost(struct sysctl *s)
{
	return bpf_untold(&s->losses, (uint64_t *)&s->skel->bss->control.lost, &s->skel->progs, sizeof(s->skel->progs));
}

size_t sysctl_drain(struct sysctl *s, size_t limit, event_take each, void *arg)
{
	return ring_drain(&s->ring, limit, sizeof(struct sysctl_event), each, arg);
}
