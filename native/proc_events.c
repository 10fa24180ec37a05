/* The netlink process connector: forks, execs, exits, tracers, core dumps of the whole node. */
#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rimon.h"

#define RECEIVE_BUFFER	(16 << 20)

/* v6.6: a listener may say which events it wants (2aa1f7a1f47c). */
struct listen_filtered {
	__u32 op;
	__u32 events;
};

#define EVENTS_WANTED (PROC_EVENT_FORK | PROC_EVENT_EXEC | PROC_EVENT_PTRACE | PROC_EVENT_COMM | \
		       PROC_EVENT_COREDUMP | (__u32)PROC_EVENT_EXIT)

static int listen_send(int fd, const void *body, size_t body_len, __u32 ack)
{
	char message[NLMSG_SPACE(sizeof(struct cn_msg) + sizeof(struct listen_filtered))]
		__attribute__((aligned(NLMSG_ALIGNTO))) = { 0 };
	struct nlmsghdr *head = (struct nlmsghdr *)message;
	struct cn_msg *cn = NLMSG_DATA(head);

	head->nlmsg_len = (__u32)NLMSG_LENGTH(sizeof(*cn) + body_len);
	head->nlmsg_type = NLMSG_DONE;
	head->nlmsg_pid = 0;
	cn->id.idx = CN_IDX_PROC;
	cn->id.val = CN_VAL_PROC;
	cn->ack = ack;
	cn->len = (__u16)body_len;
	memcpy(cn->data, body, body_len);
	return send(fd, message, head->nlmsg_len, 0) < 0 ? -errno : 0;
}

/* Where a datagram's proc_event lies, copied out, since nothing promises its alignment. */
static int event_unpack(const char *buf, size_t len, struct cn_msg *ret_cn, struct proc_event *ret_event)
{
	struct nlmsghdr head;
	size_t at = NLMSG_HDRLEN, body;

	if (len < sizeof(head))
		return -EBADMSG;
	memcpy(&head, buf, sizeof(head));
	if (head.nlmsg_len > len || head.nlmsg_len < NLMSG_HDRLEN + sizeof(*ret_cn) || head.nlmsg_type != NLMSG_DONE)
		return -EBADMSG;
	memcpy(ret_cn, buf + at, sizeof(*ret_cn));
	at += sizeof(*ret_cn);
	if (ret_cn->id.idx != CN_IDX_PROC || ret_cn->id.val != CN_VAL_PROC)
		return -EBADMSG;
	body = head.nlmsg_len - at;
	if (ret_cn->len < body)
		body = ret_cn->len;
	/* Older kernels send a shorter union; what is missing reads as zero, but the event's head must be there. */
	if (body < offsetof(struct proc_event, event_data) + sizeof(__u32))
		return -EBADMSG;
	memset(ret_event, 0, sizeof(*ret_event));
	memcpy(ret_event, buf + at, body < sizeof(*ret_event) ? body : sizeof(*ret_event));
	return 0;
}

/* The kernel answers within send(), so there is nothing to wait for. It numbers its answer as it likes, but adds 1 to our ack. */
static int listen_answer(int fd, __u32 ack)
{
	char buf[512] __attribute__((aligned(8)));
	struct proc_event event;
	struct cn_msg cn;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		if (event_unpack(buf, (size_t)n, &cn, &event) < 0)
			continue;
		if ((__u32)event.what == PROC_EVENT_NONE && cn.ack == ack + 1)
			return -(int)event.event_data.ack.err;
	}
	/* Outside the initial pid or user namespace the kernel ignores us without a word. */
	return -ENOTSUP;
}

static int subscribe(int fd)
{
	struct listen_filtered filtered = { PROC_CN_MCAST_LISTEN, EVENTS_WANTED };
	__u32 plain = PROC_CN_MCAST_LISTEN, ack;
	int err;

	if (getrandom(&ack, sizeof(ack), 0) != (ssize_t)sizeof(ack))
		return -errno;
	err = listen_send(fd, &plain, sizeof(plain), ack);
	if (!err)
		err = listen_answer(fd, ack);
	if (err)
		return err;
	/* Narrows it; an older kernel ignores a request of this size, and the new one's answer falls to the filter itself. */
	return listen_send(fd, &filtered, sizeof(filtered), ack);
}

