/*
 * Stands in for a protected process: it holds a secret at an address it tells,
 * has sleeping threads, and does on a line of stdin what is asked of it. One
 * line of JSON at the start, one for each command; the end of stdin ends it.
 *
 *	fork [N]	children that sleep until it dies
 *	thread		one more sleeping thread
 *	map PATH	maps a file executable
 *	mprotect [rx]	makes a page of its own writable memory executable, too or instead
 *	dlopen PATH
 *	open PATH	opens a file for reading and keeps it open
 *	dumpable 0|1
 *	core N|unlimited [N|unlimited]	RLIMIT_CORE, soft and hard
 *	comm NAME
 *	raise NUMBER	answers, then raises
 *	exec		runs itself anew; the answer is the new first line
 *	exit CODE	answers, then exits
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SECRET_LENGTH 32
#define THREADS_MAX 64
#define PAGE 4096

static int tids[THREADS_MAX];
static int thread_count;
static pthread_barrier_t started;

static void *sleep_for_ever(void *argument)
{
	*(int *)argument = syscall(SYS_gettid);
	pthread_barrier_wait(&started);
	for (;;)
		pause();
	return NULL;
}

static int start_thread(void)
{
	pthread_t thread;

	if (thread_count == THREADS_MAX) {
		errno = EAGAIN;
		return -1;
	}
	pthread_barrier_init(&started, NULL, 2);
	errno = pthread_create(&thread, NULL, sleep_for_ever, &tids[thread_count]);
	if (errno)
		return -1;
	pthread_barrier_wait(&started);
	return tids[thread_count++];
}

static void die_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(3);
}

static void answer_failure(const char *what)
{
	printf("{\"ok\":false,\"failed\":\"%s\",\"error\":\"%s\"}\n", what, strerrorname_np(errno));
}

static void answer_text(const char *what, const char *text)
{
	printf("{\"ok\":false,\"failed\":\"%s\",\"error\":\"", what);
	for (; *text; text++)
		if (*text != '"' && *text != '\\' && (unsigned char)*text >= ' ')
			putchar(*text);
	printf("\"}\n");
}

static void do_fork(int count)
{
	pid_t parent = getpid();

	printf("{\"ok\":true,\"pids\":[");
	fflush(stdout);
	for (int i = 0; i < count; i++) {
		pid_t child = fork();

		if (child == 0) {
			/* The pipes end with the target, not with its children. */
			close(STDIN_FILENO);
			close(STDOUT_FILENO);
			close(STDERR_FILENO);
			die_with(parent);
			for (;;)
				pause();
		}
		if (child < 0) {
			perror("target: fork");
			exit(1);
		}
		printf("%s%d", i ? "," : "", child);
	}
	printf("]}\n");
}

static void do_map(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *address;

	if (fd < 0) {
		answer_failure("open");
		return;
	}
	address = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (address == MAP_FAILED)
		answer_failure("mmap");
	else
		printf("{\"ok\":true,\"address\":\"%p\"}\n", address);
	close(fd);
}

static void do_mprotect(int protection)
{
	void *address = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (address == MAP_FAILED || mprotect(address, PAGE, protection) < 0)
		answer_failure("mprotect");
	else
		printf("{\"ok\":true,\"address\":\"%p\"}\n", address);
}

static rlim_t parse_limit(const char *text)
{
	return strcmp(text, "unlimited") ? strtoull(text, NULL, 0) : RLIM_INFINITY;
}

static int set_core(char *soft, char *hard)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) < 0)
		return -1;
	limit.rlim_cur = parse_limit(soft);
	if (hard)
		limit.rlim_max = parse_limit(hard);
	return setrlimit(RLIMIT_CORE, &limit);
}

static void answer(int result, const char *what)
{
	if (result < 0)
		answer_failure(what);
	else
		printf("{\"ok\":true}\n");
}

