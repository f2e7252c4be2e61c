/* SPDX-License-Identifier: MIT */
/**
 * @file test_old.c
 * Formats of other times: bochs, cloop and dmg images made here from their specifications, and cow
 * images, which a second reader here reads by its own rules.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/endian.h"
#include "old_images.h"
#include "support.h"

static struct blk_place p;

static void setup(void)
{
    blk_init(&p);
}

static void teardown(void)
{
    blk_fini(&p);
}

TestSuite(old, .init = setup, .fini = teardown);

static void save(const char *name, const uint8_t *bytes, size_t len)
{
    FILE *f = fopen(blk_path(&p, name), "wb");
    cr_assert(f != NULL && fwrite(bytes, 1, len, f) == len && fclose(f) == 0);
}

static void save_sound(const char *name, const struct sound *s)
{
    uint8_t *f = calloc(1, s->size);
    for (size_t i = 0; i < s->n; i++) {
        size_t len = s->size - s->places[i] < 512 ? (size_t)(s->size - s->places[i]) : 512;
        memcpy(f + s->places[i], s->bytes + i * 512, len);
    }
    save(name, f, s->size);
    free(f);
}

static struct vm_blk *opened(const char *name, const char *format, uint32_t flags)
{
    struct vm_blk *n = blk_open(&p, blk_path(&p, name), format, NULL, flags);
    cr_assert_not_null(n, "%s: %s", format, vm_last_error()->message);
    return n;
}

/* ---- read-only formats ------------------------------------------------------------------ */

/** Every byte is as it should be: old_byte(), or zeros in chunks of zeros. */
static void is_old(struct vm_blk *n, const char *format, bool zeros)
{
    static uint8_t buf[777];
    uint64_t size = vm__blk_size(n);
    cr_assert_eq(size, old_size(format), "%s: %llu bytes", format, (unsigned long long)size);
    for (uint64_t off = 0; off < size; off += sizeof buf) {
        size_t len = size - off < sizeof buf ? (size_t)(size - off) : sizeof buf;
        cr_assert_eq(vm__blk_read(n, off, buf, len), VM_OK, "%s: %s", format,
                     vm_last_error()->message);
        for (size_t i = 0; i < len; i++) {
            bool hole = zeros && (off + i) / OLD_DMG_CHUNK % 4 == 3;
            cr_assert_eq(buf[i], hole ? 0 : old_byte(off + i), "%s: byte %llu is %02x", format,
                         (unsigned long long)(off + i), buf[i]);
        }
    }
}

Test(old, images_made_from_their_specifications)
{
    static const char *const formats[] = { "bochs", "cloop", "dmg" };
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct sound s;
        old_image(formats[i], &s);
        save_sound("image", &s);
        struct vm_blk *n = opened("image", formats[i], VM_OPEN_RO);
        is_old(n, formats[i], strcmp(formats[i], "dmg") == 0);
        cr_assert_neq(vm__blk_write(n, 0, "x", 1), VM_OK);
        vm__blk_unref(n);
        cr_assert_null(blk_open(&p, blk_path(&p, "image"), formats[i], NULL, 0));
    }
}

/** The peer reads the same; it has no ADC, so no dmg image of ours. */
Test(old, qemu_img_reads_the_same)
{
    static const char *const formats[] = { "bochs", "cloop" };
    if (!blk_have("qemu-img"))
        cr_skip_test("no qemu-img");
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct sound s;
        char *out = NULL;
        old_image(formats[i], &s);
        save_sound("image", &s);
        cr_assert_eq(blk_shell(&p, &out, "qemu-img convert -f %s -O raw image out", formats[i]), 0,
                     "%s: %s", formats[i], out);
        free(out);
        struct vm_blk *n = opened("out", "raw", VM_OPEN_RO);
        is_old(n, formats[i], false);
        vm__blk_unref(n);
    }
}

/** Compressed by the program that everybody has. */
static size_t by_program(const struct old_packed *self, uint8_t *out, const uint8_t *in, size_t len)
{
    save("chunk", in, len);
    cr_assert_eq(blk_shell(&p, NULL, "%s -c chunk > packed", (const char *)self->ud), 0);
    FILE *f = fopen(blk_path(&p, "packed"), "rb");
    size_t n = fread(out, 1, len, f);
    fclose(f);
    cr_assert(n > 0 && n < len);
    return n;
}

static void dmg_packed_by(const char *program, uint32_t kind)
{
    static uint8_t f[OLD_DMG_ROOM];
    const struct old_packed how = { kind, by_program, (void *)(uintptr_t)program };
    if (!blk_have(program))
        cr_skip_test("no such program");
    save("image", f, old_dmg(f, sizeof f, &how));
    struct vm_blk *n = opened("image", "dmg", VM_OPEN_RO);
    uint8_t b;
    if (vm__blk_read(n, 3 * OLD_DMG_CHUNK, &b, 1) == VM_E_NOTSUP) {
        cr_assert_not_null(strstr(vm_last_error()->message, "built without"));
        cr_skip_test("built without it");
    }
    is_old(n, "dmg", false);
    vm__blk_unref(n);
}

