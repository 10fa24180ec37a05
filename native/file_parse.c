/* The events of a fanotify group that reports by file handle, as bytes (fanotify(7)). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fanotify.h>

#include "file_watch.h"

/* struct fanotify_event_info_fid up to its handle, struct file_handle up to its bytes; they have flexible ends. */
#define FID_HEAD	12
#define HANDLE_HEAD	8

static int handle_parse(const char *info, size_t len, struct file_id *ret, size_t *ret_end)
{
	uint32_t handle_bytes;

	if (len < FID_HEAD + HANDLE_HEAD)
		return -EBADMSG;
	memcpy(&handle_bytes, info + FID_HEAD, sizeof(handle_bytes));
	if (handle_bytes > FILE_HANDLE_MAX || handle_bytes > len - FID_HEAD - HANDLE_HEAD)
		return -EBADMSG;
	memcpy(&ret->fsid, info + sizeof(struct fanotify_event_info_header), sizeof(ret->fsid));
	memcpy(&ret->type, info + FID_HEAD + sizeof(handle_bytes), sizeof(ret->type));
	ret->len = handle_bytes;
	ret->bytes = (const unsigned char *)info + FID_HEAD + HANDLE_HEAD;
	*ret_end = FID_HEAD + HANDLE_HEAD + handle_bytes;
	return 0;
}

static int entry_parse(const char *info, size_t len, struct file_entry *ret)
{
	const char *end;
	size_t at;
	int err = handle_parse(info, len, &ret->folder, &at);

	if (err)
		return err;
	end = memchr(info + at, '\0', len - at);
	if (!end)
		return -EBADMSG;
	ret->name = info + at;
	ret->name_len = (size_t)(end - ret->name);
	return 0;
}

static int info_parse(uint8_t type, const char *info, size_t len, struct file_event *ret)
{
	size_t end;

	switch (type) {
	case FAN_EVENT_INFO_TYPE_DFID_NAME:
	case FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
		return entry_parse(info, len, &ret->entry);
	case FAN_EVENT_INFO_TYPE_OLD_DFID_NAME:
		return entry_parse(info, len, &ret->old);
	case FAN_EVENT_INFO_TYPE_DFID:
		ret->entry.name = ".";
		ret->entry.name_len = 1;
		return handle_parse(info, len, &ret->entry.folder, &end);
	case FAN_EVENT_INFO_TYPE_FID:
		return handle_parse(info, len, &ret->target, &end);
	case FAN_EVENT_INFO_TYPE_PIDFD:
		if (len < sizeof(struct fanotify_event_info_pidfd))
			return -EBADMSG;
		memcpy(&ret->pidfd, info + sizeof(struct fanotify_event_info_header), sizeof(ret->pidfd));
		return 0;
	default:
		/* Of a kernel that says more. */
		return 0;
	}
}

int file_event_parse(const char *buf, size_t len, struct file_event *ret, size_t *ret_used)
{
	struct file_event event = { .pidfd = FAN_EPIDFD };
	struct fanotify_event_info_header head;
	struct fanotify_event_metadata m;
	size_t at;
	int err;

	if (len < sizeof(m))
		return -EBADMSG;
	memcpy(&m, buf, sizeof(m));
	if (m.vers != FANOTIFY_METADATA_VERSION)
		return -EPROTO;
	if (m.event_len < sizeof(m) || m.event_len > len || m.metadata_len < sizeof(m) || m.metadata_len > m.event_len)
		return -EBADMSG;
	event.mask = m.mask;
	event.pid = m.pid > 0 ? (uint32_t)m.pid : 0;
	for (at = m.metadata_len; at < m.event_len; at += head.len) {
		if (m.event_len - at < sizeof(head))
			return -EBADMSG;
		memcpy(&head, buf + at, sizeof(head));
		if (head.len < sizeof(head) || head.len > m.event_len - at)
			return -EBADMSG;
		err = info_parse(head.info_type, buf + at, head.len, &event);
		if (err)
			return err;
	}
	*ret = event;
	*ret_used = m.event_len;
	return 0;
}
