/* SPDX-License-Identifier: MIT */
/**
 * @file export.c
 * Exported: the NBD server, mounts.
 */
#include <libvm/export.h>

#include "backends/fuse.h"
#include "base/error.h"
#include "block/nbd/creds.h"
#include "block/nbd/server.h"
#include "host/thread.h"

static int no_server(void)
{
    return vm__fail(VM_E_INVAL, "no server");
}

int vm_tls_add(vm_ctx *ctx, const char *id, const char *options)
{
    if (ctx == NULL || id == NULL || options == NULL)
        return vm__fail(VM_E_INVAL, "no context, name or options");
    return vm__creds_add(ctx, id, options);
}

vm_nbd *vm_nbd_new(vm_ctx *ctx, const char *options)
{
    if (ctx != NULL)
        return vm__nbd_new(ctx, options);
    vm__fail(VM_E_INVAL, "no context");
    return NULL;
}

int vm_nbd_add(vm_nbd *server, vm_blk *blk, const char *name, const char *description,
               uint32_t flags)
{
    if (server == NULL || blk == NULL || name == NULL)
        return vm__fail(VM_E_INVAL, "no server, image or name");
    if ((flags & ~(uint32_t)(VM_EXPORT_RO | VM_EXPORT_DEPTH)) != 0)
        return vm__fail(VM_E_INVAL, "unknown flags %#x", flags);
    return vm__nbd_add(server, blk, name, description != NULL ? description : "",
                       flags & VM_EXPORT_RO, flags & VM_EXPORT_DEPTH);
}

int vm_nbd_listen(vm_nbd *server, const char *address)
{
    if (server == NULL || address == NULL)
        return vm__fail(VM_E_INVAL, "no server or no address");
    return vm__nbd_listen(server, address);
}

int vm_nbd_listen_fd(vm_nbd *server, int fd)
{
    return server != NULL ? vm__nbd_listen_fd(server, fd) : no_server();
}

int vm_nbd_fd(vm_nbd *server)
{
    return server != NULL ? server->notify : no_server();
}

int vm_nbd_clients(vm_nbd *server, uint32_t *now, uint64_t *served)
{
    if (server == NULL)
        return no_server();
    vm__notify_clear(server->notify);
    pthread_mutex_lock(&server->lock);
    if (now != NULL)
        *now = server->n_conns;
    if (served != NULL)
        *served = server->served;
    pthread_mutex_unlock(&server->lock);
    return VM_OK;
}

void vm_nbd_free(vm_nbd *server)
{
    vm__nbd_free(server);
}

/* ---- mounts ----------------------------------------------------------------------------- */

vm_fuse *vm_fuse_new(vm_ctx *ctx)
{
    if (ctx != NULL)
        return vm__fuse_new(ctx);
    vm__fail(VM_E_INVAL, "no context");
    return NULL;
}

int vm_fuse_add(vm_fuse *fuse, const char *path, vm_blk *blk, uint32_t flags)
{
    if (fuse == NULL || path == NULL || blk == NULL)
        return vm__fail(VM_E_INVAL, "no mount, name or image");
    if ((flags & ~(uint32_t)VM_EXPORT_RO) != 0)
        return vm__fail(VM_E_INVAL, "unknown flags %#x", flags);
    return vm__fuse_add(fuse, path, blk, !(flags & VM_EXPORT_RO));
}

int vm_fuse_mount(vm_fuse *fuse, const char *folder, const char *source, int allow_other)
{
    if (fuse == NULL || folder == NULL)
        return vm__fail(VM_E_INVAL, "no mount or no folder");
    return vm__fuse_mount(fuse, folder, source != NULL ? source : "libvm", allow_other != 0);
}

int vm_fuse_fd(vm_fuse *fuse)
{
    return fuse != NULL ? fuse->notify : vm__fail(VM_E_INVAL, "no mount");
}

void vm_fuse_free(vm_fuse *fuse)
{
    vm__fuse_free(fuse);
}
