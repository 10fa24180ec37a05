/* What all of the generated loaders do alike: unpack one, and have the kernel run it. */
#include "bpf/skel_internal.h"

/*
 * A loader says the same many times over, so it is kept as literals and copies
 * of what came before:
 *   0lllllll			l + 1 bytes follow as they are
 *   10llllll back		l + 3 bytes from back + 1 before here
 *   11llllll low high		l + 4 bytes from low, high + 1 before here
 */
static void *skel_unpack(const void *packed, size_t size)
{
	const unsigned char *from = packed;
	unsigned char *data = malloc(size);
	size_t at = 0, back, run;

	while (data && at < size) {
		unsigned int head = *from++;

		if (head < 0x80) {
			run = head + 1;
			back = 0;
		} else if (head < 0xc0) {
			run = (head & 0x3f) + 3;
			back = (size_t)*from++ + 1;
		} else {
			run = (head & 0x3f) + 4;
			back = (from[0] | (size_t)from[1] << 8) + 1;
			from += 2;
		}
		if (run > size - at || back > at) {
			free(data);
			return NULL;
		}
		/* One by one: what is copied may be what was just written. */
		for (; run; run--, at++)
			data[at] = back ? data[at - back] : *from++;
	}
	return data;
}

int bpf_load_and_run(struct bpf_load_and_run_opts *opts)
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
