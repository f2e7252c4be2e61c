/* SPDX-License-Identifier: MIT */
/**
 * @file regs.c
 * Registers in gdb's layouts.
 *
 * Spec: [GDB §G.5] (i386 features). A layout is a list of rows; the g packet, register numbers and
 * target.xml all come from it.
 *
 * gdb asks for the description once, when it connects, while a PC changes its mode as it boots. So
 * a processor that can do long mode is always shown as amd64, whatever it does now; "monitor arch"
 * and vm_gdb_ops.arch choose i386 or i8086 for those who want 32- or 16-bit code disassembled.
 * In each, the program counter is the linear address CS base + RIP, which is RIP itself wherever CS
 * has no base: breakpoints, x/i $pc and stepping then work in real mode too. RIP as it is, and the
 * segments' bases, are among the system registers.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <libvm/cpu.h>

#include "base/error.h"
#include "debug/gdb.h"

enum { MAX_BYTES = 16 };

/* Features of a description, in the order of their registers. */
enum feature { CORE, SSE, SEGMENTS, AVX, SYSTEM, FEATURES };
static const char *const feature_names[FEATURES] = {
    "org.gnu.gdb.i386.core", "org.gnu.gdb.i386.sse", "org.gnu.gdb.i386.segments",
    "org.gnu.gdb.i386.avx",  "org.libvm.system",
};

/* Registers that are not just one of the library's. */
enum { IS_PLAIN = 0, IS_PC, IS_UPPER_HALF };

/* One register, or count of them whose name is a stem and a number. */
struct row {
    const char *name;
    uint8_t count; /* 0: the name as it is */
    uint8_t bits, feature, special;
    uint32_t reg;
    const char *type;
};

/* clang-format off */
#define X87 \
    { "st", 8, 80, CORE, 0, VM_X86_ST0, "i387_ext" }, \
    { "fctrl", 0, 32, CORE, 0, VM_X86_FCW, "int\" group=\"float" }, \
    { "fstat", 0, 32, CORE, 0, VM_X86_FSW, "int\" group=\"float" }, \
    { "ftag", 0, 32, CORE, 0, VM_X86_FTW, "int\" group=\"float" }, \
    { "fiseg", 0, 32, CORE, 0, VM_X86_FCS, "int\" group=\"float" }, \
    { "fioff", 0, 32, CORE, 0, VM_X86_FIP, "int\" group=\"float" }, \
    { "foseg", 0, 32, CORE, 0, VM_X86_FDS, "int\" group=\"float" }, \
    { "fooff", 0, 32, CORE, 0, VM_X86_FDP, "int\" group=\"float" }, \
    { "fop", 0, 32, CORE, 0, VM_X86_FOP, "int\" group=\"float" }
#define SELECTORS \
    { "cs", 0, 32, CORE, 0, VM_X86_CS, "int32" }, { "ss", 0, 32, CORE, 0, VM_X86_SS, "int32" }, \
    { "ds", 0, 32, CORE, 0, VM_X86_DS, "int32" }, { "es", 0, 32, CORE, 0, VM_X86_ES, "int32" }, \
    { "fs", 0, 32, CORE, 0, VM_X86_FS, "int32" }, { "gs", 0, 32, CORE, 0, VM_X86_GS, "int32" }
#define SYSTEM_ROW(name, bits, reg) { name, 0, bits, SYSTEM, 0, reg, "int\" group=\"system" }
#define BASES(bits) \
    SYSTEM_ROW("raw_ip", bits, VM_X86_RIP), \
    SYSTEM_ROW("cs_base", bits, VM_X86_SEG_BASE + 1), \
    SYSTEM_ROW("ss_base", bits, VM_X86_SEG_BASE + 2), \
    SYSTEM_ROW("ds_base", bits, VM_X86_SEG_BASE + 3), \
    SYSTEM_ROW("es_base", bits, VM_X86_SEG_BASE + 0)

