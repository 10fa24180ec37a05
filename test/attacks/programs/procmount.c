/*
 * Mounts a procfs at DIRECTORY in the mount namespace it was started in, and
 * takes both away after a line on stdin, at its end, or on SIGTERM. It does
 * not die with its parent by signal: the mount would stay.
 */
#include "attack.h"
#include <sys/mount.h>

static void wake(int signal)
{
	(void)signal;
}

int main(int argc, char **argv)
{
	/* Without SA_RESTART, so that the read on stdin ends. */
	struct sigaction action = { .sa_handler = wake };
	long long at;

	if (argc != 2)
		usage("procmount DIRECTORY");
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	at = now_ns();
	if (mount("proc", argv[1], "proc", 0, NULL) < 0)
		return report_failure(at, "mount");
	report_done(at, "mount");
	wait_for_line();
	if (umount2(argv[1], MNT_DETACH) < 0)
		return report_failure(now_ns(), "umount");
	if (rmdir(argv[1]) < 0)
		return report_failure(now_ns(), "rmdir");
	return 0;
}
