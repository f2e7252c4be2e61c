/* SPDX-License-Identifier: MIT */
/**
 * @file tls.c
 * TLS by GnuTLS.
 */
#include "host/tls.h"

#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"

enum { PATH_BYTES = 4096 };

struct vm_tls_creds {
    enum vm_tls_kind kind;
    bool verify_peer;
    gnutls_certificate_credentials_t x509;
    gnutls_psk_server_credentials_t psk;
    gnutls_priority_t priority;
};

struct vm_tls {
    gnutls_session_t session;
};

static int fail(int code, const char *what, int why)
{
    return vm__fail(code, "%s: %s", what, gnutls_strerror(why));
}

static int path_of(char *path, const char *folder, const char *name)
{
    const int n = snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    return n > 0 && n < PATH_BYTES ? VM_OK : vm__fail(VM_E_INVAL, "the folder's name is too long");
}

static int must_read(const char *path)
{
    return access(path, R_OK) == 0
               ? VM_OK
               : vm__fail(VM_E_NOENT, "Unable to access credentials %.200s", path);
}

static int load_x509(struct vm_tls_creds *c, const char *folder)
{
    char ca[PATH_BYTES], crl[PATH_BYTES], cert[PATH_BYTES], key[PATH_BYTES];
    int st = path_of(ca, folder, "ca-cert.pem"), n;
    if (st == VM_OK)
        st = path_of(crl, folder, "ca-crl.pem");
    if (st == VM_OK)
        st = path_of(cert, folder, "server-cert.pem");
    if (st == VM_OK)
        st = path_of(key, folder, "server-key.pem");
    if (st == VM_OK)
        st = must_read(ca);
    if (st == VM_OK)
        st = must_read(cert);
    if (st == VM_OK)
        st = must_read(key);
    if (st != VM_OK)
        return st;
    n = gnutls_certificate_allocate_credentials(&c->x509);
    if (n < 0)
        return fail(VM_E_NOMEM, "TLS certificates", n);
    n = gnutls_certificate_set_x509_trust_file(c->x509, ca, GNUTLS_X509_FMT_PEM);
    if (n < 0)
        return fail(VM_E_CORRUPT, "Cannot load CA certificate", n);
    n = gnutls_certificate_set_x509_key_file(c->x509, cert, key, GNUTLS_X509_FMT_PEM);
    if (n < 0)
        return fail(VM_E_CORRUPT, "Cannot load certificate & key", n);
    if (access(crl, R_OK) == 0) {
        n = gnutls_certificate_set_x509_crl_file(c->x509, crl, GNUTLS_X509_FMT_PEM);
        if (n < 0)
            return fail(VM_E_CORRUPT, "Cannot load CRL", n);
    }
    n = gnutls_certificate_set_known_dh_params(c->x509, GNUTLS_SEC_PARAM_MEDIUM);
    return n < 0 ? fail(VM_E_NOTSUP, "TLS parameters", n) : VM_OK;
}

static int load_psk(struct vm_tls_creds *c, const char *folder)
{
    char keys[PATH_BYTES];
    int st = path_of(keys, folder, "keys.psk");
    if (st == VM_OK)
        st = must_read(keys);
    if (st != VM_OK)
        return st;
    int n = gnutls_psk_allocate_server_credentials(&c->psk);
    if (n >= 0)
        n = gnutls_psk_set_server_credentials_file(c->psk, keys);
    if (n >= 0)
        n = gnutls_psk_set_server_known_dh_params(c->psk, GNUTLS_SEC_PARAM_MEDIUM);
    return n < 0 ? fail(VM_E_CORRUPT, "Cannot load the keys", n) : VM_OK;
}

