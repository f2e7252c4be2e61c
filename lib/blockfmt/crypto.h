/* SPDX-License-Identifier: MIT */
/**
 * @file crypto.h
 * What encrypted images need of cryptography: sectors under a cipher, keys from passwords.
 *
 * crypto.c does it with nettle; crypto_none.c says that the library was built without. Names are
 * those of LUKS headers: cipher "aes", mode "xts-plain64", hash "sha256". A cipher does not change
 * once it is made: any number of threads may use it.
 */
#ifndef LIBVM_BLOCKFMT_CRYPTO_H
#define LIBVM_BLOCKFMT_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VM_CRYPT_SECTOR = 512,
    VM_CRYPT_MAX_KEY = 64,  /* bytes: two AES-256 keys of XTS */
    VM_CRYPT_MAX_HASH = 64, /* bytes */
};

struct vm_cipher;

/** @param mode "xts-plain64", "cbc-essiv:sha256", "ecb"
 *  @return NULL with the error: a cipher, mode or length of key that there is not */
struct vm_cipher *vm__cipher_new(const char *name, const char *mode, const uint8_t *key,
                                 size_t len);
/** The scheme of old qcow and qcow2 images: AES-128-CBC, the password as the key. */
struct vm_cipher *vm__cipher_aes_legacy(const uint8_t *password, size_t len);
/** Wipes the key. NULL is fine. */
void vm__cipher_free(struct vm_cipher *c);
/** Whole sectors, @p sector being the first one's number, from @p in to @p out, which may be the
 *  same. */
void vm__cipher_encrypt(const struct vm_cipher *c, uint64_t sector, const uint8_t *in, uint8_t *out,
                        size_t len);
void vm__cipher_decrypt(const struct vm_cipher *c, uint64_t sector, const uint8_t *in, uint8_t *out,
                        size_t len);

/** Bytes of a digest; 0: there is no such hash. */
size_t vm__hash_bytes(const char *hash);
/** @retval VM_E_NOTSUP no such hash */
int vm__pbkdf2(const char *hash, const void *password, size_t len, const uint8_t *salt,
               size_t salt_len, uint64_t iterations, uint8_t *out, size_t out_len);
/** Iterations that take about @p ms milliseconds of processor time here. */
int vm__pbkdf2_measure(const char *hash, size_t out_len, uint64_t ms, uint64_t *iterations);

/** Anti-forensic splitting of @p len bytes into @p stripes times as many: [LUKS1 §2.4]. */
int vm__af_split(const char *hash, const uint8_t *in, uint8_t *out, size_t len, uint32_t stripes);
int vm__af_merge(const char *hash, const uint8_t *in, uint8_t *out, size_t len, uint32_t stripes);

/** Overwrite what must not stay in memory; no compiler leaves it out. */
void vm__wipe(void *p, size_t len);

#endif
