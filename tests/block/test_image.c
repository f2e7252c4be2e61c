/* SPDX-License-Identifier: MIT */
/**
 * @file test_image.c
 * Images as a whole, through the exported functions: information, maps, copies, chains.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <libvm/block.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/image.h"
#include "support.h"

enum { M = 1 << 20 };

static struct blk_place p;

static void setup(void)
{
    blk_init(&p);
}

static void teardown(void)
{
    blk_fini(&p);
}

TestSuite(image, .init = setup, .fini = teardown);

static vm_blk *made(const char *name, const char *format, uint64_t size, const char *options)
{
    const char *path = blk_path(&p, name);
    cr_assert_eq(vm_blk_create(p.ctx, path, format, size, options), VM_OK, "%s: %s", name,
                 vm_last_error()->message);
    vm_blk *n = vm_blk_open(p.ctx, path, format, VM_BLK_UNMAP | VM_BLK_PROBE);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    return n;
}

static int finish(vm_job *job)
{
    cr_assert_not_null(job, "%s", vm_last_error()->message);
    const int st = vm_job_wait(job, -1);
    vm_job_unref(job);
    return st;
}

/* Data, holes, zeros that are stored, runs of zeros that are too short to leave out. */
static void pattern(vm_blk *n, uint64_t size)
{
    cr_assert_eq(blk_fill(n, 0, 100000, 0x11), VM_OK);
    cr_assert_eq(blk_fill(n, 300000, 5000, 0x22), VM_OK);
    cr_assert_eq(blk_fill(n, 305000, 70000, 0), VM_OK);
    cr_assert_eq(blk_fill(n, 375000, 1, 0x33), VM_OK);
    cr_assert_eq(blk_fill(n, size - 777, 777, 0x44), VM_OK);
}

static void same(vm_blk *a, vm_blk *b)
{
    uint64_t at = 0;
    cr_assert_eq(vm_blk_compare(a, b, &at), 0, "differ at %llu: %s", (unsigned long long)at,
                 vm_last_error()->message);
}

Test(image, bytes_through_the_exported_functions)
{
    uint8_t b[512] = { 1, 2, 3 };
    vm_blk *n = made("a", "raw", M, NULL);
    cr_assert_eq(vm_blk_size(n), M);
    cr_assert_eq(vm_blk_write(n, 700, b, sizeof b, VM_BLK_FUA), VM_OK);
    memset(b, 9, sizeof b);
    cr_assert_eq(vm_blk_read(n, 700, b, sizeof b), VM_OK);
    cr_assert(b[0] == 1 && b[2] == 3 && b[3] == 0);
    cr_assert_eq(vm_blk_zero(n, 700, 2, 0), VM_OK);
    cr_assert_eq(vm_blk_read(n, 700, b, 3), VM_OK);
    cr_assert(b[0] == 0 && b[2] == 3);
    cr_assert_eq(vm_blk_discard(n, 0, M), VM_OK);
    cr_assert_eq(vm_blk_flush(n), VM_OK);
    cr_assert_eq(vm_blk_read(n, M, b, 1), VM_E_RANGE);
    cr_assert_eq(vm_blk_write(n, 0, b, 1, 1 << 20), VM_E_INVAL);
    cr_assert_eq(vm_blk_read(n, 0, NULL, 1), VM_E_INVAL);
    cr_assert_eq(vm_blk_read(NULL, 0, b, 1), VM_E_INVAL);
    vm_blk_close(n);
    vm_blk_close(NULL);
}

static _Atomic int n_done;

static void on_done(void *ud, int status)
{
    (void)ud;
    cr_assert_eq(status, VM_OK);
    atomic_fetch_add(&n_done, 1);
}

Test(image, many_requests_at_once)
{
    enum { N = 200 };
    static uint8_t bufs[N][4096];
    vm_blk *n = made("a", "raw", M, NULL);
    atomic_store(&n_done, 0);
    for (int i = 0; i < N; i++) {
        memset(bufs[i], i, sizeof bufs[i]);
        cr_assert_eq(
            vm_blk_submit(n, VM_BLK_WRITE, (uint64_t)i * 4096, bufs[i], 4096, 0, on_done, NULL),
            VM_OK);
    }
    for (int i = 0; i < 5000 && atomic_load(&n_done) < N; i++)
        usleep(1000);
    cr_assert_eq(atomic_load(&n_done), N);
    for (int i = 0; i < N; i++)
        cr_assert(blk_is(n, (uint64_t)i * 4096, 4096, (uint8_t)i));
    vm_blk_close(n);
}

