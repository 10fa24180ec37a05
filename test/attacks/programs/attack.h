/*
 * What every attacker here shares: it dies with the test that started it, and
 * says what it did in one line of JSON. `at` is CLOCK_MONOTONIC in ns, taken
 * right before the act.
 */
#ifndef ATTACK_H
#define ATTACK_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define LENGTH_MAX 65536

struct attack {
	pid_t pid;
	unsigned long address;
	size_t length;
	unsigned char *bytes;
};

static long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void usage(const char *line)
{
	fprintf(stderr, "usage: %s\n", line);
	exit(2);
}

static size_t parse_length(const char *text)
{
	unsigned long length = strtoul(text, NULL, 0);

	if (length == 0 || length > LENGTH_MAX)
		usage("LENGTH is 1 to 65536");
	return length;
}

/* argv: PID ADDRESS LENGTH and whatever the attacker adds to it. */
static inline struct attack parse_attack(int argc, char **argv, const char *line)
{
	struct attack a = { 0 };

	if (argc < 4)
		usage(line);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	a.pid = atoi(argv[1]);
	a.address = strtoul(argv[2], NULL, 0);
	a.length = parse_length(argv[3]);
	a.bytes = calloc(1, a.length + sizeof(long));
	if (!a.bytes)
		exit(3);
	return a;
}

static inline void report_bytes(long long at, const unsigned char *bytes, size_t length)
{
	printf("{\"at\":%lld,\"pid\":%d,\"hex\":\"", at, getpid());
	for (size_t i = 0; i < length; i++)
		printf("%02x", bytes[i]);
	printf("\"}\n");
	fflush(stdout);
}

static inline void report_done(long long at, const char *what)
{
	printf("{\"at\":%lld,\"pid\":%d,\"did\":\"%s\"}\n", at, getpid(), what);
	fflush(stdout);
}

/* Says what failed and with which errno, and ends with 1. */
static inline int report_failure(long long at, const char *what)
{
	printf("{\"at\":%lld,\"pid\":%d,\"failed\":\"%s\",\"error\":\"%s\"}\n", at, getpid(), what,
	       strerrorname_np(errno));
	fflush(stdout);
	return 1;
}

static inline void hold_ms(long ms)
{
	struct timespec t = { ms / 1000, (ms % 1000) * 1000000L };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

/* Waits for a line, the end of stdin or a signal that was caught. */
static inline void wait_for_line(void)
{
	char c;

	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
		;
}

#endif
