/* SPDX-License-Identifier: MIT */
/**
 * @file luks.h
 * A LUKS header: which cipher, and eight slots each of which gives the key for another password.
 *
 * luks_header.c is used by luks images and by qcow2 images, which keep the header in clusters of
 * their own.
 */
#ifndef LIBVM_BLOCKFMT_LUKS_H
#define LIBVM_BLOCKFMT_LUKS_H

#include "block/node.h"
#include "blockfmt/crypto.h"

struct vm_blk_options;
struct json_t;

enum {
    VM_LUKS_SLOTS = 8,
    VM_LUKS_ALIGN = 4096,
    VM_LUKS_HEADER = 592, /* bytes */
};

struct vm_luks_slot {
    bool active;
    uint32_t iterations, stripes;
    uint64_t at; /**< of the key material, bytes from the header on */
    uint8_t salt[32];
};

struct vm_luks {
    char cipher[33], mode[33], hash[33], uuid[41];
    uint64_t payload; /**< bytes from the header on */
    uint32_t key_bytes, digest_iterations;
    uint8_t digest[20], digest_salt[32];
    struct vm_luks_slot slots[VM_LUKS_SLOTS];
    uint8_t key[VM_CRYPT_MAX_KEY]; /**< the master key, once unlocked */
    struct vm_cipher *sectors;     /**< the same as a cipher; NULL: locked */
};

/** Where a header is. */
struct vm_luks_place {
    struct vm_blk *file;
    uint64_t at, len; /**< the header and its key material lie within */
};

/** Parse and check. @retval VM_E_INVAL not a LUKS header @retval VM_E_CORRUPT a bad one */
int vm__luks_read(struct vm_luks *l, const struct vm_luks_place *p);
/** @retval VM_E_PERM no slot has this password */
int vm__luks_unlock(struct vm_luks *l, const struct vm_luks_place *p, const uint8_t *password,
                    size_t len);
/** Wipes keys. */
void vm__luks_lock(struct vm_luks *l);

/** A new header by the options whose names begin with @p prefix: everything but keys. The payload's
 *  place is known then, which is as many bytes as the header takes. */
int vm__luks_plan(struct vm_luks *l, struct vm_blk_options *o, const char *prefix);
/** Make the key, and write the header with one slot. */
int vm__luks_format(struct vm_luks *l, const struct vm_luks_place *p, const uint8_t *password,
                    size_t len, uint64_t iter_ms);

/** Add or take away passwords, by the options "state", "new-secret", "old-secret", "keyslot" and
 *  "iter-time" with @p prefix. Unlocked. */
int vm__luks_amend(struct vm_luks *l, const struct vm_luks_place *p, struct vm_blk_env *env,
                   struct vm_blk_options *o, const char *prefix);
/** As `info` tells it. */
struct json_t *vm__luks_json(const struct vm_luks *l);

#endif
