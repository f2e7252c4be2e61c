/* SPDX-License-Identifier: MIT */
/**
 * @file memory.c
 * Looking at memory and ports: x, xp, print, memsave, pmemsave, i, o.
 *
 * Nothing here has side effects on devices but i and o: x and xp read RAM and ROM only.
 */
#include <libvm/cpu.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "cpu/vcpu.h"
#include "monitor/monitor.h"

enum { INSN_BYTES = 15, STRING_BYTES = 4096, CHUNK = 4096 };

/** An address space to look at. */
struct space {
    struct mon *mon;
    struct vcpu *cpu;
    bool virtual;
};

/** Bytes at an address, page by page; VM_E_RANGE with the address where there are none. */
static int fetch(const struct space *s, uint64_t at, void *buf, size_t len)
{
    struct vm_machine *m = s->mon->m;
    uint8_t *to = buf;
    while (len != 0) {
        uint64_t gpa = at;
        size_t n = VM_PAGE_SIZE - (size_t)(at % VM_PAGE_SIZE);
        n = n < len ? n : len;
        int st = VM_OK;
        if (s->virtual)
            st = s->cpu->cpu.cls->translate(&s->cpu->cpu, at, VM_ACCESS_READ, &gpa);
        if (st == VM_OK)
            st = vm__mem_read(m, gpa, to, n);
        if (st != VM_OK)
            return vm__fail_at(VM_E_RANGE, at, "Cannot access memory at address 0x%" PRIx64, at);
        at += n;
        to += n;
        len -= n;
    }
    return VM_OK;
}

/* ---- values ---- */

static void put_char(struct mon *mon, uint64_t v)
{
    const unsigned char c = (unsigned char)v;
    switch (c) {
    case '\n':
        mon_printf(mon, "'\\n'");
        break;
    case '\r':
        mon_printf(mon, "'\\r'");
        break;
    case '\t':
        mon_printf(mon, "'\\t'");
        break;
    case '\'':
        mon_printf(mon, "'\\''");
        break;
    case '\\':
        mon_printf(mon, "'\\\\'");
        break;
    default:
        if (c >= 32 && c < 127)
            mon_printf(mon, "'%c'", c);
        else
            mon_printf(mon, "'\\x%02x'", c);
    }
}

static void put_value(struct mon *mon, const struct mon_format *f, uint64_t v)
{
    const int digits = (int)f->size * 2;
    const unsigned shift = 64 - 8 * f->size;
    switch (f->letter) {
    case 'd':
        mon_printf(mon, "%" PRId64, (int64_t)(v << shift) >> shift);
        break;
    case 'u':
        mon_printf(mon, "%" PRIu64, v);
        break;
    case 'o':
        mon_printf(mon, "0%" PRIo64, v);
        break;
    case 'c':
        put_char(mon, v);
        break;
    default:
        mon_printf(mon, "0x%0*" PRIx64, digits, v);
    }
}

/* ---- x and xp ---- */

static int dump_values(const struct space *s, const struct mon_format *f, uint64_t at)
{
    /* As many on a line as people's eyes are used to: 16 bytes, 8 of single ones. */
    const uint32_t line = f->size == 1 ? 8 : 16 / f->size;
    for (uint32_t i = 0; i < f->count; i++, at += f->size) {
        uint8_t bytes[8];
        const int st = fetch(s, at, bytes, f->size);
        if (i % line == 0)
            mon_printf(s->mon, "%s%016" PRIx64 ":", i != 0 ? "\n" : "", at);
        if (st != VM_OK) {
            mon_printf(s->mon, " %s\n", vm_last_error()->message);
            return i == 0 ? st : VM_OK;
        }
        mon_printf(s->mon, " ");
        put_value(s->mon, f, vm_le_n(bytes, f->size));
    }
    mon_printf(s->mon, "\n");
    return VM_OK;
}

