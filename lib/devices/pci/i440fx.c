/* SPDX-License-Identifier: MIT */
/**
 * @file i440fx.c
 * Intel 82441FX host bridge (PMC): PCI configuration mechanism 1, shadow RAM, SMRAM.
 *
 * Spec: [I440FX] Intel 290549-001. Section numbers below refer to it.
 * Modelled: CONFADD and CONFDATA, PAM, SMRAM with its lock, storage for other registers.
 * Not modelled: DRAM timing and row boundaries, SMRAM closed to data only (D_CLS).
 *
 * The bridge owns bus 0. Its four outputs are the bus's interrupt lines PIRQ A to D.
 */
#include "devices/pci/i440fx.h"

#include "core/machine.h"
#include "devices/pci/pci.h"

enum {
    PAM0 = 0x59,
    PAM_COUNT = 7,
    SMRAM = 0x72,

    PAM_READ = 1,
    PAM_WRITE = 2,

    SMRAM_D_OPEN = 0x40,
    SMRAM_D_LCK = 0x10,
    SMRAM_G_ENABLE = 0x08,
    SMRAM_BASE_A = 0x02, /* C_BASE_SEG: the only legal value */

    CONFADD_ENABLE = 1u << 31,
    CONFADD_WRITABLE = 0x80ffffff,

    SEGMENTS = 13, /* C0000…EFFFF in twelve of 16 KiB, F0000…FFFFF in one */
    SEG_FIRST = 0xc0000,
    SEG_SIZE = 0x4000,
    SEG_LAST_SIZE = 0x10000,
    SMRAM_BASE = 0xa0000,
    SMRAM_SIZE = 0x20000,
};

/** One shadowed segment: RAM over it, and ROM over it whose writes go to RAM. */
struct shadow {
    struct vm_region *ram;
    struct vm_region *rom;
};

struct i440fx {
    struct vm_pci pci;
    uint32_t address; /**< CONFADD */

    /* Rebuilt. */
    struct vm_pci_bus bus;
    struct shadow shadow[SEGMENTS];
    struct vm_region *smram; /**< RAM under 0xA0000 */
    struct vm_region *hole;  /**< all ones: what is read where there is no ROM */
};

/* ---- memory ------------------------------------------------------------------------------- */

/** PAM's two bits for a segment. §3.2.18: PAM0's high nibble is F0000, then two a register. */
static unsigned pam_bits(const struct i440fx *s, unsigned segment)
{
    const uint8_t *pam = &s->pci.config[PAM0];
    if (segment == SEGMENTS - 1)
        return pam[0] >> 4 & 3;
    return pam[1 + segment / 2] >> (segment & 1 ? 4 : 0) & 3;
}

static void update_memory(struct vm_dev *dev)
{
    struct i440fx *s = vm_dev_state(dev);
    uint8_t smram = s->pci.config[SMRAM];

    if (s->smram == NULL)
        return;
    vm__mem_begin(dev->m);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        unsigned pam = pam_bits(s, i);
        vm__region_readonly(s->shadow[i].ram, !(pam & PAM_WRITE));
        vm__region_enable(s->shadow[i].ram, pam & PAM_READ);
        vm__region_enable(s->shadow[i].rom, pam == PAM_WRITE);
    }
    vm__region_views(s->smram, smram & SMRAM_D_OPEN ? VM_IN_BOTH : VM_IN_SMM);
    vm__region_enable(s->smram, smram & (SMRAM_D_OPEN | SMRAM_G_ENABLE));
    vm__mem_commit(dev->m);
}

/** The two faces of segment @p i: RAM, and what lies below it with writes to RAM. */
static int make_shadow(struct vm_dev *dev, unsigned i, struct vm_region *ram,
                       struct vm_region *below, uint64_t below_off)
{
    struct i440fx *s = vm_dev_state(dev);
    uint64_t base = SEG_FIRST + (uint64_t)i * SEG_SIZE;
    uint64_t size = i == SEGMENTS - 1 ? SEG_LAST_SIZE : SEG_SIZE;
    struct shadow *sh = &s->shadow[i];

    sh->ram = vm__alias_new(dev->m, "shadow", ram, base, size);
    sh->rom = vm__alias_new(dev->m, "shadow-write", below, below_off, size);
    if (sh->ram == NULL || sh->rom == NULL)
        return VM_E_NOMEM;
    vm__region_readonly(sh->rom, true);
    vm__region_writes_to(sh->rom, ram, base);
    int st = vm__region_place(sh->ram, base, VM_PRIO_SHADOW);
    return st == VM_OK ? vm__region_place(sh->rom, base, VM_PRIO_SHADOW) : st;
}