static const struct row amd64_rows[] = {
    { "rax", 0, 64, CORE, 0, VM_X86_RAX, "int64" }, { "rbx", 0, 64, CORE, 0, VM_X86_RBX, "int64" },
    { "rcx", 0, 64, CORE, 0, VM_X86_RCX, "int64" }, { "rdx", 0, 64, CORE, 0, VM_X86_RDX, "int64" },
    { "rsi", 0, 64, CORE, 0, VM_X86_RSI, "int64" }, { "rdi", 0, 64, CORE, 0, VM_X86_RDI, "int64" },
    { "rbp", 0, 64, CORE, 0, VM_X86_RBP, "data_ptr" },
    { "rsp", 0, 64, CORE, 0, VM_X86_RSP, "data_ptr" },
    { "r8", 0, 64, CORE, 0, VM_X86_R8, "int64" },   { "r9", 0, 64, CORE, 0, VM_X86_R9, "int64" },
    { "r10", 0, 64, CORE, 0, VM_X86_R10, "int64" }, { "r11", 0, 64, CORE, 0, VM_X86_R11, "int64" },
    { "r12", 0, 64, CORE, 0, VM_X86_R12, "int64" }, { "r13", 0, 64, CORE, 0, VM_X86_R13, "int64" },
    { "r14", 0, 64, CORE, 0, VM_X86_R14, "int64" }, { "r15", 0, 64, CORE, 0, VM_X86_R15, "int64" },
    { "rip", 0, 64, CORE, IS_PC, VM_X86_RIP, "code_ptr" },
    { "eflags", 0, 32, CORE, 0, VM_X86_RFLAGS, "i386_eflags" },
    SELECTORS, X87,
    { "xmm", 16, 128, SSE, 0, VM_X86_XMM0, "vec128" },
    { "mxcsr", 0, 32, SSE, 0, VM_X86_MXCSR, "int\" group=\"vector" },
    { "fs_base", 0, 64, SEGMENTS, 0, VM_X86_SEG_BASE + 4, "int" },
    { "gs_base", 0, 64, SEGMENTS, 0, VM_X86_SEG_BASE + 5, "int" },
    { "ymm", 16, 128, AVX, IS_UPPER_HALF, VM_X86_YMM0, "uint128" },
    SYSTEM_ROW("k_gs_base", 64, VM_X86_MSR(0xc0000102)),
    SYSTEM_ROW("cr0", 64, VM_X86_CR0), SYSTEM_ROW("cr2", 64, VM_X86_CR2),
    SYSTEM_ROW("cr3", 64, VM_X86_CR3), SYSTEM_ROW("cr4", 64, VM_X86_CR4),
    SYSTEM_ROW("cr8", 64, VM_X86_CR8), SYSTEM_ROW("efer", 64, VM_X86_MSR(0xc0000080)),
    BASES(64),
    { 0 },
};
static const struct row i386_rows[] = {
    { "eax", 0, 32, CORE, 0, VM_X86_RAX, "int32" }, { "ecx", 0, 32, CORE, 0, VM_X86_RCX, "int32" },
    { "edx", 0, 32, CORE, 0, VM_X86_RDX, "int32" }, { "ebx", 0, 32, CORE, 0, VM_X86_RBX, "int32" },
    { "esp", 0, 32, CORE, 0, VM_X86_RSP, "data_ptr" },
    { "ebp", 0, 32, CORE, 0, VM_X86_RBP, "data_ptr" },
    { "esi", 0, 32, CORE, 0, VM_X86_RSI, "int32" }, { "edi", 0, 32, CORE, 0, VM_X86_RDI, "int32" },
    { "eip", 0, 32, CORE, IS_PC, VM_X86_RIP, "code_ptr" },
    { "eflags", 0, 32, CORE, 0, VM_X86_RFLAGS, "i386_eflags" },
    SELECTORS, X87,
    { "xmm", 8, 128, SSE, 0, VM_X86_XMM0, "vec128" },
    { "mxcsr", 0, 32, SSE, 0, VM_X86_MXCSR, "int\" group=\"vector" },
    SYSTEM_ROW("cr0", 32, VM_X86_CR0), SYSTEM_ROW("cr2", 32, VM_X86_CR2),
    SYSTEM_ROW("cr3", 32, VM_X86_CR3), SYSTEM_ROW("cr4", 32, VM_X86_CR4),
    SYSTEM_ROW("fs_base", 32, VM_X86_SEG_BASE + 4),
    SYSTEM_ROW("gs_base", 32, VM_X86_SEG_BASE + 5),
    BASES(32),
    { 0 },
};
/* clang-format on */

