/* What an attacker does with descriptors: copies of others', its own handed on, and programs that only they name. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "attack.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 1u
#endif

static ssize_t read_copy(int fd, char *buf, size_t len)
{
	ssize_t n = pread(fd, buf, len, 0);

	/* Of a socket the owner still gets what was looked at here. */
	if (n < 0 && errno == ESPIPE)
		n = recv(fd, buf, len, MSG_PEEK | MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

ssize_t attack_pidfd_getfd(uint32_t pid, uint32_t fd, char *buf, size_t len)
{
	ssize_t result;
	int pidfd, copy;

	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -errno;
	copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	if (copy < 0) {
		result = -errno;
	} else {
		result = read_copy(copy, buf, len);
		close(copy);
	}
	close(pidfd);
	return result;
}

int attack_kcmp(uint32_t pid)
{
	/* Which of the two comes first: 0 to 3, and no answer at all without the right to trace. */
	return syscall(SYS_kcmp, getpid(), pid, KCMP_VM, 0, 0) < 0 ? -errno : 0;
}

static int address_of(const char *path, struct sockaddr_un *ret)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(path);

	if (len >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, len);
	*ret = address;
	return 0;
}

int attack_bind_socket(const char *path, uint32_t *ret_fd)
{
	struct sockaddr_un address;
	int fd, err;

	err = address_of(path, &address);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	*ret_fd = (uint32_t)fd;
	return 0;
}

/* Room for one descriptor, aligned as the header in it has to be. */
union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int attack_send_descriptor(const char *path, uint32_t fd)
{
	union control control = { .bytes = { 0 } };
	struct iovec nothing = { (char[]){ 0 }, 1 };
	struct sockaddr_un address;
	struct msghdr message = { .msg_name = &address, .msg_namelen = sizeof(address), .msg_iov = &nothing, .msg_iovlen = 1,
				  .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int err, from, given = (int)fd;

	err = address_of(path, &address);
	if (err)
		return err;
	from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (from < 0)
		return -errno;
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(given));
	memcpy(CMSG_DATA(header), &given, sizeof(given));
	if (sendmsg(from, &message, MSG_NOSIGNAL) < 0)
		err = -errno;
	close(from);
	return err;
}

int attack_receive_descriptor(uint32_t socket, uint32_t *ret_fd)
{
	union control control = { .bytes = { 0 } };
	char byte;
	struct iovec into = { &byte, 1 };
	struct msghdr message = { .msg_iov = &into, .msg_iovlen = 1,
				  .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *header;
	int fd;

	if (recvmsg((int)socket, &message, MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(fd)))
		return -EBADMSG;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	*ret_fd = (uint32_t)fd;
	return 0;
}

int attack_memfd(const char *bytes, size_t len, uint32_t *ret_fd)
{
	int fd = (int)syscall(SYS_memfd_create, "program", MFD_CLOEXEC);
	size_t done = 0;

	if (fd < 0)
		return -errno;
	while (done < len) {
		ssize_t n = write(fd, bytes + done, len - done);

		if (n <= 0) {
			int err = n < 0 ? -errno : -EIO;

			close(fd);
			return err;
		}
		done += (size_t)n;
	}
	*ret_fd = (uint32_t)fd;
	return 0;
}
