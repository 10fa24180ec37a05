/* A library to be preloaded that does not want to be found: before main() it overwrites the whole environment. */
#define _GNU_SOURCE
#include <string.h>
#include <unistd.h>

__attribute__((constructor)) static void erase(void)
{
	char **entry;

	for (entry = environ; entry && *entry; entry++)
		memset(*entry, 'x', strlen(*entry));
}
