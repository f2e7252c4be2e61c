/* SPDX-License-Identifier: MIT */
/**
 * @file luks_header.c
 * LUKS headers of version 1: read, unlock, make.
 *
 * Spec: [LUKS1]. All numbers are big-endian; offsets are in sectors of 512 bytes from the start of
 * the header. A slot holds the master key split into 4000 stripes and encrypted under a key that
 * PBKDF2 makes of a password. A digest in the header tells whether a master key is the right one.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "block/options.h"
#include "blockfmt/luks_impl.h"
#include "host/thread.h"

enum {
    VERSION_AT = 6, /* [LUKS1 §3, figure 1] */
    CIPHER_AT = 8,
    MODE_AT = 40,
    HASH_AT = 72,
    NAME_BYTES = 32,
    PAYLOAD_AT = 104,
    KEY_BYTES_AT = 108,
    DIGEST_AT = 112,
    DIGEST_SALT_AT = 132,
    DIGEST_ITERATIONS_AT = 164,
    UUID_AT = 168,
    UUID_BYTES = 40,
    SLOTS_AT = 208,
    SLOT_BYTES = 48,
    STRIPES = 4000,
    MIN_ITERATIONS = 1000,
    MAX_ITERATIONS = 1 << 26, /* a header that asks for more wants our time, not our key */
    DIGEST_SHARE = 8,         /* the digest gets this part of a slot's iterations */
};
#define MAGIC    "LUKS\xba\xbe"
#define ACTIVE   UINT32_C(0x00ac71f3)
#define INACTIVE UINT32_C(0x0000dead)

static uint64_t round_up(uint64_t v, uint64_t to)
{
    return (v + to - 1) / to * to;
}

/** Bytes of key material: whole sectors. */
static size_t split_bytes(const struct vm_luks *l)
{
    return (size_t)round_up((uint64_t)l->key_bytes * STRIPES, VM_CRYPT_SECTOR);
}

/* ---- reading ---------------------------------------------------------------------------- */

static int read_slot(struct vm_luks_slot *s, const struct vm_luks *l, const uint8_t *p,
                     const struct vm_luks_place *where, int number)
{
    uint32_t active = vm_be32(p);
    s->active = active == ACTIVE;
    s->iterations = vm_be32(p + 4);
    memcpy(s->salt, p + 8, sizeof s->salt);
    s->at = (uint64_t)vm_be32(p + 40) * VM_CRYPT_SECTOR;
    s->stripes = vm_be32(p + 44);
    if (active != ACTIVE && active != INACTIVE)
        return vm__fail(VM_E_CORRUPT, "Keyslot %d state (active/disable) is corrupted", number);
    if (s->stripes != STRIPES)
        return vm__fail(VM_E_CORRUPT, "Keyslot %d is corrupted (stripes %u != %d)", number,
                        s->stripes, STRIPES);
    if (s->active && (s->iterations == 0 || s->iterations > MAX_ITERATIONS))
        return vm__fail(VM_E_CORRUPT, "Keyslot %d asks for %u iterations of its hash", number,
                        s->iterations);
    if (s->at < VM_LUKS_HEADER || !vm_in_range(s->at, split_bytes(l), where->len) ||
        (l->payload != 0 && s->at + split_bytes(l) > l->payload))
        return vm__fail(VM_E_CORRUPT, "Keyslot %d overlaps with other data, or lies outside",
                        number);
    return VM_OK;
}

/** Two slots in one place: a change of one would destroy the other. */
static int check_overlaps(const struct vm_luks *l)
{
    for (int i = 0; i < VM_LUKS_SLOTS; i++)
        for (int k = i + 1; k < VM_LUKS_SLOTS; k++) {
            uint64_t a = l->slots[i].at, b = l->slots[k].at, len = split_bytes(l);
            if (a < b + len && b < a + len)
                return vm__fail(VM_E_CORRUPT, "Keyslots %d and %d are overlapping in the header", i,
                                k);
        }
    return VM_OK;
}

