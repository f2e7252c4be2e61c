/* SPDX-License-Identifier: MIT */
/**
 * @file test_luks.c
 * Encrypted images: luks, qcow2 with LUKS or the old AES, keys and what is wrong with them.
 *
 * What is written here is decrypted by qemu-img, and the other way round.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "block/image.h"
#include "blockfmt/crypto.h"
#include "block/support.h"

enum { KiB = 1 << 10, MiB = 1 << 20, OPS = 150 };

#define PEER "--object secret,id=s,data=123456 "

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

static void shell_ok(const struct blk_place *p, const char *command)
{
    if (!blk_have("qemu-img"))
        return;
    for (int tries = 0;; tries++) {
        char *out = NULL;
        const int st = blk_shell(p, &out, "%s", command);
        /* On a busy host qemu-img may fail to measure how fast it hashes. */
        const bool busy = st != 0 && strstr(out, "accurate CPU usage") != NULL && tries < 20;
        cr_assert(st == 0 || busy, "%s: %s", command, out);
        free(out);
        if (!busy)
            return;
    }
}

static void place(struct blk_place *p)
{
    blk_init(p);
    cr_assert_eq(vm__secret_add(p->env, "s", "123456", 6), VM_OK);
    cr_assert_eq(vm__secret_add(p->env, "other", "a longer one", 12), VM_OK);
    cr_assert_eq(vm__secret_add(p->env, "wrong", "12345", 5), VM_OK);
}

struct image {
    char format[8], options[160], open[40], base[8];
    uint64_t size;
};

static const struct image images[] = {
    { "luks", "key-secret=s,iter-time=10", "key-secret=s", "", 3 * MiB + 512 },
    { "luks", "key-secret=s,iter-time=10,cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=essiv",
      "key-secret=s", "", 2 * MiB },
    { "luks", "key-secret=s,iter-time=10,cipher-alg=serpent-256,hash-alg=sha512", "key-secret=s",
      "", 2 * MiB },
    { "luks",
      "key-secret=s,iter-time=10,cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=plain,"
      "hash-alg=sha1",
      "key-secret=s", "", 2 * MiB },
    { "luks", "key-secret=s,iter-time=10,cipher-alg=twofish-128,hash-alg=ripemd160", "key-secret=s",
      "", 2 * MiB },
    { "qcow2", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
      "encrypt.key-secret=s", "", 3 * MiB + 512 },
    { "qcow2", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,cluster_size=4k",
      "encrypt.key-secret=s", "", 2 * MiB },
    { "qcow2", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,extended_l2=on",
      "encrypt.key-secret=s", "base", 3 * MiB },
    { "qcow2", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
      "encrypt.key-secret=s", "base", 3 * MiB },
    { "qcow2",
      "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,"
      "preallocation=metadata",
      "encrypt.key-secret=s", "", 3 * MiB },
    { "qcow2", "encrypt.format=aes,encrypt.key-secret=s", "encrypt.key-secret=s", "", 3 * MiB },
    { "qcow2", "encryption=on,encrypt.key-secret=s,compat=0.10", "encrypt.key-secret=s", "base",
      3 * MiB },
};

ParameterizedTestParameters(luks, round_trip)
{
    return cr_make_param_array(struct image, (void *)(uintptr_t)images,
                               sizeof images / sizeof images[0]);
}

static void write_some(struct vm_blk *n, uint8_t *model, uint64_t size, uint64_t *seed)
{
    for (unsigned i = 0; i < OPS; i++) {
        uint64_t kind = next_random(seed) % 10, off = next_random(seed) % size;
        size_t len = (size_t)(next_random(seed) % (kind < 2 ? 200000 : 5000)) + 1;
        int st;
        off &= kind & 1 ? ~UINT64_C(511) : ~UINT64_C(0);
        len = len > size - off ? (size_t)(size - off) : len;
        if (kind == 8) {
            memset(model + off, 0, len);
            st = vm__blk_zero(n, off, len, i & 1 ? VM_IO_UNMAP : 0);
        } else if (kind == 9) {
            st = vm__blk_flush(n, 0);
        } else {
            for (size_t k = 0; k < len; k++)
                model[off + k] = (uint8_t)(off + k + i * 41 + (off + k) / 512);
            st = vm__blk_write(n, off, model + off, len);
        }
        cr_assert_eq(st, VM_OK, "%s", vm_last_error()->message);
    }
}

