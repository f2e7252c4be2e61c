/* SPDX-License-Identifier: MIT */
/**
 * @file kill_convert.c
 * A process that copies an image is killed at random times: the source stays as it was, and what is
 * there of the target is never damaged: it opens, is clean or has room that nobody uses, and every
 * byte of it is the source's or zero.
 *
 *     kill_convert [TIMES [SEED]]
 */
#undef NDEBUG
#include <assert.h>
#include <libvm/block.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum { SIZE = 24 << 20, STEP = 1 << 16 };

static const char *const formats[] = { "qcow2", "qed", "vdi", "vmdk", "vhdx", "vpc", "parallels" };

static uint8_t model[SIZE];

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

static vm_blk *open_image(vm_ctx *ctx, const char *path, const char *format, uint32_t flags)
{
    vm_blk *n = vm_blk_open(ctx, path, format, flags);
    if (n == NULL)
        fprintf(stderr, "%s: %s\n", format, vm_last_error()->message);
    return n;
}

/** In the child: make the target and copy, again and again, with flushes on the way. */
static void copy(struct blk_place *p, const char *format)
{
    const vm_convert_options o = { .size = sizeof o, .flags = VM_CONVERT_TARGET_IS_ZERO };
    vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, NULL);
    vm_blk *from = open_image(ctx, blk_path(p, "source"), "qcow2", VM_BLK_RO);
    for (;;) {
        if (vm_blk_create(ctx, blk_path(p, "target"), format, SIZE,
                          strcmp(format, "vpc") == 0 ? "force_size=on" : NULL) != VM_OK)
            _exit(1);
        vm_blk *to = open_image(ctx, blk_path(p, "target"), format, 0);
        vm_job *job = to != NULL ? vm_blk_convert(from, to, &o) : NULL;
        if (job == NULL)
            _exit(1);
        while (vm_job_wait(job, 1000000) == VM_E_TIMEOUT)
            (void)vm_blk_flush(to);
        vm_job_unref(job);
        vm_blk_close(to);
    }
}

static void compare(vm_blk *n, const char *format, bool whole)
{
    static uint8_t buf[STEP];
    for (uint64_t off = 0; off < SIZE; off += STEP) {
        assert(vm_blk_read(n, off, buf, STEP) == VM_OK);
        for (uint64_t i = 0; i < STEP; i++)
            if (buf[i] != model[off + i] && (whole || buf[i] != 0)) {
                fprintf(stderr, "%s: byte %llu is %02x, not %02x\n", format,
                        (unsigned long long)(off + i), buf[i], model[off + i]);
                abort();
            }
    }
}

static void look(struct blk_place *p, const char *format)
{
    vm_blk_check_result r = { .size = sizeof r };
    vm_blk *n = open_image(p->ctx, blk_path(p, "source"), "qcow2", VM_BLK_RO);
    assert(n != NULL && vm_blk_check(n, 0, &r, NULL, NULL) == VM_OK);
    assert(r.corruptions == 0 && r.leaks == 0);
    compare(n, "source", true);
    vm_blk_close(n);
    n = vm_blk_open(p->ctx, blk_path(p, "target"), format, VM_BLK_CHECK);
    if (n == NULL) /* killed while it was being made */
        return;
    int st = vm_blk_check(n, VM_BLK_FIX_LEAKS | VM_BLK_FIX_ERRORS, &r, NULL, NULL);
    assert(st == VM_OK || st == VM_E_NOTSUP);
    vm_blk_close(n);
    n = open_image(p->ctx, blk_path(p, "target"), format, 0);
    assert(n != NULL);
    compare(n, format, false);
    vm_blk_close(n);
}

int main(int argc, char **argv)
{
    unsigned times = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 21, opened = 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) | 1 : 1;
    struct blk_place p;
    blk_init(&p);
    for (uint64_t i = 0; i < SIZE; i++)
        model[i] = i / 4096 % 5 == 4 ? 0 : (uint8_t)(i / 4096 * 7 + i % 251 + 1);
    assert(vm_blk_create(p.ctx, blk_path(&p, "source"), "qcow2", SIZE, NULL) == VM_OK);
    vm_blk *n = open_image(p.ctx, blk_path(&p, "source"), "qcow2", 0);
    assert(n != NULL && vm_blk_write(n, 0, model, SIZE, 0) == VM_OK);
    vm_blk_close(n);
    for (unsigned i = 0; i < times; i++) {
        const char *format = formats[i % (sizeof formats / sizeof formats[0])];
        int status;
        (void)unlink(blk_path(&p, "target"));
        pid_t child = fork();
        assert(child >= 0);
        if (child == 0)
            copy(&p, format);
        (void)usleep((useconds_t)(next_random(&seed) >> 20) % 120000 + 2000);
        assert(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
        assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        look(&p, format);
        opened++;
    }
    blk_fini(&p);
    printf("killed %u times\n", opened);
    return 0;
}