static void obey(char *line, char **argv)
{
	char *word = strtok(line, " \n");
	char *first = strtok(NULL, " \n");
	char *second = strtok(NULL, " \n");
	int n;

	if (!word) {
		answer_text("command", "empty");
	} else if (!strcmp(word, "fork")) {
		do_fork(first ? atoi(first) : 1);
	} else if (!strcmp(word, "thread")) {
		n = start_thread();
		if (n < 0)
			answer_failure("pthread_create");
		else
			printf("{\"ok\":true,\"tid\":%d}\n", n);
	} else if (!strcmp(word, "mprotect")) {
		do_mprotect(first && !strcmp(first, "rx") ? PROT_READ | PROT_EXEC : PROT_READ | PROT_WRITE | PROT_EXEC);
	} else if (!strcmp(word, "exec")) {
		execv(argv[0], argv);
		answer_failure("execv");
	} else if (!first) {
		answer_text(word, "unknown, or without its argument");
	} else if (!strcmp(word, "map")) {
		do_map(first);
	} else if (!strcmp(word, "dlopen")) {
		if (dlopen(first, RTLD_NOW))
			printf("{\"ok\":true}\n");
		else
			answer_text("dlopen", dlerror());
	} else if (!strcmp(word, "open")) {
		n = open(first, O_RDONLY | O_CLOEXEC);
		if (n < 0)
			answer_failure("open");
		else
			printf("{\"ok\":true,\"fd\":%d}\n", n);
	} else if (!strcmp(word, "dumpable")) {
		answer(prctl(PR_SET_DUMPABLE, atoi(first)), "PR_SET_DUMPABLE");
	} else if (!strcmp(word, "core")) {
		answer(set_core(first, second), "setrlimit");
	} else if (!strcmp(word, "comm")) {
		answer(prctl(PR_SET_NAME, first), "PR_SET_NAME");
	} else if (!strcmp(word, "raise")) {
		printf("{\"ok\":true}\n");
		fflush(stdout);
		raise(atoi(first));
		return;
	} else if (!strcmp(word, "exit")) {
		printf("{\"ok\":true}\n");
		fflush(stdout);
		_exit(atoi(first));
	} else {
		answer_text(word, "unknown");
	}
	fflush(stdout);
}

/* argv: THREADS DUMPABLE CORE DONTDUMP; a "-" leaves it as it is. */
int main(int argc, char **argv)
{
	unsigned char *secret;
	char *line = NULL;
	size_t size = 0;

	if (argc != 5) {
		fprintf(stderr, "usage: target THREADS DUMPABLE|- CORE|- DONTDUMP|-\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (strcmp(argv[2], "-"))
		prctl(PR_SET_DUMPABLE, atoi(argv[2]));
	if (strcmp(argv[3], "-") && set_core(argv[3], NULL) < 0) {
		perror("target: setrlimit");
		return 1;
	}
	secret = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (secret == MAP_FAILED || getrandom(secret, SECRET_LENGTH, 0) != SECRET_LENGTH) {
		perror("target: secret");
		return 1;
	}
	if (strcmp(argv[4], "-") && (mlock(secret, PAGE) < 0 || madvise(secret, PAGE, MADV_DONTDUMP) < 0)) {
		perror("target: mlock");
		return 1;
	}
	for (int i = 0; i < atoi(argv[1]); i++)
		if (start_thread() < 0) {
			perror("target: pthread_create");
			return 1;
		}

	printf("{\"pid\":%d,\"tids\":[%d", getpid(), getpid());
	for (int i = 0; i < thread_count; i++)
		printf(",%d", tids[i]);
	printf("],\"address\":\"%p\",\"length\":%d,\"secret\":\"", (void *)secret, SECRET_LENGTH);
	for (int i = 0; i < SECRET_LENGTH; i++)
		printf("%02x", secret[i]);
	printf("\"}\n");
	fflush(stdout);

	while (getline(&line, &size, stdin) > 0)
		obey(line, argv);
	return 0;
}