static void same(struct vm_blk *n, const uint8_t *model, uint64_t size, const char *when)
{
    uint8_t *buf = malloc(size);
    cr_assert_eq(vm__blk_size(n), size, "%s: %llu", when, (unsigned long long)vm__blk_size(n));
    cr_assert_eq(vm__blk_read(n, 0, buf, size), VM_OK, "%s: %s", when, vm_last_error()->message);
    for (uint64_t i = 0; i < size; i++)
        if (buf[i] != model[i])
            cr_assert_fail("%s: byte %llu is %02x, not %02x", when, (unsigned long long)i, buf[i],
                           model[i]);
    free(buf);
}

static void save(const struct blk_place *p, const uint8_t *model, uint64_t size)
{
    FILE *f = fopen(blk_path(p, "model.raw"), "wb");
    cr_assert(f != NULL && fwrite(model, 1, size, f) == size && fclose(f) == 0);
}

static void peer_agrees(const struct blk_place *p, const struct image *v, const uint8_t *model)
{
    char command[512];
    save(p, model, v->size);
    (void)snprintf(command, sizeof command,
                   "qemu-img convert " PEER "--image-opts driver=%s,%s,file.filename=a -O raw out "
                   "&& cmp out model.raw",
                   v->format, v->open);
    shell_ok(p, command);
    (void)snprintf(command, sizeof command,
                   "qemu-img check " PEER "--image-opts driver=%s,%s,file.filename=a", v->format,
                   v->open);
    if (strcmp(v->format, "qcow2") == 0)
        shell_ok(p, command);
}

ParameterizedTest(const struct image *v, luks, round_trip, .timeout = 120)
{
    struct blk_place p;
    char text[512];
    uint8_t *model = calloc(1, v->size);
    uint64_t seed = 271828;
    place(&p);
    (void)snprintf(text, sizeof text, "%s", v->options);
    if (v->base[0] != '\0') {
        cr_assert_eq(blk_create(&p, blk_path(&p, "base"), "raw", v->size, NULL), VM_OK);
        struct vm_blk *b = blk_open(&p, blk_path(&p, "base"), "raw", NULL, 0);
        write_some(b, model, v->size, &seed);
        vm__blk_unref(b);
        strcat(text, ",backing_file=base,backing_fmt=raw");
    }
    cr_assert_eq(blk_create(&p, blk_path(&p, "a"), v->format, v->size, text), VM_OK, "%s: %s", text,
                 vm_last_error()->message);
    for (int round = 0; round < 2; round++) {
        struct vm_blk *n = blk_open(&p, blk_path(&p, "a"), v->format, v->open, VM_OPEN_UNMAP);
        cr_assert_not_null(n, "%s: %s", text, vm_last_error()->message);
        if (round != 0 || strcmp(v->format, "qcow2") == 0)
            same(n, model, v->size, "opened");
        else
            cr_assert_eq(vm__blk_zero(n, 0, v->size, 0), VM_OK);
        write_some(n, model, v->size, &seed);
        same(n, model, v->size, "written");
        vm__blk_unref(n);
        peer_agrees(&p, v, model);
    }
    /* No plain text in the file. */
    static const char secret[] = "this must not be found in the file, whatever it holds";
    struct vm_blk *n = blk_open(&p, blk_path(&p, "a"), v->format, v->open, 0);
    cr_assert_eq(vm__blk_write(n, 4096, secret, sizeof secret), VM_OK);
    vm__blk_unref(n);
    char *out = NULL;
    cr_assert_eq(blk_shell(&p, &out, "! grep -q 'this must not be found' a"), 0);
    free(out);
    free(model);
    blk_fini(&p);
}

