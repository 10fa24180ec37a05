/*
 * AES-256-GCM and HKDF-SHA256 of the OpenSSL that Node carries, done once to be
 * compared with test vectors, and over and over to be timed. Every name of
 * OpenSSL is a weak one: where Node exports none, the addon loads all the same.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

/* openssl/evp.h, kdf.h, params.h of 3.0: its headers come with Node and not from npm. */
typedef struct ossl_cipher EVP_CIPHER;
typedef struct ossl_cipher_ctx EVP_CIPHER_CTX;
typedef struct ossl_kdf EVP_KDF;
typedef struct ossl_kdf_ctx EVP_KDF_CTX;

struct ossl_param {
	const char *key;
	unsigned int data_type;
	void *data;
	size_t data_size;
	size_t return_size;
};

#define PARAM_UTF8_STRING	4
#define PARAM_OCTET_STRING	5
#define CTRL_AEAD_GET_TAG	0x10
#define CTRL_AEAD_SET_TAG	0x11

#define WEAK __attribute__((weak))
WEAK EVP_CIPHER *EVP_CIPHER_fetch(void *library, const char *name, const char *properties);
WEAK void EVP_CIPHER_free(EVP_CIPHER *cipher);
WEAK EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void);
WEAK void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *ctx);
WEAK int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *ctx, int type, int arg, void *ptr);
WEAK int EVP_CipherInit_ex(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, void *engine, const unsigned char *key,
			   const unsigned char *iv, int encrypt);
WEAK int EVP_CipherUpdate(EVP_CIPHER_CTX *ctx, unsigned char *out, int *out_len, const unsigned char *in, int in_len);
WEAK int EVP_CipherFinal_ex(EVP_CIPHER_CTX *ctx, unsigned char *out, int *out_len);
WEAK EVP_KDF *EVP_KDF_fetch(void *library, const char *name, const char *properties);
WEAK void EVP_KDF_free(EVP_KDF *kdf);
WEAK EVP_KDF_CTX *EVP_KDF_CTX_new(EVP_KDF *kdf);
WEAK void EVP_KDF_CTX_free(EVP_KDF_CTX *ctx);
WEAK int EVP_KDF_derive(EVP_KDF_CTX *ctx, unsigned char *out, size_t len, const struct ossl_param params[]);

#define KEY_LEN		32
#define IV_LEN		12
#define TAG_LEN		16
#define SIZE_MAX_TIMED	((size_t)1 << 26)
#define THREADS_MAX	1024
/* The clock is looked at once in so many bytes, or calls. */
#define BYTES_A_LOOK	65536
#define CALLS_A_LOOK	64

static bool is_exported(void)
{
	return EVP_CIPHER_fetch && EVP_CIPHER_free && EVP_CIPHER_CTX_new && EVP_CIPHER_CTX_free && EVP_CIPHER_CTX_ctrl &&
	       EVP_CipherInit_ex && EVP_CipherUpdate && EVP_CipherFinal_ex && EVP_KDF_fetch && EVP_KDF_free &&
	       EVP_KDF_CTX_new && EVP_KDF_CTX_free && EVP_KDF_derive;
}

/* The key schedule is kept from call to call, as whoever encrypts chunks under one key does. */
static int gcm_run(EVP_CIPHER_CTX *ctx, bool encrypt, const unsigned char iv[IV_LEN], const char *in, size_t len,
		   char *out, unsigned char tag[TAG_LEN])
{
	unsigned char tail[16];
	int n = 0, rest = 0;

	if (EVP_CipherInit_ex(ctx, NULL, NULL, NULL, iv, encrypt) != 1)
		return -EIO;
	if (!encrypt && EVP_CIPHER_CTX_ctrl(ctx, CTRL_AEAD_SET_TAG, TAG_LEN, tag) != 1)
		return -EIO;
	/* No bytes have no address, by which OpenSSL would take them for something else. */
	if (len && (EVP_CipherUpdate(ctx, (unsigned char *)out, &n, (const unsigned char *)in, (int)len) != 1 ||
		    (size_t)n != len))
		return -EIO;
	if (EVP_CipherFinal_ex(ctx, len ? (unsigned char *)out + n : tail, &rest) != 1)
		return encrypt ? -EIO : -EPROTO;
	if (encrypt && EVP_CIPHER_CTX_ctrl(ctx, CTRL_AEAD_GET_TAG, TAG_LEN, tag) != 1)
		return -EIO;
	return 0;
}

