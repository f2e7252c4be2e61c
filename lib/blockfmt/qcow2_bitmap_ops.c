/* SPDX-License-Identifier: MIT */
/**
 * @file qcow2_bitmap_ops.c
 * What users do with dirty bitmaps: list, add, remove, clear, enable, disable, merge.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/options.h"
#include "blockfmt/qcow2_bitmap.h"

enum { DIRTY_TRACKING = 1, MIN_DEFAULT = 4096, MAX_DEFAULT = 65536 };

static struct qcow2_bitmap *find(struct qcow2 *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_bitmaps; i++)
        if (strcmp(s->bitmaps[i].name, name) == 0)
            return &s->bitmaps[i];
    return NULL;
}

/** One whose bits can be worked on; they are in memory then. */
static int find_good(struct vm_blk *n, const char *name, struct qcow2_bitmap **out)
{
    *out = find(qcow2_of(n), name);
    if (*out == NULL)
        return vm__fail(VM_E_NOENT, "Dirty bitmap '%.80s' not found", name);
    if (qcow2_bm_broken(*out))
        return vm__fail(VM_E_CORRUPT, "Bitmap '%.80s' is inconsistent and cannot be used", name);
    return qcow2_bitmap_load(n, *out);
}

int qcow2_bitmap_list(struct vm_blk *n, struct vm_blk_bitmap **list, size_t *count)
{
    const struct qcow2 *s = qcow2_of(n);
    *list = calloc((size_t)s->n_bitmaps + 1, sizeof **list);
    if (*list == NULL)
        return vm__fail_nomem(s->n_bitmaps * sizeof **list);
    *count = s->n_bitmaps;
    for (uint32_t i = 0; i < s->n_bitmaps; i++) {
        const struct qcow2_bitmap *m = &s->bitmaps[i];
        (void)snprintf((*list)[i].name, sizeof(*list)[i].name, "%s", m->name);
        (*list)[i].granularity = UINT64_C(1) << m->granularity_bits;
        (*list)[i].in_use = qcow2_bm_broken(m);
        (*list)[i].enabled = m->flags & QCOW2_BM_AUTO;
    }
    return VM_OK;
}

int qcow2_bitmap_read(struct vm_blk *n, const char *name, struct vm_blk_bits *out)
{
    struct qcow2_bitmap *m;
    int st = find_good(n, name, &m);
    if (st == VM_OK)
        st = qcow2_bits_copy(m->bits, out);
    if (st == VM_OK && !vm__blk_writable(n)) { /* it may change in the file before we look again */
        qcow2_bits_free(m->bits);
        m->bits = NULL;
    }
    return st;
}

int qcow2_bitmap_merge(struct vm_blk *n, const char *name, const struct vm_blk_bits *bits)
{
    struct qcow2_bitmap *m;
    int st = find_good(n, name, &m);
    if (st == VM_OK)
        st = qcow2_bits_merge(m->bits, bits);
    return st == VM_OK ? qcow2_bitmaps_store(n, false) : st;
}

static int merge_own(struct vm_blk *n, const char *name, struct vm_blk_options *o)
{
    const char *source = o != NULL ? vm__opt_str(o, "source") : NULL;
    struct vm_blk_bits bits = { 0 };
    if (source == NULL)
        return vm__fail(VM_E_INVAL, "No source to merge from");
    int st = qcow2_bitmap_read(n, source, &bits);
    if (st == VM_OK)
        st = qcow2_bitmap_merge(n, name, &bits);
    free(bits.bits);
    return st;
}

/* ---- add and remove --------------------------------------------------------------------- */

static int granularity_of(const struct qcow2 *s, struct vm_blk_options *o, uint8_t *bits,
                          bool *disabled)
{
    uint64_t g = s->cluster < MIN_DEFAULT   ? MIN_DEFAULT
                 : s->cluster > MAX_DEFAULT ? MAX_DEFAULT
                                            : s->cluster;
    int st = o != NULL ? vm__opt_size(o, "granularity", &g) : VM_OK;
    if (st == VM_OK && o != NULL)
        st = vm__opt_bool(o, "disabled", disabled);
    if (st != VM_OK)
        return st;
    if (g < 512 || (g & (g - 1)) != 0)
        return vm__fail(VM_E_INVAL, "Granularity must be power of 2 and at least 512");
    if (g > UINT32_C(1) << 31)
        return vm__fail(VM_E_INVAL, "Granularity exceeds maximum (2147483648 bytes)");
    *bits = (uint8_t)__builtin_ctzll(g);
    return VM_OK;
}