ParameterizedTestParameters(luks, made_by_qemu_img)
{
    return cr_make_param_array(struct image, (void *)(uintptr_t)images,
                               sizeof images / sizeof images[0]);
}

ParameterizedTest(const struct image *v, luks, made_by_qemu_img, .timeout = 120)
{
    struct blk_place p;
    char text[768];
    uint8_t *model = calloc(1, v->size);
    uint64_t seed = 1618;
    if (!blk_have("qemu-img") || v->base[0] != '\0')
        return;
    place(&p);
    for (uint64_t i = 0; i < v->size; i++)
        model[i] = (uint8_t)(i / 4096 % 3 == 0 ? 0 : i * 7 + i / 512);
    save(&p, model, v->size);
    (void)snprintf(text, sizeof text, "qemu-img convert " PEER "-f raw -O %s -o %s model.raw a",
                   v->format, v->options);
    shell_ok(&p, text);
    struct vm_blk *n = blk_open(&p, blk_path(&p, "a"), v->format, v->open, VM_OPEN_UNMAP);
    cr_assert_not_null(n, "%s: %s", v->options, vm_last_error()->message);
    same(n, model, v->size, "made by qemu-img");
    write_some(n, model, v->size, &seed);
    vm__blk_unref(n);
    peer_agrees(&p, v, model);
    free(model);
    blk_fini(&p);
}

/** One clear line for each way to lack the key; information needs none. */
Test(luks, without_the_key, .timeout = 60)
{
    static const char *const formats[] = { "luks", "qcow2" };
    struct blk_place p;
    place(&p);
    for (int i = 0; i < 2; i++) {
        char create[160], open[80];
        const char *prefix = i == 0 ? "" : "encrypt.";
        (void)snprintf(create, sizeof create, "%skey-secret=s,%siter-time=10%s", prefix, prefix,
                       i == 0 ? "" : ",encrypt.format=luks");
        cr_assert_eq(blk_create(&p, blk_path(&p, "a"), formats[i], MiB, create), VM_OK, "%s",
                     vm_last_error()->message);
        (void)snprintf(open, sizeof open, "%skey-secret=wrong", prefix);
        cr_assert_null(blk_open(&p, blk_path(&p, "a"), formats[i], open, 0));
        cr_assert_not_null(strstr(vm_last_error()->message, "Invalid password"), "%s",
                           vm_last_error()->message);
        (void)snprintf(open, sizeof open, "%skey-secret=nobody", prefix);
        cr_assert_null(blk_open(&p, blk_path(&p, "a"), formats[i], open, 0));
        cr_assert_not_null(strstr(vm_last_error()->message, "No secret with id"));
        cr_assert_null(blk_open(&p, blk_path(&p, "a"), formats[i], NULL, 0));
        cr_assert_not_null(strstr(vm_last_error()->message, "key-secret' is required"));
        struct vm_blk *n =
            blk_open(&p, blk_path(&p, "a"), formats[i], NULL, VM_OPEN_RO | VM_OPEN_NO_IO);
        cr_assert_not_null(n, "%s", vm_last_error()->message);
        json_t *info = vm__blk_info_json(n);
        cr_assert(json_is_true(json_object_get(info, "encrypted")));
        json_decref(info);
        uint8_t byte;
        if (i == 0)
            cr_assert_eq(vm__blk_read(n, 0, &byte, 1), VM_E_STATE);
        vm__blk_unref(n);
    }
    blk_fini(&p);
}

static int amend(struct vm_blk *n, const char *options)
{
    struct vm_blk_options *o = vm__options_new();
    cr_assert(o != NULL && vm__options_parse(o, options, NULL) == VM_OK);
    int st = vm__blk_amend(n, o, NULL);
    vm__options_free(o);
    return st;
}

