/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_crypt.c
 * Encrypted qcow2 images: a LUKS header in clusters of its own, or the old AES scheme.
 *
 * Spec: [QCOW2 "Full disk encryption header pointer", "crypt_method"]. With LUKS, sectors are
 * numbered by where they lie in the file, with AES by where they are on the disk; there the key is
 * the password itself, and nothing tells whether it is the right one.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/checked.h"
#include "block/env.h"
#include "block/options.h"
#include "blockfmt/crypto_io.h"
#include "blockfmt/qcow2.h"

enum { DEFAULT_MS = 2000, MAX_HEADER = 16 << 20, INLINE_BYTES = 64 << 10 };

static const char *const formats[] = { "", "aes", "luks", NULL }; /* by QCOW2_CRYPT_* */

/* ---- opening ---------------------------------------------------------------------------- */

static struct vm_luks_place place_of(const struct vm_blk *n)
{
    const struct qcow2 *s = qcow2_of(n);
    return (struct vm_luks_place) { n->file, s->crypt_off, s->crypt_len };
}

static int unlock(struct vm_blk *n, const uint8_t *password, size_t len)
{
    struct qcow2 *s = qcow2_of(n);
    struct vm_luks_place p = place_of(n);
    if (s->crypt_method == QCOW2_CRYPT_LUKS) {
        int st = vm__luks_unlock(&s->luks, &p, password, len);
        s->cipher = s->luks.sectors;
        return st;
    }
    s->aes = vm__cipher_aes_legacy(password, len);
    s->cipher = s->aes;
    return s->cipher != NULL ? VM_OK : vm_last_error()->code;
}

static int check_place(struct vm_blk *n)
{
    const struct qcow2 *s = qcow2_of(n);
    if (s->crypt_method != QCOW2_CRYPT_LUKS)
        return VM_OK;
    if (s->crypt_off == 0)
        return vm__fail(VM_E_CORRUPT,
                        "CRYPTO_LUKS header pointer is missing although the image is encrypted");
    if (s->crypt_off % s->cluster != 0 || s->crypt_len > MAX_HEADER ||
        !vm_in_range(s->crypt_off, s->crypt_len, vm__blk_size(n->file)))
        return vm__fail(VM_E_CORRUPT, "Encryption header offset %llu is wrong",
                        (unsigned long long)s->crypt_off);
    return VM_OK;
}

int qcow2_open_crypt(struct vm_blk *n, struct vm_blk_options *o)
{
    struct qcow2 *s = qcow2_of(n);
    const char *format = vm__opt_str(o, "encrypt.format");
    const char *id = vm__opt_str(o, "encrypt.key-secret");
    struct vm_luks_place p = place_of(n);
    uint8_t *password;
    size_t len;
    if (s->crypt_method == QCOW2_CRYPT_NONE)
        return format == NULL && id == NULL
                   ? VM_OK
                   : vm__fail(VM_E_INVAL,
                              "No encryption in image header, but options specified "
                              "format '%.32s'",
                              format != NULL ? format : "");
    if (format != NULL && strcmp(format, formats[s->crypt_method]) != 0)
        return vm__fail(VM_E_INVAL,
                        "Header reported '%s' encryption format but options specify "
                        "'%.32s'",
                        formats[s->crypt_method], format);
    int st = check_place(n);
    if (st == VM_OK && s->crypt_method == QCOW2_CRYPT_LUKS)
        st = vm__luks_read(&s->luks, &p);
    if (st != VM_OK || n->flags & VM_OPEN_NO_IO)
        return st;
    if (id == NULL && n->flags & VM_OPEN_CHECK) /* tables alone are looked at */
        return VM_OK;
    if (id == NULL)
        return vm__fail(VM_E_INVAL, "Parameter 'encrypt.key-secret' is required for cipher");
    st = vm__crypt_password(n->env, id, &password, &len);
    if (st != VM_OK)
        return st;
    st = unlock(n, password, len);
    vm__wipe(password, len);
    free(password);
    return st;
}

void qcow2_close_crypt(struct qcow2 *s)
{
    vm__luks_lock(&s->luks);
    vm__cipher_free(s->aes);
    s->aes = NULL;
    s->cipher = NULL;
}

/* ---- bytes ------------------------------------------------------------------------------ */

static int locked(const struct qcow2 *s)
{
    return s->cipher != NULL ? VM_OK : vm__fail(VM_E_STATE, "The image was opened without its key");
}

static uint64_t named(const struct qcow2 *s, uint64_t index, uint64_t in, uint64_t at)
{
    return s->crypt_method == QCOW2_CRYPT_LUKS ? at : index * s->cluster + in;
}

