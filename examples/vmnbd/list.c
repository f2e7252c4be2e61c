/* SPDX-License-Identifier: MIT */
/**
 * @file list.c
 * What another server has, by libnbd.
 */
#include <libnbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmnbd.h"

struct found {
    char **names, **descriptions;
    size_t n;
};

static int add(void *ud, const char *name, const char *description)
{
    struct found *f = ud;
    char **names = realloc(f->names, (f->n + 1) * sizeof *names);
    if (names == NULL)
        return -1;
    f->names = names;
    char **texts = realloc(f->descriptions, (f->n + 1) * sizeof *texts);
    if (texts == NULL)
        return -1;
    f->descriptions = texts;
    f->names[f->n] = strdup(name);
    f->descriptions[f->n] = strdup(description);
    f->n++;
    return 0;
}

static int add_context(void *ud, const char *name)
{
    return add(ud, name, "");
}

static void free_found(struct found *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->names[i]);
        free(f->descriptions[i]);
    }
    free(f->names);
    free(f->descriptions);
}

static void show_flags(struct nbd_handle *h)
{
    const struct {
        const char *name;
        unsigned bit;
        int is;
    } all[] = {
        { "readonly", 1 << 1, nbd_is_read_only(h) },
        { "flush", 1 << 2, nbd_can_flush(h) },
        { "fua", 1 << 3, nbd_can_fua(h) },
        { "rotational", 1 << 4, nbd_is_rotational(h) },
        { "trim", 1 << 5, nbd_can_trim(h) },
        { "zeroes", 1 << 6, nbd_can_zero(h) },
        { "df", 1 << 7, nbd_can_df(h) },
        { "multi", 1 << 8, nbd_can_multi_conn(h) },
        { "cache", 1 << 10, nbd_can_cache(h) },
        { "fast-zero", 1 << 11, nbd_can_fast_zero(h) },
    };
    unsigned flags = 1;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        flags |= all[i].is == 1 ? all[i].bit : 0;
    printf("  flags: %#x (", flags);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].is == 1)
            printf(" %s", all[i].name);
    printf(" )\n");
}

static void show_contexts(struct nbd_handle *h)
{
    struct found f = { 0 };
    if (nbd_opt_list_meta_context(
            h, (nbd_context_callback) { .callback = add_context, .user_data = &f }) > 0) {
        printf("  available meta contexts: %zu\n", f.n);
        for (size_t i = 0; i < f.n; i++)
            printf("   %s\n", f.names[i]);
    }
    free_found(&f);
}

static void show(struct nbd_handle *h, const char *name, const char *description)
{
    printf(" export: '%s'\n", name);
    if (*description != '\0')
        printf("  description: %s\n", description);
    if (nbd_set_export_name(h, name) != 0 || nbd_opt_info(h) != 0)
        return;
    printf("  size:  %lld\n", (long long)nbd_get_size(h));
    show_flags(h);
    const int64_t min = nbd_get_block_size(h, LIBNBD_SIZE_MINIMUM);
    if (min > 0) {
        printf("  min block: %lld\n", (long long)min);
        printf("  opt block: %lld\n", (long long)nbd_get_block_size(h, LIBNBD_SIZE_PREFERRED));
        printf("  max block: %lld\n", (long long)nbd_get_block_size(h, LIBNBD_SIZE_MAXIMUM));
    }
    show_contexts(h);
}

static int connect_to(struct nbd_handle *h, const struct wish *w)
{
    return w->socket != NULL ? nbd_connect_unix(h, w->socket)
                             : nbd_connect_tcp(h, w->bind != NULL ? w->bind : "localhost",
                                               w->port != NULL ? w->port : "10809");
}

int list_exports(const struct wish *w)
{
    struct found f = { 0 };
    struct nbd_handle *h = nbd_create();
    if (h == NULL)
        return say("%s", nbd_get_error());
    int st =
        nbd_set_opt_mode(h, true) == 0 && nbd_set_full_info(h, true) == 0 && connect_to(h, w) == 0
            ? 0
            : say("Failed to connect to NBD server: %s", nbd_get_error());
    if (st == 0 && nbd_opt_list(h, (nbd_list_callback) { .callback = add, .user_data = &f }) < 0)
        st = say("%s", nbd_get_error());
    if (st == 0) {
        printf("exports available: %zu\n", f.n);
        for (size_t i = 0; i < f.n; i++)
            show(h, f.names[i], f.descriptions[i]);
        (void)nbd_opt_abort(h);
    }
    free_found(&f);
    nbd_close(h);
    return st;
}