Test(old, dmg_with_bzip2)
{
    dmg_packed_by("bzip2", 0x80000006);
}

Test(old, dmg_with_lzma)
{
    dmg_packed_by("xz", 0x80000008);
}

Test(old, dmg_with_a_resource_fork)
{
    static uint8_t f[OLD_DMG_ROOM];
    uint8_t mish[204 + 80] = "mish", map[16 + 4 + sizeof mish];
    memset(f, 0, sizeof f);
    for (size_t i = 0; i < 4096; i++)
        f[i] = old_byte(i);
    vm_put_be32(mish + 200, 2);
    vm_put_be32(mish + 204, 1);
    vm_put_be64(mish + 204 + 16, 8);
    vm_put_be64(mish + 204 + 32, 4096);
    vm_put_be32(mish + 244, 2);
    vm_put_be64(mish + 244 + 8, 8);
    vm_put_be64(mish + 244 + 16, 8);
    memset(map, 0, sizeof map);
    vm_put_be32(map, 16);
    vm_put_be32(map + 4, sizeof map);
    vm_put_be32(map + 8, 4 + sizeof mish);
    vm_put_be32(map + 16, sizeof mish);
    memcpy(map + 20, mish, sizeof mish);
    memcpy(f + 4096, map, sizeof map);
    uint8_t *koly = f + 4096 + sizeof map;
    memcpy(koly, "koly", 4);
    vm_put_be64(koly + 40, 4096);
    vm_put_be64(koly + 48, sizeof map);
    save("image", f, 4096 + sizeof map + 512 + 1); /* and a byte too many */
    struct vm_blk *n = opened("image", "dmg", VM_OPEN_RO);
    uint8_t b[8192];
    cr_assert_eq(vm__blk_size(n), sizeof b);
    cr_assert_eq(vm__blk_read(n, 0, b, sizeof b), VM_OK);
    cr_assert(memcmp(b, f, 4096) == 0 && b[4096] == 0 && b[8191] == 0);
    vm__blk_unref(n);
}

/** A list of chunks that has none, or cannot be one. */
Test(old, dmg_lists_that_make_no_sense)
{
    static uint8_t f[OLD_DMG_ROOM];
    static const struct {
        uint64_t off, len;
        const char *why;
    } rows[] = {
        { 0, 1, "has no chunks" },           { 1, 1, "has no chunks" },
        { UINT64_MAX, 1, "cannot be read" }, { 0, UINT64_MAX, "cannot be read" },
        { 0, 17 << 20, "cannot be read" },
    };
    size_t len = old_dmg(f, sizeof f, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        vm_put_be64(f + len - 512 + 216, rows[i].off);
        vm_put_be64(f + len - 512 + 224, rows[i].len);
        save("image", f, len);
        cr_assert_null(blk_open(&p, blk_path(&p, "image"), "dmg", NULL, VM_OPEN_RO));
        cr_assert_not_null(strstr(vm_last_error()->message, rows[i].why), "%s",
                           vm_last_error()->message);
    }
}

/* ---- cow -------------------------------------------------------------------------------- */

enum { COW_SIZE = (5 << 20) + 1536 };

/** A second reader, by the header as a C compiler of each machine lays it out. */
struct header_i386 {
    uint32_t magic, version;
    char backing_file[1024];
    uint32_t mtime;
    uint32_t size_high, size_low; /* 64 bits, aligned to 4 */
    uint32_t sector_size;
};
struct header_x86_64 {
    uint32_t magic, version;
    char backing_file[1024];
    uint32_t mtime;
    uint64_t size; /* aligned to 8 */
    uint32_t sector_size;
};

static uint32_t big32(uint32_t v)
{
    return __builtin_bswap32(v);
}

static void read_cow(const char *name, const uint8_t *base, uint8_t *out)
{
    static uint8_t f[COW_SIZE + 65536];
    struct header_x86_64 h;
    FILE *file = fopen(blk_path(&p, name), "rb");
    size_t got = fread(f, 1, sizeof f, file);
    fclose(file);
    memcpy(&h, f, sizeof h);
    cr_assert(big32(h.magic) == 0x4f4f4f4d && big32(h.version) == 2);
    cr_assert_eq(big32(h.sector_size), 512);
    uint64_t size = __builtin_bswap64(h.size), sectors = (size + 511) / 512;
    cr_assert_eq(size, COW_SIZE);
    size_t data = (sizeof h + (sectors + 7) / 8 + 511) & ~(size_t)511;
    for (uint64_t i = 0; i < sectors; i++) {
        bool here = f[sizeof h + i / 8] & 1 << i % 8;
        cr_assert(!here || data + (i + 1) * 512 <= got);
        memcpy(out + i * 512, here ? f + data + i * 512 : base + i * 512, 512);
    }
}

