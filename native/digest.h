#ifndef RIMON_DIGEST_H
#define RIMON_DIGEST_H

#include <stddef.h>

/* digest.c: SHA-256, by one thread at a time. -ENOSYS where Node exports no OpenSSL. */
#define DIGEST_LEN	32
struct digest;
int digest_open(struct digest **ret);
void digest_close(struct digest *digest);
int digest_begin(struct digest *digest);
int digest_add(struct digest *digest, const void *data, size_t len);
int digest_end(struct digest *digest, unsigned char ret[DIGEST_LEN]);

#endif
