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
	size_t data_packed;	/* ours: the bytes that data and insns take */
	size_t insns_packed;
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

/* native/skeleton.c */
int bpf_load_and_run(struct bpf_load_and_run_opts *opts);

#endif
