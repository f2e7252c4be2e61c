/* SPDX-License-Identifier: MIT */
/**
 * @file vpc_parent.c
 * The parent of a differencing VHD image: who it is, and where.
 *
 * Spec: [VHD "Parent Locator Entry"]. Up to eight locators name the parent's file for one platform
 * each; besides, the header has its plain name. A path of Windows is used from its last backslash
 * on unless it is relative: an absolute one means nothing here.
 */
#include <stdlib.h>
#include <string.h>

#include "block/env.h"
#include "blockfmt/utf16.h"
#include "blockfmt/vpc.h"

enum { MAX_LOCATOR = 4096 };

/** A path of Windows as one of ours, in place. */
static void from_windows(char *path)
{
    bool absolute = path[0] == '\\' || (path[0] != '\0' && path[1] == ':');
    const char *name = strrchr(path, '\\');
    if (absolute && name != NULL)
        memmove(path, name + 1, strlen(name));
    for (char *c = path; *c != '\0'; c++)
        *c = *c == '\\' ? '/' : *c;
    if (strncmp(path, "./", 2) == 0)
        memmove(path, path + 2, strlen(path) - 1);
}

/** "file://host/a%20b" as a path. */
static char *from_url(const uint8_t *text, size_t len)
{
    char *out = strndup((const char *)text, len);
    if (out == NULL)
        return NULL;
    char *in = out, *to = out;
    if (strncmp(in, "file://", 7) == 0) {
        in += 7;
        in += strcspn(in, "/");
    }
    for (; *in != '\0'; in++) {
        unsigned c = 0;
        if (*in == '%' && strspn(in + 1, "0123456789abcdefABCDEF") >= 2) {
            const char hex[3] = { in[1], in[2], '\0' };
            c = (unsigned)strtoul(hex, NULL, 16);
            in += c != 0 ? 2 : 0;
        }
        *to++ = c != 0 ? (char)c : *in;
    }
    *to = '\0';
    return out;
}

/** The name that locator @p l gives, malloc'd; NULL if it is of another kind, empty or malformed.
 */
static char *read_locator(struct vm_blk *n, const uint8_t *l)
{
    uint32_t code = vm_be32(l), len = vm_be32(l + 8);
    uint64_t at = vm_be64(l + 16), size = vm__blk_size(n->file);
    uint8_t text[MAX_LOCATOR];
    if ((code != VHD_W2RU && code != VHD_W2KU && code != VHD_MACX) || len == 0 ||
        len > MAX_LOCATOR || at > size || size - at < len)
        return NULL;
    if (vm__blk_read(n->file, at, text, len) != VM_OK)
        return NULL;
    if (code == VHD_MACX)
        return from_url(text, len);
    char *path = vm__utf16_to_utf8(text, len, false);
    if (path != NULL)
        from_windows(path);
    return path;
}

int vpc_find_parent(struct vm_blk *n)
{
    static const uint32_t order[] = { VHD_W2RU, VHD_MACX, VHD_W2KU };
    const uint8_t *h = vpc_of(n)->header;
    char *name = NULL;
    for (size_t k = 0; k < sizeof order / sizeof order[0]; k++) {
        for (unsigned i = 0; i < VHD_LOCATORS && name == NULL; i++) {
            const uint8_t *l = h + VHD_LOCATORS_AT + i * VHD_LOCATOR_BYTES;
            if (vm_be32(l) == order[k])
                name = read_locator(n, l);
        }
    }
    if (name == NULL) {
        name = vm__utf16_to_utf8(h + VHD_PARENT_NAME_AT, VHD_PARENT_NAME_BYTES, true);
        if (name != NULL)
            from_windows(name);
    }
    if (name == NULL)
        return vm__fail_nomem(VHD_PARENT_NAME_BYTES);
    if (*name == '\0') {
        free(name);
        return vm__fail(VM_E_CORRUPT, "Differencing VHD image does not name its parent");
    }
    n->backing_name = name;
    n->backing_format = strdup("vpc");
    return n->backing_format != NULL ? VM_OK : vm__fail_nomem(4);
}

/** The name as Windows writes a relative one: ".\dir\base.vhd". */
static char *to_windows(const char *name)
{
    char *out = malloc(strlen(name) + 3);
    if (out == NULL)
        return NULL;
    strcpy(out, ".\\");
    strcpy(out + 2, name);
    for (char *c = out; *c != '\0'; c++)
        *c = *c == '/' ? '\\' : *c;
    return out;
}

static int put_names(const char *name, uint8_t *header, uint64_t locator_off, uint8_t *locator,
                     size_t room, size_t *len)
{
    const char *base = strrchr(name, '/');
    base = base != NULL ? base + 1 : name;
    uint8_t *l = header + VHD_LOCATORS_AT;
    if (vm__utf8_to_utf16(base, header + VHD_PARENT_NAME_AT, VHD_PARENT_NAME_BYTES, true) == 0)
        return vm__fail(VM_E_RANGE, "The name of the parent does not fit in a VHD header");
    if (name[0] == '/') { /* no drive letters here: a URL is the absolute form that has a meaning */
        size_t n = strlen(name);
        if (n + 7 > room)
            return vm__fail(VM_E_RANGE, "The name of the parent is longer than %zu bytes",
                            room - 7);
        memcpy(locator, "file://", 7);
        memcpy(locator + 7, name, n);
        *len = n + 7;
    } else {
        char *path = to_windows(name);
        *len = path != NULL ? vm__utf8_to_utf16(path, locator, room, false) : 0;
        free(path);
        if (*len == 0)
            return vm__fail(VM_E_RANGE, "The name of the parent does not fit in a VHD locator");
    }
    vm_put_be32(l, name[0] == '/' ? VHD_MACX : VHD_W2RU);
    vm_put_be32(l + 4, (uint32_t)((*len + VHD_SECTOR - 1) / VHD_SECTOR));
    vm_put_be32(l + 8, (uint32_t)*len);
    vm_put_be64(l + 16, locator_off);
    return VM_OK;
}

int vpc_set_parent(struct vm_blk_env *env, const struct vm_blk_create *c, uint8_t *header,
                   uint64_t locator_off, uint8_t *locator, size_t room, size_t *len)
{
    if (c->backing_format != NULL && strcmp(c->backing_format, "vpc") != 0)
        return vm__fail(VM_E_NOTSUP,
                        "The parent of a differencing VHD image must be a VHD image, not %s",
                        c->backing_format);
    char *path = vm__blk_relative(c->name, c->backing_name);
    struct vm_blk *parent =
        path != NULL ? vm__blk_open(env, path, "vpc", NULL, VM_OPEN_RO | VM_OPEN_NO_BACKING) : NULL;
    free(path);
    if (parent == NULL)
        return vm_last_error()->code;
    const uint8_t *f = vpc_of(parent)->footer;
    memcpy(header + VHD_PARENT_UUID_AT, f + VHD_UUID_AT, VHD_UUID_BYTES);
    memcpy(header + VHD_PARENT_TIME_AT, f + VHD_TIME_AT, 4);
    vm__blk_unref(parent);
    return put_names(c->backing_name, header, locator_off, locator, room, len);
}