struct vm_tls_creds *vm__tls_creds_new(const struct vm_tls_files *files)
{
    struct vm_tls_creds *c = calloc(1, sizeof *c);
    char text[256];
    if (c == NULL) {
        vm__fail_nomem(sizeof *c);
        return NULL;
    }
    c->kind = files->kind;
    c->verify_peer = files->verify_peer;
    int st = c->kind == VM_TLS_PSK ? load_psk(c, files->folder) : load_x509(c, files->folder);
    snprintf(text, sizeof text, "%.180s%s", files->priority != NULL ? files->priority : "NORMAL",
             c->kind == VM_TLS_PSK ? ":+ECDHE-PSK:+DHE-PSK:+PSK" : "");
    const int n = st == VM_OK ? gnutls_priority_init(&c->priority, text, NULL) : 0;
    if (n < 0)
        st = fail(VM_E_INVAL, "TLS priority", n);
    if (st == VM_OK)
        return c;
    vm__tls_creds_free(c);
    return NULL;
}

void vm__tls_creds_free(struct vm_tls_creds *c)
{
    if (c == NULL)
        return;
    if (c->x509 != NULL)
        gnutls_certificate_free_credentials(c->x509);
    if (c->psk != NULL)
        gnutls_psk_free_server_credentials(c->psk);
    if (c->priority != NULL)
        gnutls_priority_deinit(c->priority);
    free(c);
}

static int set_up(struct vm_tls *t, const struct vm_tls_creds *c, int fd)
{
    int n = gnutls_priority_set(t->session, c->priority);
    if (n >= 0)
        n = c->kind == VM_TLS_PSK
                ? gnutls_credentials_set(t->session, GNUTLS_CRD_PSK, c->psk)
                : gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, c->x509);
    if (n < 0)
        return n;
    if (c->kind == VM_TLS_X509 && c->verify_peer) {
        gnutls_certificate_server_set_request(t->session, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_verify_cert(t->session, NULL, 0);
    }
    gnutls_transport_set_int(t->session, fd);
    return 0;
}

struct vm_tls *vm__tls_new(const struct vm_tls_creds *c, int fd)
{
    struct vm_tls *t = calloc(1, sizeof *t);
    int n = t != NULL ? gnutls_init(&t->session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL)
                      : GNUTLS_E_MEMORY_ERROR;
    if (n >= 0)
        n = set_up(t, c, fd);
    if (n >= 0)
        return t;
    fail(VM_E_NOMEM, "TLS session", n);
    vm__tls_free(t);
    return NULL;
}

void vm__tls_free(struct vm_tls *t)
{
    if (t != NULL && t->session != NULL)
        gnutls_deinit(t->session);
    free(t);
}

static bool try_again(ssize_t n)
{
    return n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED;
}

int vm__tls_handshake(struct vm_tls *t)
{
    int n;
    do {
        n = gnutls_handshake(t->session);
    } while (n < 0 && !try_again(n) && !gnutls_error_is_fatal(n));
    if (n >= 0)
        return VM_OK;
    return try_again(n) ? VM_E_AGAIN : fail(VM_E_PERM, "TLS handshake failed", n);
}

bool vm__tls_wants_out(const struct vm_tls *t)
{
    return gnutls_record_get_direction(t->session) == 1;
}

int64_t vm__tls_recv(struct vm_tls *t, void *buf, size_t len)
{
    const ssize_t n = gnutls_record_recv(t->session, buf, len);
    if (n >= 0)
        return n;
    if (try_again(n))
        return VM_E_AGAIN;
    /* No more handshakes: whoever asks for one is cut off. */
    return n == GNUTLS_E_PREMATURE_TERMINATION ? 0 : fail(VM_E_IO, "receive by TLS", (int)n);
}

int64_t vm__tls_send(struct vm_tls *t, const void *buf, size_t len)
{
    const ssize_t n = gnutls_record_send(t->session, buf, len);
    if (n >= 0)
        return n;
    return try_again(n) ? VM_E_AGAIN : fail(VM_E_IO, "send by TLS", (int)n);
}

bool vm__tls_pending(const struct vm_tls *t)
{
    return gnutls_record_check_pending(t->session) != 0;
}

void vm__tls_bye(struct vm_tls *t)
{
    (void)gnutls_bye(t->session, GNUTLS_SHUT_WR);
}
