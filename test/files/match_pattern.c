/* Answers, for each line "PATTERN PATH" in hexadecimal, whether native/file_rules.c says that they match. */
#include <stdio.h>

#include "file_walk.h"

static size_t bytes_of(const char *hex, char *bytes)
{
	unsigned int byte;
	size_t n = 0;

	while (sscanf(hex + 2 * n, "%2x", &byte) == 1)
		bytes[n++] = (char)byte;
	return n;
}

int main(void)
{
	char left[8192], right[8192], pattern[4096], path[4096];

	while (scanf("%8191s %8191s", left, right) == 2) {
		/* The first letter is there so that none is empty. */
		size_t len = bytes_of(left + 1, pattern), path_len = bytes_of(right + 1, path);

		puts(file_pattern_matches(pattern, len, path, path_len) ? "1" : "0");
	}
	return 0;
}
