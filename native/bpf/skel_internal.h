/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the generated loaders (*.lskel.h) call, so that building them needs no
 * libbpf. A light skeleton is a program of type SYSCALL that creates the maps
 * and loads the programs itself, in the kernel (v5.14); here it is loaded and
 * run. The three structs are the loader program's context: their layout is
 * bpftool's.
 */
#ifndef RIMON_SKEL_INTERNAL_H
#define RIMON_SKEL_INTERNAL_H

#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct bpf_map_desc {
	int map_fd;
	__u32 max_entries;
	__aligned_u64 initial_value;
};

struct bpf_prog_desc {
	int prog_fd;
};

struct bpf_loader_ctx {
	__u32 sz;
	__u32 flags;
	__u32 log_level;
	__u32 log_size;
	__u64 log_buf;
};

struct bpf_load_and_run_opts {
	struct bpf_loader_ctx *ctx;
	const void *data;
	const void *insns;
	__u32 data_sz;
	__u32 insns_sz;
	const char *errstr;
};

static inline int skel_bpf(enum bpf_cmd command, union bpf_attr *attr)
{
	int ret = (int)syscall(SYS_bpf, command, attr, sizeof(*attr));

	return ret < 0 ? -errno : ret;
}

static inline void *skel_alloc(size_t size)
{
	return calloc(1, size);
}

static inline void skel_free(void *skel)
{
	free(skel);
}

static inline void skel_free_map_data(void *data, __u64 address, size_t size)
{
	(void)address;
	if (data)
		munmap(data, size);
}

/* Filled by the caller before the load; the loader program copies it into the map. */
static inline void *skel_prep_map_data(const void *initial, size_t mapped, size_t size)
{
	void *data = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (data == MAP_FAILED)
		return NULL;
	memcpy(data, initial, size);
	return data;
}

/* Puts the map itself where its initial data was. */
static inline void *skel_finalize_map_data(__u64 *address, size_t mapped, int protection, int fd)
{
	void *data = mmap((void *)(unsigned long)*address, mapped, protection, MAP_SHARED | MAP_FIXED, fd, 0);

	return data == MAP_FAILED ? NULL : data;
}

static inline int skel_closenz(int fd)
{
	return fd > 0 ? close(fd) : -EINVAL;
}

static inline int skel_raw_tracepoint_open(const char *name, int program)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.raw_tracepoint.name = (unsigned long)name;
	attr.raw_tracepoint.prog_fd = (__u32)program;
	return skel_bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
}

static inline int skel_link_create(int program, int target, enum bpf_attach_type type)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (__u32)program;
	attr.link_create.target_fd = (__u32)target;
	attr.link_create.attach_type = type;
	return skel_bpf(BPF_LINK_CREATE, &attr);
}

#define SKEL_COPY_LEAST	4	/* shortened() of scripts/bpf.mjs */

/* A byte below 128: so many bytes and one more follow. Any other: a copy of what is there already, and how far back. */
static inline void *skel_unpack(const void *packed, size_t size)
{
	const unsigned char *from = packed;
	unsigned char *data = malloc(size);
	size_t at = 0;

	while (data && at < size) {
		bool copy = *from & 128;
		size_t run = copy ? (*from & 127u) + SKEL_COPY_LEAST : *from + 1u;
		size_t back = copy ? from[1] | (size_t)from[2] << 8 : 0;

		from += copy ? 3 : 1;
		/* A byte at a time: what is copied may be what is being written. */
		for (; run && at < size; run--, at++)
			data[at] = copy ? data[at - back] : *from++;
	}
	return data;
}

static inline int bpf_load_and_run(struct bpf_load_and_run_opts *opts)
{
	void *data = skel_unpack(opts->data, opts->data_sz), *insns = skel_unpack(opts->insns, opts->insns_sz);
	int map = -1, program = -1, zero = 0, err = -ENOMEM;
	union bpf_attr attr;

	opts->errstr = "memory";
	if (!data || !insns)
		goto out;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = sizeof(zero);
	attr.value_size = opts->data_sz;
	attr.max_entries = 1;
	strcpy(attr.map_name, "__loader.map");
	opts->errstr = "create a map for the loader";
	err = map = skel_bpf(BPF_MAP_CREATE, &attr);
	if (err < 0)
		goto out;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (__u32)map;
	attr.key = (unsigned long)&zero;
	attr.value = (unsigned long)data;
	err = skel_bpf(BPF_MAP_UPDATE_ELEM, &attr);
	if (err < 0)
		goto out;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SYSCALL;
	attr.insns = (unsigned long)insns;
	attr.insn_cnt = opts->insns_sz / (__u32)sizeof(struct bpf_insn);
	attr.license = (unsigned long)"Dual BSD/GPL";
	attr.fd_array = (unsigned long)&map;
	attr.prog_flags = BPF_F_SLEEPABLE;
	strcpy(attr.prog_name, "__loader.prog");
	opts->errstr = "load the loader (it needs Linux 5.17 and CAP_BPF)";
	err = program = skel_bpf(BPF_PROG_LOAD, &attr);
	if (err < 0)
		goto out;

	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (__u32)program;
	attr.test.ctx_in = (unsigned long)opts->ctx;
	attr.test.ctx_size_in = opts->ctx->sz;
	opts->errstr = "load the programs";
	err = skel_bpf(BPF_PROG_RUN, &attr);
	if (err == 0)
		err = (int)attr.test.retval;
out:
	if (map >= 0)
		close(map);
	if (program >= 0)
		close(program);
	free(data);
	free(insns);
	return err < 0 ? err : 0;
}

#endif