int vm__luks_read(struct vm_luks *l, const struct vm_luks_place *p)
{
    uint8_t h[VM_LUKS_HEADER];
    *l = (struct vm_luks) { 0 };
    if (p->len < sizeof h)
        return vm__fail(VM_E_INVAL, "Volume is not in LUKS format");
    int st = vm__blk_read(p->file, p->at, h, sizeof h);
    if (st != VM_OK)
        return st;
    if (memcmp(h, MAGIC, 6) != 0)
        return vm__fail(VM_E_INVAL, "Volume is not in LUKS format");
    if (vm_be16(h + VERSION_AT) != 1)
        return vm__fail(VM_E_NOTSUP, "LUKS version %u is not supported", vm_be16(h + VERSION_AT));
    memcpy(l->cipher, h + CIPHER_AT, NAME_BYTES);
    memcpy(l->mode, h + MODE_AT, NAME_BYTES);
    memcpy(l->hash, h + HASH_AT, NAME_BYTES);
    memcpy(l->uuid, h + UUID_AT, UUID_BYTES);
    l->payload = (uint64_t)vm_be32(h + PAYLOAD_AT) * VM_CRYPT_SECTOR;
    l->key_bytes = vm_be32(h + KEY_BYTES_AT);
    memcpy(l->digest, h + DIGEST_AT, sizeof l->digest);
    memcpy(l->digest_salt, h + DIGEST_SALT_AT, sizeof l->digest_salt);
    l->digest_iterations = vm_be32(h + DIGEST_ITERATIONS_AT);
    if (l->key_bytes == 0 || l->key_bytes > VM_CRYPT_MAX_KEY)
        return vm__fail(VM_E_CORRUPT, "LUKS key of %u bytes", l->key_bytes);
    if (l->digest_iterations == 0 || l->digest_iterations > MAX_ITERATIONS)
        return vm__fail(VM_E_CORRUPT, "LUKS key iteration count is %u", l->digest_iterations);
    for (int i = 0; st == VM_OK && i < VM_LUKS_SLOTS; i++)
        st = read_slot(&l->slots[i], l, h + SLOTS_AT + i * SLOT_BYTES, p, i);
    return st == VM_OK ? check_overlaps(l) : st;
}

/* ---- keys ------------------------------------------------------------------------------- */

static int digest_of(const struct vm_luks *l, const uint8_t *key, uint8_t *out)
{
    return vm__pbkdf2(l->hash, key, l->key_bytes, l->digest_salt, sizeof l->digest_salt,
                      l->digest_iterations, out, sizeof l->digest);
}

/** The cipher of a slot's key material. */
static int slot_cipher(const struct vm_luks *l, const struct vm_luks_slot *s,
                       const uint8_t *password, size_t len, struct vm_cipher **out)
{
    uint8_t key[VM_CRYPT_MAX_KEY];
    int st = vm__pbkdf2(l->hash, password, len, s->salt, sizeof s->salt, s->iterations, key,
                        l->key_bytes);
    *out = st == VM_OK ? vm__cipher_new(l->cipher, l->mode, key, l->key_bytes) : NULL;
    vm__wipe(key, sizeof key);
    return st == VM_OK && *out == NULL ? vm_last_error()->code : st;
}

/** The key that a slot gives for a password. @p right: it is the master key. */
static int try_slot(const struct vm_luks *l, const struct vm_luks_place *p,
                    const struct vm_luks_slot *s, const uint8_t *password, size_t len, uint8_t *key,
                    bool *right)
{
    size_t bytes = split_bytes(l);
    uint8_t digest[sizeof l->digest], *split = malloc(bytes);
    struct vm_cipher *c = NULL;
    *right = false;
    int st = split != NULL ? slot_cipher(l, s, password, len, &c) : vm__fail_nomem(bytes);
    if (st == VM_OK)
        st = vm__blk_read(p->file, p->at + s->at, split, bytes);
    if (st == VM_OK) {
        vm__cipher_decrypt(c, 0, split, split, bytes);
        st = vm__af_merge(l->hash, split, key, l->key_bytes, s->stripes);
    }
    if (st == VM_OK)
        st = digest_of(l, key, digest);
    *right = st == VM_OK && memcmp(digest, l->digest, sizeof digest) == 0;
    vm__cipher_free(c);
    vm__wipe(split, split != NULL ? bytes : 0);
    free(split);
    return st;
}

