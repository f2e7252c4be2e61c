/* SPDX-License-Identifier: MIT */
/**
 * @file target.h
 * The image that a copy goes to: made, or there before.
 */
#ifndef VMIMG_TARGET_H
#define VMIMG_TARGET_H

#include "vmimg.h"

struct target {
    struct make make;
    const char *cache;
    bool existing; /**< -n */
    bool image_opts, format_given;

    /* Found out. */
    bool made, has_backing, own_size;
    bool in_order; /**< streams are written from front to back */
};

/** Make it, if need be, for @p size bytes, and open it. NULL: said why. */
vm_blk *open_target(struct target *t, uint64_t size, bool compress);

#endif
