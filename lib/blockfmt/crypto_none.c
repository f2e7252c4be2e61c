/* SPDX-License-Identifier: MIT */
/**
 * @file crypto_none.c
 * In place of crypto.c where there is no nettle: encrypted images are refused.
 */
#include "blockfmt/crypto.h"

#include <string.h>

#include "base/error.h"

static int missing(void)
{
    return vm__fail(VM_E_NOTSUP, "Encrypted images need nettle, which this library was built "
                                 "without");
}

void vm__wipe(void *p, size_t len)
{
    if (p != NULL)
        explicit_bzero(p, len);
}

struct vm_cipher *vm__cipher_new(const char *name, const char *mode, const uint8_t *key, size_t len)
{
    (void)name;
    (void)mode;
    (void)key;
    (void)len;
    (void)missing();
    return NULL;
}

void vm__cipher_free(struct vm_cipher *c)
{
    (void)c;
}

/* Without a cipher nobody comes here. */
void vm__cipher_encrypt(const struct vm_cipher *c, uint64_t sector, const uint8_t *in, uint8_t *out,
                        size_t len)
{
    (void)c;
    (void)sector;
    (void)in;
    memset(out, 0, len);
}

void vm__cipher_decrypt(const struct vm_cipher *c, uint64_t sector, const uint8_t *in, uint8_t *out,
                        size_t len)
{
    vm__cipher_encrypt(c, sector, in, out, len);
}

size_t vm__hash_bytes(const char *hash)
{
    (void)hash;
    (void)missing();
    return 0;
}

int vm__pbkdf2(const char *hash, const void *password, size_t len, const uint8_t *salt,
               size_t salt_len, uint64_t iterations, uint8_t *out, size_t out_len)
{
    (void)hash;
    (void)password;
    (void)len;
    (void)salt;
    (void)salt_len;
    (void)iterations;
    (void)out;
    (void)out_len;
    return missing();
}

int vm__pbkdf2_measure(const char *hash, size_t out_len, uint64_t ms, uint64_t *iterations)
{
    (void)hash;
    (void)out_len;
    (void)ms;
    (void)iterations;
    return missing();
}

int vm__af_split(const char *hash, const uint8_t *in, uint8_t *out, size_t len, uint32_t stripes)
{
    (void)hash;
    (void)in;
    (void)out;
    (void)len;
    (void)stripes;
    return missing();
}

int vm__af_merge(const char *hash, const uint8_t *in, uint8_t *out, size_t len, uint32_t stripes)
{
    return vm__af_split(hash, in, out, len, stripes);
}
