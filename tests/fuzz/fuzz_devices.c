/* SPDX-License-Identifier: MIT */
/**
 * @file fuzz_devices.c
 * A guest that writes garbage to every port and window of a whole board's chips.
 *
 *     fuzz_devices [seed [accesses]]
 *
 * The same seed gives the same run. It must come to its end, without a complaint of a sanitizer,
 * and without the process having grown; what goes wrong is repeated with the seed it prints.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/device_impl.h"
#include "core/display.h"
#include "core/field_io.h"
#include "core/input.h"
#include "devices/classes.h"
#include "devices/firmware/fw_cfg.h"
#include "devices/pci/i440fx.h"
#include "devices/pci/pci.h"
#include "devices/pci/piix4_pm.h"

enum { MAX_DEVICES = 32, GROWTH_LIMIT = 64 << 20 }; /* a picture may take 40 MiB */

struct fuzz {
    struct fake_machine f;
    struct vm_dev *devices[MAX_DEVICES];
    unsigned n_devices;
    uint64_t random; /**< never 0 */
};

/** xorshift64*. */
static uint64_t next(struct fuzz *z)
{
    z->random ^= z->random >> 12;
    z->random ^= z->random << 25;
    z->random ^= z->random >> 27;
    return z->random * UINT64_C(2685821657736338717);
}

static uint64_t below(struct fuzz *z, uint64_t n)
{
    return next(z) % n;
}

static void keep(struct fuzz *z, struct vm_dev *dev)
{
    if (dev == NULL) {
        fprintf(stderr, "cannot make a device: %s\n", vm_last_error()->message);
        exit(1);
    }
    z->devices[z->n_devices++] = dev;
}

static void build_pci(struct fuzz *z)
{
    struct vm_machine *m = z->f.m;
    struct vm_dev *host = vm__dev_new(m, &vm__i440fx_class, NULL, NULL);
    struct vm_pci_bus *bus = vm__pci_bus_of(host);
    keep(z, vm__pci_add(bus, host, 0));
    struct vm_dev *isa = vm__pci_add(bus, vm__dev_new(m, &vm__piix3_class, NULL, NULL), 1 << 3);
    keep(z, isa);
    keep(z, vm__pci_add(bus, vm__dev_new(m, &vm__piix4_pm_class, NULL, NULL), 1 << 3 | 3));
    keep(z, vm__pci_add(bus, vm__dev_new(m, &vm__pci_testdev_class, NULL, NULL), 4 << 3));
    static const struct vm_setting no_rom[] = { { "romfile", "none" }, { 0 } };
    keep(z, vm__pci_add(bus, vm__dev_new(m, &vm__vga_class, NULL, no_rom), 2 << 3));
    for (uint32_t i = 0; i < PCI_PINS; i++)
        vm__dev_connect(host, i, vm__dev_pin(isa, i));
    if (vm__i440fx_set_memory(host, z->f.ram, NULL, 0, 0) != VM_OK)
        exit(1);
}

static void build(struct fuzz *z)
{
    static const struct vm_dev_class *const plain[] = {
        &vm__i8259_class,    &vm__i8237_class,   &vm__ioapic_class,         &vm__i8254_class,
        &vm__mc146818_class, &vm__hpet_class,    &vm__i8042_class,          &vm__pc_testdev_class,
        &vm__port92_class,   &vm__pvpanic_class, &vm__isa_debug_exit_class,
    };
    fake_init(&z->f);
    fake_chr(&z->f, "com1");
    fake_chr(&z->f, "log");
    fake_chr(&z->f, "lpt");
    build_pci(z);
    for (unsigned i = 0; i < VM_COUNT_OF(plain); i++)
        keep(z, fake_add(&z->f, plain[i], NULL));
    keep(z, fake_add(&z->f, &vm__ns16550_class, "chardev", "com1", NULL));
    keep(z, fake_add(&z->f, &vm__debugcon_class, "chardev", "log", NULL));
    keep(z, fake_add(&z->f, &vm__parallel_class, "chardev", "lpt", "dma", "3", NULL));
    struct vm_dev *cfg = fake_add(&z->f, &vm__fw_cfg_class, NULL);
    keep(z, cfg);
    vm__fw_cfg_add_file(cfg, "etc/text", "0123456789abcdef", 16);
    vm__fw_cfg_add_writable(cfg, "etc/open", "0123456789abcdef", 16);
    for (unsigned i = 0; i < z->n_devices; i++)
        fake_reset(z->devices[i], VM_DEV_RESET_COLD);
}

