/* SPDX-License-Identifier: MIT */
/**
 * @file crypto.c
 * Ciphers, hashes and PBKDF2 of nettle, put together as disks use them.
 *
 * Spec: [LUKS1] §2 and its table of names; [IEEE1619] for XTS. nettle picks the processor's AES
 * instructions by itself, but its XTS and CBC go block by block; here XTS makes the tweaks of many
 * sectors first, so that each call of the cipher has thousands of bytes to do.
 */
#include "blockfmt/crypto.h"

#include <nettle/cbc.h>
#include <nettle/hmac.h>
#include <nettle/nettle-meta.h>
#include <nettle/pbkdf2.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/endian.h"
#include "base/error.h"
#include "host/thread.h"

enum { BLOCK = 16, BATCH = 8192 /* bytes that go through the cipher together */ };
enum mode { ECB, CBC, XTS };
enum iv { NO_IV, PLAIN, PLAIN64, ESSIV };

struct vm_cipher {
    const struct nettle_cipher *alg, *iv_alg; /**< iv_alg: of the tweak, or of ESSIV */
    enum mode mode;
    enum iv iv;
    void *encrypt, *decrypt, *iv_key; /**< contexts */
};

void vm__wipe(void *p, size_t len)
{
    if (p != NULL)
        explicit_bzero(p, len);
}

/* ---- names ------------------------------------------------------------------------------ */

/* clang-format off */
static const struct {
    const char *name;
    size_t key;
    const struct nettle_cipher *alg;
} ciphers[] = {
    { "aes", 16, &nettle_aes128 },         { "aes", 24, &nettle_aes192 },
    { "aes", 32, &nettle_aes256 },         { "serpent", 16, &nettle_serpent128 },
    { "serpent", 24, &nettle_serpent192 }, { "serpent", 32, &nettle_serpent256 },
    { "twofish", 16, &nettle_twofish128 }, { "twofish", 24, &nettle_twofish192 },
    { "twofish", 32, &nettle_twofish256 }, { "camellia", 16, &nettle_camellia128 },
    { "camellia", 24, &nettle_camellia192 }, { "camellia", 32, &nettle_camellia256 },
};
static const struct {
    const char *name;
    const struct nettle_hash *hash;
} hashes[] = {
    { "sha1", &nettle_sha1 },     { "sha224", &nettle_sha224 }, { "sha256", &nettle_sha256 },
    { "sha384", &nettle_sha384 }, { "sha512", &nettle_sha512 }, { "ripemd160", &nettle_ripemd160 },
    { "md5", &nettle_md5 },
};
/* clang-format on */

static const struct nettle_cipher *find_cipher(const char *name, size_t key)
{
    for (size_t i = 0; i < sizeof ciphers / sizeof ciphers[0]; i++)
        if (strcmp(ciphers[i].name, name) == 0 && ciphers[i].key == key)
            return ciphers[i].alg;
    vm__fail(VM_E_NOTSUP, "Cipher '%.32s' with a key of %zu bits is not supported", name, key * 8);
    return NULL;
}

static const struct nettle_hash *find_hash(const char *name)
{
    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++)
        if (strcmp(hashes[i].name, name) == 0)
            return hashes[i].hash;
    vm__fail(VM_E_NOTSUP, "Hash algorithm '%.32s' is not supported", name);
    return NULL;
}

size_t vm__hash_bytes(const char *hash)
{
    const struct nettle_hash *h = find_hash(hash);
    return h != NULL ? h->digest_size : 0;
}

/* ---- making a cipher -------------------------------------------------------------------- */

static int parse_mode(struct vm_cipher *c, const char *mode, const char **iv_hash)
{
    const char *dash = strchr(mode, '-'), *iv = dash != NULL ? dash + 1 : "";
    size_t len = dash != NULL ? (size_t)(dash - mode) : strlen(mode);
    c->mode = len == 3 && memcmp(mode, "xts", 3) == 0   ? XTS
              : len == 3 && memcmp(mode, "cbc", 3) == 0 ? CBC
                                                        : ECB;
    bool known = c->mode != ECB || (len == 3 && memcmp(mode, "ecb", 3) == 0);
    *iv_hash = NULL;
    if (strcmp(iv, "plain") == 0) {
        c->iv = PLAIN;
    } else if (strcmp(iv, "plain64") == 0) {
        c->iv = PLAIN64;
    } else if (strncmp(iv, "essiv:", 6) == 0) {
        c->iv = ESSIV;
        *iv_hash = iv + 6;
    } else {
        known = known && c->mode == ECB && *iv == '\0';
    }
    return known ? VM_OK : vm__fail(VM_E_NOTSUP, "Encryption mode '%.32s' is not supported", mode);
}

