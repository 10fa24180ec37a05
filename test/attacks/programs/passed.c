/*
 * Has a descriptor of PID/mem that it never opened: a child of its own did,
 * passed it on (SCM_RIGHTS) and is gone. Reads by it after a line on stdin.
 */
#include "attack.h"
#include <sys/socket.h>
#include <sys/wait.h>

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

static int pass(int socket, int fd)
{
	char byte = 0;
	struct iovec piece = { &byte, 1 };
	union control control = { 0 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	return sendmsg(socket, &message, 0) == 1 ? 0 : -1;
}

static int receive(int socket)
{
	char byte;
	struct iovec piece = { &byte, 1 };
	union control control = { 0 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

int main(int argc, char **argv)
{
	struct attack a = parse_attack(argc, argv, "passed PID ADDRESS LENGTH");
	long long at = now_ns();
	int sockets[2], fd;
	char path[64];
	pid_t child;
	ssize_t n;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return report_failure(at, "socketpair");
	child = fork();
	if (child == 0) {
		snprintf(path, sizeof(path), "/proc/%d/mem", a.pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		_exit(fd < 0 || pass(sockets[1], fd) < 0);
	}
	close(sockets[1]);
	if (child < 0 || waitpid(child, NULL, 0) != child)
		return report_failure(at, "fork");
	fd = receive(sockets[0]);
	if (fd < 0)
		return report_failure(at, "recvmsg");
	report_done(at, "received");
	wait_for_line();
	at = now_ns();
	n = pread(fd, a.bytes, a.length, a.address);
	if (n < 0)
		return report_failure(at, "pread");
	report_bytes(at, a.bytes, n);
	return 0;
}
