/*
 * SHA-256 by the OpenSSL that Node carries. Its names are weak ones: where Node
 * exports none, the addon loads all the same and digest_open() says -ENOSYS.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "digest.h"

/* openssl/evp.h of 3.0: its headers come with Node and not from npm. */
typedef struct ossl_md EVP_MD;
typedef struct ossl_md_ctx EVP_MD_CTX;

#define WEAK __attribute__((weak))
WEAK EVP_MD *EVP_MD_fetch(void *library, const char *name, const char *properties);
WEAK void EVP_MD_free(EVP_MD *md);
WEAK EVP_MD_CTX *EVP_MD_CTX_new(void);
WEAK void EVP_MD_CTX_free(EVP_MD_CTX *ctx);
WEAK int EVP_DigestInit_ex(EVP_MD_CTX *ctx, const EVP_MD *md, void *engine);
WEAK int EVP_DigestUpdate(EVP_MD_CTX *ctx, const void *data, size_t len);
WEAK int EVP_DigestFinal_ex(EVP_MD_CTX *ctx, unsigned char *out, unsigned int *out_len);

struct digest {
	EVP_MD *md;
	EVP_MD_CTX *ctx;
};

static bool is_exported(void)
{
	return EVP_MD_fetch && EVP_MD_free && EVP_MD_CTX_new && EVP_MD_CTX_free && EVP_DigestInit_ex &&
	       EVP_DigestUpdate && EVP_DigestFinal_ex;
}

int digest_open(struct digest **ret)
{
	struct digest *digest;

	if (!is_exported())
		return -ENOSYS;
	digest = calloc(1, sizeof(*digest));
	if (!digest)
		return -ENOMEM;
	digest->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	digest->ctx = EVP_MD_CTX_new();
	if (!digest->md || !digest->ctx) {
		digest_close(digest);
		return -ENOMEM;
	}
	*ret = digest;
	return 0;
}

void digest_close(struct digest *digest)
{
	if (!digest)
		return;
	EVP_MD_CTX_free(digest->ctx);
	EVP_MD_free(digest->md);
	free(digest);
}

int digest_begin(struct digest *digest)
{
	return EVP_DigestInit_ex(digest->ctx, digest->md, NULL) == 1 ? 0 : -EIO;
}

int digest_add(struct digest *digest, const void *data, size_t len)
{
	return EVP_DigestUpdate(digest->ctx, data, len) == 1 ? 0 : -EIO;
}

int digest_end(struct digest *digest, unsigned char ret[DIGEST_LEN])
{
	unsigned int len = 0;

	return EVP_DigestFinal_ex(digest->ctx, ret, &len) == 1 && len == DIGEST_LEN ? 0 : -EIO;
}