Test(image, information_is_what_qemu_img_prints)
{
    char text[4096];
    size_t len = 10;
    vm_blk_close(made("base", "raw", M, NULL));
    vm_blk *n = made("top", "qed", 2 * M, "backing_file=base,backing_fmt=raw");
    cr_assert_eq(vm_blk_info(n, text, &len), VM_E_RANGE);
    cr_assert(len > 10 && len < sizeof text);
    cr_assert_eq(vm_blk_info(n, text, &len), VM_OK);
    json_t *o = json_loads(text, 0, NULL);
    cr_assert_not_null(o);
    cr_assert_str_eq(json_string_value(json_object_get(o, "format")), "qed");
    cr_assert_eq(json_integer_value(json_object_get(o, "virtual-size")), 2 * M);
    cr_assert_eq(json_integer_value(json_object_get(o, "cluster-size")), 65536);
    cr_assert_str_eq(json_string_value(json_object_get(o, "backing-filename")), "base");
    cr_assert_str_eq(json_string_value(json_object_get(o, "full-backing-filename")),
                     blk_path(&p, "base"));
    cr_assert(json_is_false(json_object_get(o, "dirty-flag")));
    cr_assert_gt(json_integer_value(json_object_get(o, "actual-size")), 0);
    json_decref(o);
    vm_blk_close(n);
}

struct rows {
    vm_blk_map_row r[64];
    int n;
};

static int keep_row(void *ud, const vm_blk_map_row *row)
{
    struct rows *rows = ud;
    cr_assert_lt(rows->n, 64);
    rows->r[rows->n++] = *row;
    return 0;
}

Test(image, a_map_covers_everything_once)
{
    static struct rows rows;
    vm_blk *base = made("base", "raw", M, NULL);
    cr_assert_eq(blk_fill(base, 0, 65536, 1), VM_OK);
    vm_blk_close(base);
    vm_blk *n = made("top", "qed", 2 * M, "backing_file=base,backing_fmt=raw");
    cr_assert_eq(blk_fill(n, 131072, 65536, 2), VM_OK);
    cr_assert_eq(vm_blk_map(n, 0, UINT64_MAX, keep_row, &rows), VM_OK);
    uint64_t at = 0;
    for (int i = 0; i < rows.n; i++) {
        cr_assert_eq(rows.r[i].start, at);
        at += rows.r[i].length;
    }
    cr_assert_eq(at, 2 * M);
    cr_assert(rows.r[0].depth == 1 && (rows.r[0].flags & VM_MAP_DATA));
    cr_assert_eq(rows.r[0].length, 65536);
    cr_assert(rows.r[1].flags & VM_MAP_ZERO);
    cr_assert(rows.r[2].depth == 0 && (rows.r[2].flags & VM_MAP_DATA));
    cr_assert_eq(rows.r[2].length, 65536);
    vm_blk_close(n);
}

Test(image, copies_are_equal_whatever_the_formats)
{
    static const char *const formats[] = { "raw", "qed", "vdi", "vhdx", "vmdk", "parallels" };
    const uint64_t size = 5 * M;
    vm_blk *from = made("from", "raw", size, NULL);
    pattern(from, size);
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        for (uint32_t flags = 0; flags < 64; flags += 16) {
            vm_blk *to = made("to", formats[i], size, NULL);
            const vm_convert_options o = { .size = sizeof o,
                                           .flags = flags | VM_CONVERT_TARGET_IS_ZERO };
            cr_assert_eq(finish(vm_blk_convert(from, to, &o)), VM_OK, "%s: %s", formats[i],
                         vm_last_error()->message);
            same(from, to);
            vm_blk_close(to);
        }
    vm_blk_close(from);
}

Test(image, a_copy_overwrites_what_was_there)
{
    vm_blk *from = made("from", "raw", 5 * M, NULL), *to = made("to", "raw", 5 * M, NULL);
    pattern(from, 5 * M);
    cr_assert_eq(blk_fill(to, 0, 5 * M, 0xee), VM_OK);
    cr_assert_eq(finish(vm_blk_convert(from, to, NULL)), VM_OK);
    same(from, to);
    cr_assert_eq(blk_fill(to, 0, 5 * M, 0xee), VM_OK);
    const vm_convert_options o = { .size = sizeof o, .flags = VM_CONVERT_COPY_RANGE };
    cr_assert_eq(finish(vm_blk_convert(from, to, &o)), VM_OK);
    same(from, to);
    vm_blk_close(from);
    vm_blk_close(to);
}

