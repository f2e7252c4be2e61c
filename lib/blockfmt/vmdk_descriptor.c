/* SPDX-License-Identifier: MIT */
/**
 * @file vmdk_descriptor.c
 * The text that describes a VMDK disk: ids, type, and a line an extent.
 *
 * Spec: [VMDK "The Descriptor File"]. Lines end in LF or CRLF; keys compare without case; blanks
 * are free. An extent line is: access, sectors, type, "file name", and for flat ones an offset.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "block/env.h"
#include "blockfmt/vmdk.h"

enum { MAX_EXTENTS = VM_BLK_MAX_CHILDREN };

static const char *skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/** The start of the next line, or NULL. */
static const char *next_line(const char *p)
{
    p = strchr(p, '\n');
    return p != NULL && p[1] != '\0' ? p + 1 : NULL;
}

/** @p text begins with @p key, in whatever case. */
static bool same_word(const char *text, const char *key, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tolower((unsigned char)text[i]) != tolower((unsigned char)key[i]))
            return false;
    return true;
}

bool vmdk_value(const char *text, const char *key, char *out, size_t room)
{
    size_t n = strlen(key);
    for (const char *p = text; p != NULL; p = next_line(p)) {
        const char *at = skip_blanks(p);
        if (!same_word(at, key, n))
            continue;
        at = skip_blanks(at + n);
        if (*at != '=')
            continue;
        at = skip_blanks(at + 1);
        bool quoted = *at == '"';
        at += quoted;
        size_t len = strcspn(at, quoted ? "\"\r\n" : " \t\r\n");
        if (len >= room)
            return false;
        memcpy(out, at, len);
        out[len] = '\0';
        return true;
    }
    return false;
}

/* ---- extent lines ----------------------------------------------------------------------- */

struct line {
    char access[16], type[16], name[VMDK_NAME_MAX];
    uint64_t sectors, offset;
    int fields; /**< read of access, sectors, type, name, offset */
};

/** Cut one word, ended by a blank or the line's end. */
static bool word(const char **p, char *out, size_t room)
{
    *p = skip_blanks(*p);
    size_t n = strcspn(*p, " \t\r\n");
    if (n == 0 || n >= room)
        return false;
    memcpy(out, *p, n);
    out[n] = '\0';
    *p += n;
    return true;
}

static bool number(const char **p, uint64_t *out)
{
    char text[24], *end;
    if (!word(p, text, sizeof text) || !isdigit((unsigned char)text[0]))
        return false;
    *out = strtoull(text, &end, 10);
    return *end == '\0';
}

static bool quoted(const char **p, char *out, size_t room)
{
    *p = skip_blanks(*p);
    if (**p != '"')
        return false;
    size_t n = strcspn(*p + 1, "\"\r\n");
    if (n >= room || (*p)[n + 1] != '"')
        return false;
    memcpy(out, *p + 1, n);
    out[n] = '\0';
    *p += n + 2;
    return true;
}

/** Is it an extent line? Then its fields. */
static bool read_line(const char *p, struct line *l)
{
    *l = (struct line) { 0 };
    if (!word(&p, l->access, sizeof l->access) ||
        (strcmp(l->access, "RW") != 0 && strcmp(l->access, "RDONLY") != 0 &&
         strcmp(l->access, "NOACCESS") != 0))
        return false;
    if (!number(&p, &l->sectors))
        return false;
    l->fields = 2;
    if (!word(&p, l->type, sizeof l->type))
        return true;
    l->fields = 3;
    if (!quoted(&p, l->name, sizeof l->name))
        return true;
    l->fields = 4;
    if (number(&p, &l->offset))
        l->fields = 5;
    return true;
}

static bool is_flat(const char *type)
{
    return strcmp(type, "FLAT") == 0 || strcmp(type, "VMFS") == 0;
}

static int kind_of(const struct line *l, enum vmdk_kind *kind)
{
    if (is_flat(l->type))
        *kind = VMDK_FLAT;
    else if (strcmp(l->type, "ZERO") == 0)
        *kind = VMDK_ZERO;
    else if (strcmp(l->type, "SPARSE") == 0)
        *kind = VMDK_SPARSE;
    else if (strcmp(l->type, "VMFSSPARSE") == 0)
        *kind = VMDK_COWD;
    else if (strcmp(l->type, "SESPARSE") == 0)
        *kind = VMDK_SESPARSE;
    else
        return vm__fail(VM_E_NOTSUP, "Unsupported extent type '%s'", l->type);
    if (*kind != VMDK_ZERO && l->fields < 4)
        return vm__fail(VM_E_CORRUPT, "Invalid extent line: a %s extent needs a file name",
                        l->type);
    if (*kind == VMDK_FLAT && strcmp(l->type, "FLAT") == 0 && l->fields < 5)
        return vm__fail(VM_E_CORRUPT, "Invalid extent line: a FLAT extent needs an offset");
    return VM_OK;
}

/** One more extent, as the line says. */
static int add_extent(struct vm_blk *n, const struct line *l)
{
    struct vmdk *s = vmdk_of(n);
    enum vmdk_kind kind = VMDK_ZERO;
    int st = kind_of(l, &kind);
    if (st != VM_OK)
        return st;
    uint64_t bytes, end, at = 0, start = vm__blk_size(n);
    if (!vm_mul_u64(l->sectors, VMDK_SECTOR, &bytes) || !vm_add_u64(start, bytes, &end) ||
        !vm_mul_u64(l->offset, VMDK_SECTOR, &at) || end > VM_BLK_MAX_SIZE || bytes == 0)
        return vm__fail(VM_E_CORRUPT, "Invalid extent line: %llu sectors",
                        (unsigned long long)l->sectors);
    if (s->n_extents == MAX_EXTENTS)
        return vm__fail(VM_E_NOTSUP, "The image has more than %d extents", MAX_EXTENTS);
    struct vmdk_extent *e = &s->extents[s->n_extents++];
    *e = (struct vmdk_extent) { .kind = kind, .start = start, .size = bytes, .file_off = at };
    atomic_store(&n->size, end);
    if (kind == VMDK_ZERO)
        return VM_OK;
    e->file_name = strdup(l->name);
    return e->file_name != NULL ? VM_OK : vm__fail_nomem(strlen(l->name));
}