int vm__luks_find_slot(const struct vm_luks *l, const struct vm_luks_place *p,
                       const uint8_t *password, size_t len, uint8_t *key, int *slot)
{
    for (int i = 0; i < VM_LUKS_SLOTS; i++) {
        bool right = false;
        int st =
            l->slots[i].active ? try_slot(l, p, &l->slots[i], password, len, key, &right) : VM_OK;
        if (st != VM_OK)
            return st;
        *slot = i;
        if (right)
            return VM_OK;
    }
    vm__wipe(key, VM_CRYPT_MAX_KEY);
    return vm__fail(VM_E_PERM, "Invalid password, cannot unlock any keyslot");
}

int vm__luks_unlock(struct vm_luks *l, const struct vm_luks_place *p, const uint8_t *password,
                    size_t len)
{
    int slot;
    int st = vm__luks_find_slot(l, p, password, len, l->key, &slot);
    if (st != VM_OK)
        return st;
    l->sectors = vm__cipher_new(l->cipher, l->mode, l->key, l->key_bytes);
    return l->sectors != NULL ? VM_OK : vm_last_error()->code;
}

void vm__luks_lock(struct vm_luks *l)
{
    vm__cipher_free(l->sectors);
    l->sectors = NULL;
    vm__wipe(l->key, sizeof l->key);
}

/* ---- writing ---------------------------------------------------------------------------- */

int vm__luks_write(const struct vm_luks *l, const struct vm_luks_place *p)
{
    uint8_t h[VM_LUKS_HEADER] = MAGIC;
    vm_put_be16(h + VERSION_AT, 1);
    memcpy(h + CIPHER_AT, l->cipher, NAME_BYTES);
    memcpy(h + MODE_AT, l->mode, NAME_BYTES);
    memcpy(h + HASH_AT, l->hash, NAME_BYTES);
    memcpy(h + UUID_AT, l->uuid, UUID_BYTES);
    vm_put_be32(h + PAYLOAD_AT, (uint32_t)(l->payload / VM_CRYPT_SECTOR));
    vm_put_be32(h + KEY_BYTES_AT, l->key_bytes);
    memcpy(h + DIGEST_AT, l->digest, sizeof l->digest);
    memcpy(h + DIGEST_SALT_AT, l->digest_salt, sizeof l->digest_salt);
    vm_put_be32(h + DIGEST_ITERATIONS_AT, l->digest_iterations);
    for (int i = 0; i < VM_LUKS_SLOTS; i++) {
        const struct vm_luks_slot *s = &l->slots[i];
        uint8_t *q = h + SLOTS_AT + i * SLOT_BYTES;
        vm_put_be32(q, s->active ? ACTIVE : INACTIVE);
        vm_put_be32(q + 4, s->iterations);
        memcpy(q + 8, s->salt, sizeof s->salt);
        vm_put_be32(q + 40, (uint32_t)(s->at / VM_CRYPT_SECTOR));
        vm_put_be32(q + 44, s->stripes);
    }
    int st = vm__blk_write(p->file, p->at, h, sizeof h);
    return st == VM_OK ? vm__blk_flush(p->file, 0) : st;
}

/** Iterations for a password that shall take @p ms to try. */
static int choose_iterations(const struct vm_luks *l, uint64_t ms, uint32_t *out)
{
    uint64_t n;
    int st = vm__pbkdf2_measure(l->hash, l->key_bytes, ms, &n);
    if (st == VM_OK)
        *out = (uint32_t)(n < MIN_ITERATIONS ? MIN_ITERATIONS : n);
    return st;
}

