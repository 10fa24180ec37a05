/*
 * Has a file checked as one program and run as another:
 *
 *   gate-race WAY TARGET GOOD EVIL ROUNDS UID
 *
 *   held     it is open for writing before the exec, and written to at some moment after
 *   after    it is opened for writing by another thread as the exec begins
 *   starved  the same, while the one that executes gets hardly any processor
 *   swap     it was run, is written over, and has its modification time set back
 *   mapped   it was run, is written over by a mapping whose pages were read before, which changes no time on tmpfs
 *
 * It prints how often which of the two ran, and why else not.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EVIL	66
#define REFUSED	100
#define BUSY	101
#define FAILED	102

static const char *target;
static char good[1 << 20], evil[1 << 20];
static size_t size, where;
static volatile bool go, spin = true;
static volatile unsigned int delay;

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static size_t load(const char *path, char *room)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	check(fd >= 0, path);
	n = read(fd, room, 1 << 20);
	check(n > 0, path);
	close(fd);
	return (size_t)n;
}

static void make(void)
{
	int fd;

	unlink(target);
	fd = open(target, O_WRONLY | O_CREAT | O_EXCL, 0755);
	check(fd >= 0, target);
	check(write(fd, good, size) == (ssize_t)size, "write");
	close(fd);
}

static void on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* `open_fd` is the writer's, and only it may have it: -1 for none. */
static pid_t run_begin(bool is_starved, int open_fd)
{
	static const struct sched_param none;
	pid_t pid = fork();

	check(pid >= 0, "fork");
	if (pid)
		return pid;
	close(open_fd);
	if (is_starved) {
		on_cpu(0);
		sched_setscheduler(0, SCHED_IDLE, &none);
	}
	execl(target, target, (char *)NULL);
	_exit(errno == EPERM ? REFUSED : errno == ETXTBSY ? BUSY : FAILED);
}

static int run_end(pid_t pid)
{
	int status;

	check(waitpid(pid, &status, 0) == pid, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
}

static void idle(unsigned int ns)
{
	struct timespec from, now;

	clock_gettime(CLOCK_MONOTONIC, &from);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - from.tv_sec) * 1000000000ll + now.tv_nsec - from.tv_nsec < ns);
}

static void *open_and_write(void *arg)
{
	int fd;

	(void)arg;
	on_cpu(1);
	while (!go)
		;
	idle(delay);
	/* Waits for a lease to be given up. */
	fd = open(target, O_WRONLY);
	if (fd < 0)
		return NULL;
	check(pwrite(fd, evil + where, 1, (off_t)where) == 1, "pwrite");
	close(fd);
	return NULL;
}

static void *burn(void *arg)
{
	(void)arg;
	on_cpu(0);
	while (spin)
		;
	return NULL;
}

static int held(void)
{
	int fd, code;
	pid_t pid;

	fd = open(target, O_RDWR | O_CLOEXEC);
	check(fd >= 0, target);
	pid = run_begin(false, fd);
	idle(delay);
	check(pwrite(fd, evil + where, 1, (off_t)where) == 1, "pwrite");
	close(fd);
	code = run_end(pid);
	return code;
}

static int after(bool is_starved)
{
	pthread_t writer;
	pid_t pid;
	int code;

	go = false;
	check(!pthread_create(&writer, NULL, open_and_write, NULL), "pthread_create");
	pid = run_begin(is_starved, -1);
	go = true;
	code = run_end(pid);
	pthread_join(writer, NULL);
	return code;
}

static int swap(bool is_mapped)
{
	struct timespec times[2], settle = { 0, 60000000 };
	volatile char seen = 0;
	struct stat st;
	char *map;
	size_t i;
	int fd;

	/* Twice, so that whatever is remembered is. */
	nanosleep(&settle, NULL);
	check(run_end(run_begin(false, -1)) == 0, "the good program");
	nanosleep(&settle, NULL);
	check(run_end(run_begin(false, -1)) == 0, "the good program");
	nanosleep(&settle, NULL);
	fd = open(target, O_RDWR | O_CLOEXEC);
	check(fd >= 0, target);
	check(fstat(fd, &st) == 0, "fstat");
	if (is_mapped) {
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		check(map != MAP_FAILED, "mmap");
		for (i = 0; i < size; i += 4096)
			seen += map[i];
		map[where] = evil[where];
		munmap(map, size);
	} else {
		check(pwrite(fd, evil + where, 1, (off_t)where) == 1, "pwrite");
		times[0] = st.st_atim;
		times[1] = st.st_mtim;
		check(futimens(fd, times) == 0, "futimens");
	}
	close(fd);
	/* To root an event must come first, and it may: who is root can do without all this. */
	if (geteuid() == 0)
		nanosleep(&settle, NULL);
	return run_end(run_begin(false, -1));
}

int main(int argc, char **argv)
{
	unsigned int ran = 0, ran_evil = 0, refused = 0, busy = 0, failed = 0;
	pthread_t burner;
	int rounds, uid, i;

	check(argc == 7, "gate-race WAY TARGET GOOD EVIL ROUNDS UID");
	target = argv[2];
	size = load(argv[3], good);
	check(load(argv[4], evil) == size, "programs of one size");
	while (good[where] == evil[where])
		where++;
	rounds = atoi(argv[5]);
	uid = atoi(argv[6]);
	if (uid)
		check(setgroups(0, NULL) == 0 && setgid((gid_t)uid) == 0 && setuid((uid_t)uid) == 0, "setuid");
	if (!strcmp(argv[1], "starved"))
		check(!pthread_create(&burner, NULL, burn, NULL), "pthread_create");
	for (i = 0; i < rounds; i++) {
		int code;

		make();
		delay = (unsigned int)(rand() % 1500) * 1000;
		if (!strcmp(argv[1], "held"))
			code = held();
		else if (!strcmp(argv[1], "swap") || !strcmp(argv[1], "mapped"))
			code = swap(!strcmp(argv[1], "mapped"));
		else
			code = after(!strcmp(argv[1], "starved"));
		ran += code == 0;
		ran_evil += code == EVIL;
		refused += code == REFUSED;
		busy += code == BUSY;
		failed += code == FAILED;
	}
	spin = false;
	printf("{\"good\":%u,\"evil\":%u,\"refused\":%u,\"busy\":%u,\"failed\":%u}\n", ran, ran_evil, refused, busy, failed);
	return 0;
}
