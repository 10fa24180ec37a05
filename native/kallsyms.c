/* Where the kernel's functions lie, out of /proc/kallsyms: "ffffffff8177d090 t mem_rw.isra.0	[module]". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bpf.h"

static bool number_parse(const char *line, size_t len, uint64_t *ret, size_t *ret_used)
{
	uint64_t value = 0;
	size_t i;

	for (i = 0; i < len && line[i] != ' '; i++) {
		char c = line[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	if (i == 0 || i > 16 || i == len)
		return false;
	*ret = value;
	*ret_used = i;
	return true;
}

/* 0 if it is none of those asked for. */
static uint64_t operation_of(const struct kallsyms *k, const char *name, size_t len)
{
	size_t i, n;

	/* There are more than 100,000 names; nearly all differ from nearly all of these in their first letters. */
	for (i = 0; i < k->n_functions; i++) {
		const char *wanted = k->functions[i].name;

		for (n = 0; n < len && wanted[n] && name[n] == wanted[n]; n++)
			;
		if (!wanted[n] && (n == len || name[n] == '.'))
			return k->functions[i].operation;
	}
	return 0;
}

void kallsyms_line(struct kallsyms *k, const char *line, size_t len)
{
	uint64_t address, operation;
	size_t used, name, end;

	if (!number_parse(line, len, &address, &used) || address == 0)
		return;
	/* " t " */
	if (len < used + 4 || line[used] != ' ' || line[used + 2] != ' ')
		return;
	/* Sorted by address: the next one that lies behind ends it. Aliases share theirs. */
	while (k->open < k->n && k->ranges[k->open].start < address)
		k->ranges[k->open++].end = address;
	if (line[used + 1] != 't' && line[used + 1] != 'T')
		return;
	name = used + 3;
	for (end = name; end < len && line[end] != '\t' && line[end] != ' ' && line[end] != '\n'; end++)
		;
	operation = operation_of(k, line + name, end - name);
	if (!operation || k->n == k->room)
		return;
	/* The last of all would have no end; until there is one it covers nothing. */
	k->ranges[k->n++] = (struct kernel_range){ address, address, operation };
}

int kallsyms_read(struct kallsyms *k)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	FILE *file;

	file = fopen("/proc/kallsyms", "re");
	if (!file)
		return -errno;
	while ((len = getline(&line, &room, file)) > 0)
		kallsyms_line(k, line, (size_t)len);
	free(line);
	fclose(file);
	return 0;
}