static const struct {
    const char *name;
    uint32_t id;
    const char *bfd; /* gdb's name for it */
    const struct row *rows;
} layouts[] = {
    { "amd64", VM_GDB_AMD64, "i386:x86-64", amd64_rows },
    { "i386", VM_GDB_I386, "i386", i386_rows },
    { "i8086", VM_GDB_I8086, "i8086", i386_rows },
};

uint32_t vm__gdb_arch(const char *name)
{
    for (size_t k = 0; k < sizeof layouts / sizeof layouts[0]; k++)
        if (strcmp(layouts[k].name, name) == 0)
            return layouts[k].id;
    return 0;
}

static const struct row *rows(const struct vm_gdb *g)
{
    return layouts[g->arch - VM_GDB_AMD64].rows;
}

static unsigned count(const struct row *r)
{
    return r->count != 0 ? r->count : 1;
}

/* ---- target.xml ------------------------------------------------------------------------- */

static void xml(struct vm_gdb *g, const char *text)
{
    const size_t room = sizeof g->xml - g->xml_len, n = strlen(text);

    if (n < room) { /* always: the table is ours */
        memcpy(g->xml + g->xml_len, text, n);
        g->xml_len += n;
    }
}

static void xml_types(struct vm_gdb *g, int feature)
{
    static const char *const flags[] = { "CF", "",   "PF", "",    "AF",   "",     "ZF", "SF",
                                         "TF", "IF", "DF", "OF",  "IOPL", "IOPL", "NT", "",
                                         "RF", "VM", "AC", "VIF", "VIP",  "ID" };
    char line[80];

    if (feature == SSE)
        xml(g, "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
               "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
               "<vector id=\"v16b\" type=\"int8\" count=\"16\"/>"
               "<vector id=\"v4i\" type=\"int32\" count=\"4\"/>"
               "<vector id=\"v2i\" type=\"int64\" count=\"2\"/>"
               "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
               "<field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16b\"/>"
               "<field name=\"v4_int32\" type=\"v4i\"/><field name=\"v2_int64\" type=\"v2i\"/>"
               "<field name=\"uint128\" type=\"uint128\"/></union>\n");
    if (feature != CORE)
        return;
    xml(g, "<flags id=\"i386_eflags\" size=\"4\">");
    for (unsigned k = 0; k < sizeof flags / sizeof flags[0]; k++) {
        if (flags[k][0] == '\0' || k == 13)
            continue;
        (void)snprintf(line, sizeof line, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", flags[k],
                       k, k == 12 ? 13 : k);
        xml(g, line);
    }
    xml(g, "</flags>\n");
}

static void xml_rows(struct vm_gdb *g, int feature)
{
    char line[160], name[16];

    for (const struct row *r = rows(g); r->name != NULL; r++)
        for (unsigned k = 0; k < count(r) && r->feature == feature; k++) {
            if (r->count == 0)
                (void)snprintf(name, sizeof name, "%s", r->name);
            else
                (void)snprintf(name, sizeof name, "%s%u%s", r->name, k,
                               r->special == IS_UPPER_HALF ? "h" : "");
            (void)snprintf(line, sizeof line, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"/>\n",
                           name, r->bits, r->type);
            xml(g, line);
        }
}

