/* SPDX-License-Identifier: MIT */
/**
 * @file plan.c
 * Segments of a direct boot: checked against RAM and against each other.
 */
#include "boards/boot/plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"

enum {
    LOW_MIN = 0x1000,  /* above the real-mode vectors and the BIOS data area */
    LOW_MAX = 0x9efff, /* below the extended BIOS data area */
    LOW_ALIGN = 16,
};

void vm__boot_plan_init(struct boot_plan *p)
{
    memset(p, 0, sizeof *p);
}

void vm__boot_plan_fini(struct boot_plan *p)
{
    for (size_t i = 0; i < p->n_owned; i++)
        free(p->owned[i]);
    free(p->owned);
    free(p->segs);
    memset(p, 0, sizeof *p);
}

/** Make room for one more element of @p elem bytes; the array doubles. */
static void *grow(void *array, size_t n, size_t *cap, size_t elem)
{
    if (n < *cap)
        return array;
    size_t cap2 = *cap == 0 ? 16 : *cap * 2;
    void *array2 = realloc(array, cap2 * elem);
    if (array2 != NULL)
        *cap = cap2;
    return array2;
}

bool vm__boot_in_ram(const struct boot_request *r, uint64_t gpa, uint64_t len)
{
    for (size_t i = 0; i < r->n_ranges; i++) {
        const struct boot_range *range = &r->ranges[i];
        if (range->type == BOOT_RAM_USABLE && gpa >= range->base &&
            gpa - range->base <= range->size && len <= range->size - (gpa - range->base))
            return true;
    }
    return false;
}

/** The segment that [gpa, gpa + len) runs into, or NULL. Ranges were checked: no sum wraps. */
static const struct boot_segment *overlap(const struct boot_plan *p, uint64_t gpa, uint64_t len)
{
    for (size_t i = 0; i < p->n_segs; i++) {
        const struct boot_segment *s = &p->segs[i];
        if (gpa < s->gpa + s->len + s->zeros && s->gpa < gpa + len)
            return s;
    }
    return NULL;
}

int vm__boot_add(struct boot_plan *p, const struct boot_request *r, const char *what, uint64_t gpa,
                 const uint8_t *data, uint64_t len, uint64_t zeros)
{
    if (len > UINT64_MAX - zeros)
        return vm__fail(VM_E_CORRUPT, "%s: %s has an impossible size", r->kernel.name, what);
    uint64_t size = len + zeros;
    if (size == 0)
        return VM_OK;
    if (!vm__boot_in_ram(r, gpa, size))
        return vm__fail(VM_E_RANGE,
                        "%s: %s needs 0x%" PRIx64 " bytes at 0x%" PRIx64
                        ", which is not all memory of this machine",
                        r->kernel.name, what, size, gpa);
    const struct boot_segment *other = overlap(p, gpa, size);
    if (other != NULL)
        return vm__fail(VM_E_CORRUPT,
                        "%s: %s at 0x%" PRIx64 " overlaps what is loaded at 0x%" PRIx64,
                        r->kernel.name, what, gpa, other->gpa);
    struct boot_segment *segs = grow(p->segs, p->n_segs, &p->cap_segs, sizeof *segs);
    if (segs == NULL)
        return vm__fail(VM_E_NOMEM, "out of memory");
    p->segs = segs;
    p->segs[p->n_segs++] =
        (struct boot_segment) { .gpa = gpa, .data = data, .len = len, .zeros = zeros };
    p->total_bytes += size;
    return VM_OK;
}

uint8_t *vm__boot_alloc(struct boot_plan *p, size_t len)
{
    uint8_t **owned = grow(p->owned, p->n_owned, &p->cap_owned, sizeof *owned);
    uint8_t *bytes = NULL;
    if (owned != NULL) {
        p->owned = owned;
        bytes = calloc(1, len != 0 ? len : 1);
    }
    if (bytes == NULL) {
        (void)vm__fail(VM_E_NOMEM, "out of memory");
        return NULL;
    }
    p->owned[p->n_owned++] = bytes;
    return bytes;
}

/** The highest place in one range; false if there is none. */
static bool find_in_range(const struct boot_plan *p, uint64_t lo, uint64_t end, uint64_t len,
                          uint64_t align, uint64_t *gpa)
{
    while (end > lo && end - lo >= len) {
        uint64_t at = (end - len) & ~(align - 1);
        if (at < lo)
            return false;
        const struct boot_segment *s = overlap(p, at, len);
        if (s == NULL) {
            *gpa = at;
            return true;
        }
        end = s->gpa; /* strictly lower each turn: at most n_segs turns */
    }
    return false;
}

int vm__boot_find(const struct boot_plan *p, const struct boot_request *r, const char *what,
                  uint64_t len, uint64_t align, uint64_t min, uint64_t max, uint64_t *gpa)
{
    for (size_t i = r->n_ranges; i-- > 0;) {
        const struct boot_range *range = &r->ranges[i];
        if (range->type != BOOT_RAM_USABLE || range->base > max)
            continue;
        uint64_t lo = range->base > min ? range->base : min;
        uint64_t end = range->base + range->size;
        if (end - 1 > max)
            end = max + 1;
        if (find_in_range(p, lo, end, len, align, gpa))
            return VM_OK;
    }
    return vm__fail(VM_E_RANGE, "%s: no room in memory for %s (%" PRIu64 " bytes); try more memory",
                    r->kernel.name, what, len);
}

int vm__boot_add_low(struct boot_plan *p, const struct boot_request *r, const char *what,
                     const uint8_t *data, uint64_t len, uint32_t *gpa)
{
    uint64_t at = 0;
    int st = vm__boot_find(p, r, what, len, LOW_ALIGN, LOW_MIN, LOW_MAX, &at);
    if (st != VM_OK)
        return st;
    *gpa = (uint32_t)at;
    return vm__boot_add(p, r, what, at, data, len, 0);
}

int vm__boot_add_gdt(struct boot_plan *p, const struct boot_request *r)
{
    uint8_t *gdt = vm__boot_alloc(p, BOOT_GDT_BYTES);
    if (gdt == NULL)
        return VM_E_NOMEM;
    /* Flat 4 GiB code and data, and a busy 32-bit TSS of minimal limit at 0 [SDM-3A §3.4.5]. */
    vm_put_le64(gdt + BOOT_SEL_CODE, UINT64_C(0x00cf9b000000ffff));
    vm_put_le64(gdt + BOOT_SEL_DATA, UINT64_C(0x00cf93000000ffff));
    vm_put_le64(gdt + BOOT_SEL_TSS, UINT64_C(0x00008b0000000067));
    return vm__boot_add_low(p, r, "the descriptor table", gdt, BOOT_GDT_BYTES, &p->entry.gdt_base);
}
