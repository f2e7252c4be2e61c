/* SPDX-License-Identifier: MIT */
/**
 * @file pc_boot.c
 * Starting a kernel without firmware: files, memory map, ACPI tables, registers.
 */
#include <stdlib.h>
#include <string.h>

#include <libvm/cpu.h>

#include "base/endian.h"
#include "base/error.h"
#include "boards/pc.h"
#include "core/config.h"
#include "core/firmware.h"
#include "boards/boot/setup16.h"
#include "devices/firmware/fw_cfg.h"
#include "devices/pci/pci.h"
#include "devices/pci/pci_hotplug.h"

enum { BDA_EBDA_SEGMENT = 0x40e, BDA_BASE_KIB = 0x413 };

/** Read a file that lives as long as the board. @p out->name is @p path. */
static int load_file(struct pc *pc, const char *path, struct boot_file *out)
{
    uint8_t **files = realloc(pc->files, (pc->n_files + 1) * sizeof *files);
    if (files == NULL)
        return vm__fail_nomem(sizeof *files);
    pc->files = files;
    struct vm_file f;
    int st = vm__file_read(path, pc->low_ram + pc->high_ram, &f);
    if (st != VM_OK)
        return st;
    pc->files[pc->n_files++] = f.data;
    *out = (struct boot_file) { .data = f.data, .len = f.len, .name = path };
    return VM_OK;
}