/** Mostly ports that are somebody's, and small or striking values. */
static uint16_t some_port(struct fuzz *z)
{
    static const struct {
        uint16_t base, n;
    } ranges[] = {
        { 0x20, 2 },    { 0xa0, 2 },   { 0x4d0, 2 },    { 0x40, 4 },  { 0x60, 6 },  { 0x70, 4 },
        { 0x92, 1 },    { 0x3b0, 48 }, { 0x1ce, 3 },    { 0xb2, 2 },  { 0xe0, 16 }, { 0x3f8, 8 },
        { 0x510, 12 },  { 0x505, 1 },  { 0x600, 64 },   { 0xcf8, 8 }, { 0xcfc, 4 }, { 0xcfc, 4 },
        { 0x2000, 24 }, { 0x700, 16 }, { 0xc000, 256 }, { 0x00, 32 }, { 0xc0, 32 }, { 0x80, 16 },
        { 0x480, 16 },  { 0x378, 8 },  { 0x778, 3 },
    };
    uint64_t i = below(z, VM_COUNT_OF(ranges) + 1);
    if (i == VM_COUNT_OF(ranges))
        return (uint16_t)next(z);
    return (uint16_t)(ranges[i].base + below(z, ranges[i].n));
}

static uint64_t some_address(struct fuzz *z)
{
    static const uint64_t bases[] = { 0xfec00000, 0xfed00000, 0xff000000, 0xa0000,
                                      0xc0000,    0xe0000000, 0xfffffff0, 0x1000 };
    static const uint32_t spans[] = { 0x100, 0x400, 0x10000, 0x20000, 0x40000, 0x2000, 32, 64 };
    uint64_t i = below(z, VM_COUNT_OF(bases));
    return bases[i] + below(z, spans[i]);
}

static uint64_t some_value(struct fuzz *z)
{
    switch (below(z, 4)) {
    case 0:
        return below(z, 4);
    case 1:
        return UINT64_C(0) - below(z, 4);
    case 2:
        return UINT64_C(1) << below(z, 64);
    default:
        return next(z);
    }
}

/** A configuration cycle: a valid address now and then, or hardly any would hit. */
static void configure(struct fuzz *z)
{
    static const uint8_t functions[] = { 0, 1 << 3, 1 << 3 | 3, 2 << 3, 4 << 3 };
    uint32_t devfn = functions[below(z, VM_COUNT_OF(functions))];
    fake_out32(&z->f, 0xcf8, 0x80000000u | devfn << 8 | ((uint32_t)next(z) & 0xfc));
    vm__port_write(z->f.m, (uint16_t)(0xcfc + below(z, 4)), 1u << below(z, 3),
                   (uint32_t)some_value(z));
}

/** What comes from the other side: keys, bytes, lines, messages' ends, the power button. */
static void outside(struct fuzz *z)
{
    struct vm_irq_hub *hub = &z->f.m->irq_hub;
    struct vm_dev *dev = z->devices[below(z, z->n_devices)];

    switch (below(z, 8)) {
    case 7:
        vm__lock(z->f.m);
        (void)vm__display_refresh(vm__display_get(z->f.m, 0), next(z) & 1);
        vm__unlock(z->f.m);
        break;
    case 0:
        vm__input_key(z->f.m, (uint32_t)below(z, 256), next(z) & 1);
        break;
    case 1:
        vm__input_relative(z->f.m, (int32_t)next(z), (int32_t)next(z), (int32_t)next(z),
                           (uint32_t)next(z));
        break;
    case 2:
        fake_feed(&z->f, "com1", "The quick brown fox jumps over the lazy dog");
        break;
    case 3:
        (void)hub->pic_ack(hub->pic);
        break;
    case 4:
        hub->ioapic_eoi(hub->ioapic, (uint8_t)next(z));
        break;
    case 5:
        z->f.chr_blocked = next(z) & 1;
        z->f.n_out = 0;
        vm__chr_ready(vm__chr_find(z->f.m, "com1"));
        vm__chr_ready(vm__chr_find(z->f.m, "lpt"));
        break;
    default:
        if (dev->cls->n_irq_in > 0) {
            struct vm_irq pin = vm__dev_pin(dev, (uint32_t)below(z, dev->cls->n_irq_in));
            vm__lock(z->f.m);
            vm__irq_set(&pin, next(z) & 1);
            vm__unlock(z->f.m);
        }
        break;
    }
}

