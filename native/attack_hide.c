/*
 * What a preloaded library does that does not want to be found: before main() it
 * takes what loaded it out of the environment, in memory and so in
 * /proc/PID/environ. This one does so only where it is asked to, by a variable
 * that goes as well.
 */
#include <string.h>
#include <unistd.h>

#include "attack.h"

static bool begins(const char *entry, const char *name)
{
	return strncmp(entry, name, strlen(name)) == 0;
}

static void take(char **entry)
{
	memset(*entry, 0, strlen(*entry));
	for (; *entry; entry++)
		*entry = entry[1];
}

__attribute__((constructor)) static void hide(void)
{
	char **asked, **entry;

	if (!environ)
		return;
	for (asked = environ; *asked && !begins(*asked, HIDE_ASKED); asked++)
		;
	if (!*asked)
		return;
	take(asked);
	for (entry = environ; *entry;) {
		if (begins(*entry, "LD_PRELOAD="))
			take(entry);
		else
			entry++;
	}
}
