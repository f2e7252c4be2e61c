/* SPDX-License-Identifier: MIT */
/**
 * @file fuzz_vga.c
 * A guest that writes garbage to every register and all memory of the VGA, while somebody looks.
 *
 *     fuzz_vga [seed [accesses [seconds]]]
 *
 * The same seed gives the same run; with seconds it goes on with the next seeds for that long. It
 * must come to its end, without a complaint of a sanitizer, and without the process having grown.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/device_impl.h"
#include "core/field_io.h"
#include "devices/pci/pci.h"
#include "devices/vga_modes.h"

enum { GROWTH_LIMIT = 4 << 20 };

static struct vga_test t;
static uint64_t state; /* never 0 */

/** xorshift64*. */
static uint64_t next(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * UINT64_C(2685821657736338717);
}

static uint64_t below(uint64_t n)
{
    return next() % n;
}

static uint8_t some_byte(void)
{
    switch (below(4)) {
    case 0:
        return (uint8_t)below(4);
    case 1:
        return 0xff;
    case 2:
        return (uint8_t)(1 << below(8));
    default:
        return (uint8_t)next();
    }
}

static void ports(void)
{
    static const uint16_t index_ports[] = { 0x3c4, 0x3ce, 0x3d4, 0x3b4, 0x3c0 };
    const uint16_t port = index_ports[below(VM_COUNT_OF(index_ports))];
    switch (below(5)) {
    case 0:
        (void)vm__port_read(t.f.m, (uint16_t)(0x3b0 + below(0x30)), 1u << below(3));
        break;
    case 1:
        vm__port_write(t.f.m, (uint16_t)(0x3b0 + below(0x30)), 1u << below(3), (uint32_t)next());
        break;
    default:
        fake_out8(&t.f, port, (uint8_t)below(0x30));
        fake_out8(&t.f, port == 0x3c0 ? port : port + 1, some_byte());
        break;
    }
}

static void dispi(void)
{
    static const uint16_t values[] = { 0, 1, 4, 8, 15, 16, 24, 32, 64, 320, 640, 800, 1024, 4096 };
    uint16_t v = values[below(VM_COUNT_OF(values))];
    if (below(4) == 0)
        v = (uint16_t)next();
    const uint16_t i = (uint16_t)below(12);
    if (i == 4)
        v = (uint16_t)(v | (below(2) ? 0x81 : 0x01)); /* without clearing, most times */
    if (below(2))
        vga_test_dispi(&t, i, v);
    else
        fake_write(&t.f, MMIO + 0x500 + 2 * i, 2, v);
    (void)vga_test_dispi_read(&t, i);
}

static void memory(void)
{
    const unsigned size = 1u << below(4);
    static const struct {
        uint64_t base, span;
    } places[] = { { 0xa0000, 0x20000 }, { LFB, 16 << 20 }, { MMIO, 0x1000 }, { LFB, 0x40000 } };
    const unsigned i = (unsigned)below(VM_COUNT_OF(places));
    const uint64_t at = places[i].base + below(places[i].span);
    if (below(2))
        fake_write(&t.f, at, size, next());
    else
        (void)fake_read(&t.f, at, size);
}

static void look(void)
{
    static vm_text_cell cells[4000];
    uint32_t columns;
    vm__lock(t.f.m);
    const struct vm_surface *s = vm__display_refresh(t.display, below(8) == 0);
    if (s != NULL) /* every pixel is there */
        for (uint32_t y = 0; y < s->height; y += 1 + (uint32_t)below(64))
            state += s->pixels[y * (s->stride / 4) + s->width - 1] & 1;
    (void)vm__display_text(t.display, cells, VM_COUNT_OF(cells), &columns);
    vm__unlock(t.f.m);
}

static void a_mode(void)
{
    static const struct vga_mode *const modes[] = { &vga_mode_01, &vga_mode_03, &vga_mode_04,
                                                    &vga_mode_06, &vga_mode_0d, &vga_mode_12,
                                                    &vga_mode_13, &vga_mode_x };
    vga_test_mode(&t, modes[below(VM_COUNT_OF(modes))]);
}

/** Load a damaged copy of the state: refused or taken, it must go on. */
static void load_damaged(void)
{
    struct vm_buf saved = { 0 };
    vm__lock(t.f.m);
    vm__fields_save(&saved, t.dev->cls->fields, t.dev->state);
    for (unsigned i = 0; i < 8 && saved.len > 0; i++)
        saved.data[below(saved.len)] = (uint8_t)next();
    struct vm_reader r = { .data = saved.data, .len = saved.len };
    int st = vm__fields_load(&r, t.dev->cls->fields, 1, t.dev->state);
    if (st == VM_OK)
        st = t.dev->cls->post_load(t.dev);
    if (st != VM_OK) {
        vm__dev_reset(t.host, VM_DEV_RESET_COLD); /* configuration spaces */
        vm__dev_reset(t.dev, VM_DEV_RESET_COLD);
    }
    vm__unlock(t.f.m);
    free(saved.data);
    look();
}

static void place_bars(void)
{
    vm__lock(t.f.m);
    vm__pci_config_write(t.dev, PCI_BAR0, 4, LFB);
    vm__pci_config_write(t.dev, PCI_BAR0 + 8, 4, MMIO);
    vm__pci_config_write(t.dev, PCI_COMMAND, 2, PCI_COMMAND_MEM | PCI_COMMAND_IO);
    vm__unlock(t.f.m);
}

static void seldom(void)
{
    switch (below(6)) {
    case 0:
        fake_reset(t.dev, VM_DEV_RESET_WARM);
        break;
    case 1:
        fake_save_load(t.dev);
        break;
    case 2:
        load_damaged();
        place_bars();
        break;
    case 3:
        a_mode();
        break;
    default:
        fake_advance(&t.f, below(50000000));
        break;
    }
}

static void run(uint64_t seed, uint64_t accesses)
{
    state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (uint64_t i = 0; i < accesses; i++) {
        switch (below(8)) {
        case 0:
        case 1:
        case 2:
            ports();
            break;
        case 3:
            dispi();
            break;
        default:
            memory();
            break;
        }
        if (i % 64 == 0)
            look();
        if (i % 256 == 0)
            seldom();
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    const uint64_t accesses = argc > 2 ? strtoull(argv[2], NULL, 0) : 20000;
    const time_t end = time(NULL) + (argc > 3 ? atoi(argv[3]) : 0);
    size_t before = 0;

    vga_test_init(&t);
    for (uint64_t first = seed;; seed++) {
        printf("seed %llu, %llu accesses\n", (unsigned long long)seed,
               (unsigned long long)accesses);
        fflush(stdout);
        run(seed, accesses);
        fake_reset(t.dev, VM_DEV_RESET_COLD);
        look(); /* a small picture again */
        const size_t used = mallinfo2().uordblks;
        if (seed == first)
            before = used;
        if (used > before + GROWTH_LIMIT) {
            printf("heap %zu, then %zu bytes\n", before, used);
            return 1;
        }
        if (time(NULL) >= end)
            break;
    }
    vga_test_fini(&t);
    return 0;
}
