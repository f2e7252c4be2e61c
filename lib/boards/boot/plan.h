/* SPDX-License-Identifier: MIT */
/**
 * @file plan.h
 * What a direct boot puts into memory, and how the boot processor starts.
 *
 * A loader reads untrusted files and turns them into a plan; it never touches a machine. The board
 * carries the plan out at power-on and again at every reset, so a rebooted guest starts from the
 * same bytes. Segments borrow from the files, which must outlive the plan; what a loader builds
 * itself (boot information, command line) the plan owns.
 *
 * Every loader enters 32-bit protected mode with paging off: the Linux 32-bit entry, PVH and
 * Multiboot ask for the same flat segments and differ only in registers. 64-bit kernels build
 * their own page tables from there.
 */
#ifndef LIBVM_BOARDS_BOOT_PLAN_H
#define LIBVM_BOARDS_BOOT_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Types of [ACPI-6.5 §15], as every memory map below spells them. */
enum boot_ram_type {
    BOOT_RAM_USABLE = 1,
    BOOT_RAM_RESERVED = 2,
    BOOT_RAM_ACPI = 3,
    BOOT_RAM_NVS = 4,
};

struct boot_range {
    uint64_t base, size;
    uint32_t type; /**< enum boot_ram_type */
};

enum { BOOT_MAX_RANGES = 16 };

/** A file in memory. */
struct boot_file {
    const uint8_t *data;
    size_t len;
    const char *name; /**< as messages spell it */
};

struct boot_module {
    struct boot_file file;
    const char *args; /**< file name and arguments, as the kernel sees them; never NULL */
};

/** What the board tells a loader. */
struct boot_request {
    struct boot_file kernel;
    const struct boot_module *modules; /**< the initrd is the first one */
    size_t n_modules;
    const char *cmdline;             /**< never NULL */
    const struct boot_range *ranges; /**< the memory map, ascending */
    size_t n_ranges;
    uint64_t rsdp;     /**< address of the ACPI root pointer; 0: none */
    bool has_vga_text; /**< there is an 80x25 text screen at 0xB8000 */
};

struct boot_segment {
    uint64_t gpa;
    const uint8_t *data; /**< len bytes */
    uint64_t len;
    uint64_t zeros; /**< bytes to clear after data */
};

/** Registers at entry; all others are 0, EFLAGS is 2, segments are flat from the plan's GDT. */
struct boot_entry {
    uint32_t eip, eax, ebx, esi, esp;
    uint32_t gdt_base;
};

/** Selectors in the plan's GDT [Linux boot protocol, "32-bit boot protocol"]. */
enum {
    BOOT_SEL_CODE = 0x10,
    BOOT_SEL_DATA = 0x18,
    BOOT_SEL_TSS = 0x20,
    BOOT_GDT_BYTES = 5 * 8,
};

struct boot_plan {
    struct boot_segment *segs;
    size_t n_segs, cap_segs;
    uint8_t **owned;
    size_t n_owned, cap_owned;
    uint64_t total_bytes; /**< of all segments; bounded by RAM, so a plan is bounded work */
    struct boot_entry entry;
    uint64_t screen_gpa; /**< where Linux's screen_info lies; 0: the kernel has none */
};

void vm__boot_plan_init(struct boot_plan *p);
void vm__boot_plan_fini(struct boot_plan *p);

/** Is [gpa, gpa + len) inside one usable range? */
bool vm__boot_in_ram(const struct boot_request *r, uint64_t gpa, uint64_t len);

/**
 * Add a segment of borrowed bytes followed by zeros.
 * @param what names the segment in the message
 * @retval VM_E_RANGE not in usable RAM, or in the way of another segment
 */
int vm__boot_add(struct boot_plan *p, const struct boot_request *r, const char *what, uint64_t gpa,
                 const uint8_t *data, uint64_t len, uint64_t zeros);

/** Allocate @p len zeroed bytes that the plan owns; NULL: out of memory, error recorded. */
uint8_t *vm__boot_alloc(struct boot_plan *p, size_t len);

/**
 * Find room for @p len bytes in usable RAM, away from every segment: the highest place whose last
 * byte is at most @p max and first byte at least @p min.
 * @retval VM_E_RANGE there is none
 */
int vm__boot_find(const struct boot_plan *p, const struct boot_request *r, const char *what,
                  uint64_t len, uint64_t align, uint64_t min, uint64_t max, uint64_t *gpa);

/** vm__boot_find() below 640 KiB, then vm__boot_add(), of owned or borrowed bytes. */
int vm__boot_add_low(struct boot_plan *p, const struct boot_request *r, const char *what,
                     const uint8_t *data, uint64_t len, uint32_t *gpa);

/** Add the GDT; every loader's last step. */
int vm__boot_add_gdt(struct boot_plan *p, const struct boot_request *r);

#endif
