/* SPDX-License-Identifier: MIT */
/**
 * @file config.h
 * The context, and the description of a machine before it is built.
 *
 * A configuration is a set of dotted keys with text values; numbers and JSON are two more ways to
 * write the same. A key that does not exist is an error that names the nearest one. Building a
 * machine copies what it needs: one configuration can build many machines.
 *
 * Lifetime: a context outlives its configurations and machines by reference counting. Threads: a
 * configuration belongs to one thread at a time; a context may be used from any.
 *
 *     vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, NULL);
 *     vm_config *cfg = vm_config_new(ctx, "pc");
 *     vm_config_set_str(cfg, "memory.size", "512M");
 *     vm_config_set_u64(cfg, "cpu.count", 2);
 *     vm_machine *m = vm_machine_build(cfg);
 *     vm_config_free(cfg);
 */
#ifndef LIBVM_CONFIG_H
#define LIBVM_CONFIG_H

#include <libvm/error.h>
#include <libvm/log.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vm_ctx vm_ctx;
typedef struct vm_config vm_config;

/** What the host program gives the library. Zero in a field means none. */
typedef struct vm_host_ops {
    uint32_t size;           /**< sizeof(vm_host_ops) */
    uint32_t log_level;      /**< most talkative level wanted */
    uint32_t log_categories; /**< VM_LOG_* mask; errors and warnings pass in any case */
    uint32_t reserved;
    vm_log_fn log;
    void *ud;
    vm_free_fn free;
    /**
     * Open a file of the host for a disk image: the policy over what images may reach. NULL: as the
     * process may.
     * @param flags the host's, as of open(2)
     * @param why   VM_WHY_*: did the caller name it, or does an image?
     * @return a descriptor, which becomes the library's, or a negative errno
     */
    int (*open)(void *ud, const char *path, int flags, int why);
} vm_host_ops;

/** Why a file is opened: what an open policy judges by. */
enum {
    VM_WHY_USER = 0,    /**< the caller named it */
    VM_WHY_BACKING = 1, /**< an image names it as its backing file */
    VM_WHY_EXTENT = 2,  /**< an image names it as a part or data file of its own */
    VM_WHY_CREATE = 3,  /**< to be made */
};

/**
 * Make a context.
 * @param api_version pass #VM_API_VERSION
 * @param host        copied; NULL for none
 * @return NULL with VM_E_VERSION if the library is of another major version. [any]
 * @since 0.1
 */
VM_API vm_ctx *vm_ctx_create(uint32_t api_version, const vm_host_ops *host);
/** [any] Drop the caller's reference; NULL is fine. @since 0.1 */
VM_API void vm_ctx_unref(vm_ctx *ctx);

/** Kinds of things to list. */
enum {
    VM_LIST_DEVICES = 0,
    VM_LIST_BOARDS = 1,
    VM_LIST_CPUS = 2,
    VM_LIST_ENGINES = 3,
    VM_LIST_KEYS = 4, /**< configuration keys */
    VM_LIST_NETS = 5, /**< kinds of networks */
};
/** Gets a name and a line about it; non-zero ends the listing and is returned. */
typedef int (*vm_list_fn)(void *ud, const char *name, const char *summary);
/** [any] Name what this library has of a kind. @retval VM_E_INVAL no such kind. @since 0.1 */
VM_API int vm_list(vm_ctx *ctx, int what, vm_list_fn fn, void *ud);
/** [any] Name the properties of a device class. @retval VM_E_NOENT no such class. @since 0.1 */
VM_API int vm_list_props(vm_ctx *ctx, const char *device, vm_list_fn fn, void *ud);

/** [any] A description of a machine on @p board ("pc"; NULL for the default). @since 0.1 */
VM_API vm_config *vm_config_new(vm_ctx *ctx, const char *board);
/** [any] NULL is fine. Machines built from it do not need it. @since 0.1 */
VM_API void vm_config_free(vm_config *cfg);
/**
 * Set a key from text: numbers may be decimal or 0x hexadecimal, sizes take K M G T, booleans are
 * on/off, yes/no, true/false.
 * @retval VM_E_NOENT no such key; the message names the nearest
 * @retval VM_E_INVAL the value does not fit the key
 * @since 0.1
 */
VM_API int vm_config_set_str(vm_config *cfg, const char *key, const char *value);
/** Set a key from a number. @since 0.1 */
VM_API int vm_config_set_u64(vm_config *cfg, const char *key, uint64_t value);
/** Set many keys: objects nest where keys have dots. All or nothing. @since 0.1 */
VM_API int vm_config_set_json(vm_config *cfg, const char *json);
/**
 * Read a key as text, its default if it was not set.
 * @param len in: room in @p buf; out: bytes of the text with its NUL
 * @retval VM_E_RANGE the buffer is too small; @p len says what is needed
 * @since 0.1
 */
VM_API int vm_config_get(const vm_config *cfg, const char *key, char *buf, size_t *len);

#ifdef __cplusplus
}
#endif
#endif
