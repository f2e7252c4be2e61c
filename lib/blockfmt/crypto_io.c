/* SPDX-License-Identifier: MIT */
/**
 * @file crypto_io.c
 * Encrypted bytes of a node.
 */
#include "blockfmt/crypto_io.h"

#include <stdlib.h>
#include <string.h>

#include "block/env.h"

enum { SECTOR = VM_CRYPT_SECTOR, PIECE = 256 << 10, MAX_PASSWORD = 8 << 20, AES_KEY = 16 };

static bool aligned(uint64_t v)
{
    return v % SECTOR == 0;
}

/** Through a buffer of whole sectors. */
static int read_bounced(const struct vm_cipher *c, struct vm_blk *file, uint64_t at, uint64_t named,
                        size_t len, struct vm_sg sg, uint32_t flags, uint8_t *buf)
{
    for (size_t done = 0; done < len;) {
        size_t lead = (size_t)((at + done) % SECTOR), n = len - done;
        n = n < PIECE - lead ? n : PIECE - lead;
        size_t whole = (lead + n + SECTOR - 1) / SECTOR * SECTOR;
        struct vm_iov v = { buf, whole };
        uint64_t first = at + done - lead, end = vm__blk_size(file);
        if (first < end && end - first < whole) { /* the file ends within a sector */
            memset(buf, 0, whole);
            v.len = (size_t)(end - first);
        }
        int st = vm__blk_readv(file, first, v.len, (struct vm_sg) { &v, 0 }, flags);
        if (st != VM_OK)
            return st;
        vm__cipher_decrypt(c, (named + done - lead) / SECTOR, buf, buf, whole);
        vm_sg_put(vm_sg_at(sg, done), buf + lead, n);
        done += n;
    }
    return VM_OK;
}

int vm__crypt_read(const struct vm_cipher *c, struct vm_blk *file, uint64_t at, uint64_t named,
                   size_t len, struct vm_sg sg, uint32_t flags)
{
    if (aligned(at) && aligned(len) && vm_sg_run(sg) >= len) {
        int st = vm__blk_readv(file, at, len, sg, flags);
        if (st == VM_OK)
            vm__cipher_decrypt(c, named / SECTOR, vm_sg_ptr(sg), vm_sg_ptr(sg), len);
        return st;
    }
    uint8_t *buf = malloc(len < PIECE - 2 * SECTOR ? len + 2 * SECTOR : PIECE);
    if (buf == NULL)
        return vm__fail_nomem(len);
    int st = read_bounced(c, file, at, named, len, sg, flags, buf);
    free(buf);
    return st;
}

int vm__crypt_write(const struct vm_cipher *c, struct vm_blk *file, uint64_t at, uint64_t named,
                    size_t len, struct vm_sg sg, uint32_t flags)
{
    size_t room = len < PIECE ? (len + SECTOR - 1) / SECTOR * SECTOR : PIECE;
    uint8_t *buf = malloc(room);
    int st = buf != NULL ? VM_OK : vm__fail_nomem(room);
    for (size_t done = 0, n; st == VM_OK && done < len; done += n) {
        n = len - done < PIECE ? len - done : PIECE;
        size_t whole = (n + SECTOR - 1) / SECTOR * SECTOR;
        struct vm_sg from = vm_sg_at(sg, done);
        struct vm_iov v = { buf, whole };
        memset(buf + n, 0, whole - n);
        if (n == whole && vm_sg_run(from) >= n) {
            vm__cipher_encrypt(c, (named + done) / SECTOR, vm_sg_ptr(from), buf, whole);
        } else {
            vm_sg_get(from, buf, n);
            vm__cipher_encrypt(c, (named + done) / SECTOR, buf, buf, whole);
        }
        st = vm__blk_writev(file, at + done, whole, (struct vm_sg) { &v, 0 }, flags);
    }
    free(buf);
    return st;
}

static int write_merged(struct vm_blk *n, uint64_t first, uint64_t end, uint64_t off, size_t len,
                        struct vm_sg sg, uint32_t flags, vm_crypt_io read, vm_crypt_io write)
{
    size_t whole = (size_t)(end - first);
    uint8_t *buf = malloc(whole);
    if (buf == NULL)
        return vm__fail_nomem(whole);
    struct vm_iov head = { buf, (size_t)(off - first) }, all = { buf, whole };
    struct vm_iov tail = { buf + (off - first) + len, (size_t)(end - off) - len };
    int st = VM_OK;
    if (head.len != 0)
        st = read(n, first, head.len, (struct vm_sg) { &head, 0 }, 0);
    if (st == VM_OK && tail.len != 0)
        st = read(n, off + len, tail.len, (struct vm_sg) { &tail, 0 }, 0);
    vm_sg_get(sg, buf + (off - first), len);
    if (st == VM_OK)
        st = write(n, first, whole, (struct vm_sg) { &all, 0 }, flags);
    free(buf);
    return st;
}

int vm__crypt_write_any(struct vm_blk *n, struct vm_ranges *ranges, uint64_t off, size_t len,
                        struct vm_sg sg, uint32_t flags, vm_crypt_io read, vm_crypt_io write)
{
    uint64_t first = off - off % SECTOR, end = (off + len + SECTOR - 1) / SECTOR * SECTOR;
    struct vm_range r;
    int st;
    if (end > vm__blk_size(n))
        end = vm__blk_size(n);
    bool exact = first == off && end == off + len;
    if (flags & VM_IO_NOWAIT) {
        if (!exact || !vm__ranges_try(ranges, &r, first, end - first))
            return VM_E_AGAIN;
    } else {
        vm__ranges_lock(ranges, &r, first, end - first);
    }
    st = exact ? write(n, off, len, sg, flags)
               : write_merged(n, first, end, off, len, sg, flags, read, write);
    vm__ranges_unlock(ranges, &r);
    return st;
}

int vm__crypt_password(struct vm_blk_env *env, const char *id, uint8_t **data, size_t *len)
{
    size_t room = 256;
    for (;;) {
        *len = room;
        *data = malloc(room + 1);
        if (*data == NULL)
            return vm__fail_nomem(room);
        int st = vm__secret_get(env, id, *data, len);
        if (st == VM_OK)
            return VM_OK;
        free(*data);
        *data = NULL;
        if (st != VM_E_RANGE || *len <= room || *len > MAX_PASSWORD)
            return st;
        room = *len;
    }
}

struct vm_cipher *vm__cipher_aes_legacy(const uint8_t *password, size_t len)
{
    uint8_t key[AES_KEY] = { 0 };
    memcpy(key, password, len < sizeof key ? len : sizeof key);
    struct vm_cipher *c = vm__cipher_new("aes", "cbc-plain64", key, sizeof key);
    vm__wipe(key, sizeof key);
    return c;
}
