/*
 * Whether somebody listens to the process connector: joins its group without
 * asking for anything, forks, and says "1" if the kernel tells of it.
 */
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS	300

int main(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC };
	struct pollfd poller = { .events = POLLIN };
	pid_t child;

	poller.fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
	if (poller.fd < 0 || bind(poller.fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		perror("process connector");
		return 1;
	}
	child = fork();
	if (child == 0)
		_exit(0);
	if (child < 0 || waitpid(child, NULL, 0) != child) {
		perror("fork");
		return 1;
	}
	/* The kernel tells within fork(), so this is long enough. */
	printf("%d\n", poll(&poller, 1, WAIT_MS));
	return 0;
}
