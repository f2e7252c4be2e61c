/* SPDX-License-Identifier: MIT */
/**
 * @file oracle.h
 * The native oracle: random instances of instruction table rows, run by the host processor and by
 * an engine of the library, and compared.
 *
 *   generate.c  a row -> bytes, registers and memory (encode.c, values.c, special.c)
 *   native.c    runs an instance on the host, from a signal frame to a signal frame
 *   guest.c     runs it on an engine, in a tiny 64-bit guest whose user half looks the same
 *   compare.c   what differs, as text that is enough to do it again
 *   main.c      rows, counts, worker process, report
 *
 * Both sides see the same linear addresses: a code region full of INT3, and a data window with
 * writable, read-only and missing pages. An instance ends at its first exception, at the latest at
 * the INT3 behind it or at the INT3 it jumped to.
 */
#ifndef LIBVM_TESTS_ORACLE_H
#define LIBVM_TESTS_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/x86/feature.h"
#include "cpu/x86/insn.h"
#include "rng.h"

enum {
    ORC_PAGE = 4096,
    ORC_CODE = 0x3c4d0000, /**< code region: executable, read-only */
    ORC_CODE_SIZE = 0x8000,
    ORC_DATA = 0x1a2b3000, /**< data window; the page before it is missing */
    ORC_RW = 0x4000,       /**< writable */
    ORC_RO = 0x5000,       /**< end of the read-only page; then a missing one */
    ORC_RW2 = 0x6000,      /**< another writable page */
    ORC_DATA_SIZE = 0x7000,
    ORC_DATA_PAGES = ORC_DATA_SIZE / ORC_PAGE,
};

enum orc_mode { ORC_64, ORC_32, ORC_MODES };

/* Selectors as Linux lays them out for its processes. */
enum { ORC_CS64 = 0x33, ORC_CS32 = 0x23, ORC_DS = 0x2b };

/** A user program's whole state. */
struct orc_state {
    uint64_t gpr[16];
    uint64_t rip, rflags;
    uint64_t fs_base, gs_base;
    uint16_t sel[6]; /**< by X86_ES … */
    uint8_t vec[16][32];
    uint8_t st[8][10]; /**< ST(0) first */
    uint16_t fcw, fsw, fop;
    uint8_t ftw; /**< abridged, by physical register */
    uint64_t fip, fdp;
    uint32_t mxcsr;
};

enum { ORC_HANG = 255, ORC_STUCK = 254, ORC_SHUTDOWN = 253 };

/** How it ended. */
struct orc_result {
    struct orc_state s;
    uint8_t vector; /**< exception; 3 after a clean run; ORC_HANG… */
    uint32_t error;
    uint64_t cr2; /**< with #PF */
};

enum { ORC_PATCHES = 4, ORC_PATCH_BYTES = 1024 };

/** Bytes of the data window that are not the usual pattern. */
struct orc_patch {
    uint32_t off; /**< from ORC_DATA */
    uint16_t len;
    uint8_t bytes[ORC_PATCH_BYTES];
};

struct orc_case {
    uint16_t row;
    uint8_t mode; /**< enum orc_mode */
    uint8_t len;
    uint8_t n_patches;
    uint8_t bytes[16];
    uint64_t seed, number;
    struct x86_insn dec;
    struct orc_state in;
    struct orc_patch patch[ORC_PATCHES];
};

/* ---- generate.c ---- */

struct orc_options {
    bool unmasked; /**< some instances with unmasked FP exceptions */
    bool ac;       /**< some instances with EFLAGS.AC */
    bool fsgs;     /**< FS and GS bases can be set */
};

/** Instance @p number of a row; false if no encoding of the row in this mode was found. */
bool orc_generate(const struct orc_options *o, uint16_t row, enum orc_mode mode, uint64_t seed,
                  uint64_t number, struct orc_case *c);
/** Why a row cannot be tested natively, or NULL. */
const char *orc_untestable(const struct x86_row *row, enum orc_mode mode);
/** Features the host processor and kernel have. */
void orc_host_features(uint64_t have[X86_FEAT_WORDS]);
extern uint64_t orc_have[X86_FEAT_WORDS];

/* encode.c */
struct orc_layout {
    uint8_t disp_at, disp_len; /**< displacement in the bytes */
    uint8_t imm_at, imm_len;
};
bool orc_encode(struct rng *r, const struct x86_row *row, enum orc_mode mode, struct orc_case *c,
                struct orc_layout *l);
/** Decode c->bytes again; true if it still is c->row. */
bool orc_decode(struct orc_case *c);

/* values.c */
uint64_t orc_integer(struct rng *r);
uint32_t orc_f32(struct rng *r);
uint64_t orc_f64(struct rng *r);
void orc_f80(struct rng *r, uint8_t out[10]);
/** @p len bytes in the style of one kind of data, chosen at random. */
void orc_data(struct rng *r, const struct x86_row *row, uint8_t *out, unsigned len);
void orc_random_state(struct rng *r, const struct x86_row *row, enum orc_mode mode,
                      const struct orc_options *o, struct orc_state *s);

/* special.c */
/** Bytes a memory operand touches. */
unsigned orc_mem_size(const struct x86_row *row, const struct x86_insn *dec, enum orc_mode mode);
/** Adjustments by mnemonic, before the memory operand is placed. */
void orc_special_before(struct rng *r, const struct x86_row *row, struct orc_case *c,
                        const struct orc_layout *l);
/** And after; @p at is the operand's offset from ORC_DATA, or ~0u. */
void orc_special_after(struct rng *r, const struct x86_row *row, struct orc_case *c, uint32_t at);
/** False for an encoding that cannot be compared. */
bool orc_special_ok(const struct x86_row *row, const struct orc_case *c);
/** Put bytes into the data window; clipped to it. */
void orc_put(struct orc_case *c, uint32_t off, const void *bytes, unsigned len);
/** A place in the data window for @p len bytes, mostly good, sometimes not. */
uint32_t orc_place(struct rng *r, unsigned len);

/* ---- native.c ---- */

/** Map the regions and install the signal handlers.
 * @return the data window without its protections, or NULL. */
uint8_t *orc_native_init(void);
void orc_native_run(const struct orc_case *c, struct orc_result *out);
bool orc_native_has_fsgs(void);

/* ---- guest.c ---- */

uint8_t *orc_guest_init(const char *engine);
/** What the guest processor has; valid after init. */
const uint64_t *orc_guest_features(void);
void orc_guest_run(const struct orc_case *c, struct orc_result *out);

/* ---- compare.c ---- */

/** 0 if equal; else a bit set of what differs. */
uint32_t orc_compare(const struct orc_case *c, const struct orc_result *native,
                     const struct orc_result *guest, const uint8_t *native_mem,
                     const uint8_t *guest_mem);
void orc_report(const struct orc_case *c, const struct orc_result *native,
                const struct orc_result *guest, const uint8_t *native_mem, const uint8_t *guest_mem,
                uint32_t diff);
void orc_print_case(const struct orc_case *c);
/** Names of the bits, "rip flags mem…". */
const char *orc_diff_names(uint32_t diff, char *buf, unsigned size);

#endif
