/*
 * Keeps the addon's floor where Node's own is: glibc 2.28, libstdc++ of gcc 5.
 * A newer toolchain binds these to versions of their own, though what they do
 * is what they did before: each here goes to what an old glibc has as well.
 * test/packaging/prebuilds.test.ts says when one is missing.
 */
#include <features.h>

#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__))

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __x86_64__
#define OLDEST "GLIBC_2.2.5"
#define OLDEST_SETNAME "GLIBC_2.12"
#else
#define OLDEST "GLIBC_2.17"
#define OLDEST_SETNAME "GLIBC_2.17"
#endif

#define HIDDEN __attribute__((visibility("hidden")))
#define OLD(name, version) __asm__(".symver old_" #name ", " #name "@" version)

/* glibc 2.34 made libpthread and libdl a part of libc, with new versions; pthread_sigmask had moved in 2.32. */
OLD(pthread_create, OLDEST);
OLD(pthread_join, OLDEST);
OLD(pthread_detach, OLDEST);
OLD(pthread_once, OLDEST);
OLD(pthread_sigmask, OLDEST);
OLD(pthread_setname_np, OLDEST_SETNAME);
OLD(dlsym, OLDEST);

int old_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int old_pthread_join(pthread_t thread, void **ret_value);
int old_pthread_detach(pthread_t thread);
int old_pthread_once(pthread_once_t *once, void (*init)(void));
int old_pthread_sigmask(int how, const sigset_t *set, sigset_t *ret_old);
int old_pthread_setname_np(pthread_t thread, const char *name);
void *old_dlsym(void *handle, const char *name);

HIDDEN int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	return old_pthread_create(thread, attr, start, arg);
}

HIDDEN int pthread_join(pthread_t thread, void **ret_value)
{
	return old_pthread_join(thread, ret_value);
}

HIDDEN int pthread_detach(pthread_t thread)
{
	return old_pthread_detach(thread);
}

HIDDEN int pthread_once(pthread_once_t *once, void (*init)(void))
{
	return old_pthread_once(once, init);
}

HIDDEN int pthread_sigmask(int how, const sigset_t *set, sigset_t *ret_old)
{
	return old_pthread_sigmask(how, set, ret_old);
}

HIDDEN int pthread_setname_np(pthread_t thread, const char *name)
{
	return old_pthread_setname_np(thread, name);
}

HIDDEN void *dlsym(void *handle, const char *name)
{
	return old_dlsym(handle, name);
}

/* Inline until glibc 2.33. On both architectures struct stat is the kernel's own. */
HIDDEN int fstat(int fd, struct stat *ret_stat)
{
	return (int)syscall(SYS_fstat, fd, ret_stat);
}

HIDDEN int fstatat(int dir, const char *path, struct stat *ret_stat, int flags)
{
	return (int)syscall(SYS_newfstatat, dir, path, ret_stat, flags);
}

/* glibc 2.32; libstdc++ asks it whether shared_ptr may count without atomics. In a Node there are always threads. */
HIDDEN char __libc_single_threaded;

/* GLIBCXX_3.4.29, gcc 11; every vector may call it. The older one throws the same. */
__attribute__((noreturn)) void __cxa_throw_bad_array_new_length(void);

HIDDEN __attribute__((noreturn)) void _ZSt28__throw_bad_array_new_lengthv(void)
{
	__cxa_throw_bad_array_new_length();
}

#endif
