/*
 * Queues a signal with a si_code that only rt_sigqueueinfo lets a sender make up, by int 0x80, as a 32-bit program does.
 */
#include "attack.h"
#include <sys/mman.h>

int main(int argc, char **argv)
{
	long long at = now_ns();
	int result = -ENOSYS;
	int *info;

	if (argc != 3)
		usage("sigqueue32 PID SIGNAL");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	info = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (info == MAP_FAILED)
		return report_failure(at, "mmap");
	info[0] = atoi(argv[2]);
	info[2] = -42;
#if defined(__x86_64__)
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "0"(178), "b"(atoi(argv[1])), "c"(atoi(argv[2])), "d"((int)(long)info)
			 : "memory", "cc");
#endif
	if (result < 0) {
		errno = -result;
		return report_failure(at, "rt_sigqueueinfo");
	}
	report_done(at, "rt_sigqueueinfo");
	return 0;
}
