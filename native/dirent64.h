#ifndef RIMON_DIRENT64_H
#define RIMON_DIRENT64_H

#include <stdint.h>

/* getdents64(2) */
struct dirent64_head {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

#endif