static void scribble(struct vm_blk *n, uint8_t *model, unsigned rounds)
{
    uint64_t seed = 12345;
    for (unsigned i = 0; i < rounds; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t off = (seed >> 20) % COW_SIZE, len = (seed >> 40) % 3000 + 1;
        if (i % 3 == 0) {
            off &= ~UINT64_C(511);
            len = 4096;
        }
        len = len < COW_SIZE - off ? len : COW_SIZE - off;
        memset(model + off, (int)i + 1, len);
        cr_assert_eq(vm__blk_write(n, off, model + off, len), VM_OK, "%s",
                     vm_last_error()->message);
    }
}

static void holds(struct vm_blk *n, const uint8_t *model)
{
    static uint8_t now[COW_SIZE];
    cr_assert_eq(vm__blk_size(n), COW_SIZE);
    cr_assert_eq(vm__blk_read(n, 0, now, COW_SIZE), VM_OK, "%s", vm_last_error()->message);
    for (size_t i = 0; i < COW_SIZE; i++)
        cr_assert_eq(now[i], model[i], "byte %zu is %02x, not %02x", i, now[i], model[i]);
}

Test(old, cow_is_read_by_another_reader)
{
    static uint8_t base[COW_SIZE + 512], model[COW_SIZE + 512], out[COW_SIZE + 512];
    for (size_t i = 0; i < COW_SIZE; i++)
        base[i] = model[i] = (uint8_t)(i / 512 + 1);
    save("base", base, COW_SIZE);
    cr_assert_eq(
        blk_create(&p, blk_path(&p, "top"), "cow", COW_SIZE, "backing_file=base,backing_fmt=raw"),
        VM_OK, "%s", vm_last_error()->message);
    struct vm_blk *n = opened("top", "cow", VM_OPEN_PROBE);
    holds(n, model);
    scribble(n, model, 300);
    holds(n, model);
    vm__blk_unref(n);
    n = opened("top", NULL, VM_OPEN_PROBE);
    cr_assert_str_eq(n->drv->name, "cow");
    holds(n, model);
    uint32_t depth;
    for (uint64_t off = 0; off < COW_SIZE;) {
        struct vm_extent e;
        cr_assert_eq(vm__blk_status_chain(n, off, COW_SIZE - off, &e, &depth), VM_OK);
        cr_assert(e.length > 0 && (depth == 0) == (e.offset != off));
        off += e.length;
    }
    vm__blk_unref(n);
    read_cow("top", base, out);
    cr_assert_arr_eq(out, model, COW_SIZE);
}

Test(old, cow_with_the_header_of_i386)
{
    static uint8_t f[COW_SIZE + 65536], model[COW_SIZE + 512];
    struct header_i386 h = { .magic = big32(0x4f4f4f4d),
                             .version = big32(2),
                             .mtime = big32(1000000000),
                             .size_low = big32(COW_SIZE),
                             .sector_size = big32(512) };
    cr_assert_eq(sizeof h, 1048);
    size_t data = (sizeof h + (COW_SIZE / 512 + 7) / 8 + 511) & ~(size_t)511;
    memcpy(f, &h, sizeof h);
    for (size_t i = 0; i < COW_SIZE / 512; i += 3) {
        f[sizeof h + i / 8] |= (uint8_t)(1 << i % 8);
        memset(f + data + i * 512, (int)i, 512);
        memset(model + i * 512, (int)i, 512);
    }
    save("image", f, data + COW_SIZE);
    struct vm_blk *n = opened("image", "cow", 0);
    holds(n, model);
    scribble(n, model, 100);
    vm__blk_unref(n);
    n = opened("image", "cow", VM_OPEN_RO);
    holds(n, model);
    vm__blk_unref(n);
}

Test(old, cow_headers_that_make_no_sense)
{
    static const struct {
        size_t at;
        uint8_t byte;
        const char *why;
    } rows[] = {
        { 4, 1, "not in COW format" },           { 7, 3, "not in COW format" },
        { 1049, 9, "sectors other than" },       { 1040, 0xff, "larger than" },
        { 1043, 1, "lies outside of the file" },
    };
    uint8_t f[4096];
    cr_assert_eq(blk_create(&p, blk_path(&p, "good"), "cow", 1 << 20, NULL), VM_OK);
    FILE *file = fopen(blk_path(&p, "good"), "rb");
    cr_assert_eq(fread(f, 1, sizeof f, file), sizeof f);
    fclose(file);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t bad[4096];
        memcpy(bad, f, sizeof f);
        bad[rows[i].at] = rows[i].byte;
        save("bad", bad, sizeof bad);
        cr_assert_null(blk_open(&p, blk_path(&p, "bad"), "cow", NULL, 0));
        cr_assert_not_null(strstr(vm_last_error()->message, rows[i].why), "%zu: %s", i,
                           vm_last_error()->message);
    }
}
