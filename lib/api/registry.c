/* SPDX-License-Identifier: MIT */
/**
 * @file registry.c
 * What is built in. The lists come from the build (lib/meson.build).
 */
#include "api/registry.h"

#include <stddef.h>

#include "block/node.h"
#include "core/board.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/net_backend.h"

#define X(name) extern const struct vm_dev_class vm__##name##_class;
#include "devices.def"
#undef X
#define X(name) extern const struct vm_blk_driver vm__##name##_driver;
#include "blocks.def"
#undef X
#define X(name) extern const struct vm_board_class vm__##name##_board;
#include "boards.def"
#undef X
#define X(name) extern const struct vm_cpu_class vm__##name##_cpu_class;
#include "cpus.def"
#undef X

#define X(name) extern const struct vm_net_backend vm__net_##name##_backend;
#include "nets.def"
#undef X

static const struct vm_dev_class *const devices[] = {
#define X(name) &vm__##name##_class,
#include "devices.def"
#undef X
    NULL,
};

static const struct vm_blk_driver *const blocks[] = {
#define X(name) &vm__##name##_driver,
#include "blocks.def"
#undef X
    NULL,
};

static const struct vm_board_class *const boards[] = {
#define X(name) &vm__##name##_board,
#include "boards.def"
#undef X
    NULL,
};

static const struct vm_cpu_class *const cpus[] = {
#define X(name) &vm__##name##_cpu_class,
#include "cpus.def"
#undef X
    NULL,
};

static const struct vm_net_backend *const nets[] = {
#define X(name) &vm__net_##name##_backend,
#include "nets.def"
#undef X
    NULL,
};

const struct vm_registry vm__registry = { devices, boards, cpus, blocks, nets };
