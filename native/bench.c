/* What the bench asks for, handed to who does it. */
#include <errno.h>
#include <string.h>

#include "bench.h"

int bench_run(const uint64_t how[BENCH_NUMBERS], const struct bytes in[3], char *into, size_t len)
{
	struct timing timing = { 0 };
	int err = 0;

	if (how[0] > BENCH_EXEC)
		return -EINVAL;
	if (how[0] == BENCH_EXEC)
		return bench_exec(how, &in[0], into, len);
	if (how[0] >= BENCH_ENCRYPT && how[0] <= BENCH_HKDF)
		return bench_cipher((enum bench_what)how[0], in, into, len);
	if (len != sizeof(timing))
		return -EINVAL;
	if (how[0] == BENCH_CPU)
		timing.cpu_ns = bench_cpu_ns();
	else if (how[0] >= BENCH_HASH_FILES)
		err = bench_files(how, in, &timing);
	else if (how[0] >= BENCH_TIME_ENCRYPT)
		err = bench_cipher_time(how, &timing);
	else
		err = bench_loop(how, &timing);
	if (!err)
		memcpy(into, &timing, sizeof(timing));
	return err;
}