Test(image, a_copy_of_a_stretch_touches_nothing_else)
{
    vm_blk *from = made("from", "raw", 4 * M, NULL), *to = made("to", "raw", 4 * M, NULL);
    cr_assert_eq(blk_fill(from, 0, 4 * M, 1), VM_OK);
    cr_assert_eq(blk_fill(to, 0, 4 * M, 2), VM_OK);
    vm_convert_options o = { .size = sizeof o, .from_off = 1000, .to_off = 777777, .len = M + 3 };
    cr_assert_eq(finish(vm_blk_convert(from, to, &o)), VM_OK);
    cr_assert(blk_is(to, 0, 777777, 2) && blk_is(to, 777777, M + 3, 1));
    cr_assert(blk_is(to, 777777 + M + 3, 4 * M - 777777 - M - 3, 2));
    o.len = 4 * M;
    cr_assert_null(vm_blk_convert(from, to, &o));
    vm_blk_close(from);
    vm_blk_close(to);
}

Test(image, nothing_is_copied_at_once_however_large)
{
    vm_blk *from = made("from", "vhdx", UINT64_C(3) << 40, "block_size=32M");
    vm_blk *to = made("to", "raw", UINT64_C(3) << 40, NULL);
    const vm_convert_options o = { .size = sizeof o, .flags = VM_CONVERT_TARGET_IS_ZERO };
    vm_job *job = vm_blk_convert(from, to, &o);
    cr_assert_not_null(job);
    cr_assert_eq(vm_job_wait(job, INT64_C(60000000000)), VM_OK, "%s", vm_last_error()->message);
    uint64_t done = 0, total = 0;
    cr_assert_eq(vm_job_progress(job, &done, &total), VM_OK);
    cr_assert(done == total && total == UINT64_C(3) << 40);
    vm_job_unref(job);
    vm_blk_close(from);
    vm_blk_close(to);
}

Test(image, a_job_can_be_called_off_and_its_failure_is_told)
{
    vm_blk *from = vm_blk_open(p.ctx, "json:{\"driver\":\"null-co\",\"size\":\"1T\"}", NULL, 0);
    vm_blk *to = vm_blk_open(p.ctx, "json:{\"driver\":\"null-co\",\"size\":\"1T\"}", NULL, 0);
    cr_assert(from != NULL && to != NULL);
    const vm_convert_options o = { .size = sizeof o, .flags = VM_CONVERT_FULL };
    vm_job *job = vm_blk_convert(from, to, &o);
    cr_assert_not_null(job);
    cr_assert_eq(vm_job_wait(job, 1000000), VM_E_TIMEOUT);
    cr_assert_eq(vm_job_cancel(job), VM_OK);
    cr_assert_eq(vm_job_wait(job, -1), VM_E_CANCELED);
    vm_job_unref(job);
    vm_blk_close(to);
    to = vm_blk_open(p.ctx, "json:{\"driver\":\"null-co\",\"size\":\"1T\"}", NULL, VM_BLK_RO);
    cr_assert_eq(finish(vm_blk_convert(from, to, &o)), VM_E_PERM);
    cr_assert_not_null(strstr(vm_last_error()->message, "read-only"));
    vm_blk_close(from);
    vm_blk_close(to);
}

/* ---- chains ----------------------------------------------------------------------------- */

/* QED records of a backing format only whether it is raw: others are guessed.
 * base: 1s; mid over it: 2s in part; top: 3s in part. */
static void make_chain(void)
{
    vm_blk *n = made("base", "raw", M, NULL);
    cr_assert_eq(blk_fill(n, 0, M, 1), VM_OK);
    vm_blk_close(n);
    n = made("mid", "qed", M, "backing_file=base,backing_fmt=raw");
    cr_assert_eq(blk_fill(n, 100000, 100000, 2), VM_OK);
    vm_blk_close(n);
    n = made("top", "qed", M + 65536, "backing_file=mid,backing_fmt=qed");
    cr_assert_eq(blk_fill(n, 150000, 100000, 3), VM_OK);
    vm_blk_close(n);
}