/** A second password, the first one taken away; the last one stays whatever is asked. */
Test(luks, passwords_come_and_go, .timeout = 60)
{
    struct blk_place p;
    place(&p);
    cr_assert_eq(blk_create(&p, blk_path(&p, "a"), "luks", MiB, "key-secret=s,iter-time=10"),
                 VM_OK);
    struct vm_blk *n = blk_open(&p, blk_path(&p, "a"), "luks", "key-secret=s", 0);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    cr_assert_eq(blk_fill(n, 0, MiB, 7), VM_OK);
    cr_assert_eq(amend(n, "state=inactive,keyslot=0"), VM_E_PERM);
    cr_assert_eq(amend(n, "state=inactive,old-secret=s"), VM_E_PERM);
    cr_assert_eq(amend(n, "state=active,new-secret=other,keyslot=0,iter-time=10"), VM_E_BUSY);
    cr_assert_eq(amend(n, "state=active,new-secret=other,keyslot=8,iter-time=10"), VM_E_INVAL);
    cr_assert_eq(amend(n, "state=active,new-secret=other,keyslot=5,iter-time=10"), VM_OK, "%s",
                 vm_last_error()->message);
    cr_assert_eq(amend(n, "state=inactive,old-secret=wrong"), VM_E_PERM);
    cr_assert_eq(amend(n, "state=inactive,old-secret=s"), VM_OK, "%s", vm_last_error()->message);
    cr_assert(blk_is(n, 0, MiB, 7));
    vm__blk_unref(n);
    cr_assert_null(blk_open(&p, blk_path(&p, "a"), "luks", "key-secret=s", 0));
    n = blk_open(&p, blk_path(&p, "a"), "luks", "key-secret=other", 0);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    cr_assert(blk_is(n, 0, MiB, 7));
    cr_assert_eq(vm__blk_resize(n, 2 * MiB, VM_PREALLOC_OFF, 0), VM_OK);
    cr_assert_eq(blk_fill(n, MiB, MiB, 8), VM_OK);
    vm__blk_unref(n);
    shell_ok(&p, "qemu-io --object secret,id=o,data='a longer one' --image-opts "
                 "driver=luks,key-secret=o,file.filename=a -c 'read -P 7 0 1M' "
                 "-c 'read -P 8 1M 1M' | grep -c ops | grep -q 2");
    /* and the peer's second password is one for us */
    shell_ok(&p, "qemu-img amend --object secret,id=o,data='a longer one' " PEER "--image-opts "
                 "driver=luks,key-secret=o,file.filename=a -o state=active,new-secret=s,"
                 "iter-time=10");
    if (blk_have("qemu-img")) {
        n = blk_open(&p, blk_path(&p, "a"), "luks", "key-secret=s", 0);
        cr_assert_not_null(n, "%s", vm_last_error()->message);
        vm__blk_unref(n);
    }
    blk_fini(&p);
}

/** Headers that lie are refused in one line, without hours of hashing. */
Test(luks, hostile_headers, .timeout = 60)
{
    static const struct {
        long at;
        unsigned char bytes[5], len;
    } bad[] = {
        { 104, { 0x7f, 0xff, 0xff, 0xff }, 4 }, /* payload */
        { 108, { 0, 0, 0, 0 }, 4 },             /* bytes of the key */
        { 108, { 0, 0, 0xff, 0xff }, 4 },
        { 164, { 0, 0, 0, 0 }, 4 }, /* iterations of the digest */
        { 164, { 0xff, 0xff, 0xff, 0xff }, 4 },
        { 208, { 1, 2, 3, 4 }, 4 },             /* a slot that is neither active nor not */
        { 212, { 0xff, 0xff, 0xff, 0xff }, 4 }, /* its iterations */
        { 212, { 0, 0, 0, 0 }, 4 },
        { 248, { 0xff, 0xff, 0xff, 0xff }, 4 }, /* its key material */
        { 248, { 0, 0, 0, 0 }, 4 },
        { 252, { 0xff, 0xff, 0xff, 0xff }, 4 }, /* stripes */
        { 296, { 0, 0, 0, 8 }, 4 },             /* the second slot, over the first one */
        { 8, { 'x', 'e', 's', 0 }, 4 },         /* a cipher that there is not */
        { 40, { 'x', 'x', 's', '-' }, 4 },      /* a mode */
        { 72, { 's', 'h', 'a', '9', 0 }, 5 },   /* a hash */
        { 6, { 0, 9 }, 2 },                     /* a version */
    };
    struct blk_place p;
    place(&p);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(blk_create(&p, blk_path(&p, "a"), "luks", MiB, "key-secret=s,iter-time=1"),
                     VM_OK);
        FILE *f = fopen(blk_path(&p, "a"), "r+b");
        cr_assert(f != NULL && fseek(f, bad[i].at, SEEK_SET) == 0 &&
                  fwrite(bad[i].bytes, 1, bad[i].len, f) == bad[i].len && fclose(f) == 0);
        struct vm_blk *n = blk_open(&p, blk_path(&p, "a"), "luks", "key-secret=s", 0);
        cr_assert_null(n, "case %zu", i);
        cr_assert_null(strchr(vm_last_error()->message, '\n'));
    }
    blk_fini(&p);
}