/** Text that lives as long as the board, like a file. */
static char *keep_text(struct pc *pc, const char *text, size_t len)
{
    uint8_t **files = realloc(pc->files, (pc->n_files + 1) * sizeof *files);
    char *copy = malloc(len + 1);
    if (files != NULL)
        pc->files = files;
    if (files == NULL || copy == NULL) {
        free(copy);
        return NULL;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    pc->files[pc->n_files++] = (uint8_t *)copy;
    return copy;
}

/** "file args" of a module list, at @p text, up to the next single comma; ",," is a comma. */
static int load_module(struct pc *pc, const char **text, struct boot_module *mod)
{
    char *args = keep_text(pc, *text, strlen(*text));
    if (args == NULL)
        return vm__fail_nomem(strlen(*text));
    const char *in = *text;
    char *out = args;
    while (*in != '\0' && (*in != ',' || in[1] == ',')) {
        in += *in == ',';
        *out++ = *in++;
    }
    *out = '\0';
    *text = *in == ',' ? in + 1 : in;
    char *path = keep_text(pc, args, strcspn(args, " "));
    if (path == NULL)
        return vm__fail_nomem(strlen(args));
    mod->args = args;
    return load_file(pc, path, &mod->file);
}

enum { MAX_MODULES = 64 };

static int load_modules(struct pc *pc, const char *text, enum boot_kind kind,
                        struct boot_module *mods, size_t *n)
{
    *n = 0;
    if (text == NULL || *text == '\0')
        return VM_OK;
    if (kind != BOOT_KIND_MULTIBOOT) {
        mods[0].args = "";
        *n = 1;
        return load_file(pc, text, &mods[0].file);
    }
    while (*text != '\0') {
        if (*n == MAX_MODULES)
            return vm__fail(VM_E_RANGE, "boot.initrd: more than %d modules", MAX_MODULES);
        int st = load_module(pc, &text, &mods[(*n)++]);
        if (st != VM_OK)
            return st;
    }
    return VM_OK;
}

static bool given(const char *text)
{
    return text != NULL && *text != '\0';
}

/** Start the kernel ourselves if that can be done: it is quicker. */
static int choose_way(struct pc *pc)
{
    const struct boot_file *k = &pc->kernel;
    switch (vm__config_enum(pc->m->config, "boot.method")) {
    case PC_METHOD_FIRMWARE:
        pc->direct = false;
        break;
    case PC_METHOD_DIRECT:
        pc->direct = true;
        break;
    default:
        pc->direct = !vm__boot_needs_setup(k->data, k->len);
        break;
    }
    return VM_OK;
}

int vm__pc_boot_open(struct pc *pc)
{
    const struct vm_config *cfg = pc->m->config;
    const char *kernel = vm__config_str(cfg, "boot.kernel");
    if (given(kernel)) {
        int st = load_file(pc, kernel, &pc->kernel);
        return st == VM_OK ? choose_way(pc) : st;
    }
    if (given(vm__config_str(cfg, "boot.initrd")))
        return vm__fail(VM_E_INVAL, "boot.initrd: there is no kernel to give it to");
    if (given(vm__config_str(cfg, "boot.cmdline")))
        return vm__fail(VM_E_INVAL, "boot.cmdline: there is no kernel to give it to");
    return VM_OK;
}

/** The parts of a kernel go to fw_cfg, under the keys that other firmware looks at too. */
static int load_by_firmware(struct pc *pc, const struct boot_request *r)
{
    static const struct {
        uint16_t data, size, address;
    } keys[BOOT_PARTS] = {
        [BOOT_PART_SETUP] = { FW_CFG_SETUP_DATA, FW_CFG_SETUP_SIZE, FW_CFG_SETUP_ADDR },
        [BOOT_PART_KERNEL] = { FW_CFG_KERNEL_DATA, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL_ADDR },
        [BOOT_PART_CMDLINE] = { FW_CFG_CMDLINE_DATA, FW_CFG_CMDLINE_SIZE, FW_CFG_CMDLINE_ADDR },
        [BOOT_PART_INITRD] = { FW_CFG_INITRD_DATA, FW_CFG_INITRD_SIZE, FW_CFG_INITRD_ADDR },
    };
    static const char order[] = "/rom@" PC_KERNEL_ROM "\n";
    struct boot_setup16 s;
    uint16_t data_keys[BOOT_PARTS];
    uint8_t rom[BOOT_ROM_BYTES];
    int st = pc->bios != NULL ? vm__boot_setup16(r, &pc->plan, &s)
                              : vm__fail(VM_E_INVAL,
                                         "%s: it needs firmware to start it, and "
                                         "firmware.bios is none",
                                         r->kernel.name);
    for (unsigned i = 0; i < BOOT_PARTS && st == VM_OK; i++) {
        const struct boot_segment *part = &s.part[i];
        data_keys[i] = keys[i].data;
        st = vm__fw_cfg_add(pc->fw_cfg, keys[i].data, part->data, (size_t)part->len);
        if (st == VM_OK)
            st = vm__fw_cfg_add_u32(pc->fw_cfg, keys[i].size, (uint32_t)part->len);
        if (st == VM_OK)
            st = vm__fw_cfg_add_u32(pc->fw_cfg, keys[i].address, (uint32_t)part->gpa);
    }
    if (st != VM_OK)
        return st;
    vm__boot_rom(&s, data_keys, rom);
    st = vm__fw_cfg_add_file(pc->fw_cfg, PC_KERNEL_ROM, rom, sizeof rom);
    return st == VM_OK ? vm__fw_cfg_add_file(pc->fw_cfg, "bootorder", order, sizeof order) : st;
}

int vm__pc_boot_load(struct pc *pc)
{
    const struct vm_config *cfg = pc->m->config;
    const char *cmdline = vm__config_str(cfg, "boot.cmdline");
    struct boot_module mods[MAX_MODULES];
    /* The plan keeps a pointer to the command line: the configuration is the machine's own. */
    struct boot_request r = {
        .kernel = pc->kernel,
        .modules = mods,
        .cmdline = cmdline != NULL ? cmdline : "",
        .ranges = pc->ranges,
        .n_ranges = pc->n_ranges,
        .rsdp = PC_RSDP,
    };
    if (pc->kernel.data == NULL)
        return VM_OK;
    int st = load_modules(pc, vm__config_str(cfg, "boot.initrd"),
                          vm__boot_probe(r.kernel.data, r.kernel.len), mods, &r.n_modules);
    if (st != VM_OK)
        return st;
    return pc->direct ? vm__boot_load(&r, &pc->plan) : load_by_firmware(pc, &r);
}

static void add_range(struct pc *pc, uint64_t base, uint64_t end, enum boot_ram_type type)
{
    if (end > base)
        pc->ranges[pc->n_ranges++] =
            (struct boot_range) { .base = base, .size = end - base, .type = type };
}

/** The tables lie at the top of low memory, out of the way of whatever the guest loads. */
static void make_ranges(struct pc *pc, uint64_t acpi_end)
{
    pc->n_ranges = 0;
    if (!pc->direct) { /* firmware makes the map; this is where it will certainly leave RAM */
        add_range(pc, PC_LOW_FREE, PC_EBDA, BOOT_RAM_USABLE);
        add_range(pc, 0x100000, pc->low_ram - PC_FIRMWARE_TOP, BOOT_RAM_USABLE);
        return;
    }
    add_range(pc, 0, PC_EBDA, BOOT_RAM_USABLE);
    add_range(pc, PC_EBDA, 0xa0000, BOOT_RAM_RESERVED);
    add_range(pc, PC_RSDP, 0x100000, BOOT_RAM_RESERVED);
    add_range(pc, 0x100000, pc->acpi_gpa, BOOT_RAM_USABLE);
    add_range(pc, pc->acpi_gpa, pc->acpi_gpa + ACPI_NVS_BYTES, BOOT_RAM_NVS);
    add_range(pc, pc->acpi_gpa + ACPI_NVS_BYTES, acpi_end, BOOT_RAM_ACPI);
    add_range(pc, 0xfffc0000, PC_HIGH, BOOT_RAM_RESERVED); /* where firmware would be */
    add_range(pc, PC_HIGH, PC_HIGH + pc->high_ram, BOOT_RAM_USABLE);
}

/** Where PCI windows may begin: SeaBIOS hands out addresses from 2 GiB on if RAM ends before. */
static uint32_t pci_base(const struct pc *pc)
{
    return pc->low_ram <= PC_HOLE_EARLY ? PC_HOLE_EARLY : (uint32_t)PC_HOLE;
}

int vm__pc_boot_tables(struct pc *pc)
{
    const struct acpi_params params = {
        .n_cpus = pc->m->n_cpus,
        .devs = pc->devs,
        .pm_base = PC_PM_BASE,
        .smi_port = PC_SMI_PORT,
        .acpi_enable = PC_ACPI_ENABLE,
        .acpi_disable = PC_ACPI_DISABLE,
        .hpet_id = PC_HPET_ID,
        .pci_base = pci_base(pc),
        .can_sleep = !pc->direct,
        .pci_last = PC_PCI_LAST,
        .hotplug_slots = vm__pci_hotplug_slots(pc->hotplug),
        .pirq = vm__pci_pirq,
    };
    int st = vm__acpi_build(&pc->acpi, &params);
    if (st != VM_OK)
        return st;
    uint64_t size = (pc->acpi.part[ACPI_TABLES].len + 0xfff) & ~UINT64_C(0xfff);
    pc->acpi_gpa = (uint32_t)(pc->low_ram - size);
    if (pc->direct)
        vm__acpi_place(&pc->acpi, pc->acpi_gpa);
    make_ranges(pc, pc->low_ram);
    return VM_OK;
}

static int put(struct pc *pc, uint64_t gpa, const void *data, size_t len)
{
    return len != 0 ? vm__mem_write(pc->m, gpa, data, len) : VM_OK;
}

static int put_zeros(struct pc *pc, uint64_t gpa, uint64_t len)
{
    static const uint8_t zeros[4096];
    int st = VM_OK;
    while (len != 0 && st == VM_OK) {
        size_t n = len < sizeof zeros ? (size_t)len : sizeof zeros;
        st = put(pc, gpa, zeros, n);
        gpa += n;
        len -= n;
    }
    return st;
}

static int put_plan(struct pc *pc)
{
    int st = VM_OK;
    for (size_t i = 0; i < pc->plan.n_segs && st == VM_OK; i++) {
        const struct boot_segment *s = &pc->plan.segs[i];
        st = put(pc, s->gpa, s->data, (size_t)s->len);
        if (st == VM_OK)
            st = put_zeros(pc, s->gpa + s->len, s->zeros);
    }
    return st;
}

/** Tables, and the two words of the BIOS data area that systems look at. */
static int put_tables(struct pc *pc)
{
    uint8_t word[2];
    vm_put_le16(word, PC_EBDA >> 4);
    int st = put(pc, BDA_EBDA_SEGMENT, word, sizeof word);
    vm_put_le16(word, PC_EBDA >> 10);
    if (st == VM_OK)
        st = put(pc, BDA_BASE_KIB, word, sizeof word);
    if (st == VM_OK)
        st = put(pc, pc->acpi_gpa, pc->acpi.part[ACPI_TABLES].data, pc->acpi.part[ACPI_TABLES].len);
    if (st == VM_OK)
        st = put(pc, PC_RSDP, pc->acpi.part[ACPI_RSDP].data, pc->acpi.part[ACPI_RSDP].len);
    return st;
}

struct reg_value {
    uint32_t reg;
    uint64_t value;
};

static int set_regs(struct vm_cpu *cpu, const struct reg_value *regs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t bytes[8];
        vm_put_le64(bytes, regs[i].value);
        int st = cpu->cls->reg_write(cpu, regs[i].reg, bytes, sizeof bytes);
        if (st != VM_OK)
            return vm__fail_prefix(st, "register 0x%x: ", regs[i].reg);
    }
    return VM_OK;
}