int connector_open(int *ret_fd, const char **ret_what)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC };
	int fd, err, size = RECEIVE_BUFFER;
	const char *what;

	fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);
	if (fd < 0) {
		*ret_what = "socket(NETLINK_CONNECTOR)";
		return -errno;
	}
	what = "bind to the process connector (it needs CAP_NET_ADMIN)";
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		err = -errno;
		goto fail;
	}
	/* Without the capability the usual size must do; what that loses is counted. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	what = "subscribe to the process connector (only the initial pid and user namespaces may)";
	err = subscribe(fd);
	if (err)
		goto fail;
	*ret_fd = fd;
	return 0;
fail:
	close(fd);
	*ret_what = what;
	return err;
}

void connector_close(int fd)
{
	__u32 ignore = PROC_CN_MCAST_IGNORE;

	/* The kernel counts who listens, and a closed socket counts on: it would go on making events for nobody. */
	listen_send(fd, &ignore, sizeof(ignore), 0);
	close(fd);
}

int connector_parse(const char *buf, size_t len, struct process_event_record *ret, enum connector_verdict *ret_verdict)
{
	struct process_event_record r;
	struct proc_event event;
	struct cn_msg cn;
	bool whole_process = true;
	int err;

	err = event_unpack(buf, len, &cn, &event);
	if (err)
		return err;
	memset(&r, 0, sizeof(r));
	r.head.kind = RECORD_PROCESS_EVENT;
	r.head.size = sizeof(r);
	r.time_ns = event.timestamp_ns;
	switch ((__u32)event.what) {
	case PROC_EVENT_FORK:
		r.event = PROCESS_FORK;
		r.pid = (__u32)event.event_data.fork.child_tgid;
		r.tid = (__u32)event.event_data.fork.child_pid;
		r.other_pid = (__u32)event.event_data.fork.parent_tgid;
		r.other_tid = (__u32)event.event_data.fork.parent_pid;
		break;
	case PROC_EVENT_EXEC:
		r.event = PROCESS_EXEC;
		r.pid = (__u32)event.event_data.exec.process_tgid;
		r.tid = (__u32)event.event_data.exec.process_pid;
		break;
	case PROC_EVENT_PTRACE:
		r.event = PROCESS_TRACED;
		r.pid = (__u32)event.event_data.ptrace.process_tgid;
		r.tid = (__u32)event.event_data.ptrace.process_pid;
		r.other_pid = (__u32)event.event_data.ptrace.tracer_tgid;
		r.other_tid = (__u32)event.event_data.ptrace.tracer_pid;
		whole_process = false;
		break;
	case PROC_EVENT_COREDUMP:
		r.event = PROCESS_DUMPING;
		r.pid = (__u32)event.event_data.coredump.process_tgid;
		r.tid = (__u32)event.event_data.coredump.process_pid;
		r.other_pid = (__u32)event.event_data.coredump.parent_tgid;
		r.other_tid = (__u32)event.event_data.coredump.parent_pid;
		/* Any thread may catch the signal that ends them all. */
		whole_process = false;
		break;
	case PROC_EVENT_COMM:
		r.event = PROCESS_COMM;
		r.pid = (__u32)event.event_data.comm.process_tgid;
		r.tid = (__u32)event.event_data.comm.process_pid;
		break;
	case (__u32)PROC_EVENT_EXIT:
		r.event = PROCESS_EXIT;
		r.pid = (__u32)event.event_data.exit.process_tgid;
		r.tid = (__u32)event.event_data.exit.process_pid;
		r.other_pid = (__u32)event.event_data.exit.parent_tgid;
		r.other_tid = (__u32)event.event_data.exit.parent_pid;
		r.code = event.event_data.exit.exit_code;
		break;
	default:
		*ret_verdict = CONNECTOR_IGNORED;
		return 0;
	}
	if (whole_process && r.pid != r.tid) {
		*ret_verdict = CONNECTOR_IGNORED;
		return 0;
	}
	*ret = r;
	*ret_verdict = CONNECTOR_EVENT;
	return 0;
}