static void step(struct fuzz *z)
{
    static const uint8_t sizes[] = { 1, 2, 4, 8 };
    struct fake_machine *f = &z->f;

    switch (below(z, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
        (void)vm__port_read(f->m, some_port(z), sizes[below(z, 3)]);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        vm__port_write(f->m, some_port(z), sizes[below(z, 3)], (uint32_t)some_value(z));
        break;
    case 9:
    case 10:
        configure(z);
        break;
    case 11:
        (void)fake_read(f, some_address(z), sizes[below(z, 4)]);
        break;
    case 12:
    case 13:
        fake_write(f, some_address(z), sizes[below(z, 4)], some_value(z));
        break;
    case 14:
        fake_advance(f, below(z, 200000));
        break;
    default:
        outside(z);
        break;
    }
}

/**
 * Load a damaged copy of a device's own state: taken, or refused and put back as it was, which is
 * what the machine does (core/snapshot.c); all must go on.
 */
static void load_damaged(struct fuzz *z, struct vm_dev *dev)
{
    struct vm_buf good = { 0 }, saved = { 0 };
    struct vm_reader r;

    vm__lock(dev->m);
    vm__fields_save(&good, dev->cls->fields, dev->state);
    vm__fields_save(&saved, dev->cls->fields, dev->state);
    for (unsigned i = 0; i < 4 && saved.len > 0; i++)
        saved.data[below(z, saved.len)] = (uint8_t)some_value(z);
    r = (struct vm_reader) { .data = saved.data, .len = saved.len };
    int st = vm__fields_load(&r, dev->cls->fields, 1, dev->state);
    if (st == VM_OK && dev->cls->post_load != NULL)
        st = dev->cls->post_load(dev);
    if (st != VM_OK) {
        r = (struct vm_reader) { .data = good.data, .len = good.len };
        st = vm__fields_load(&r, dev->cls->fields, 1, dev->state);
        if (st == VM_OK && dev->cls->post_load != NULL)
            st = dev->cls->post_load(dev);
        if (st != VM_OK) {
            fprintf(stderr, "%s does not take its own state back: %s\n", dev->cls->name,
                    vm_last_error()->message);
            exit(1);
        }
    }
    vm__unlock(dev->m);
    free(saved.data);
    free(good.data);
    for (unsigned i = 0; i < 100; i++)
        step(z);
    for (unsigned i = 0; i < z->n_devices; i++)
        fake_reset(z->devices[i], VM_DEV_RESET_COLD);
}

/** Now and then: much time at once, a reset, saving and loading. */
static void seldom(struct fuzz *z)
{
    struct vm_dev *dev = z->devices[below(z, z->n_devices)];
    switch (below(z, 5)) {
    case 0:
        fake_advance(&z->f, below(z, 50000000));
        break;
    case 1:
        fake_reset(dev, (enum vm_reset_kind)below(z, 2));
        break;
    case 2:
        if (dev->cls->fields != NULL)
            load_damaged(z, dev);
        break;
    default:
        if (dev->cls->fields != NULL)
            fake_save_load(dev);
        break;
    }
}

int main(int argc, char **argv)
{
    static struct fuzz z;
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    uint64_t accesses = argc > 2 ? strtoull(argv[2], NULL, 0) : 200000;

    printf("seed %llu, %llu accesses\n", (unsigned long long)seed, (unsigned long long)accesses);
    fflush(stdout);
    z.random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    build(&z);
    for (unsigned i = 0; i < 1000; i++)
        step(&z);
    size_t before = mallinfo2().uordblks;
    for (uint64_t i = 0; i < accesses; i++) {
        step(&z);
        if (i % 512 == 0)
            seldom(&z);
        (void)fake_asked(&z.f);
    }
    size_t after = mallinfo2().uordblks;
    printf("heap %zu, then %zu bytes\n", before, after);
    fake_fini(&z.f);
    return after > before + GROWTH_LIMIT;
}
