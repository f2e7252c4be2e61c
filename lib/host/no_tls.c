/* SPDX-License-Identifier: MIT */
/**
 * @file no_tls.c
 * Built without GnuTLS: there are no credentials, and so no sessions.
 */
#include "base/error.h"
#include "host/tls.h"

struct vm_tls_creds *vm__tls_creds_new(const struct vm_tls_files *files)
{
    (void)files;
    vm__fail(VM_E_NOTSUP, "this libvm was built without GnuTLS");
    return NULL;
}

void vm__tls_creds_free(struct vm_tls_creds *creds)
{
    (void)creds;
}

struct vm_tls *vm__tls_new(const struct vm_tls_creds *creds, int fd)
{
    (void)creds;
    (void)fd;
    vm__fail(VM_E_NOTSUP, "this libvm was built without GnuTLS");
    return NULL;
}

void vm__tls_free(struct vm_tls *t)
{
    (void)t;
}

int vm__tls_handshake(struct vm_tls *t)
{
    (void)t;
    return VM_E_NOTSUP;
}

bool vm__tls_wants_out(const struct vm_tls *t)
{
    (void)t;
    return false;
}

int64_t vm__tls_recv(struct vm_tls *t, void *buf, size_t len)
{
    (void)t;
    (void)buf;
    (void)len;
    return VM_E_NOTSUP;
}

int64_t vm__tls_send(struct vm_tls *t, const void *buf, size_t len)
{
    (void)t;
    (void)buf;
    (void)len;
    return VM_E_NOTSUP;
}

bool vm__tls_pending(const struct vm_tls *t)
{
    (void)t;
    return false;
}

void vm__tls_bye(struct vm_tls *t)
{
    (void)t;
}