static void *make_context(const struct nettle_cipher *alg, const uint8_t *key, bool decrypt)
{
    void *ctx = calloc(1, alg->context_size);
    if (ctx == NULL)
        vm__fail_nomem(alg->context_size);
    else
        (decrypt ? alg->set_decrypt_key : alg->set_encrypt_key)(ctx, key);
    return ctx;
}

/** [LUKS1 "essiv"]: sector numbers are encrypted with the hash of the key. */
static int set_essiv(struct vm_cipher *c, const char *name, const char *hash, const uint8_t *key,
                     size_t len)
{
    uint8_t salt[VM_CRYPT_MAX_HASH];
    const struct nettle_hash *h = find_hash(hash);
    union {
        uint64_t align;
        uint8_t bytes[512];
    } ctx;
    if (h == NULL || h->context_size > sizeof ctx)
        return VM_E_NOTSUP;
    c->iv_alg = find_cipher(name, h->digest_size);
    if (c->iv_alg == NULL)
        return VM_E_NOTSUP;
    h->init(&ctx);
    h->update(&ctx, len, key);
    h->digest(&ctx, h->digest_size, salt);
    c->iv_key = make_context(c->iv_alg, salt, false);
    vm__wipe(salt, sizeof salt);
    vm__wipe(&ctx, sizeof ctx);
    return c->iv_key != NULL ? VM_OK : VM_E_NOMEM;
}

struct vm_cipher *vm__cipher_new(const char *name, const char *mode, const uint8_t *key, size_t len)
{
    struct vm_cipher *c = calloc(1, sizeof *c);
    const char *iv_hash;
    if (c == NULL) {
        vm__fail_nomem(sizeof *c);
        return NULL;
    }
    int st = parse_mode(c, mode, &iv_hash);
    size_t own = c->mode == XTS ? len / 2 : len;
    if (st == VM_OK && (c->alg = find_cipher(name, own)) == NULL)
        st = VM_E_NOTSUP;
    if (st == VM_OK) {
        c->encrypt = make_context(c->alg, key, false);
        c->decrypt = make_context(c->alg, key, true);
        st = c->encrypt != NULL && c->decrypt != NULL ? VM_OK : VM_E_NOMEM;
    }
    if (st == VM_OK && c->mode == XTS) {
        if (c->iv == ESSIV)
            st = vm__fail(VM_E_NOTSUP, "Encryption mode '%.32s' is not supported", mode);
        c->iv_alg = c->alg;
        c->iv_key = make_context(c->alg, key + own, false);
        st = st == VM_OK && c->iv_key == NULL ? VM_E_NOMEM : st;
    } else if (st == VM_OK && c->iv == ESSIV) {
        st = set_essiv(c, name, iv_hash, key, len);
    }
    if (st == VM_OK)
        return c;
    vm__cipher_free(c);
    return NULL;
}

void vm__cipher_free(struct vm_cipher *c)
{
    if (c == NULL)
        return;
    vm__wipe(c->encrypt, c->encrypt != NULL ? c->alg->context_size : 0);
    vm__wipe(c->decrypt, c->decrypt != NULL ? c->alg->context_size : 0);
    vm__wipe(c->iv_key, c->iv_key != NULL ? c->iv_alg->context_size : 0);
    free(c->encrypt);
    free(c->decrypt);
    free(c->iv_key);
    free(c);
}

/* ---- sectors ---------------------------------------------------------------------------- */

/** Initial vectors of @p n sectors; with XTS and ESSIV they pass through a cipher themselves. */
static void make_ivs(const struct vm_cipher *c, uint64_t sector, uint8_t *iv, size_t n)
{
    memset(iv, 0, n * BLOCK);
    for (size_t i = 0; i < n; i++) {
        uint64_t v = c->iv == PLAIN ? (sector + i) & UINT32_MAX : c->iv == NO_IV ? 0 : sector + i;
        vm_put_le64(iv + i * BLOCK, v);
    }
    if (c->iv_key != NULL)
        c->iv_alg->encrypt(c->iv_key, n * BLOCK, iv, iv);
}

