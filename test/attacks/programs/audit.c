/* A library for LD_AUDIT: the loader asks for la_version and keeps it. */
#include <link.h>

unsigned int la_version(unsigned int version)
{
	return version;
}