/** Information needs no key, so it meets names that no cipher has; some are no text. */
Test(luks, info_of_strange_names, .timeout = 60)
{
    static const long at[] = { 8, 40, 168 };
    struct blk_place p;
    place(&p);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(blk_create(&p, blk_path(&p, "a"), "luks", MiB, "key-secret=s,iter-time=1"),
                     VM_OK);
        FILE *f = fopen(blk_path(&p, "a"), "r+b");
        cr_assert(f != NULL && fseek(f, at[i], SEEK_SET) == 0 && fwrite("\xff\xfe", 1, 2, f) == 2 &&
                  fclose(f) == 0);
        struct vm_blk *n =
            blk_open(&p, blk_path(&p, "a"), "luks", NULL, VM_OPEN_RO | VM_OPEN_NO_IO);
        cr_assert_not_null(n, "%s", vm_last_error()->message);
        json_t *info = vm__blk_info_json(n);
        cr_assert_null(info);
        cr_assert_not_null(strstr(vm_last_error()->message, "no text"));
        vm__blk_unref(n);
    }
    blk_fini(&p);
}

static void unhex(const char *text, uint8_t *out)
{
    for (; *text != '\0'; text += 2)
        *out++ = (uint8_t)strtoul((char[]) { text[0], text[1], '\0' }, NULL, 16);
}

/** RFC 6070, and a sector of IEEE 1619's kind against itself over a batch of sectors. */
Test(luks, published_vectors)
{
    uint8_t out[20], want[20], key[64], sectors[20 * 512], one[512];
    unhex("4b007901b765489abead49d926f721d065a429c1", want);
    int st = vm__pbkdf2("sha1", "password", 8, (const uint8_t *)"salt", 4, 4096, out, 20);
    if (st == VM_E_NOTSUP)
        return; /* built without nettle */
    cr_assert_eq(st, VM_OK);
    cr_assert_arr_eq(out, want, 20);
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(i * 3 + 1);
    struct vm_cipher *c = vm__cipher_new("aes", "xts-plain64", key, 64);
    memset(sectors, 0x5a, sizeof sectors);
    memset(one, 0x5a, sizeof one);
    vm__cipher_encrypt(c, 1000, sectors, sectors, sizeof sectors);
    vm__cipher_encrypt(c, 1017, one, one, sizeof one);
    cr_assert_arr_eq(sectors + 17 * 512, one, 512);
    vm__cipher_decrypt(c, 1000, sectors, sectors, sizeof sectors);
    cr_assert_eq(sectors[9999], 0x5a);
    vm__cipher_free(c);
    uint8_t first[16], block[512] = { 0 };
    memset(key, 0, sizeof key); /* IEEE 1619, XTS-AES-128 vector 1: its first block */
    unhex("917cf69ebd68b2ec9b9fe9a3eadda692", first);
    c = vm__cipher_new("aes", "xts-plain64", key, 32);
    vm__cipher_encrypt(c, 0, block, block, sizeof block);
    cr_assert_arr_eq(block, first, 16);
    vm__cipher_free(c);
}
