/*
 * Makes, writes, closes and removes files as fast as it goes, or at a pace:
 *
 *   file-storm FOLDER FILES THREADS [keep|remove|empty [FILES-A-SECOND]]
 *
 * (empty ones are kept, too) and says how long that took: files, seconds, files a second.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX	64

static const char *folder;
static long files, threads;
static double pace;
static int keep, empty;

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *storm(void *arg)
{
	double began = seconds();
	char path[PATH_MAX];
	long i;

	for (i = 0; i < files; i++) {
		int fd;

		while (pace > 0 && (double)i / pace * (double)threads > seconds() - began)
			usleep(100);
		snprintf(path, sizeof(path), "%s/%ld-%ld", folder, (long)(intptr_t)arg, i);
		fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		if (fd < 0 || (!empty && write(fd, "x", 1) != 1) || close(fd) < 0 || (!keep && unlink(path) < 0)) {
			perror(path);
			exit(1);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread[THREADS_MAX];
	double began, took;
	long i;

	if (argc < 4) {
		fprintf(stderr, "usage: file-storm FOLDER FILES THREADS [keep|remove|empty [FILES-A-SECOND]]\n");
		return 2;
	}
	folder = argv[1];
	files = atol(argv[2]);
	threads = atol(argv[3]);
	empty = argc > 4 && !strcmp(argv[4], "empty");
	keep = empty || (argc > 4 && !strcmp(argv[4], "keep"));
	pace = argc > 5 ? atof(argv[5]) : 0;
	if (threads < 1 || threads > THREADS_MAX)
		return 2;
	began = seconds();
	for (i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, storm, (void *)(intptr_t)i))
			return 1;
	for (i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	took = seconds() - began;
	printf("%ld %.3f %.0f\n", files * threads, took, (double)(files * threads) / took);
	return 0;
}
