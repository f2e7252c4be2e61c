/* SPDX-License-Identifier: MIT */
/**
 * @file luks.c
 * LUKS images, version 1: a header with keys, then the disk, sector by sector under a cipher.
 *
 * Spec: [LUKS1]. Not modelled: version 2; headers in a file of their own.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "block/env.h"
#include "block/options.h"
#include "blockfmt/crypto_io.h"
#include "blockfmt/luks.h"

enum { DEFAULT_MS = 2000, INLINE_BYTES = 64 << 10 /* ciphered on the caller's thread at most */ };

struct luks {
    struct vm_luks l;
    struct vm_ranges ranges; /**< of writes */
};

static struct luks *luks_of(const struct vm_blk *n)
{
    return n->state;
}

static struct vm_luks_place place_of(struct vm_blk *n)
{
    return (struct vm_luks_place) { n->file, 0, vm__blk_size(n->file) };
}

static int luks_probe(const uint8_t *head, size_t len, uint64_t size, const char *name)
{
    (void)size;
    (void)name;
    return len >= 8 && memcmp(head, "LUKS\xba\xbe", 6) == 0 && vm_be16(head + 6) == 1 ? 100 : 0;
}

/* ---- opening ---------------------------------------------------------------------------- */

static int unlock(struct vm_blk *n, const char *id)
{
    struct vm_luks_place p = place_of(n);
    uint8_t *password;
    size_t len;
    if (id == NULL)
        return vm__fail(VM_E_INVAL, "Parameter 'key-secret' is required for cipher");
    int st = vm__crypt_password(n->env, id, &password, &len);
    if (st != VM_OK)
        return st;
    st = vm__luks_unlock(&luks_of(n)->l, &p, password, len);
    vm__wipe(password, len);
    free(password);
    return st;
}

static int luks_open(struct vm_blk *n, struct vm_blk_options *o)
{
    struct luks *s = luks_of(n);
    struct vm_luks_place p = place_of(n);
    const char *id = vm__opt_str(o, "key-secret");
    int st = vm__luks_read(&s->l, &p);
    if (st == VM_OK && s->l.payload > p.len)
        st = vm__fail(VM_E_CORRUPT, "The payload of the LUKS volume lies outside of the file");
    if (st == VM_OK && !(n->flags & VM_OPEN_NO_IO))
        st = unlock(n, id);
    if (st != VM_OK) {
        vm__luks_lock(&s->l);
        return st;
    }
    vm__ranges_init(&s->ranges);
    atomic_store(&n->size, p.len - s->l.payload);
    return VM_OK;
}

static void luks_close(struct vm_blk *n)
{
    vm__luks_lock(&luks_of(n)->l);
    vm__ranges_fini(&luks_of(n)->ranges);
}

/* ---- I/O -------------------------------------------------------------------------------- */

static int locked(const struct luks *s)
{
    return s->l.sectors != NULL ? VM_OK
                                : vm__fail(VM_E_STATE, "The image was opened without its key");
}

static int luks_read(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    const struct luks *s = luks_of(n);
    if (flags & VM_IO_NOWAIT && len > INLINE_BYTES)
        return VM_E_AGAIN;
    int st = locked(s);
    return st == VM_OK
               ? vm__crypt_read(s->l.sectors, n->file, s->l.payload + off, off, len, sg, flags)
               : st;
}

static int write_sectors(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg,
                         uint32_t flags)
{
    const struct luks *s = luks_of(n);
    return vm__crypt_write(s->l.sectors, n->file, s->l.payload + off, off, len, sg, flags);
}

static int luks_write(struct vm_blk *n, uint64_t off, size_t len, struct vm_sg sg, uint32_t flags)
{
    if (flags & VM_IO_NOWAIT && len > INLINE_BYTES)
        return VM_E_AGAIN;
    int st = locked(luks_of(n));
    return st == VM_OK ? vm__crypt_write_any(n, &luks_of(n)->ranges, off, len, sg, flags, luks_read,
                                             write_sectors)
                       : st;
}

/* ---- the image as a whole --------------------------------------------------------------- */

static int luks_truncate(struct vm_blk *n, uint64_t size, enum vm_prealloc p, uint32_t flags)
{
    uint64_t end;
    if (!vm_add_u64(size, luks_of(n)->l.payload, &end) || end > VM_BLK_MAX_SIZE)
        return vm__fail(VM_E_RANGE, "The requested file size is too large");
    int st = vm__blk_truncate(n->file, end, p, flags);
    if (st == VM_OK)
        atomic_store(&n->size, size);
    return st;
}

