/* SPDX-License-Identifier: MIT */
/**
 * @file snapshot.c
 * A whole machine as bytes.
 *
 * A stream is a head (magic, format, board, processors) and sections in a fixed order: clock,
 * processors, devices, memory. Each section is its kind, its instance, its version, the bytes that
 * follow (u64), and those. State goes through field tables; memory is runs of pages that are not
 * zero.
 *
 * Loading checks the whole stream against the machine before it changes anything; then state is
 * loaded and every part rebuilds what follows from it. A part may still refuse what only it can
 * judge (post_load): then the state of before is put back. Memory comes last and cannot fail.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/endian.h"
#include "base/error.h"
#include "core/address_space.h"
#include "core/board.h"
#include "core/clock_impl.h"
#include "core/device_impl.h"
#include "core/field_io.h"
#include "core/part.h"
#include "core/run.h"

static const char magic[8] = "libvm-s";
enum { FORMAT = 1 };

static const char *board_name(const struct vm_machine *m)
{
    return m->board != NULL ? m->board->name : "none";
}

static uint32_t class_version(const struct vm_dev_class *cls)
{
    return cls->version != 0 ? cls->version : 1;
}

/* ---- sections --------------------------------------------------------------------------- */

static size_t begin(struct vm_buf *b, const char *kind, const char *id, uint32_t version)
{
    vm__buf_name(b, kind);
    vm__buf_name(b, id);
    vm__buf_u32(b, version);
    vm__buf_u64(b, 0);
    return b->len;
}

static void end(struct vm_buf *b, size_t start)
{
    vm__buf_patch_u64(b, start - 8, b->len - start);
}

/* The next section, which must be this one. */
static int open_section(struct vm_reader *r, const char *kind, const char *id, uint32_t newest,
                        uint32_t *version, struct vm_reader *part)
{
    if (!vm__read_name(r, kind) || !vm__read_name(r, id))
        return vm__fail(VM_E_VERSION, "no %s %s at offset 0x%zx", kind, id, r->off);
    *version = vm__read_u32(r);
    const uint64_t len = vm__read_u64(r);
    *part = vm__read_part(r, len);
    if (r->failed)
        return vm__fail(VM_E_CORRUPT, "%s %s is cut off", kind, id);
    if (*version == 0 || *version > newest)
        return vm__fail(VM_E_VERSION, "%s %s is of version %u; this library knows %u", kind, id,
                        *version, newest);
    return VM_OK;
}

static int whole(const struct vm_reader *part, const char *kind, const char *id)
{
    if (part->failed || part->off != part->len)
        return vm__fail(VM_E_CORRUPT, "%s %s has the wrong size", kind, id);
    return VM_OK;
}

/* ---- memory ----------------------------------------------------------------------------- */

/* RAM, oldest first; *n of them. ROM does not change. */
static struct vm_region **ram_regions(struct vm_machine *m, uint32_t *n)
{
    *n = 0;
    for (struct vm_region *r = m->mem->regions; r != NULL; r = r->next)
        *n += r->kind == VM_REGION_RAM;
    struct vm_region **list = calloc(*n + 1, sizeof(*list));
    uint32_t i = *n;
    for (struct vm_region *r = m->mem->regions; r != NULL && list != NULL; r = r->next)
        if (r->kind == VM_REGION_RAM)
            list[--i] = r;
    return list;
}

static bool is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, VM_PAGE_SIZE - 1) == 0;
}

/* Runs of pages in [first, last): page number, count, bytes. */
static void save_pages(struct vm_buf *b, const struct vm_ram *ram, uint64_t first, uint64_t last)
{
    while (first < last) {
        uint64_t n = 0;
        while (first < last && is_zero(ram->host + (first << VM_PAGE_SHIFT)))
            first++;
        while (first + n < last && !is_zero(ram->host + ((first + n) << VM_PAGE_SHIFT)))
            n++;
        if (n == 0)
            break;
        vm__buf_u64(b, first);
        vm__buf_u64(b, n);
        vm__buf_put(b, ram->host + (first << VM_PAGE_SHIFT), n << VM_PAGE_SHIFT);
        first += n;
    }
}

