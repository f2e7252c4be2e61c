/* SPDX-License-Identifier: MIT */
/**
 * @file sources.c
 * Bytes to decode: shaped by table rows, and real code out of files.
 */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>

#include "agree.h"

static unsigned prefixes(struct rng *r, uint8_t *out)
{
    static const uint8_t all[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66,
                                   0x66, 0x67, 0x67, 0xf0, 0xf2, 0xf3 };
    unsigned n = rng_once_in(r, 2) ? 0 : rng_once_in(r, 3) ? rng_below(r, 4) : 1;

    if (rng_once_in(r, 500))
        n = rng_below(r, AG_MAX);
    for (unsigned k = 0; k < n; k++)
        out[k] = all[rng_below(r, sizeof all)];
    return n;
}

static unsigned vex(struct rng *r, const struct x86_row *row, uint8_t *out)
{
    unsigned any = (unsigned)rng_64(r), l = row->l < 0 ? any >> 8 : (unsigned)row->l;
    unsigned w = row->w < 0 ? any >> 9 : (unsigned)row->w;
    bool vvvv = rng_once_in(r, 8);

    for (unsigned k = 0; k < row->n_ops; k++)
        vvvv |= row->op[k].at == X86_AT_VVVV;
    if (rng_once_in(r, 16))
        l = any >> 10, w = any >> 11;
    uint8_t last =
        (uint8_t)((w & 1) << 7 | (vvvv ? any >> 12 & 15 : 15) << 3 | (l & 1) << 2 | (row->pp & 3));
    if (row->map == 1 && rng_once_in(r, 2)) {
        out[0] = 0xc5;
        out[1] = (uint8_t)((last & 0x7f) | (any & 0x80));
        return 2;
    }
    out[0] = 0xc4;
    out[1] = (uint8_t)((any & 0xe0) | row->map);
    out[2] = last;
    return 3;
}

void agree_structured(struct rng *r, const struct agree_mode *mode, uint8_t *out)
{
    static const uint8_t mandatory[] = { 0, 0x66, 0xf3, 0xf2, 0 };
    const struct x86_row *row = &vm__x86_rows[rng_below(r, vm__x86_row_count)];
    uint8_t b[2 * AG_MAX];
    unsigned n;

    rng_fill(r, b, sizeof b);
    if (row->enc == X86_ENC_VEX) {
        n = rng_once_in(r, 4) ? prefixes(r, b) : 0;
        n += vex(r, row, b + n);
    } else {
        n = prefixes(r, b);
        if (mandatory[row->pp] && n < AG_MAX && !rng_once_in(r, 16))
            b[n++] = mandatory[row->pp];
        if (mode->code == 3 && rng_once_in(r, 2))
            b[n++] = (uint8_t)(0x40 | (row->w < 0 ? rng_64(r) & 15
                                                  : rng_below(r, 8) | (unsigned)row->w << 3));
        if (row->map > 0)
            b[n++] = 0x0f;
        if (row->map > 1)
            b[n++] = row->map == 2 ? 0x38 : 0x3a;
    }
    uint8_t opcode = row->opcode;
    for (unsigned k = 0; k < row->n_ops; k++)
        if (row->op[k].at == X86_AT_OPCODE)
            opcode |= (uint8_t)rng_below(r, 8);
    b[n++] = opcode;
    if (row->mod != X86_MOD_NONE && !rng_once_in(r, 16)) {
        if (row->ext >= 0)
            b[n] = (uint8_t)((b[n] & 0xc7) | row->ext << 3);
        if (row->rm >= 0)
            b[n] = (uint8_t)(0xc0 | (b[n] & 0x38) | row->rm);
        if (row->mod == X86_MOD_REG)
            b[n] |= 0xc0;
        else if ((b[n] & 7) < 4 && rng_once_in(r, 4)) /* more SIB bytes */
            b[n] = (uint8_t)((b[n] & 0xf8) | 4);
    }
    memcpy(out, b, AG_MAX);
}

/* ---- files ---- */

static uint8_t *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    uint8_t *p = NULL;

    if (!f)
        return NULL;
    if (fseek(f, 0, SEEK_END) == 0 && ftell(f) > 0) {
        *len = (size_t)ftell(f);
        rewind(f);
        p = malloc(*len);
        if (p && fread(p, 1, *len, f) != *len) {
            free(p);
            p = NULL;
        }
    }
    fclose(f);
    return p;
}

/* Move the executable sections of a 64-bit ELF file to the front. */
static size_t keep_code(uint8_t *p, size_t len)
{
    Elf64_Ehdr e;
    size_t n = 0;

    if (len < sizeof e)
        return len;
    memcpy(&e, p, sizeof e);
    if (memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 || e.e_ident[EI_CLASS] != ELFCLASS64)
        return len;
    uint8_t *code = malloc(len);
    for (unsigned k = 0; code && k < e.e_shnum; k++) {
        Elf64_Shdr s;
        uint64_t at = e.e_shoff + (uint64_t)k * sizeof s;
        if (at > len || len - at < sizeof s)
            break;
        memcpy(&s, p + at, sizeof s);
        if (s.sh_type != SHT_PROGBITS || !(s.sh_flags & SHF_EXECINSTR) || s.sh_offset > len ||
            s.sh_size > len - s.sh_offset || s.sh_size > len - n)
            continue;
        memcpy(code + n, p + s.sh_offset, s.sh_size);
        n += s.sh_size;
    }
    if (code && n)
        memcpy(p, code, n);
    free(code);
    return n ? n : len;
}

uint8_t *agree_code(const char *path, size_t *len)
{
    uint8_t *p = read_file(path, len);

    if (p)
        *len = keep_code(p, *len);
    return p;
}
