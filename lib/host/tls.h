/* SPDX-License-Identifier: MIT */
/**
 * @file tls.h
 * TLS over a non-blocking socket, for servers: certificates or shared keys.
 *
 * tls.c is over GnuTLS; without that library no_tls.c says so. A session is used by one thread at a
 * time.
 */
#ifndef LIBVM_HOST_TLS_H
#define LIBVM_HOST_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm_tls;
struct vm_tls_creds;

enum vm_tls_kind { VM_TLS_X509 = 1, VM_TLS_PSK };

/** What a server shows and asks for. The files of @p folder have the names QEMU uses: ca-cert.pem,
 *  ca-crl.pem (may be missing), server-cert.pem, server-key.pem; resp. keys.psk. */
struct vm_tls_files {
    enum vm_tls_kind kind;
    const char *folder;
    const char *priority; /**< of GnuTLS; NULL: its default */
    bool verify_peer;     /**< x509: clients must show a certificate of the authority */
};

/** Read the files. NULL with the error set. */
struct vm_tls_creds *vm__tls_creds_new(const struct vm_tls_files *files);
void vm__tls_creds_free(struct vm_tls_creds *creds);

/** A session over @p fd. It uses @p creds as long as it lives. NULL with the error set. */
struct vm_tls *vm__tls_new(const struct vm_tls_creds *creds, int fd);
void vm__tls_free(struct vm_tls *t);
/** @retval VM_E_AGAIN wait (vm__tls_wants_out(): to send) and call again */
int vm__tls_handshake(struct vm_tls *t);
bool vm__tls_wants_out(const struct vm_tls *t);
/** As of sockets. After VM_E_AGAIN send() must be repeated with the same bytes. */
int64_t vm__tls_recv(struct vm_tls *t, void *buf, size_t len);
int64_t vm__tls_send(struct vm_tls *t, const void *buf, size_t len);
/** Bytes have been received and decrypted, so the socket need not be readable. */
bool vm__tls_pending(const struct vm_tls *t);
/** Tell the other side that this was all; best effort. */
void vm__tls_bye(struct vm_tls *t);

#endif