static bool has_feature(const struct vm_gdb *g, int feature)
{
    for (const struct row *r = rows(g); r->name != NULL; r++)
        if (r->feature == feature)
            return true;
    return false;
}

/* A processor without EFER has no long mode. */
static uint32_t best_arch(const struct vm_gdb *g)
{
    struct vm_cpu *cpu = g->m->cpus[0];
    uint64_t efer;
    const bool lm = cpu->cls->reg_read(cpu, VM_X86_MSR(0xc0000080), &efer, sizeof efer) == VM_OK;
    return lm ? VM_GDB_AMD64 : VM_GDB_I386;
}

void vm__gdb_describe(struct vm_gdb *g)
{
    char line[96];

    if (g->arch < VM_GDB_AMD64 || g->arch > VM_GDB_I8086)
        g->arch = best_arch(g);
    g->xml_len = 0;
    xml(g, "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target>");
    (void)snprintf(line, sizeof line, "<architecture>%s</architecture>\n",
                   layouts[g->arch - VM_GDB_AMD64].bfd);
    xml(g, line);
    for (int f = 0; f < FEATURES; f++) {
        if (!has_feature(g, f))
            continue;
        (void)snprintf(line, sizeof line, "<feature name=\"%s\">\n", feature_names[f]);
        xml(g, line);
        xml_types(g, f);
        xml_rows(g, f);
        xml(g, "</feature>\n");
    }
    xml(g, "</target>\n");
}

/* ---- values ----------------------------------------------------------------------------- */

static uint64_t get(struct vm_cpu *cpu, uint32_t reg)
{
    uint64_t v = 0;
    return cpu->cls->reg_read(cpu, reg, &v, sizeof v) == VM_OK ? v : 0;
}

/* What the program counter is relative to: 64-bit code has no base. */
static uint64_t code_base(struct vm_cpu *cpu)
{
    const bool lma = get(cpu, VM_X86_MSR(0xc0000080)) & 1 << 10;
    const bool l = get(cpu, VM_X86_SEG_ACCESS + 1) & 1 << 13;
    return lma && l ? 0 : get(cpu, VM_X86_SEG_BASE + 1);
}

static void read_one(struct vm_cpu *cpu, const struct row *r, unsigned k, uint8_t *buf)
{
    uint8_t wide[2 * MAX_BYTES] = { 0 };
    uint64_t pc;

    switch (r->special) {
    case IS_PC:
        pc = get(cpu, VM_X86_RIP) + code_base(cpu);
        memcpy(buf, &pc, sizeof pc);
        break;
    case IS_UPPER_HALF:
        (void)cpu->cls->reg_read(cpu, r->reg + k, wide, sizeof wide);
        memcpy(buf, wide + MAX_BYTES, MAX_BYTES);
        break;
    default:
        memset(buf, 0, MAX_BYTES);
        (void)cpu->cls->reg_read(cpu, r->reg + k, buf, r->bits / 8u);
        break;
    }
}

static int set(struct vm_cpu *cpu, uint32_t reg, const void *v, size_t size)
{
    return cpu->cls->reg_write(cpu, reg, v, size);
}