/** A segment register with its hidden part; access is descriptor bits 8 to 23. */
static int set_segment(struct vm_cpu *cpu, uint32_t seg, uint16_t selector, uint32_t limit,
                       uint32_t access)
{
    uint32_t i = seg - VM_X86_ES;
    const struct reg_value regs[] = {
        { seg, selector },
        { VM_X86_SEG_BASE + i, 0 },
        { VM_X86_SEG_LIMIT + i, limit },
        { VM_X86_SEG_ACCESS + i, access },
    };
    return set_regs(cpu, regs, sizeof regs / sizeof regs[0]);
}

/** 32-bit protected mode with flat segments and paging off: see boot/plan.h. */
static int set_entry(struct vm_cpu *cpu, const struct boot_entry *e)
{
    static const uint32_t data[] = { VM_X86_ES, VM_X86_SS, VM_X86_DS, VM_X86_FS, VM_X86_GS };
    const struct reg_value regs[] = {
        { VM_X86_CR0, 0x11 }, /* PE, ET */
        { VM_X86_GDTR_BASE, e->gdt_base },
        { VM_X86_GDTR_LIMIT, BOOT_GDT_BYTES - 1 },
        { VM_X86_RAX, e->eax },
        { VM_X86_RBX, e->ebx },
        { VM_X86_RCX, 0 },
        { VM_X86_RDX, 0 },
        { VM_X86_RSI, e->esi },
        { VM_X86_RDI, 0 },
        { VM_X86_RBP, 0 },
        { VM_X86_RSP, e->esp },
        { VM_X86_RFLAGS, 2 },
        { VM_X86_RIP, e->eip },
    };
    int st = set_regs(cpu, regs, sizeof regs / sizeof regs[0]);
    if (st == VM_OK)
        st = set_segment(cpu, VM_X86_CS, BOOT_SEL_CODE, UINT32_MAX, 0xc09b);
    for (size_t i = 0; i < sizeof data / sizeof data[0] && st == VM_OK; i++)
        st = set_segment(cpu, data[i], BOOT_SEL_DATA, UINT32_MAX, 0xc093);
    if (st == VM_OK)
        st = set_segment(cpu, VM_X86_TR, BOOT_SEL_TSS, 0x67, 0x008b);
    return st;
}

int vm__pc_boot_start(struct pc *pc)
{
    if (!pc->direct)
        return VM_OK;
    vm__pc_setup(pc);
    int st = put_tables(pc);
    if (st == VM_OK)
        st = put_plan(pc);
    if (st == VM_OK)
        st = vm__pc_display_boot(pc);
    if (st == VM_OK)
        st = set_entry(pc->m->cpus[0], &pc->plan.entry);
    return st;
}

void vm__pc_boot_fini(struct pc *pc)
{
    vm__boot_plan_fini(&pc->plan);
    vm__acpi_fini(&pc->acpi);
    for (uint32_t i = 0; i < pc->n_files; i++)
        free(pc->files[i]);
    free(pc->files);
}