static void is_chain(vm_blk *n)
{
    cr_assert(blk_is(n, 0, 100000, 1) && blk_is(n, 100000, 50000, 2));
    cr_assert(blk_is(n, 150000, 100000, 3) && blk_is(n, 250000, M - 250000, 1));
    cr_assert(blk_is(n, M, 65536, 0));
}

static vm_blk *opened(const char *name, const char *format)
{
    vm_blk *n = vm_blk_open(p.ctx, blk_path(&p, name), format, VM_BLK_PROBE);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    return n;
}

Test(image, a_commit_moves_everything_down)
{
    make_chain();
    vm_blk *top = opened("top", "qed");
    is_chain(top);
    cr_assert_eq(finish(vm_blk_commit(top, 1)), VM_OK, "%s", vm_last_error()->message);
    is_chain(top);
    vm_blk_close(top);
    vm_blk *mid = opened("mid", "qed");
    cr_assert_eq(vm_blk_size(mid), M + 65536); /* it has grown with what came down */
    is_chain(mid);
    vm_blk_close(mid);
    vm_blk *base = opened("base", "raw");
    cr_assert(blk_is(base, 0, M, 1));
    cr_assert_eq(finish(vm_blk_commit(base, 1)), VM_E_NOTSUP);
    cr_assert_str_eq(vm_last_error()->message, "Image does not have a backing file");
    vm_blk_close(base);
}

Test(image, a_stream_makes_an_image_stand_alone)
{
    make_chain();
    vm_blk *top = opened("top", "qed");
    cr_assert_eq(finish(vm_blk_stream(top)), VM_OK, "%s", vm_last_error()->message);
    is_chain(top);
    vm_blk_close(top);
    cr_assert_eq(unlink(blk_path(&p, "base")), 0);
    cr_assert_eq(unlink(blk_path(&p, "mid")), 0);
    top = opened("top", "qed");
    is_chain(top);
    vm_blk_close(top);
}

Test(image, a_rebase_keeps_what_is_read)
{
    make_chain();
    vm_blk *top = opened("top", "qed");
    cr_assert_eq(finish(vm_blk_rebase(top, "base", "raw", 0)), VM_OK, "%s",
                 vm_last_error()->message);
    is_chain(top);
    vm_blk_close(top);
    cr_assert_eq(unlink(blk_path(&p, "mid")), 0);
    top = opened("top", "qed");
    is_chain(top);
    cr_assert_eq(finish(vm_blk_rebase(top, NULL, NULL, 0)), VM_OK);
    vm_blk_close(top);
    cr_assert_eq(unlink(blk_path(&p, "base")), 0);
    top = opened("top", "qed");
    is_chain(top);
    vm_blk_close(top);
}

Test(image, chains_that_come_back_are_refused_by_name)
{
    make_chain();
    vm_blk *n = vm_blk_open(p.ctx, blk_path(&p, "mid"), "qed", VM_BLK_NOBACKING);
    cr_assert_eq(finish(vm_blk_rebase(n, "top", "qed", 1)), VM_OK, "%s", vm_last_error()->message);
    vm_blk_close(n);
    cr_assert_null(vm_blk_open(p.ctx, blk_path(&p, "top"), "qed", VM_BLK_RO | VM_BLK_PROBE));
    cr_assert_not_null(strstr(vm_last_error()->message, "creates an infinite loop"), "%s",
                       vm_last_error()->message);
    /* Under another name it is the same file. */
    cr_assert_eq(link(blk_path(&p, "mid"), blk_path(&p, "again")), 0);
    n = vm_blk_open(p.ctx, blk_path(&p, "mid"), "qed", VM_BLK_NOBACKING);
    cr_assert_eq(finish(vm_blk_rebase(n, "again", "qed", 1)), VM_OK);
    vm_blk_close(n);
    cr_assert_null(vm_blk_open(p.ctx, blk_path(&p, "mid"), "qed", VM_BLK_RO | VM_BLK_PROBE));
    cr_assert_not_null(strstr(vm_last_error()->message, "creates an infinite loop"));
}