static int write_one(struct vm_cpu *cpu, const struct row *r, unsigned k, const uint8_t *buf)
{
    uint8_t old[MAX_BYTES] = { 0 }, wide[2 * MAX_BYTES] = { 0 };
    uint64_t pc = 0;

    /* gdb writes all of them to change one; some do not take back what they show. */
    read_one(cpu, r, k, old);
    if (memcmp(old, buf, r->bits / 8u) == 0)
        return VM_OK;
    switch (r->special) {
    case IS_PC:
        memcpy(&pc, buf, r->bits / 8u);
        pc -= code_base(cpu);
        return set(cpu, VM_X86_RIP, &pc, r->bits / 8u);
    case IS_UPPER_HALF:
        (void)cpu->cls->reg_read(cpu, r->reg + k, wide, sizeof wide);
        memcpy(wide + MAX_BYTES, buf, MAX_BYTES);
        return set(cpu, r->reg + k, wide, sizeof wide);
    default:
        /* Bits above are kept: XMM registers are the lower halves of others. */
        if (r->feature == SSE && r->bits == 128) {
            (void)cpu->cls->reg_read(cpu, VM_X86_YMM0 + k, wide, sizeof wide);
            memcpy(wide, buf, MAX_BYTES);
            return set(cpu, VM_X86_YMM0 + k, wide, sizeof wide);
        }
        return set(cpu, r->reg + k, buf, r->bits / 8u);
    }
}

int vm__gdb_set_pc(struct vm_gdb *g, uint32_t cpu, uint64_t pc)
{
    static const struct row row = { "pc", 0, 64, CORE, IS_PC, VM_X86_RIP, "" };
    return write_one(g->m->cpus[cpu], &row, 0, (const uint8_t *)&pc);
}

/* ---- packets ---------------------------------------------------------------------------- */

void vm__gdb_read_regs(struct vm_gdb *g)
{
    uint8_t buf[MAX_BYTES];

    vm__gdb_begin(g);
    for (const struct row *r = rows(g); r->name != NULL; r++)
        for (unsigned k = 0; k < count(r); k++) {
            read_one(g->m->cpus[g->cpu], r, k, buf);
            vm__gdb_hex(g, buf, r->bits / 8u);
        }
    vm__gdb_end(g);
}

void vm__gdb_write_regs(struct vm_gdb *g, const char *p)
{
    uint8_t buf[MAX_BYTES];
    int st = VM_OK;

    for (const struct row *r = rows(g); r->name != NULL && *p != '\0'; r++)
        for (unsigned k = 0; k < count(r) && *p != '\0'; k++) {
            if (!vm__gdb_unhex(p, buf, r->bits / 8u)) {
                vm__gdb_status(g, VM_E_INVAL);
                return;
            }
            p += r->bits / 4u;
            const int one = write_one(g->m->cpus[g->cpu], r, k, buf);
            st = st == VM_OK ? one : st;
        }
    vm__gdb_status(g, st);
}

/* Register @p n of the layout. */
static const struct row *find(const struct vm_gdb *g, uint64_t n, unsigned *k)
{
    for (const struct row *r = rows(g); r->name != NULL; r++) {
        if (n < count(r)) {
            *k = (unsigned)n;
            return r;
        }
        n -= count(r);
    }
    return NULL;
}

void vm__gdb_read_reg(struct vm_gdb *g, const char *p)
{
    uint8_t buf[MAX_BYTES];
    uint64_t n;
    unsigned k;
    const struct row *r = vm__gdb_number(&p, &n) ? find(g, n, &k) : NULL;

    if (r == NULL) {
        vm__gdb_status(g, VM_E_NOENT);
        return;
    }
    read_one(g->m->cpus[g->cpu], r, k, buf);
    vm__gdb_begin(g);
    vm__gdb_hex(g, buf, r->bits / 8u);
    vm__gdb_end(g);
}

/* n=value */
void vm__gdb_write_reg(struct vm_gdb *g, const char *p)
{
    uint8_t buf[MAX_BYTES];
    uint64_t n;
    unsigned k;
    const struct row *r = vm__gdb_number_to(&p, &n, '=') ? find(g, n, &k) : NULL;

    if (r == NULL || !vm__gdb_unhex(p, buf, r->bits / 8u)) {
        vm__gdb_status(g, r == NULL ? VM_E_NOENT : VM_E_INVAL);
        return;
    }
    vm__gdb_status(g, write_one(g->m->cpus[g->cpu], r, k, buf));
}
