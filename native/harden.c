/* What rimon takes away from itself: dumps and capabilities. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rimon.h"

static const char *const capability_names[] = {
	"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
	"linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
	"sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
	"sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
	"mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
	"checkpoint_restore",
};

#define CAPABILITY_NAMES (sizeof(capability_names) / sizeof(capability_names[0]))

int harden(void)
{
	struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
}

const char *capability_name(unsigned int capability)
{
	return capability < CAPABILITY_NAMES ? capability_names[capability] : NULL;
}

int capability_number(const char *name)
{
	size_t i;

	for (i = 0; i < CAPABILITY_NAMES; i++)
		if (strcmp(capability_names[i], name) == 0)
			return (int)i;
	return -EINVAL;
}

static int capabilities_get(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };

	return syscall(SYS_capget, &head, data) < 0 ? -errno : 0;
}

int capabilities_effective(uint64_t *ret)
{
	struct __user_cap_data_struct data[2];
	int err = capabilities_get(data);

	if (err)
		return err;
	*ret = (uint64_t)data[1].effective << 32 | data[0].effective;
	return 0;
}

static int capabilities_reduce(uint64_t keep)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
	struct __user_cap_data_struct data[2];
	unsigned int capability;
	int err;

	for (capability = 0; capability < 64; capability++) {
		int in_set = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);

		/* Beyond the last one this kernel knows. */
		if (in_set < 0)
			break;
		if (!in_set || (keep >> capability & 1))
			continue;
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
			return -errno;
	}
	/* v4.3; without it there is nothing to clear. */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	/* What is inheritable would pass by the bounding set. */
	err = capabilities_get(data);
	if (err)
		return err;
	data[0].inheritable &= (uint32_t)keep;
	data[1].inheritable &= (uint32_t)(keep >> 32);
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

int exec_with_capabilities(const char *path, char *const args[], char *const env[], uint64_t keep)
{
	int fd, err;

	/* Before anything is given up for good. */
	if (access(path, X_OK) < 0)
		return -errno;
	err = capabilities_reduce(keep);
	if (err)
		return err;
	for (fd = 0; fd <= 2; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags >= 0)
			fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC);
	}
	/* Node ignores it, and ignoring is inherited. */
	signal(SIGPIPE, SIG_DFL);
	execve(path, args, env);
	return -errno;
}