static void save_ram(struct vm_buf *b, struct vm_region *r)
{
    const struct vm_ram *ram = r->ram;
    const size_t start = begin(b, "memory", r->name, 1);
    vm__buf_u64(b, ram->size);
    if (ram->file.fd < 0) {
        save_pages(b, ram, 0, ram->size >> VM_PAGE_SHIFT);
    } else {
        /* Holes of the memory file were never touched; looking would fill them. */
        uint64_t from, to = 0;
        while (vm__memfd_next_data(&ram->file, to, &from, &to))
            save_pages(b, ram, from >> VM_PAGE_SHIFT, (to + VM_PAGE_SIZE - 1) >> VM_PAGE_SHIFT);
    }
    end(b, start);
}

/* Every page is new: code derived from any of them is stale. */
static void all_pages_written(struct vm_ram *ram)
{
    for (uint64_t i = 0; i < ram->size >> VM_PAGE_SHIFT; i++)
        if (atomic_load_explicit(&ram->pages[i].code_sectors, memory_order_relaxed) != 0)
            vm__page_written(&ram->pages[i], 0, VM_PAGE_SIZE);
}

static void clear_ram(struct vm_ram *ram)
{
    if (ram->file.fd < 0 || vm__memfd_clear(&ram->file) != VM_OK)
        memset(ram->host, 0, ram->size);
}

/* @p apply false: only check. */
static int load_ram(struct vm_reader *part, struct vm_region *r, bool apply)
{
    struct vm_ram *ram = r->ram;
    const uint64_t pages = ram->size >> VM_PAGE_SHIFT;
    uint64_t next = 0; /* runs come in order */

    if (vm__read_u64(part) != ram->size)
        return vm__fail(VM_E_VERSION, "memory %s is of another size", r->name);
    if (apply)
        clear_ram(ram);
    while (part->off != part->len && !part->failed) {
        const uint64_t first = vm__read_u64(part), n = vm__read_u64(part);
        if (first < next || first > pages || n == 0 || n > pages - first)
            return vm__fail(VM_E_CORRUPT, "memory %s has no pages 0x%llx to 0x%llx", r->name,
                            (unsigned long long)first, (unsigned long long)(first + n));
        const uint8_t *bytes = vm__read_bytes(part, n << VM_PAGE_SHIFT);
        if (bytes != NULL && apply)
            memcpy(ram->host + (first << VM_PAGE_SHIFT), bytes, n << VM_PAGE_SHIFT);
        next = first + n;
    }
    if (apply)
        all_pages_written(ram);
    return whole(part, "memory", r->name);
}

/* ---- state ------------------------------------------------------------------------------ */

static void cpu_id(const struct vm_cpu *cpu, char id[16])
{
    static const char digits[] = "0123456789";
    id[0] = digits[cpu->index / 100 % 10];
    id[1] = digits[cpu->index / 10 % 10];
    id[2] = digits[cpu->index % 10];
    id[3] = '\0';
}

static void save_state(struct vm_machine *m, struct vm_buf *b)
{
    size_t start = begin(b, "clock", "", 1);
    vm__buf_u64(b, vm__clock_ns(m));
    vm__buf_u64(b, m->epoch_s);
    for (int i = 0; i < 4; i++)
        vm__buf_u64(b, m->random[i]);
    vm__buf_u32(b, m->run->turn);
    vm__buf_u32(b, m->run->slice_left);
    end(b, start);
    for (uint32_t i = 0; i < m->n_cpus; i++) {
        struct vm_cpu *cpu = m->cpus[i];
        char id[16];
        cpu_id(cpu, id);
        start = begin(b, cpu->cls->name, id, 1);
        vm__fields_save(b, cpu->cls->fields, cpu->cls->state(cpu));
        end(b, start);
    }
    for (uint32_t i = 0; i < m->n_devs; i++) {
        const struct vm_dev *dev = m->devs[i];
        start = begin(b, dev->cls->name, dev->id, class_version(dev->cls));
        vm__fields_save(b, dev->cls->fields, dev->state);
        end(b, start);
    }
}

