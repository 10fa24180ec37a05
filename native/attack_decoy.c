/*
 * What the drill's decoy does to itself: it has a secret in its memory, and
 * more places to find it at when it is told to.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"

#define SECRET_SIZE	32
#define COMPUTE_NS	1000000
#define REST_NS		4000000

/* A page of its own, so that what happens to it happens to nothing else. */
static unsigned char secret_page[4096] __attribute__((aligned(4096))) = { 1 };
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void secret_make(void)
{
	/* Should the kernel refuse, it is a poor secret and still a good decoy. */
	if (getrandom(secret_page, SECRET_SIZE, 0) != SECRET_SIZE)
		memset(secret_page, 0x5a, SECRET_SIZE);
}

/* Nobody calls it: patchText changes it and puts it back. */
__attribute__((noinline, noclone, aligned(64))) static int decoy_code(int x)
{
	int i;

	for (i = 0; i < 8; i++)
		x = x * 31 + i;
	return x;
}

static int (*volatile decoy_code_pointer)(int) = decoy_code;

void attack_secret(const unsigned char **ret_bytes, size_t *ret_len, uint64_t *ret_code)
{
	pthread_once(&secret_once, secret_make);
	*ret_bytes = secret_page;
	*ret_len = SECRET_SIZE;
	*ret_code = (uint64_t)(uintptr_t)decoy_code_pointer;
}

int attack_open_page(void)
{
	/* arm64 has pages of up to 64 KiB: the secret's neighbours are opened with it. */
	uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t page = (uintptr_t)secret_page & ~(size - 1);

	return mprotect((void *)page, size, PROT_READ | PROT_WRITE | PROT_EXEC) < 0 ? -errno : 0;
}

struct starting {
	pthread_mutex_t lock;
	pthread_cond_t told;
	uint32_t tid;
};

static void tell_tid(struct starting *s)
{
	pthread_mutex_lock(&s->lock);
	s->tid = (uint32_t)syscall(SYS_gettid);
	pthread_cond_signal(&s->told);
	pthread_mutex_unlock(&s->lock);
}

static void *sleep_for_ever(void *arg)
{
	tell_tid(arg);
	for (;;)
		pause();
	return NULL;
}

/* As a cipher would: the key lies on the stack while there is work, which is a fifth of the time. */
static void *compute_for_ever(void *arg)
{
	const struct timespec rest = { 0, REST_NS };
	unsigned char key[SECRET_SIZE];
	struct timespec begun, now;

	memcpy(key, secret_page, sizeof(key));
	tell_tid(arg);
	for (;;) {
		clock_gettime(CLOCK_MONOTONIC, &begun);
		do {
			__asm__ volatile("" : : "r"(key) : "memory");
			clock_gettime(CLOCK_MONOTONIC, &now);
		} while ((now.tv_sec - begun.tv_sec) * 1000000000L + now.tv_nsec - begun.tv_nsec < COMPUTE_NS);
		nanosleep(&rest, NULL);
	}
	return NULL;
}

static int start(void *(*run)(void *), uint32_t *ret_tid)
{
	struct starting s = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };
	sigset_t all, before;
	pthread_t thread;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, NULL, run, &s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return -err;
	pthread_detach(thread);
	pthread_mutex_lock(&s.lock);
	while (!s.tid)
		pthread_cond_wait(&s.told, &s.lock);
	pthread_mutex_unlock(&s.lock);
	*ret_tid = s.tid;
	return 0;
}

int attack_start_thread(uint32_t *ret_tid)
{
	return start(sleep_for_ever, ret_tid);
}

int attack_start_computing(uint32_t *ret_tid)
{
	pthread_once(&secret_once, secret_make);
	return start(compute_for_ever, ret_tid);
}

int attack_low_copy(uint64_t *ret_address)
{
#ifdef MAP_32BIT
	void *page = mmap(NULL, sizeof(secret_page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (page == MAP_FAILED)
		return -errno;
	pthread_once(&secret_once, secret_make);
	memcpy(page, secret_page, sizeof(secret_page));
	*ret_address = (uint64_t)(uintptr_t)page;
	return 0;
#else
	(void)ret_address;
	return -ENOSYS;
#endif
}

int attack_hold_socket(uint32_t *ret_fd)
{
	int ends[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	pthread_once(&secret_once, secret_make);
	/* The other end stays open as well: a connection with something in it that was not read yet. */
	if (send(ends[0], secret_page, SECRET_SIZE, MSG_NOSIGNAL) == SECRET_SIZE) {
		*ret_fd = (uint32_t)ends[1];
		return 0;
	}
	err = errno ? -errno : -EIO;
	close(ends[0]);
	close(ends[1]);
	return err;
}

int attack_become_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int attack_lower_core_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) < 0)
		return -errno;
	limit.rlim_cur = 0;
	return setrlimit(RLIMIT_CORE, &limit) < 0 ? -errno : 0;
}