int vm__luks_set_slot(struct vm_luks *l, const struct vm_luks_place *p, int slot,
                      const uint8_t *password, size_t len, uint64_t iter_ms)
{
    struct vm_luks_slot *s = &l->slots[slot];
    size_t bytes = split_bytes(l);
    uint8_t *split = calloc(1, bytes);
    struct vm_cipher *c = NULL;
    int st = split != NULL ? choose_iterations(l, iter_ms, &s->iterations) : vm__fail_nomem(bytes);
    if (st == VM_OK && !vm__host_random(s->salt, sizeof s->salt))
        st = vm__fail(VM_E_IO, "No random bytes");
    if (st == VM_OK)
        st = vm__af_split(l->hash, l->key, split, l->key_bytes, STRIPES);
    if (st == VM_OK)
        st = slot_cipher(l, s, password, len, &c);
    if (st == VM_OK) {
        vm__cipher_encrypt(c, 0, split, split, bytes);
        st = vm__blk_write(p->file, p->at + s->at, split, bytes);
    }
    vm__cipher_free(c);
    vm__wipe(split, split != NULL ? bytes : 0);
    free(split);
    if (st == VM_OK)
        st = vm__blk_flush(p->file, 0);
    s->active = st == VM_OK;
    return st == VM_OK ? vm__luks_write(l, p) : st;
}

/* ---- a new header ----------------------------------------------------------------------- */

static const char *option(struct vm_blk_options *o, const char *prefix, const char *name)
{
    char full[64];
    (void)snprintf(full, sizeof full, "%s%s", prefix, name);
    return vm__opt_str(o, full);
}

/** "aes-256": name and bytes; XTS takes twice as many. */
static int plan_cipher(struct vm_luks *l, const char *alg, const char *mode)
{
    const char *dash = strrchr(alg, '-');
    unsigned long bits = dash != NULL ? strtoul(dash + 1, NULL, 10) : 0;
    if ((bits != 128 && bits != 192 && bits != 256) || (size_t)(dash - alg) >= sizeof l->cipher)
        return vm__fail(VM_E_INVAL, "Unknown cipher algorithm '%.32s'", alg);
    memcpy(l->cipher, alg, (size_t)(dash - alg));
    l->key_bytes = (uint32_t)bits / 8 * (strcmp(mode, "xts") == 0 ? 2 : 1);
    return VM_OK;
}

static void make_uuid(struct vm_luks *l)
{
    uint8_t u[16] = { 0 };
    (void)vm__host_random(u, sizeof u);
    u[6] = (uint8_t)(0x40 | (u[6] & 0xf)); /* version 4, random */
    u[8] = (uint8_t)(0x80 | (u[8] & 0x3f));
    (void)snprintf(l->uuid, sizeof l->uuid,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0],
                   u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13],
                   u[14], u[15]);
}

int vm__luks_plan(struct vm_luks *l, struct vm_blk_options *o, const char *prefix)
{
    const char *alg = option(o, prefix, "cipher-alg"), *mode = option(o, prefix, "cipher-mode");
    const char *iv = option(o, prefix, "ivgen-alg"), *ivhash = option(o, prefix, "ivgen-hash-alg");
    const char *hash = option(o, prefix, "hash-alg");
    *l = (struct vm_luks) { 0 };
    alg = alg != NULL ? alg : "aes-256";
    mode = mode != NULL ? mode : "xts";
    iv = iv != NULL ? iv : "plain64";
    hash = hash != NULL ? hash : "sha256";
    ivhash = ivhash != NULL ? ivhash : "sha256";
    bool essiv = strcmp(iv, "essiv") == 0, ecb = strcmp(mode, "ecb") == 0;
    int st = plan_cipher(l, alg, mode);
    if (st == VM_OK &&
        snprintf(l->mode, sizeof l->mode, "%s%s%s%s%s", mode, ecb ? "" : "-", ecb ? "" : iv,
                 essiv ? ":" : "", essiv ? ivhash : "") >= (int)sizeof l->mode)
        st = vm__fail(VM_E_INVAL, "Encryption mode '%.32s' is not supported", mode);
    if (st == VM_OK && (strlen(hash) >= sizeof l->hash || vm__hash_bytes(hash) == 0))
        st = VM_E_NOTSUP;
    if (st != VM_OK)
        return st;
    (void)snprintf(l->hash, sizeof l->hash, "%s", hash);
    struct vm_cipher *try = vm__cipher_new(l->cipher, l->mode, l->key, l->key_bytes);
    if (try == NULL)
        return vm_last_error()->code;
    vm__cipher_free(try);
    uint64_t each = round_up(split_bytes(l), VM_LUKS_ALIGN);
    for (int i = 0; i < VM_LUKS_SLOTS; i++) {
        l->slots[i].at = VM_LUKS_ALIGN + (uint64_t)i * each;
        l->slots[i].stripes = STRIPES;
    }
    l->payload = VM_LUKS_ALIGN + VM_LUKS_SLOTS * each;
    make_uuid(l);
    return VM_OK;
}