static int dump_code(const struct space *s, const struct mon_format *f, uint64_t at)
{
    const unsigned bits = 8u << (s->cpu->mode & X86_MODE_CODE);
    for (uint32_t i = 0; i < f->count; i++) {
        uint8_t bytes[INSN_BYTES];
        char text[128];
        size_t n = 0;
        while (n < INSN_BYTES && fetch(s, at + n, bytes + n, 1) == VM_OK)
            n++;
        if (n == 0)
            return fetch(s, at, bytes, 1);
        const uint32_t len = vm__mon_disassemble(bits, at, bytes, n, text, sizeof text);
        if (len == 0)
            return vm__fail(VM_E_NOTSUP, "this library was built without a disassembler (Zydis)");
        mon_printf(s->mon, "0x%08" PRIx64 ":  ", at);
        for (size_t k = 0; k < len; k++)
            mon_printf(s->mon, "%02x ", bytes[k]);
        mon_printf(s->mon, "%*s%s\n", len < 8 ? (int)(3 * (8 - len)) : 1, "", text);
        at += len;
    }
    return VM_OK;
}

static int dump_string(const struct space *s, const struct mon_format *f, uint64_t at)
{
    for (uint32_t i = 0; i < f->count; i++) {
        char text[STRING_BYTES];
        size_t n = 0;
        const uint64_t first = at;
        for (; n < sizeof text; n++, at++) {
            const int st = fetch(s, at, &text[n], 1);
            if (st != VM_OK)
                return st;
            if (text[n] == '\0')
                break;
        }
        at++;
        mon_printf(s->mon, "%016" PRIx64 ": \"", first);
        for (size_t k = 0; k < n; k++) {
            if (text[k] == '"' || text[k] == '\\')
                mon_printf(s->mon, "\\%c", text[k]);
            else if (text[k] >= 32 && text[k] < 127)
                mon_printf(s->mon, "%c", text[k]);
            else
                mon_printf(s->mon, "\\x%02x", (unsigned char)text[k]);
        }
        mon_printf(s->mon, "\"\n");
    }
    return VM_OK;
}

static int dump(struct mon *mon, char *args, bool virtual)
{
    struct mon_format f = { .count = 1, .letter = 'x', .size = 4 };
    uint64_t at;
    int st = vm__mon_format(&args, &f);
    if (st == VM_OK)
        st = vm__mon_expr(mon, &args, &at);
    if (st == VM_OK)
        st = vm__mon_end(&args);
    const struct space s = { .mon = mon, .cpu = vm__mon_cpu(mon), .virtual = virtual };
    if (st != VM_OK || s.cpu == NULL)
        return st != VM_OK ? st : vm_last_error()->code;
    if (f.letter == 'i')
        return dump_code(&s, &f, at);
    return f.letter == 's' ? dump_string(&s, &f, at) : dump_values(&s, &f, at);
}

static int run_x(struct mon *mon, char *args)
{
    return dump(mon, args, true);
}

static int run_xp(struct mon *mon, char *args)
{
    return dump(mon, args, false);
}

static int run_print(struct mon *mon, char *args)
{
    struct mon_format f = { .letter = 'x', .size = 8 };
    uint64_t v;
    int st = vm__mon_format(&args, &f);
    if (st == VM_OK)
        st = vm__mon_expr(mon, &args, &v);
    if (st == VM_OK)
        st = vm__mon_end(&args);
    if (st != VM_OK)
        return st;
    if (f.letter == 'x' && f.size == 8)
        mon_printf(mon, "%#" PRIx64, v); /* no leading zeros: it is a number, not a place */
    else
        put_value(mon, &f, f.size < 8 ? v & ((UINT64_C(1) << 8 * f.size) - 1) : v);
    mon_printf(mon, "\n");
    return VM_OK;
}

/** Where a guest-virtual address lies. */
static int run_gva2gpa(struct mon *mon, char *args)
{
    uint64_t gva, gpa;
    int st = vm__mon_expr(mon, &args, &gva);
    struct vcpu *c = vm__mon_cpu(mon);
    if (st != VM_OK || c == NULL)
        return st != VM_OK ? st : vm_last_error()->code;
    st = c->cpu.cls->translate(&c->cpu, gva, VM_ACCESS_READ, &gpa);
    if (st != VM_OK)
        mon_printf(mon, "Unmapped\n");
    else
        mon_printf(mon, "gpa: %#" PRIx64 "\n", gpa);
    return VM_OK;
}

/* ---- saving ---- */

