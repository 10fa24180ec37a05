/* What all of the generated loaders do alike: unpack one, and have the kernel run it. */
#include "bpf/skel_internal.h"
#include "rimon.h"

static void *skel_unpack(const void *packed, size_t packed_len, size_t size)
{
	unsigned char *data = malloc(size);

	if (data && inflate_raw(packed, packed_len, data, size) < 0) {
		free(data);
		return NULL;
	}
	return data;
}

int bpf_load_and_run(struct bpf_load_and_run_opts *opts)
{
	void *data = skel_unpack(opts->data, opts->data_packed, opts->data_sz);
	void *insns = skel_unpack(opts->insns, opts->insns_packed, opts->insns_sz);
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