int vm__luks_format(struct vm_luks *l, const struct vm_luks_place *p, const uint8_t *password,
                    size_t len, uint64_t iter_ms)
{
    if (!vm__host_random(l->key, l->key_bytes) ||
        !vm__host_random(l->digest_salt, sizeof l->digest_salt))
        return vm__fail(VM_E_IO, "No random bytes");
    int st = choose_iterations(l, iter_ms / DIGEST_SHARE, &l->digest_iterations);
    if (st == VM_OK)
        st = digest_of(l, l->key, l->digest);
    if (st == VM_OK)
        st = vm__luks_set_slot(l, p, 0, password, len, iter_ms);
    if (st == VM_OK)
        l->sectors = vm__cipher_new(l->cipher, l->mode, l->key, l->key_bytes);
    return st == VM_OK && l->sectors == NULL ? vm_last_error()->code : st;
}

/* ---- info ------------------------------------------------------------------------------- */

struct json_t *vm__luks_json(const struct vm_luks *l)
{
    const char *dash = strchr(l->mode, '-'), *colon = strchr(l->mode, ':');
    size_t mode = dash != NULL ? (size_t)(dash - l->mode) : strlen(l->mode);
    const char *iv = dash != NULL ? dash + 1 : "plain";
    size_t iv_len = colon != NULL && colon > iv ? (size_t)(colon - iv) : strlen(iv);
    uint32_t key = strncmp(l->mode, "xts", 3) == 0 ? l->key_bytes / 2 : l->key_bytes;
    char alg[48];
    (void)snprintf(alg, sizeof alg, "%s-%u", l->cipher, key * 8);
    json_t *slots = json_array();
    for (int i = 0; i < VM_LUKS_SLOTS; i++) {
        const struct vm_luks_slot *s = &l->slots[i];
        json_t *o = json_pack("{s:b,s:I}", "active", s->active, "key-offset", (json_int_t)s->at);
        if (s->active) {
            (void)json_object_set_new(o, "iters", json_integer(s->iterations));
            (void)json_object_set_new(o, "stripes", json_integer(s->stripes));
        }
        (void)json_array_append_new(slots, o);
    }
    json_t *all = json_pack("{s:s,s:s%,s:s%,s:s,s:I,s:I,s:s}", "cipher-alg", alg, "cipher-mode",
                            l->mode, mode, "ivgen-alg", iv, iv_len, "hash-alg", l->hash,
                            "payload-offset", (json_int_t)l->payload, "master-key-iters",
                            (json_int_t)l->digest_iterations, "uuid", l->uuid);
    if (all == NULL) { /* names are the image's */
        json_decref(slots);
        vm__fail(VM_E_CORRUPT, "The LUKS header holds names that are no text");
        return NULL;
    }
    if (colon != NULL)
        (void)json_object_set_new(all, "ivgen-hash-alg", json_string(colon + 1));
    (void)json_object_set_new(all, "slots", slots);
    return all;
}