int vm__i440fx_set_memory(struct vm_dev *dev, struct vm_region *ram, struct vm_region *bios,
                          uint32_t bios_gpa, uint64_t bios_off)
{
    static const uint8_t ones[SEG_LAST_SIZE] = { [0 ... SEG_LAST_SIZE - 1] = 0xff };
    struct i440fx *s = vm_dev_state(dev);
    int st = VM_OK;

    vm__mem_begin(dev->m);
    s->hole = vm__rom_new(dev->m, "hole", ones, sizeof ones, sizeof ones);
    s->smram = vm__alias_new(dev->m, "smram", ram, SMRAM_BASE, SMRAM_SIZE);
    if (s->hole == NULL || s->smram == NULL)
        st = VM_E_NOMEM;
    if (st == VM_OK)
        st = vm__region_place(s->smram, SMRAM_BASE, VM_PRIO_SHADOW);
    for (unsigned i = 0; i < SEGMENTS && st == VM_OK; i++) {
        uint32_t base = SEG_FIRST + i * SEG_SIZE;
        bool in_bios = bios != NULL && base >= bios_gpa;
        st = make_shadow(dev, i, ram, in_bios ? bios : s->hole,
                         in_bios ? bios_off + (base - bios_gpa) : 0);
    }
    if (st == VM_OK)
        update_memory(dev);
    vm__mem_commit(dev->m);
    return st;
}

void vm__i440fx_shadow_all(struct vm_dev *dev)
{
    vm__pci_config_write(dev, PAM0, 1, 0x30);
    for (unsigned i = 1; i < PAM_COUNT; i++)
        vm__pci_config_write(dev, PAM0 + i, 1, 0x33);
}

static void free_region(struct vm_region *r)
{
    if (r != NULL)
        vm__region_free(r);
}

/* ---- configuration ------------------------------------------------------------------------ */

/** §3.2.24: the lock closes SMRAM and makes its register read only until reset. */
static void write_smram(struct i440fx *s)
{
    uint8_t *r = &s->pci.config[SMRAM];
    *r = (*r & 0x78) | SMRAM_BASE_A;
    if (*r & SMRAM_D_LCK) {
        *r &= (uint8_t)~SMRAM_D_OPEN;
        s->pci.writable[SMRAM] = 0x20; /* D_CLS */
    }
}

static void config_written(struct vm_dev *dev, uint32_t off, uint32_t size)
{
    struct i440fx *s = vm_dev_state(dev);
    bool pam = off < PAM0 + PAM_COUNT && PAM0 < off + size;
    bool smram = off <= SMRAM && SMRAM < off + size;

    if (smram)
        write_smram(s);
    if (pam || smram)
        update_memory(dev);
}

static uint64_t address_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    const struct i440fx *s = vm_dev_state(dev);
    return off == 0 && size == 4 ? s->address : vm_mask(8 * size);
}

/** Only a whole dword is CONFADD; narrower cycles go to whatever port is there. §3.1.1 */
static void address_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct i440fx *s = vm_dev_state(dev);
    if (off == 0 && size == 4)
        s->address = (uint32_t)v & CONFADD_WRITABLE;
}

/**
 * The function and register that CONFADD and the port select; false: another bus, or disabled.
 * The two low bits of CONFADD are reserved, but some programs put the byte there and use the first
 * data port; others use both ways at once: the bits are ORed.
 */
static bool select(const struct i440fx *s, uint64_t off, unsigned size, unsigned *devfn,
                   uint32_t *reg)
{
    *devfn = s->address >> 8 & 0xff;
    *reg = (s->address & 0xfc) | ((s->address | (uint32_t)off) & 3 & ~(size - 1));
    return (s->address & CONFADD_ENABLE) && (s->address >> 16 & 0xff) == 0;
}

static uint64_t data_read(struct vm_dev *dev, uint64_t off, unsigned size)
{
    struct i440fx *s = vm_dev_state(dev);
    unsigned devfn;
    uint32_t reg;
    if (!select(s, off, size, &devfn, &reg))
        return vm_mask(8 * size);
    return vm__pci_bus_read(&s->bus, devfn, reg, size);
}

static void data_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v)
{
    struct i440fx *s = vm_dev_state(dev);
    unsigned devfn;
    uint32_t reg;
    if (select(s, off, size, &devfn, &reg))
        vm__pci_bus_write(&s->bus, devfn, reg, size, (uint32_t)v);
}

/* ---- life --------------------------------------------------------------------------------- */

static void set_pirq(struct vm_dev *dev, unsigned pirq, int level)
{
    vm__dev_irq(dev, pirq, level);
}