static int gcm_new(const unsigned char *key, bool encrypt, EVP_CIPHER_CTX **ret)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	EVP_CIPHER_CTX *ctx;
	int ok;

	if (!cipher)
		return -ENOSYS;
	ctx = EVP_CIPHER_CTX_new();
	ok = ctx && EVP_CipherInit_ex(ctx, cipher, NULL, key, NULL, encrypt) == 1;
	/* The context holds it. */
	EVP_CIPHER_free(cipher);
	if (!ok) {
		EVP_CIPHER_CTX_free(ctx);
		return -ENOMEM;
	}
	*ret = ctx;
	return 0;
}

static int gcm_once(bool encrypt, const struct bytes in[3], char *into, size_t len)
{
	const struct bytes *message = &in[2];
	unsigned char tag[TAG_LEN];
	EVP_CIPHER_CTX *ctx;
	int err;

	if (in[0].len != KEY_LEN || in[1].len != IV_LEN || message->len + len < TAG_LEN ||
	    (encrypt ? message->len + TAG_LEN != len : len + TAG_LEN != message->len))
		return -EINVAL;
	if (!encrypt)
		memcpy(tag, message->data + len, TAG_LEN);
	err = gcm_new((const unsigned char *)in[0].data, encrypt, &ctx);
	if (err)
		return err;
	err = gcm_run(ctx, encrypt, (const unsigned char *)in[1].data, message->data, encrypt ? message->len : len, into, tag);
	if (!err && encrypt)
		memcpy(into + message->len, tag, TAG_LEN);
	EVP_CIPHER_CTX_free(ctx);
	return err;
}

static int hkdf_new(EVP_KDF_CTX **ret)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx;

	if (!kdf)
		return -ENOSYS;
	ctx = EVP_KDF_CTX_new(kdf);
	EVP_KDF_free(kdf);
	if (!ctx)
		return -ENOMEM;
	*ret = ctx;
	return 0;
}

static int hkdf_run(EVP_KDF_CTX *ctx, const struct bytes *key, const struct bytes *salt,
		    const struct bytes *info, char *out, size_t len)
{
	struct ossl_param params[] = {
		{ "digest", PARAM_UTF8_STRING, "SHA256", 6, 0 },
		{ "key", PARAM_OCTET_STRING, (void *)key->data, key->len, 0 },
		{ "salt", PARAM_OCTET_STRING, salt->len ? (void *)salt->data : "", salt->len, 0 },
		{ "info", PARAM_OCTET_STRING, info->len ? (void *)info->data : "", info->len, 0 },
		{ NULL, 0, NULL, 0, 0 },
	};

	return EVP_KDF_derive(ctx, (unsigned char *)out, len, params) == 1 ? 0 : -EIO;
}

int bench_cipher(enum bench_what what, const struct bytes in[3], char *into, size_t len)
{
	EVP_KDF_CTX *ctx;
	int err;

	if (!is_exported())
		return -ENOSYS;
	if (what != BENCH_HKDF)
		return gcm_once(what == BENCH_ENCRYPT, in, into, len);
	err = hkdf_new(&ctx);
	if (err)
		return err;
	err = hkdf_run(ctx, &in[0], &in[1], &in[2], into, len);
	EVP_KDF_CTX_free(ctx);
	return err;
}

