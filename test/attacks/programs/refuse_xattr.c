/* Preloaded: no extended attribute user.refused can be read, as where a disk is bad. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/types.h>

typedef ssize_t get_by_fd(int fd, const char *name, void *value, size_t size);
typedef ssize_t get_by_path(const char *path, const char *name, void *value, size_t size);

ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)
{
	get_by_fd *next;

	if (!strcmp(name, "user.refused")) {
		errno = EIO;
		return -1;
	}
	*(void **)&next = dlsym(RTLD_NEXT, "fgetxattr");
	return next(fd, name, value, size);
}

ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size)
{
	get_by_path *next;

	if (!strcmp(name, "user.refused")) {
		errno = EIO;
		return -1;
	}
	*(void **)&next = dlsym(RTLD_NEXT, "lgetxattr");
	return next(path, name, value, size);
}