static int luks_info(struct vm_blk *n, struct vm_blk_info *out)
{
    out->encrypted = true;
    out->specific = vm__luks_json(&luks_of(n)->l);
    return out->specific != NULL ? VM_OK : vm_last_error()->code;
}

static int luks_amend(struct vm_blk *n, struct vm_blk_options *o,
                      void (*progress)(void *ud, uint64_t done, uint64_t total), void *ud)
{
    struct vm_luks_place p = place_of(n);
    (void)progress;
    (void)ud;
    return vm__luks_amend(&luks_of(n)->l, &p, n->env, o, "");
}

static const struct vm_blk_option open_options[] = {
    { "key-secret", VM_OPT_STR, .help = "ID of the secret that provides the encryption key" },
    { 0 },
};

static const struct vm_blk_option create_options[] = {
    { "size", VM_OPT_SIZE, .help = "Virtual disk size" },
    { "key-secret", VM_OPT_STR, .help = "ID of the secret that provides the keyslot key" },
    { "cipher-alg", VM_OPT_STR, .help = "Name of encryption cipher algorithm" },
    { "cipher-mode", VM_OPT_STR, .help = "Name of encryption cipher mode" },
    { "ivgen-alg", VM_OPT_STR, .help = "Name of IV generator algorithm" },
    { "ivgen-hash-alg", VM_OPT_STR, .help = "Name of IV generator hash algorithm" },
    { "hash-alg", VM_OPT_STR, .help = "Name of encryption hash algorithm" },
    { "iter-time", VM_OPT_U64, .help = "Time to spend in PBKDF in milliseconds" },
    { 0 },
};

static const char *const states[] = { "active", "inactive", NULL };
static const struct vm_blk_option amend_options[] = {
    { "state", VM_OPT_ENUM, .choices = states,
      .help = "Select new state of affected keyslots (active/inactive)" },
    { "keyslot", VM_OPT_U64, .help = "Select a single keyslot to modify explicitly" },
    { "old-secret", VM_OPT_STR, .help = "Select all keyslots that match this password" },
    { "new-secret", VM_OPT_STR, .help = "New secret to set in the matching keyslots" },
    { "iter-time", VM_OPT_U64, .help = "Time to spend in PBKDF in milliseconds" },
    { 0 },
};

static int luks_create(struct vm_blk_env *env, struct vm_blk_create *c)
{
    struct vm_luks l;
    uint8_t *password = NULL;
    size_t len = 0;
    uint64_t ms = DEFAULT_MS, end;
    const char *id = vm__opt_str(c->options, "key-secret");
    int st = vm__luks_plan(&l, c->options, "");
    if (st == VM_OK)
        st = vm__opt_u64(c->options, "iter-time", &ms);
    if (st == VM_OK && id == NULL)
        st = vm__fail(VM_E_INVAL, "Parameter 'key-secret' is required for cipher");
    if (st == VM_OK && (!vm_add_u64(c->size, l.payload, &end) || end > VM_BLK_MAX_SIZE))
        st = vm__fail(VM_E_RANGE, "The requested file size is too large");
    if (st == VM_OK)
        st = vm__crypt_password(env, id, &password, &len);
    if (st == VM_OK)
        st = vm__create_file(c);
    if (st == VM_OK)
        st = vm__blk_truncate(c->file, end, VM_PREALLOC_OFF, 0);
    struct vm_luks_place p = { c->file, 0, l.payload };
    if (st == VM_OK)
        st = vm__luks_format(&l, &p, password, len, ms);
    vm__luks_lock(&l);
    vm__wipe(password, len);
    free(password);
    return st;
}

static int luks_measure(struct vm_blk_env *env, struct vm_blk_create *c, struct vm_blk *source,
                        struct vm_blk_measure *out)
{
    struct vm_luks l;
    (void)env;
    (void)source;
    int st = vm__luks_plan(&l, c->options, "");
    if (st != VM_OK)
        return st;
    out->required = out->fully_allocated = l.payload + c->size;
    return VM_OK;
}

const struct vm_blk_driver vm__luks_driver = {
    .name = "luks",
    .summary = "LUKS encrypted volume, version 1",
    .spec = "LUKS1 On-Disk Format Specification, version 1.2.3",
    .kind = VM_BLK_FORMAT,
    .can = VM_CAN_NOWAIT | VM_CAN_FUA,
    .state_size = sizeof(struct luks),
    .open_options = open_options,
    .create_options = create_options,
    .amend_options = amend_options,
    .probe = luks_probe,
    .open = luks_open,
    .close = luks_close,
    .read = luks_read,
    .write = luks_write,
    .truncate = luks_truncate,
    .info = luks_info,
    .amend = luks_amend,
    .create = luks_create,
    .measure = luks_measure,
};
