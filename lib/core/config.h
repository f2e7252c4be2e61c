/* SPDX-License-Identifier: MIT */
/**
 * @file config.h
 * Configuration inside the library: known keys, typed reading.
 *
 * Keys are text under dotted names. Tables say which keys exist: the core's own, then the board's
 * (vm_board_class.keys). A key ending in ".*" stands for a family ("device.*": "device.0", …).
 */
#ifndef LIBVM_CORE_CONFIG_H
#define LIBVM_CORE_CONFIG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <libvm/config.h>

struct vm_blk_driver;
struct vm_board_class;
struct vm_cpu_class;
struct vm_dev_class;
struct vm_net_backend;
struct vm_part;

enum vm_key_type {
    VM_KEY_STR = 1,
    VM_KEY_U64,
    VM_KEY_SIZE, /**< number with K M G T */
    VM_KEY_BOOL,
    VM_KEY_ENUM, /**< one of .choices */
};

/** One key; a table ends with { 0 }. */
struct vm_key {
    const char *name;
    uint32_t type;              /**< enum vm_key_type */
    const char *value;          /**< default as text; NULL: not set */
    uint64_t min, max;          /**< numbers: allowed range; max 0: any */
    const char *const *choices; /**< enum: NULL-ended */
    const char *help;           /**< one line */
};

/** What is built into the library: filled by lib/api/registry.c, the only place that knows all. */
struct vm_registry {
    const struct vm_dev_class *const *devices; /**< NULL-ended */
    const struct vm_board_class *const *boards;
    const struct vm_cpu_class *const *cpus;
    const struct vm_blk_driver *const *blocks;
    const struct vm_net_backend *const *nets;
};

/** The context: what is built in, and what the host program gave. */
struct vm_ctx {
    _Atomic uint32_t refs;
    const struct vm_registry *registry;
    vm_host_ops host;
    pthread_mutex_t lock;  /**< leaf, but for the making of parts */
    struct vm_part *parts; /**< core/part.h */
};

struct vm_ctx *vm__ctx_new(const struct vm_registry *registry, const vm_host_ops *host);
struct vm_ctx *vm__ctx_ref(struct vm_ctx *ctx);
void vm__ctx_unref(struct vm_ctx *ctx);

struct vm_config *vm__config_new(struct vm_ctx *ctx, const struct vm_board_class *board,
                                 const struct vm_cpu_class *cpu);
struct vm_config *vm__config_copy(const struct vm_config *cfg);
void vm__config_free(struct vm_config *cfg);
int vm__config_set(struct vm_config *cfg, const char *key, const char *value);
int vm__config_set_json(struct vm_config *cfg, const char *json);
int vm__config_list_keys(const struct vm_board_class *board, vm_list_fn fn, void *ud);

/** The key exists; if not, the error names the nearest. */
bool vm__config_known(const struct vm_config *cfg, const char *key);
/** The text of a key or its default; NULL if it has neither. The key must be a known one. */
const char *vm__config_str(const struct vm_config *cfg, const char *key);
uint64_t vm__config_u64(const struct vm_config *cfg, const char *key);
bool vm__config_bool(const struct vm_config *cfg, const char *key);
/** Index into the key's choices. */
uint32_t vm__config_enum(const struct vm_config *cfg, const char *key);
/** The keys that were set under @p prefix ("device."), in the order they were first set. */
int vm__config_each(const struct vm_config *cfg, const char *prefix,
                    int (*fn)(void *ud, const char *key, const char *value), void *ud);

const struct vm_board_class *vm__config_board(const struct vm_config *cfg);
const struct vm_cpu_class *vm__config_cpu(const struct vm_config *cfg);
struct vm_ctx *vm__config_ctx(const struct vm_config *cfg);

/** Parse a whole text as a number; @p sizes allows K M G T. @retval VM_E_INVAL with no message */
int vm__parse_u64(const char *text, bool sizes, uint64_t *out);
int vm__parse_bool(const char *text, bool *out);
/** The name in @p next(ud, i) (NULL at the end) that resembles @p word most, or NULL. */
const char *vm__nearest(const char *word, const char *(*next)(const void *ud, uint32_t i),
                        const void *ud);

#endif