struct worker {
	pthread_t thread;
	enum bench_what what;
	size_t size;
	uint64_t until_ns;
	struct timing timing;
	int err;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static int gcm_time(struct worker *w)
{
	static const unsigned char key[32] = { 1 };
	unsigned char iv[IV_LEN] = { 0 }, tag[TAG_LEN];
	bool encrypt = w->what == BENCH_TIME_ENCRYPT;
	uint64_t n, look = w->size < BYTES_A_LOOK ? BYTES_A_LOOK / w->size : 1;
	EVP_CIPHER_CTX *ctx = NULL, *sealing = NULL;
	char *in = calloc(1, w->size), *out = malloc(w->size);
	int err = in && out ? 0 : -ENOMEM;

	if (!err)
		err = gcm_new(key, encrypt, &ctx);
	if (!err && !encrypt) {
		err = gcm_new(key, true, &sealing);
		if (!err)
			err = gcm_run(sealing, true, iv, in, w->size, in, tag);
	}
	while (!err && now_ns(CLOCK_MONOTONIC) < w->until_ns) {
		for (n = 0; n < look && !err; n++) {
			if (encrypt)
				memcpy(iv, &w->timing.calls, sizeof(w->timing.calls));
			err = gcm_run(ctx, encrypt, iv, in, w->size, out, tag);
			w->timing.calls++;
		}
	}
	EVP_CIPHER_CTX_free(sealing);
	EVP_CIPHER_CTX_free(ctx);
	free(out);
	free(in);
	return err;
}

static int hkdf_time(struct worker *w)
{
	static const char master[32] = { 1 };
	uint64_t chunk = 0;
	const struct bytes key = { master, sizeof(master) }, info = { "chunk-dek-v1", 12 };
	const struct bytes salt = { (const char *)&chunk, sizeof(chunk) };
	EVP_KDF_CTX *ctx;
	char *out = malloc(w->size);
	int err = out ? hkdf_new(&ctx) : -ENOMEM;

	if (err) {
		free(out);
		return err;
	}
	while (!err && now_ns(CLOCK_MONOTONIC) < w->until_ns) {
		do {
			err = hkdf_run(ctx, &key, &salt, &info, out, w->size);
			chunk++;
		} while (!err && chunk % CALLS_A_LOOK);
	}
	w->timing.calls = chunk;
	EVP_KDF_CTX_free(ctx);
	free(out);
	return err;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t cpu = now_ns(CLOCK_THREAD_CPUTIME_ID), wall = now_ns(CLOCK_MONOTONIC);

	w->err = w->what == BENCH_TIME_HKDF ? hkdf_time(w) : gcm_time(w);
	w->timing.cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	w->timing.wall_ns = now_ns(CLOCK_MONOTONIC) - wall;
	return NULL;
}

int bench_cipher_time(const uint64_t how[BENCH_NUMBERS], struct timing *ret)
{
	uint64_t threads = how[1], ms = how[2], size = how[3];
	struct worker *workers;
	struct timing sum = { 0 };
	uint64_t i, started;
	int err = 0;

	if (!is_exported())
		return -ENOSYS;
	if (size == 0 || size > SIZE_MAX_TIMED || threads == 0 || threads > THREADS_MAX)
		return -EINVAL;
	workers = calloc(threads, sizeof(*workers));
	if (!workers)
		return -ENOMEM;
	for (started = 0; started < threads; started++) {
		struct worker *w = &workers[started];

		w->what = (enum bench_what)how[0];
		w->size = size;
		w->until_ns = now_ns(CLOCK_MONOTONIC) + ms * 1000000ull;
		err = -pthread_create(&w->thread, NULL, work, w);
		if (err)
			break;
	}
	for (i = 0; i < started; i++) {
		pthread_join(workers[i].thread, NULL);
		err = err ? err : workers[i].err;
		sum.calls += workers[i].timing.calls;
		sum.cpu_ns += workers[i].timing.cpu_ns;
		if (workers[i].timing.wall_ns > sum.wall_ns)
			sum.wall_ns = workers[i].timing.wall_ns;
	}
	free(workers);
	if (!err)
		*ret = sum;
	return err;
}