int qcow2_crypt_read(struct vm_bmap *b, uint64_t index, uint64_t in, uint64_t at, size_t len,
                     struct vm_sg sg, uint32_t flags)
{
    const struct qcow2 *s = qcow2_of(b->n);
    int st = locked(s);
    if (st == VM_OK && flags & VM_IO_NOWAIT && len > INLINE_BYTES)
        st = VM_E_AGAIN;
    return st == VM_OK
               ? vm__crypt_read(s->cipher, b->data, at, named(s, index, in, at), len, sg, flags)
               : st;
}

int qcow2_crypt_write(struct vm_bmap *b, uint64_t index, uint64_t in, uint64_t at, size_t len,
                      struct vm_sg sg, uint32_t flags)
{
    const struct qcow2 *s = qcow2_of(b->n);
    int st = locked(s);
    if (st == VM_OK && flags & VM_IO_NOWAIT && len > INLINE_BYTES)
        st = VM_E_AGAIN;
    return st == VM_OK
               ? vm__crypt_write(s->cipher, b->data, at, named(s, index, in, at), len, sg, flags)
               : st;
}

/* ---- making ----------------------------------------------------------------------------- */

int qcow2_crypt_method(struct vm_blk_options *o, uint32_t *method)
{
    const char *format = vm__opt_str(o, "encrypt.format");
    bool old = false;
    int st = vm__opt_bool(o, "encryption", &old);
    *method = QCOW2_CRYPT_NONE;
    if (st != VM_OK)
        return st;
    if (format != NULL && old)
        return vm__fail(VM_E_INVAL, "Options \"encryption\" and \"encrypt.format\" are mutually "
                                    "exclusive");
    if (format == NULL && !old)
        return VM_OK;
    *method = format != NULL && strcmp(format, "luks") == 0 ? QCOW2_CRYPT_LUKS : QCOW2_CRYPT_AES;
    if (format != NULL && *method == QCOW2_CRYPT_AES && strcmp(format, "aes") != 0)
        return vm__fail(VM_E_INVAL, "Invalid parameter '%.32s'", format);
    if (vm__opt_str(o, "encrypt.key-secret") == NULL)
        return vm__fail(VM_E_INVAL, "Parameter 'encrypt.key-secret' is required for cipher");
    struct vm_luks l;
    return *method == QCOW2_CRYPT_LUKS ? vm__luks_plan(&l, o, "encrypt.") : VM_OK;
}

static int format_luks(struct vm_blk *n, struct vm_blk_options *o, const uint8_t *password,
                       size_t len)
{
    struct qcow2 *s = qcow2_of(n);
    uint64_t ms = DEFAULT_MS;
    int st = vm__luks_plan(&s->luks, o, "encrypt.");
    if (st == VM_OK)
        st = vm__opt_u64(o, "encrypt.iter-time", &ms);
    if (st == VM_OK)
        st = vm__bmap_space(&s->map, s->luks.payload, s->cluster, &s->crypt_off);
    s->crypt_len = s->luks.payload;
    struct vm_luks_place p = place_of(n);
    if (st == VM_OK)
        st = vm__luks_format(&s->luks, &p, password, len, ms);
    return st == VM_OK ? qcow2_refcount_write(n) : st;
}

int qcow2_crypt_create(struct vm_blk *n, struct vm_blk_options *o, uint32_t method)
{
    struct qcow2 *s = qcow2_of(n);
    uint8_t *password;
    size_t len;
    if (method == QCOW2_CRYPT_NONE)
        return VM_OK;
    int st = vm__crypt_password(n->env, vm__opt_str(o, "encrypt.key-secret"), &password, &len);
    if (st != VM_OK)
        return st;
    if (method == QCOW2_CRYPT_LUKS)
        st = format_luks(n, o, password, len);
    vm__wipe(password, len);
    free(password);
    s->crypt_method = method;
    if (st == VM_OK)
        st = vm__blk_flush(n->file, 0);
    return st == VM_OK ? qcow2_write_header(n) : st;
}

/* ---- keys, and what is told ------------------------------------------------------------- */

int qcow2_crypt_amend(struct vm_blk *n, struct vm_blk_options *o)
{
    struct qcow2 *s = qcow2_of(n);
    struct vm_luks_place p = place_of(n);
    if (s->crypt_method != QCOW2_CRYPT_LUKS)
        return vm__fail(VM_E_NOTSUP, "Only LUKS encryption options can be amended for qcow2 with "
                                     "encryption");
    return vm__luks_amend(&s->luks, &p, n->env, o, "encrypt.");
}

struct json_t *qcow2_crypt_json(const struct qcow2 *s)
{
    json_t *o = s->crypt_method == QCOW2_CRYPT_LUKS ? vm__luks_json(&s->luks) : json_object();
    if (o != NULL)
        (void)json_object_set_new(o, "format", json_string(formats[s->crypt_method]));
    return o;
}