static int load_clock(struct vm_machine *m, struct vm_reader *r, bool apply)
{
    struct vm_reader part;
    uint32_t version;
    int st = open_section(r, "clock", "", 1, &version, &part);
    if (st != VM_OK)
        return st;
    const uint64_t now = vm__read_u64(&part), epoch = vm__read_u64(&part);
    uint64_t random[4];
    for (int i = 0; i < 4; i++)
        random[i] = vm__read_u64(&part);
    const uint32_t turn = vm__read_u32(&part), slice_left = vm__read_u32(&part);
    st = whole(&part, "clock", "");
    if (st == VM_OK && apply) {
        vm__clock_set(m, now);
        m->epoch_s = epoch;
        memcpy(m->random, random, sizeof random);
        m->run->turn = turn;
        m->run->slice_left = slice_left;
    }
    return st;
}

static int load_cpu(struct vm_cpu *cpu, struct vm_reader *r, bool apply)
{
    struct vm_reader part;
    uint32_t version;
    char id[16];
    cpu_id(cpu, id);
    int st = open_section(r, cpu->cls->name, id, 1, &version, &part);
    if (st == VM_OK)
        st = vm__fields_load(&part, cpu->cls->fields, version, apply ? cpu->cls->state(cpu) : NULL);
    if (st == VM_OK)
        st = whole(&part, cpu->cls->name, id);
    return st == VM_OK ? st : vm__fail_prefix(st, "%s %s: ", cpu->cls->name, id);
}

static int load_dev(struct vm_dev *dev, struct vm_reader *r, bool apply)
{
    struct vm_reader part;
    uint32_t version;
    int st = open_section(r, dev->cls->name, dev->id, class_version(dev->cls), &version, &part);
    if (st == VM_OK && apply && version < class_version(dev->cls))
        vm__dev_reset(dev, VM_DEV_RESET_COLD); /* fields it did not have yet */
    if (st == VM_OK)
        st = vm__fields_load(&part, dev->cls->fields, version, apply ? dev->state : NULL);
    if (st == VM_OK)
        st = whole(&part, dev->cls->name, dev->id);
    return st == VM_OK ? st : vm__fail_prefix(st, "%s: ", dev->id);
}

static int load_state(struct vm_machine *m, struct vm_reader *r, bool apply)
{
    int st = load_clock(m, r, apply);
    for (uint32_t i = 0; i < m->n_cpus && st == VM_OK; i++)
        st = load_cpu(m->cpus[i], r, apply);
    for (uint32_t i = 0; i < m->n_devs && st == VM_OK; i++)
        st = load_dev(m->devs[i], r, apply);
    return st;
}

static int rebuild(struct vm_machine *m)
{
    for (uint32_t i = 0; i < m->n_devs; i++) {
        struct vm_dev *dev = m->devs[i];
        if (dev->cls->post_load != NULL) {
            const int st = dev->cls->post_load(dev);
            if (st != VM_OK)
                return vm__fail_prefix(st, "%s: ", dev->id);
        }
    }
    for (uint32_t i = 0; i < m->n_cpus; i++) {
        struct vm_cpu *cpu = m->cpus[i];
        const int st = cpu->cls->post_load != NULL ? cpu->cls->post_load(cpu) : VM_OK;
        if (st != VM_OK)
            return st;
        vm__cpu_kick(cpu, VM_CPU_REQ_MEM | VM_CPU_REQ_INTR);
    }
    return VM_OK;
}

/* ---- whole ------------------------------------------------------------------------------ */

static void save_head(struct vm_machine *m, struct vm_buf *b)
{
    vm__buf_put(b, magic, sizeof magic);
    vm__buf_u32(b, FORMAT);
    vm__buf_name(b, board_name(m));
    vm__buf_u32(b, m->n_cpus);
    vm__buf_u32(b, m->n_devs);
}