/** The tweaks of a sector's blocks, each the one before times x: [IEEE1619 §5.2]. */
static void make_tweaks(const uint8_t *iv, uint64_t *out)
{
    uint64_t lo = vm_le64(iv), hi = vm_le64(iv + 8);
    for (size_t i = 0; i < VM_CRYPT_SECTOR / BLOCK; i++) {
        uint64_t carry = hi >> 63;
        vm_put_le64(&out[2 * i], lo);
        vm_put_le64(&out[2 * i + 1], hi);
        hi = hi << 1 | lo >> 63;
        lo = lo << 1 ^ (0x87 & (0 - carry));
    }
}

static void mix(uint8_t *out, const uint8_t *in, const uint64_t *tweaks, size_t len)
{
    for (size_t i = 0; i < len / 8; i++) {
        uint64_t v;
        memcpy(&v, in + 8 * i, 8);
        v ^= tweaks[i];
        memcpy(out + 8 * i, &v, 8);
    }
}

static void run_xts(const struct vm_cipher *c, uint64_t sector, const uint8_t *in, uint8_t *out,
                    size_t len, bool encrypt)
{
    uint64_t tweaks[BATCH / 8];
    uint8_t iv[BATCH / VM_CRYPT_SECTOR * BLOCK];
    nettle_cipher_func *fn = encrypt ? c->alg->encrypt : c->alg->decrypt;
    while (len != 0) {
        size_t n = len < BATCH ? len : BATCH, sectors = n / VM_CRYPT_SECTOR;
        make_ivs(c, sector, iv, sectors);
        for (size_t i = 0; i < sectors; i++)
            make_tweaks(iv + i * BLOCK, tweaks + i * (VM_CRYPT_SECTOR / 8));
        mix(out, in, tweaks, n);
        fn(encrypt ? c->encrypt : c->decrypt, n, out, out);
        mix(out, out, tweaks, n);
        in += n;
        out += n;
        len -= n;
        sector += sectors;
    }
}

static void run_cbc(const struct vm_cipher *c, uint64_t sector, const uint8_t *in, uint8_t *out,
                    size_t len, bool encrypt)
{
    uint8_t iv[BATCH / VM_CRYPT_SECTOR * BLOCK];
    while (len != 0) {
        size_t n = len < BATCH ? len : BATCH, sectors = n / VM_CRYPT_SECTOR;
        make_ivs(c, sector, iv, sectors);
        for (size_t i = 0; i < sectors; i++, in += VM_CRYPT_SECTOR, out += VM_CRYPT_SECTOR) {
            if (encrypt)
                cbc_encrypt(c->encrypt, c->alg->encrypt, BLOCK, iv + i * BLOCK, VM_CRYPT_SECTOR,
                            out, in);
            else
                cbc_decrypt(c->decrypt, c->alg->decrypt, BLOCK, iv + i * BLOCK, VM_CRYPT_SECTOR,
                            out, in);
        }
        len -= n;
        sector += sectors;
    }
}

static void run(const struct vm_cipher *c, uint64_t sector, const uint8_t *in, uint8_t *out,
                size_t len, bool encrypt)
{
    switch (c->mode) {
    case XTS:
        run_xts(c, sector, in, out, len, encrypt);
        break;
    case CBC:
        run_cbc(c, sector, in, out, len, encrypt);
        break;
    case ECB:
        if (encrypt)
            c->alg->encrypt(c->encrypt, len, out, in);
        else
            c->alg->decrypt(c->decrypt, len, out, in);
        break;
    }
}

void vm__cipher_encrypt(const struct vm_cipher *c, uint64_t sector, const uint8_t *in, uint8_t *out,
                        size_t len)
{
    run(c, sector, in, out, len, true);
}

void vm__cipher_decrypt(const struct vm_cipher *c, uint64_t sector, const uint8_t *in, uint8_t *out,
                        size_t len)
{
    run(c, sector, in, out, len, false);
}

/* ---- keys ------------------------------------------------------------------------------- */

/** HMAC with any of the hashes. */
struct mac {
    const struct nettle_hash *hash;
    _Alignas(16) uint8_t outer[512];
    _Alignas(16) uint8_t inner[512];
    _Alignas(16) uint8_t state[512];
};

static void mac_update(void *ctx, size_t len, const uint8_t *data)
{
    struct mac *m = ctx;
    hmac_update(m->state, m->hash, len, data);
}

