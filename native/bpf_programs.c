/* The eBPF programs that are loaded in the kernel, by whomever; needs CAP_SYS_ADMIN or CAP_BPF. */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "isolation.h"

/* Since v4.13: struct bpf_prog_info as far as the name; a shorter one of an older kernel stays zero behind its end. */
struct program_info {
	uint32_t type;
	uint32_t id;
	uint8_t tag[8];
	uint32_t jited_len;
	uint32_t xlated_len;
	uint64_t jited;
	uint64_t xlated;
	uint64_t load_time;
	uint32_t created_by_uid;
	uint32_t map_count;
	uint64_t maps;
	char name[16];
};

static int bpf(int command, union bpf_attr *attr)
{
	long result = syscall(SYS_bpf, command, attr, sizeof(*attr));

	return result < 0 ? -errno : (int)result;
}

static int program_add(uint32_t id, struct batch *out)
{
	struct program_info info = { 0 };
	struct bpf_program_record *r;
	union bpf_attr attr = { .prog_id = id };
	int fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr), err;

	/* It is gone since its number was given. */
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (uint32_t)fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (uint64_t)(uintptr_t)&info;
	err = bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
	close(fd);
	if (err)
		return err;
	r = batch_begin(out, RECORD_BPF_PROGRAM, sizeof(*r));
	if (!r)
		return out->error;
	r->id = info.id;
	r->type = info.type;
	memcpy(r->tag, info.tag, sizeof(r->tag));
	r->uid = info.created_by_uid;
	r->name_len = (uint16_t)strnlen(info.name, sizeof(info.name));
	batch_bytes(out, info.name, r->name_len);
	batch_end(out);
	return out->error;
}

int bpf_programs_read(struct batch *out)
{
	union bpf_attr attr = { 0 };
	int err;

	for (;;) {
		uint32_t id = attr.next_id;

		memset(&attr, 0, sizeof(attr));
		attr.start_id = id;
		err = bpf(BPF_PROG_GET_NEXT_ID, &attr);
		if (err)
			return err == -ENOENT ? 0 : err;
		err = program_add(attr.next_id, out);
		if (err)
			return err;
	}
}
