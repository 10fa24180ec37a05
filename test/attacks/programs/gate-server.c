/*
 * A file system of one file that this process answers for, so that a test can
 * have it fall silent (FUSE, without a library):
 *
 *   gate-server FOLDER FILE
 *
 * FOLDER/file is FILE, as it is when this starts. Names are good for a day, and what stat says for no time at all. It
 * prints "ready" and ends with its input, or as it is killed: then whoever waits gets an error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY	86400
#define FILE_ID	2

static char in[1 << 18];
static const char *bytes;
static size_t size;
static int device;

static void reply(const struct fuse_in_header *to, int err, const void *body, size_t len)
{
	static char out[1 << 18];
	struct fuse_out_header head = { (unsigned int)(sizeof(head) + len), err, to->unique };

	memcpy(out, &head, sizeof(head));
	if (len)
		memcpy(out + sizeof(head), body, len);
	/* Whoever asked may have given up. */
	if (write(device, out, head.len) < 0 && errno != ENOENT)
		exit(1);
}

static struct fuse_attr attributes(uint64_t node)
{
	struct fuse_attr a = { .ino = node, .nlink = 1, .blksize = 4096, .mode = S_IFDIR | 0755 };

	if (node == FILE_ID) {
		a.mode = S_IFREG | 0755;
		a.size = size;
		a.blocks = (size + 511) / 512;
	}
	return a;
}

static void lookup(const struct fuse_in_header *h, const char *name)
{
	struct fuse_entry_out entry = { .nodeid = FILE_ID, .entry_valid = DAY, .attr = attributes(FILE_ID) };

	if (strcmp(name, "file"))
		reply(h, -ENOENT, NULL, 0);
	else
		reply(h, 0, &entry, sizeof(entry));
}

static void serve(const struct fuse_in_header *h, const void *body)
{
	struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
				      .max_readahead = 1 << 17, .max_write = 1 << 16 };
	struct fuse_attr_out attr = { .attr = attributes(h->nodeid) };
	struct fuse_open_out open = { .open_flags = FOPEN_KEEP_CACHE };
	struct fuse_statfs_out fs = { .st = { .bsize = 4096, .namelen = 255 } };
	const struct fuse_read_in *read = body;
	size_t n;

	switch (h->opcode) {
	case FUSE_INIT:
		return reply(h, 0, &init, sizeof(init));
	case FUSE_LOOKUP:
		return lookup(h, body);
	case FUSE_GETATTR:
		return reply(h, 0, &attr, sizeof(attr));
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		return reply(h, 0, &open, sizeof(open));
	case FUSE_READ:
		n = read->offset >= size ? 0 : size - read->offset;
		return reply(h, 0, bytes + read->offset, n < read->size ? n : read->size);
	case FUSE_STATFS:
		return reply(h, 0, &fs, sizeof(fs));
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FLUSH:
		return reply(h, 0, NULL, 0);
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	default:
		return reply(h, -ENOSYS, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	struct pollfd ready[2];
	char options[128];
	struct stat st;
	int fd;

	if (argc != 3)
		return 2;
	fd = open(argv[2], O_RDONLY);
	if (fd < 0 || fstat(fd, &st) < 0) {
		perror(argv[2]);
		return 1;
	}
	size = (size_t)st.st_size;
	bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", device);
	if (bytes == MAP_FAILED || device < 0 || mount("rimon-gate-test", argv[1], "fuse.rimon", 0, options) < 0) {
		perror("fuse");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	ready[0] = (struct pollfd){ .fd = device, .events = POLLIN };
	ready[1] = (struct pollfd){ .fd = 0, .events = POLLIN };
	while (poll(ready, 2, -1) > 0 && !ready[1].revents) {
		ssize_t n = read(device, in, sizeof(in));

		if (n < (ssize_t)sizeof(struct fuse_in_header)) {
			if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
				continue;
			break;
		}
		serve((const struct fuse_in_header *)in, in + sizeof(struct fuse_in_header));
	}
	umount2(argv[1], MNT_DETACH);
	return 0;
}