static void init_config(struct vm_dev *dev)
{
    /* clang-format off */
    static const struct { uint8_t off, size; uint32_t reset, writable; } rows[] = {
        { 0x50, 2, 0x0000, 0xffff }, /* PMCCFG */
        { 0x52, 2, 0x0000, 0xffff }, /* DETURBO, DBC */
        { 0x54, 4, 0x0000, 0xffffffff }, /* AXC, DRT, DRAMC */
        { 0x58, 1, 0x00, 0xff },   /* DRAMT */
        { PAM0, 1, 0x00, 0x30 },
        { PAM0 + 1, 2, 0x0000, 0x3333 },
        { PAM0 + 3, 4, 0x0000, 0x33333333 },
        { 0x60, 4, 0x01010101, 0xffffffff }, /* DRB 0…7 */
        { 0x64, 4, 0x01010101, 0xffffffff },
        { 0x68, 1, 0x00, 0xff }, /* FDHC */
        { 0x70, 2, 0x0000, 0xffff }, /* MTT, CLT */
        { SMRAM, 1, SMRAM_BASE_A, 0x78 },
        { 0x90, 1, 0x00, 0xff }, /* ERRCMD */
        { 0x93, 1, 0x00, 0x07 }, /* TRC */
    };
    /* clang-format on */
    for (unsigned i = 0; i < VM_COUNT_OF(rows); i++) {
        vm__pci_initial(dev, rows[i].off, rows[i].size, rows[i].reset);
        vm__pci_writable(dev, rows[i].off, rows[i].size, rows[i].writable);
    }
    vm__pci_initial(dev, PCI_COMMAND, 2, PCI_COMMAND_MEM | PCI_COMMAND_MASTER); /* hard-wired */
    vm__pci_writable(dev, PCI_COMMAND, 2, 0x0140);
    vm__pci_initial(dev, PCI_STATUS, 2, 0x0280);
    vm__pci_writable(dev, PCI_INTERRUPT_LINE, 1, 0);
}

static int i440fx_realize(struct vm_dev *dev)
{
    init_config(dev);
    int st = vm__dev_map(dev, 0, 0xcf8);
    return st == VM_OK ? vm__dev_map(dev, 1, 0xcfc) : st;
}

static void i440fx_unrealize(struct vm_dev *dev)
{
    struct i440fx *s = vm_dev_state(dev);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        free_region(s->shadow[i].ram);
        free_region(s->shadow[i].rom);
    }
    free_region(s->smram);
    free_region(s->hole);
}

static void i440fx_reset(struct vm_dev *dev, enum vm_reset_kind kind)
{
    struct i440fx *s = vm_dev_state(dev);
    uint8_t pam[PAM_COUNT];
    s->address = 0;
    memcpy(pam, &s->pci.config[PAM0], PAM_COUNT);
    vm__pci_bus_reset(&s->bus);
    if (kind == VM_DEV_RESET_WAKE) /* firmware goes on in the copy of itself that it made in RAM */
        memcpy(&s->pci.config[PAM0], pam, PAM_COUNT);
    s->pci.writable[SMRAM] = 0x78;
    update_memory(dev);
}

static int i440fx_post_load(struct vm_dev *dev)
{
    struct i440fx *s = vm_dev_state(dev);
    int st = vm__pci_post_load(dev);
    s->pci.writable[SMRAM] = 0x78;
    write_smram(s);
    s->address &= CONFADD_WRITABLE;
    update_memory(dev);
    return st;
}

static const struct vm_pci_function function = {
    .vendor = 0x8086,
    .device = 0x1237,
    .revision = 2,
    .class_code = 0x060000,
    .config_written = config_written,
};

static const struct vm_window windows[] = {
    { "address", VM_SPACE_PORT, 4, 1, 4, .read = address_read, .write = address_write },
    { "data", VM_SPACE_PORT, 4, 1, 4, .read = data_read, .write = data_write },
    { 0 },
};

static const struct vm_field fields[] = {
    VM_PCI_FIELD(i440fx),
    VM_FIELD(i440fx, address, 1),
    { 0 },
};

const struct vm_dev_class vm__i440fx_class = {
    .name = "i440fx",
    .summary = "82441FX host bridge and PCI bus 0",
    .spec = "Intel 290549-001",
    .state_size = sizeof(struct i440fx),
    .windows = windows,
    .fields = fields,
    .n_irq_out = PCI_PINS,
    .realize = i440fx_realize,
    .unrealize = i440fx_unrealize,
    .reset = i440fx_reset,
    .post_load = i440fx_post_load,
    .pci = &function,
};

/** The bus exists before the bridge is on it: the bridge is its first function. */
struct vm_pci_bus *vm__pci_bus_of(struct vm_dev *bridge)
{
    struct i440fx *s = vm_dev_state(bridge);
    s->bus.bridge = bridge;
    s->bus.set_pirq = set_pirq;
    return &s->bus;
}