/** The file of an extent: n's own where the line of an embedded descriptor names it. */
static int open_extent_file(struct vm_blk *n, struct vmdk_extent *e)
{
    struct vmdk *s = vmdk_of(n);
    if (!s->text_is_file) {
        e->file = n->file;
        return VM_OK;
    }
    uint32_t flags = n->flags & ~(uint32_t)(VM_OPEN_PROBE | VM_OPEN_CHECK);
    e->file = vm__blk_open_child(n, e->file_name, NULL, NULL, flags, VM_WHY_EXTENT);
    if (e->file == NULL)
        return vm_last_error()->code;
    n->children[n->n_children++] = e->file;
    if (e->file == n->file)
        return vm__fail(VM_E_CORRUPT, "Extent '%s' is the descriptor itself", e->file_name);
    return VM_OK;
}

static int open_extents(struct vm_blk *n)
{
    struct vmdk *s = vmdk_of(n);
    for (uint32_t i = 0; i < s->n_extents; i++) {
        struct vmdk_extent *e = &s->extents[i];
        if (e->kind == VMDK_ZERO)
            continue;
        int st = open_extent_file(n, e);
        if (st == VM_OK && e->kind == VMDK_FLAT &&
            !vm_in_range(e->file_off, e->size, vm__blk_size(e->file)))
            st = vm__fail(VM_E_CORRUPT, "Extent '%s' is shorter than the descriptor says",
                          e->file_name);
        if (st == VM_OK && e->kind == VMDK_SPARSE)
            st = vmdk_open_sparse(n, e);
        if (st == VM_OK && (e->kind == VMDK_COWD || e->kind == VMDK_SESPARSE))
            st = vmdk_open_cowd(n, e);
        if (st != VM_OK)
            return st;
    }
    return VM_OK;
}

static int read_ids(struct vm_blk *n)
{
    struct vmdk *s = vmdk_of(n);
    char text[VMDK_NAME_MAX];
    if (vmdk_value(s->text, "CID", text, sizeof text))
        s->cid = (uint32_t)strtoul(text, NULL, 16);
    s->parent_cid = VMDK_NO_CID;
    if (vmdk_value(s->text, "parentCID", text, sizeof text))
        s->parent_cid = (uint32_t)strtoul(text, NULL, 16);
    (void)vmdk_value(s->text, "createType", s->create_type, sizeof s->create_type);
    if (s->parent_cid == VMDK_NO_CID)
        return VM_OK;
    if (!vmdk_value(s->text, "parentFileNameHint", text, sizeof text) || text[0] == '\0')
        return vm__fail(VM_E_CORRUPT, "The image has a parent but no parentFileNameHint");
    n->backing_name = strdup(text);
    n->backing_format = strdup("vmdk"); /* there is no other kind of parent */
    return n->backing_name != NULL && n->backing_format != NULL ? VM_OK
                                                                : vm__fail_nomem(strlen(text));
}

int vmdk_parse(struct vm_blk *n)
{
    static const char *const types[] = {
        "monolithicSparse",   "monolithicFlat",  "twoGbMaxExtentSparse",
        "twoGbMaxExtentFlat", "streamOptimized", "vmfs",
        "vmfsSparse",         "seSparse",        "custom",
    };
    struct vmdk *s = vmdk_of(n);
    int st = read_ids(n);
    bool known = s->create_type[0] == '\0';
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        known = known || strcmp(s->create_type, types[i]) == 0;
    if (st == VM_OK && !known)
        return vm__fail(VM_E_NOTSUP, "Unsupported image type '%s'", s->create_type);
    s->extents = calloc(MAX_EXTENTS, sizeof *s->extents);
    if (s->extents == NULL)
        return vm__fail_nomem(MAX_EXTENTS * sizeof *s->extents);
    atomic_store(&n->size, 0);
    for (const char *p = s->text; st == VM_OK && p != NULL; p = next_line(p)) {
        struct line l;
        if (read_line(p, &l))
            st = add_extent(n, &l);
    }
    if (st == VM_OK && s->n_extents == 0)
        st = vm__fail(VM_E_CORRUPT, "The descriptor has no extent line");
    if (st == VM_OK && !s->text_is_file && s->n_extents != 1)
        st = vm__fail(VM_E_CORRUPT, "An embedded descriptor with %u extents", s->n_extents);
    return st == VM_OK ? open_extents(n) : st;
}

int vmdk_write_cid(struct vm_blk *n)
{
    struct vmdk *s = vmdk_of(n);
    char line[16];
    for (char *p = s->text; p != NULL; p = (char *)(uintptr_t)next_line(p)) {
        if (strncmp(p, "CID=", 4) != 0 || strspn(p + 4, "0123456789abcdefABCDEF") != 8)
            continue; /* the length stays: the text may be followed by more */
        (void)snprintf(line, sizeof line, "%08x", s->cid);
        memcpy(p + 4, line, 8);
        return vm__blk_write(n->file, s->text_off + (uint64_t)(p + 4 - s->text), line, 8);
    }
    return VM_OK;
}