static void mac_digest(void *ctx, size_t len, uint8_t *out)
{
    struct mac *m = ctx;
    hmac_digest(m->outer, m->inner, m->state, m->hash, len, out);
}

int vm__pbkdf2(const char *hash, const void *password, size_t len, const uint8_t *salt,
               size_t salt_len, uint64_t iterations, uint8_t *out, size_t out_len)
{
    struct mac m = { .hash = find_hash(hash) };
    if (m.hash == NULL)
        return VM_E_NOTSUP;
    if (m.hash->context_size > sizeof m.state || iterations == 0 || iterations > UINT32_MAX >> 1)
        return vm__fail(VM_E_RANGE, "%llu iterations of a hash", (unsigned long long)iterations);
    hmac_set_key(m.outer, m.inner, m.state, m.hash, len, password);
    pbkdf2(&m, mac_update, mac_digest, m.hash->digest_size, (unsigned)iterations, salt_len, salt,
           out_len, out);
    vm__wipe(&m, sizeof m);
    return VM_OK;
}

static uint64_t cpu_ns(void)
{
    struct timespec t = { 0 };
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int vm__pbkdf2_measure(const char *hash, size_t out_len, uint64_t ms, uint64_t *iterations)
{
    enum { ENOUGH_NS = 20000000 };
    uint8_t out[VM_CRYPT_MAX_KEY], salt[32] = { 0 };
    uint64_t n = 1024, took = 0;
    out_len = out_len < sizeof out ? out_len : sizeof out;
    for (; took < ENOUGH_NS && n < 1u << 26; n *= 2) {
        uint64_t start = cpu_ns();
        int st = vm__pbkdf2(hash, "password", 8, salt, sizeof salt, n, out, out_len);
        if (st != VM_OK)
            return st;
        took = cpu_ns() - start;
        if (took >= ENOUGH_NS)
            break;
    }
    double want = (double)n * (double)ms * 1e6 / (double)(took != 0 ? took : 1);
    *iterations = want >= (double)(1u << 26) ? 1u << 26 : (uint64_t)want;
    return VM_OK;
}

/* ---- anti-forensic splitting ------------------------------------------------------------ */

/** [LUKS1 §2.4]: each digest's worth of bytes becomes the hash of its number and itself. */
static void diffuse(const struct nettle_hash *h, uint8_t *buf, size_t len)
{
    union {
        uint64_t align;
        uint8_t bytes[512];
    } ctx;
    for (size_t at = 0, i = 0; at < len; at += h->digest_size, i++) {
        size_t n = len - at < h->digest_size ? len - at : h->digest_size;
        uint8_t number[4];
        vm_put_be32(number, (uint32_t)i);
        h->init(&ctx);
        h->update(&ctx, sizeof number, number);
        h->update(&ctx, n, buf + at);
        h->digest(&ctx, n, buf + at);
    }
    vm__wipe(&ctx, sizeof ctx);
}

static void mix_in(uint8_t *d, const uint8_t *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        d[i] ^= s[i];
}

int vm__af_merge(const char *hash, const uint8_t *in, uint8_t *out, size_t len, uint32_t stripes)
{
    const struct nettle_hash *h = find_hash(hash);
    if (h == NULL)
        return VM_E_NOTSUP;
    memset(out, 0, len);
    for (uint32_t i = 0; i < stripes; i++) {
        mix_in(out, in + i * len, len);
        if (i + 1 < stripes)
            diffuse(h, out, len);
    }
    return VM_OK;
}

int vm__af_split(const char *hash, const uint8_t *in, uint8_t *out, size_t len, uint32_t stripes)
{
    const struct nettle_hash *h = find_hash(hash);
    uint8_t d[VM_CRYPT_MAX_KEY] = { 0 };
    if (h == NULL || len > sizeof d)
        return VM_E_NOTSUP;
    size_t rest = len * (stripes - 1);
    for (size_t at = 0; at < rest; at += 65536) /* the host gives as much at once */
        if (!vm__host_random(out + at, rest - at < 65536 ? rest - at : 65536))
            return vm__fail(VM_E_IO, "No random bytes");
    for (uint32_t i = 0; i + 1 < stripes; i++) {
        mix_in(d, out + i * len, len);
        diffuse(h, d, len);
    }
    memcpy(out + rest, in, len);
    mix_in(out + rest, d, len);
    vm__wipe(d, sizeof d);
    return VM_OK;
}
