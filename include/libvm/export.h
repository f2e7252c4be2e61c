/* SPDX-License-Identifier: MIT */
/**
 * @file export.h
 * Disks offered to others: an NBD server, and a folder of files by FUSE.
 *
 * A server has images, each under a name, and listens at addresses; its clients work on the images
 * from threads of the library, together with whoever else uses them. A mount shows images as files
 * in a folder of the host, for every program.
 *
 * Lifetime: both keep their images and the context alive; freeing ends all connections, resp.
 * unmounts, after what was asked has been done. Threads: all calls are [any].
 *
 *     vm_nbd *server = vm_nbd_new(ctx, "max-connections=4");
 *     vm_nbd_add(server, disk, "debian", "", VM_EXPORT_RO);
 *     vm_nbd_listen(server, "unix:/tmp/nbd.sock");
 *     // … until vm_nbd_free(server);
 */
#ifndef LIBVM_EXPORT_H
#define LIBVM_EXPORT_H

#include <libvm/block.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vm_nbd vm_nbd;

/** Of one image that is offered. */
enum {
    VM_EXPORT_RO = 1,    /**< no writes */
    VM_EXPORT_DEPTH = 2, /**< NBD: clients may ask which image of a chain has what */
};

/**
 * Keep TLS credentials under a name that options refer to.
 * @param options "kind=x509,dir=FOLDER,endpoint=server,verify-peer=on" or
 * "kind=psk,dir=…,username=…"; files have the names QEMU gives them
 * @retval VM_E_INVAL the options make no sense. [any] @since 0.1
 */
VM_API int vm_tls_add(vm_ctx *ctx, const char *id, const char *options);

/**
 * Make an NBD server.
 * @param options "max-connections=16" (0: any number), "handshake-limit=10" (seconds a client has
 * to choose an export; 0: for ever), "tls-creds=ID" (clients must use TLS); NULL: none
 * @return NULL with the error. [any] @since 0.1
 */
VM_API vm_nbd *vm_nbd_new(vm_ctx *ctx, const char *options);
/** Offer an image under a name (may be empty). @p description may be NULL. [any]
 *  @retval VM_E_BUSY the name is taken. @since 0.1 */
VM_API int vm_nbd_add(vm_nbd *server, vm_blk *blk, const char *name, const char *description,
                      uint32_t flags);
/** Listen at "unix:PATH" or "tcp:HOST:PORT" (no HOST: every IPv4 address). [any]
 *  @retval VM_E_BUSY somebody listens there. @since 0.1 */
VM_API int vm_nbd_listen(vm_nbd *server, const char *address);
/** Take over a socket of the caller's, one that listens or one that is connected. [any] @since 0.1
 */
VM_API int vm_nbd_listen_fd(vm_nbd *server, int fd);
/** A descriptor that is readable when clients have come or gone since vm_nbd_clients(). [any]
 *  @since 0.1 */
VM_API int vm_nbd_fd(vm_nbd *server);
/** Clients now, and those that had chosen an export and have gone. NULL: not wanted. [any]
 *  @since 0.1 */
VM_API int vm_nbd_clients(vm_nbd *server, uint32_t *now, uint64_t *served);
/** End it: requests in progress are finished. NULL is fine. [any] @since 0.1 */
VM_API void vm_nbd_free(vm_nbd *server);

typedef struct vm_fuse vm_fuse;

/** A folder of images, to be filled and then mounted. [any] @return NULL with VM_E_NOTSUP: built
 *  without libfuse. @since 0.1 */
VM_API vm_fuse *vm_fuse_new(vm_ctx *ctx);
/** Show an image as a file "NAME" or "FOLDER/NAME", before it is mounted. [any]
 *  @param flags VM_EXPORT_RO. @retval VM_E_BUSY the name is taken. @since 0.1 */
VM_API int vm_fuse_add(vm_fuse *fuse, const char *path, vm_blk *blk, uint32_t flags);
/** Mount it at a folder of the host, once; needs no root where the host has fusermount3. [any]
 *  @param source what the host's list of mounts shows; NULL: "libvm"
 *  @param allow_other let other users in, where the host allows that. @since 0.1 */
VM_API int vm_fuse_mount(vm_fuse *fuse, const char *folder, const char *source, int allow_other);
/** A descriptor that is readable when somebody has unmounted it. [any] @since 0.1 */
VM_API int vm_fuse_fd(vm_fuse *fuse);
/** Unmount, and write out what is written. NULL is fine. [any] @since 0.1 */
VM_API void vm_fuse_free(vm_fuse *fuse);

#ifdef __cplusplus
}
#endif
#endif
