/* Sets or takes away an extended attribute:  set_xattr PATH NAME [HEX] */
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

int main(int argc, char **argv)
{
	unsigned char value[4096];
	size_t len = 0;
	unsigned int byte;

	if (argc < 3)
		return 2;
	if (argc == 3)
		return lremovexattr(argv[1], argv[2]) != 0;
	for (const char *hex = argv[3]; len < sizeof(value) && sscanf(hex, "%2x", &byte) == 1; hex += 2)
		value[len++] = (unsigned char)byte;
	return lsetxattr(argv[1], argv[2], value, len, 0) != 0;
}
