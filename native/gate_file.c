/* The file that the kernel hands over: what it is, that nobody writes to it, its digest. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "gate.h"

/* Twice the longest tick: a file system's clock may stand that long (until v6.13, 4e40eff0b573). */
#define TICKS_NS	20000000ll

#define EXT_MAGIC	0xef53u
#define XFS_MAGIC	0x58465342u
#define BTRFS_MAGIC	0x9123683eu
#define F2FS_MAGIC	0xf2f52010u
#define TMPFS_MAGIC	0x01021994u

static int64_t ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000ll + t->tv_nsec;
}

int gate_file_stat(int fd, struct gate_file *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	ret->dev = st.st_dev;
	ret->inode = st.st_ino;
	ret->size = (uint64_t)st.st_size;
	ret->mtime_ns = ns_of(&st.st_mtim);
	ret->ctime_ns = ns_of(&st.st_ctim);
	ret->uid = st.st_uid;
	ret->gid = st.st_gid;
	ret->mode = st.st_mode;
	return 0;
}

/*
 * A write in the tick of the last change leaves the change time as it is. And
 * on tmpfs so does one through a shared mapping whose page was read before,
 * since the kernel asks for no notice there (vma_wants_writenotify()): only
 * file systems that write back are known to be told of each.
 */
bool gate_file_is_datable(int fd, const struct gate_file *f, uint64_t realtime_ns)
{
	struct statfs fs;
	int64_t age = (int64_t)realtime_ns - f->ctime_ns;

	if (age < TICKS_NS)
		return false;
	if (fstatfs(fd, &fs) < 0)
		return false;
	switch ((uint32_t)fs.f_type) {
	case EXT_MAGIC:
	case XFS_MAGIC:
	case BTRFS_MAGIC:
	case F2FS_MAGIC:
		return true;
	default:
		return false;
	}
}

static bool is_memory(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (uint32_t)fs.f_type == TMPFS_MAGIC;
}

int gate_lease_take(int fd)
{
	/* Of a lease that is broken the kernel tells by SIGIO, which would end the process: SIGURG is ignored. */
	if (fcntl(fd, F_SETSIG, SIGURG) < 0 || fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return -errno;
	return 0;
}

void gate_lease_give_up(int fd)
{
	fcntl(fd, F_SETLEASE, F_UNLCK);
}

int gate_file_hash(struct gate_reader *r, int fd, const struct gate_file *f, bool wait, const bool *cancel,
		   unsigned char ret[DIGEST_LEN])
{
	struct iovec piece = { .iov_base = r->chunk };
	uint64_t at = 0;
	ssize_t n;
	int err;

	err = digest_begin(r->digest);
	while (!err && at < f->size) {
		if (__atomic_load_n(cancel, __ATOMIC_ACQUIRE))
			return -ECANCELED;
		/*
		 * No more than there is: where blocks are smaller than pages, what is behind the end is in no memory, and to ask for
		 * it with the rest is to be told that this is not, either (filemap_range_uptodate()).
		 */
		piece.iov_len = f->size - at < sizeof(r->chunk) ? (size_t)(f->size - at) : sizeof(r->chunk);
		n = preadv2(fd, &piece, 1, (off_t)at, wait ? 0 : RWF_NOWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EOPNOTSUPP && !wait) {
			/* Not every file system can tell; what is on tmpfs is in memory. */
			if (!is_memory(fd))
				return -EAGAIN;
			wait = true;
			continue;
		}
		if (n < 0)
			return -errno;
		/* Shorter than it was: whoever made it so had it open for writing. */
		if (n == 0)
			return -EIO;
		err = digest_add(r->digest, r->chunk, (size_t)n);
		at += (uint64_t)n;
	}
	return err ? err : digest_end(r->digest, ret);
}
