/* SPDX-License-Identifier: MIT */
/**
 * @file support.h
 * Block tests: a context with every driver, a folder of the test's own, patterns.
 */
#ifndef LIBVM_TESTS_BLOCK_SUPPORT_H
#define LIBVM_TESTS_BLOCK_SUPPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "api/registry.h"
#include "block/env.h"
#include "block/options.h"
#include "core/config.h"

/** Where a test works; removed with all that is in it by blk_fini(). */
struct blk_place {
    struct vm_ctx *ctx;
    struct vm_blk_env *env;
    char folder[64];
};

/** Asserts that it worked. */
void blk_init(struct blk_place *p);
void blk_fini(struct blk_place *p);
/** "FOLDER/name", valid until eight more were asked for. */
const char *blk_path(const struct blk_place *p, const char *name);
/** Open by options "a=b,c=d" (may be NULL), a name or both. NULL: vm_last_error() says why. */
struct vm_blk *blk_open(const struct blk_place *p, const char *name, const char *format,
                        const char *options, uint32_t flags);
int blk_create(const struct blk_place *p, const char *name, const char *format, uint64_t size,
               const char *options);
/** A disk in memory of this size. */
struct vm_blk *blk_memory(const struct blk_place *p, uint64_t size, const char *node_name);
/** Every byte of the range is @p v. */
bool blk_is(struct vm_blk *n, uint64_t off, uint64_t len, uint8_t v);
int blk_fill(struct vm_blk *n, uint64_t off, uint64_t len, uint8_t v);
/** Run a command in the folder; its output (up to 64 KiB) is at *@p out, to be freed, if not NULL.
 *  @return exit status, -1: it could not be run */
int blk_shell(const struct blk_place *p, char **out, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** The program is there; if not, skip the test with the reason. */
bool blk_have(const char *program);

#endif