static int save(struct mon *mon, char *args, bool virtual)
{
    uint64_t at, len;
    uint8_t buf[CHUNK];
    const struct space s = { .mon = mon, .cpu = vm__mon_cpu(mon), .virtual = virtual };
    int st = vm__mon_expr(mon, &args, &at);
    if (st == VM_OK)
        st = vm__mon_expr(mon, &args, &len);
    const char *name = st == VM_OK ? vm__mon_need(&args, "a file's name") : NULL;
    if (name == NULL || s.cpu == NULL)
        return vm_last_error()->code;
    if (len != 0 && (st = fetch(&s, at, buf, 1)) != VM_OK)
        return st; /* before a file is made for nothing */
    FILE *f = fopen(name, "wbe");
    if (f == NULL)
        return vm__fail_os(VM_E_IO, errno, "%s", name);
    while (st == VM_OK && len != 0) {
        const size_t n = len < CHUNK ? (size_t)len : CHUNK;
        st = fetch(&s, at, buf, n);
        if (st == VM_OK && fwrite(buf, 1, n, f) != n)
            st = vm__fail_os(VM_E_IO, errno, "%s", name);
        at += n;
        len -= n;
    }
    if (fclose(f) != 0 && st == VM_OK)
        st = vm__fail_os(VM_E_IO, errno, "%s", name);
    return st;
}

static int run_memsave(struct mon *mon, char *args)
{
    return save(mon, args, true);
}

static int run_pmemsave(struct mon *mon, char *args)
{
    return save(mon, args, false);
}

/* ---- ports ---- */

/** Port and format, common to i and o; bytes unless a size is given. */
static int port_of(struct mon *mon, char **args, struct mon_format *f, uint64_t *port)
{
    *f = (struct mon_format) { .count = 1, .letter = 'x', .size = 1 };
    int st = vm__mon_format(args, f);
    if (st == VM_OK)
        st = vm__mon_expr(mon, args, port);
    if (st == VM_OK && (*port > 0xffff || f->size > 4))
        st = vm__fail(VM_E_RANGE, "ports are 0 to 0xffff, of 1, 2 or 4 bytes");
    return st;
}

static int run_i(struct mon *mon, char *args)
{
    static const char names[] = "?bw?l";
    struct mon_format f;
    uint64_t port, index;
    int st = port_of(mon, &args, &f, &port);
    char *more = args + strspn(args, " \t");
    if (st == VM_OK && *more != '\0') { /* i /b ADDR INDEX: a register behind an index port */
        st = vm__mon_expr(mon, &more, &index);
        if (st == VM_OK) {
            vm__port_write(mon->m, (uint16_t)port, 1, (uint32_t)index & 0xff);
            port++;
        }
    }
    if (st != VM_OK)
        return st;
    const uint32_t v = vm__port_read(mon->m, (uint16_t)port, f.size);
    mon_printf(mon, "port%c[0x%04" PRIx64 "] = ", names[f.size], port);
    put_value(mon, &f, v);
    mon_printf(mon, "\n");
    return VM_OK;
}

static int run_o(struct mon *mon, char *args)
{
    struct mon_format f;
    uint64_t port, v;
    int st = port_of(mon, &args, &f, &port);
    if (st == VM_OK)
        st = vm__mon_expr(mon, &args, &v);
    if (st == VM_OK)
        st = vm__mon_end(&args);
    if (st == VM_OK)
        vm__port_write(mon->m, (uint16_t)port, f.size,
                       (uint32_t)(f.size == 4 ? v : v & ((1u << 8 * f.size) - 1)));
    return st;
}

const struct mon_command vm__mon_memory[] = {
    { "x", NULL, "/FMT ADDR", "virtual memory; FMT: count, x d u o c i s, b h w g", MON_EXACT,
      run_x },
    { "xp", NULL, "/FMT ADDR", "physical memory", MON_EXACT, run_xp },
    { "print", "p", "/FMT EXPR", "the value of an expression; $rip is a register", MON_EXACT,
      run_print },
    { "gva2gpa", NULL, "ADDR", "physical address of a virtual one", MON_EXACT, run_gva2gpa },
    { "memsave", NULL, "ADDR SIZE FILE", "virtual memory to a file", MON_EXACT, run_memsave },
    { "pmemsave", NULL, "ADDR SIZE FILE", "physical memory to a file", MON_EXACT, run_pmemsave },
    { "i", NULL, "/FMT PORT [INDEX]", "read a port", MON_EXACT, run_i },
    { "o", NULL, "/FMT PORT VALUE", "write a port", MON_EXACT, run_o },
    { 0 },
};