Test(image, a_backing_format_that_is_not_recorded_is_guessed_only_when_asked)
{
    make_chain();
    vm_blk *n = vm_blk_open(p.ctx, blk_path(&p, "top"), "qed", VM_BLK_NOBACKING);
    cr_assert_eq(finish(vm_blk_rebase(n, "mid", NULL, 1)), VM_OK, "%s", vm_last_error()->message);
    vm_blk_close(n);
    cr_assert_null(vm_blk_open(p.ctx, blk_path(&p, "top"), "qed", 0));
    cr_assert_not_null(strstr(vm_last_error()->message, "no format given"));
    n = vm_blk_open(p.ctx, blk_path(&p, "top"), "qed", VM_BLK_PROBE);
    cr_assert_not_null(n, "%s", vm_last_error()->message);
    is_chain(n);
    vm_blk_close(n);
}

/* ---- the host's policy ------------------------------------------------------------------ */

static int refuse_backing(void *ud, const char *path, int flags, int why)
{
    int *calls = ud;
    calls[why]++;
    return why == VM_WHY_BACKING ? -13 : open(path, flags, 0644);
}

Test(image, nothing_an_image_names_is_opened_against_the_policy)
{
    int calls[4] = { 0 };
    make_chain();
    const vm_host_ops host = { .size = sizeof host, .ud = calls, .open = refuse_backing };
    struct vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, &host);
    cr_assert_null(vm_blk_open(ctx, blk_path(&p, "top"), "qed", VM_BLK_RO | VM_BLK_PROBE));
    cr_assert_not_null(strstr(vm_last_error()->message, "Permission denied"), "%s",
                       vm_last_error()->message);
    cr_assert(calls[VM_WHY_USER] == 1 && calls[VM_WHY_BACKING] == 1);
    vm_blk *n = vm_blk_open(ctx, blk_path(&p, "top"), "qed", VM_BLK_RO | VM_BLK_NOBACKING);
    cr_assert_not_null(n);
    vm_blk_close(n);
    cr_assert_eq(vm_blk_create(ctx, blk_path(&p, "new"), "raw", M, NULL), VM_OK);
    cr_assert_geq(calls[VM_WHY_CREATE], 1);
    vm_ctx_unref(ctx);
}

Test(image, an_image_cannot_reach_the_nodes_of_others)
{
    static const char *const names[] = {
        "json:{\"driver\":\"raw\",\"file\":\"secret\"}",
        "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"blkdebug\",\"image\":\"secret\"}}",
        "json:{\"driver\":\"overlay\",\"file\":\"secret\"}",
    };
    struct vm_blk *secret = blk_memory(&p, M, "secret");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        vm_blk *n = made("top", "qed", M, NULL);
        cr_assert_eq(finish(vm_blk_rebase(n, names[i], "raw", 1)), VM_OK);
        vm_blk_close(n);
        cr_assert_null(vm_blk_open(p.ctx, blk_path(&p, "top"), "qed", VM_BLK_RO | VM_BLK_PROBE));
        cr_assert_not_null(strstr(vm_last_error()->message, i < 2 ? "may not refer" : "Driver"),
                           "%s", vm_last_error()->message);
    }
    vm__blk_unref(secret);
}

Test(image, lists_and_sizes)
{
    uint64_t need = 0, most = 0;
    cr_assert_eq(vm_blk_measure(p.ctx, "raw", 5 * M, NULL, NULL, &need, &most), VM_OK);
    cr_assert(need == 5 * M && most == 5 * M);
    cr_assert_eq(vm_blk_measure(p.ctx, "nosuch", M, NULL, NULL, &need, &most), VM_E_NOENT);
    vm_blk *n = made("a", "raw", M, NULL);
    cr_assert_eq(vm_blk_check(n, 0, NULL, NULL, NULL), VM_E_NOTSUP);
    cr_assert_str_eq(vm_last_error()->message, "This image format does not support checks");
    cr_assert_eq(vm_blk_resize(n, 2 * M, "falloc"), VM_OK);
    cr_assert_eq(vm_blk_size(n), 2 * M);
    cr_assert_eq(vm_blk_resize(n, 2 * M, "some"), VM_E_INVAL);
    cr_assert_eq(vm_blk_amend(n, "x=y"), VM_E_NOTSUP);
    cr_assert_eq(vm_blk_snapshot(n, "create", "s"), VM_E_NOTSUP);
    cr_assert_eq(vm_blk_bitmap(n, "add", "b", NULL), VM_E_NOTSUP);
    vm_blk_close(n);
}