static int load_head(struct vm_machine *m, struct vm_reader *r)
{
    const uint8_t *p = vm__read_bytes(r, sizeof magic);
    if (p == NULL || memcmp(p, magic, sizeof magic) != 0)
        return vm__fail(VM_E_CORRUPT, "not a saved machine");
    const uint32_t format = vm__read_u32(r);
    if (format != FORMAT)
        return vm__fail(VM_E_VERSION, "saved in format %u; this library knows %u", format, FORMAT);
    if (!vm__read_name(r, board_name(m)))
        return vm__fail(VM_E_VERSION, "saved from another board than %s", board_name(m));
    const uint32_t cpus = vm__read_u32(r), devs = vm__read_u32(r);
    if (r->failed || cpus != m->n_cpus || devs != m->n_devs)
        return vm__fail(VM_E_VERSION, "saved with %u processors and %u devices, not %u and %u",
                        cpus, devs, m->n_cpus, m->n_devs);
    return VM_OK;
}

int vm__machine_save(struct vm_machine *m, uint8_t **data, size_t *len)
{
    struct vm_buf b = { 0 };
    uint32_t n;

    if (vm__run_state(m) == VM_ST_RUNNING)
        return vm__fail(VM_E_STATE, "the machine is running");
    vm__lock(m);
    vm__parts_save(m);
    struct vm_region **ram = ram_regions(m, &n);
    save_head(m, &b);
    save_state(m, &b);
    for (uint32_t i = 0; i < n && ram != NULL; i++)
        save_ram(&b, ram[i]);
    vm__unlock(m);
    const bool failed = b.failed || ram == NULL;
    free(ram);
    if (failed) {
        free(b.data);
        return vm__fail_nomem(b.len);
    }
    *data = b.data;
    *len = b.len;
    return VM_OK;
}

static int load_memory(struct vm_reader *r, struct vm_region **ram, uint32_t n, bool apply)
{
    int st = VM_OK;
    for (uint32_t i = 0; i < n && st == VM_OK; i++) {
        struct vm_reader part;
        uint32_t version;
        st = open_section(r, "memory", ram[i]->name, 1, &version, &part);
        if (st == VM_OK)
            st = load_ram(&part, ram[i], apply);
    }
    if (st == VM_OK && r->off != r->len)
        st = vm__fail(VM_E_CORRUPT, "%zu bytes follow the last section", r->len - r->off);
    return st;
}

/* Load the state; if a part refuses, put back what was. */
static int replace_state(struct vm_machine *m, struct vm_reader *r)
{
    struct vm_buf before = { 0 };
    save_state(m, &before);
    if (before.failed) {
        free(before.data);
        return vm__fail_nomem(before.len);
    }
    int st = load_state(m, r, true);
    if (st == VM_OK)
        st = rebuild(m);
    if (st != VM_OK) {
        const vm_error why = *vm_last_error();
        char text[256];
        strncpy(text, why.message, sizeof text - 1);
        text[sizeof text - 1] = '\0';
        struct vm_reader old = { .data = before.data, .len = before.len };
        (void)load_state(m, &old, true);
        (void)rebuild(m);
        st = vm__fail(st, "%s", text);
    }
    free(before.data);
    return st;
}

int vm__machine_load(struct vm_machine *m, const uint8_t *data, size_t len)
{
    struct vm_reader r = { .data = data, .len = len };
    uint32_t n;

    if (vm__run_state(m) == VM_ST_RUNNING)
        return vm__fail(VM_E_STATE, "the machine is running");
    vm__lock(m);
    vm__parts_save(m);
    vm__mem_begin(m);
    struct vm_region **ram = ram_regions(m, &n);
    int st = ram != NULL ? load_head(m, &r) : vm__fail_nomem(n * sizeof(*ram));
    const size_t state_at = r.off;
    if (st == VM_OK)
        st = load_state(m, &r, false);
    const size_t memory_at = r.off;
    if (st == VM_OK)
        st = load_memory(&r, ram, n, false);
    if (st == VM_OK) {
        struct vm_reader state = { .data = data, .len = len, .off = state_at };
        st = replace_state(m, &state);
    }
    if (st == VM_OK) {
        struct vm_reader memory = { .data = data, .len = len, .off = memory_at };
        st = load_memory(&memory, ram, n, true);
    }
    vm__mem_commit(m);
    vm__unlock(m);
    free(ram);
    return st;
}