static int add(struct vm_blk *n, const char *name, struct vm_blk_options *o)
{
    struct qcow2 *s = qcow2_of(n);
    struct qcow2_bitmap m = { .type = DIRTY_TRACKING };
    bool disabled = false;
    if (s->version < 3)
        return vm__fail(VM_E_NOTSUP, "Cannot store dirty bitmaps in qcow2 v2 files");
    if (*name == '\0' || strlen(name) > QCOW2_MAX_BITMAP_NAME)
        return vm__fail(VM_E_INVAL, "Bitmap name must have 1 to %d bytes", QCOW2_MAX_BITMAP_NAME);
    if (find(s, name) != NULL)
        return vm__fail(VM_E_BUSY, "Bitmap already exists: %.80s", name);
    if (s->n_bitmaps >= QCOW2_MAX_BITMAPS)
        return vm__fail(VM_E_RANGE, "Maximum number of persistent bitmaps is already reached");
    int st = granularity_of(s, o, &m.granularity_bits, &disabled);
    if (st != VM_OK)
        return st;
    m.flags = disabled ? 0 : QCOW2_BM_AUTO;
    struct qcow2_bitmap *more = realloc(s->bitmaps, ((size_t)s->n_bitmaps + 1) * sizeof *more);
    if (more == NULL)
        return vm__fail_nomem(sizeof *more);
    s->bitmaps = more;
    m.bits = qcow2_bits_new(vm__blk_size(n), UINT64_C(1) << m.granularity_bits, s->cluster);
    if (m.bits == NULL)
        return vm_last_error()->code;
    m.name = strdup(name);
    if (m.name == NULL) {
        qcow2_bits_free(m.bits);
        return vm__fail_nomem(strlen(name));
    }
    atomic_store(&m.bits->changed, true); /* its table is to be made */
    more[s->n_bitmaps++] = m;
    return qcow2_bitmaps_store(n, false);
}

static int drop(struct vm_blk *n, const char *name)
{
    struct qcow2 *s = qcow2_of(n);
    struct qcow2_bitmap *m = find(s, name), gone;
    if (m == NULL)
        return vm__fail(VM_E_NOENT, "Dirty bitmap '%.80s' not found", name);
    gone = *m;
    memmove(m, m + 1, (s->n_bitmaps - (size_t)(m - s->bitmaps) - 1) * sizeof *m);
    s->n_bitmaps--;
    int st = qcow2_bitmaps_store(n, false);
    if (st == VM_OK)
        st = qcow2_bitmap_release(n, gone.table_off, gone.table_size);
    qcow2_bitmap_free(&gone);
    return st == VM_OK ? qcow2_refcount_write(n) : st;
}

static int change(struct vm_blk *n, const char *what, const char *name)
{
    struct qcow2_bitmap *m;
    int st = find_good(n, name, &m);
    if (st != VM_OK)
        return st;
    if (strcmp(what, "clear") == 0)
        qcow2_bits_clear(m->bits);
    else if (strcmp(what, "enable") == 0)
        m->flags |= QCOW2_BM_AUTO;
    else if (strcmp(what, "disable") == 0)
        m->flags &= ~(uint32_t)QCOW2_BM_AUTO;
    else
        return vm__fail(VM_E_INVAL, "Bitmaps cannot be told to '%.40s'", what);
    return qcow2_bitmaps_store(n, false);
}

int qcow2_bitmap(struct vm_blk *n, const char *what, const char *name, struct vm_blk_options *o)
{
    if (!qcow2_of(n)->bitmaps_live)
        return vm__fail(VM_E_STATE, "The image was not opened for writing");
    if (strcmp(what, "add") == 0)
        return add(n, name, o);
    if (strcmp(what, "remove") == 0)
        return drop(n, name);
    if (strcmp(what, "merge") == 0)
        return merge_own(n, name, o);
    return change(n, what, name);
}

int qcow2_bitmaps_resize(struct vm_blk *n, uint64_t size, bool check)
{
    struct qcow2 *s = qcow2_of(n);
    int st = VM_OK;
    for (uint32_t i = 0; st == VM_OK && i < s->n_bitmaps; i++) {
        struct qcow2_bitmap *m;
        st = find_good(n, s->bitmaps[i].name, &m);
        if (st == VM_OK && !check)
            st = qcow2_bits_resize(&m->bits, size);
    }
    return st == VM_OK && !check && s->n_bitmaps != 0 ? qcow2_bitmaps_store(n, false) : st;
}
