/* Reads another process's memory with process_vm_readv: no file is opened and nothing is attached. */
#include "attack.h"
#include <sys/uio.h>

int main(int argc, char **argv)
{
	struct attack a = parse_attack(argc, argv, "readv PID ADDRESS LENGTH");
	struct iovec local = { a.bytes, a.length };
	struct iovec remote = { (void *)a.address, a.length };
	long long at = now_ns();
	ssize_t n = process_vm_readv(a.pid, &local, 1, &remote, 1, 0);

	if (n < 0)
		return report_failure(at, "process_vm_readv");
	report_bytes(at, a.bytes, n);
	return 0;
}
