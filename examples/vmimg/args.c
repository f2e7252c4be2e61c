/* SPDX-License-Identifier: MIT */
/**
 * @file args.c
 * Reading a command's options; what all commands have.
 */
#include "vmimg.h"

#include <libvm/export.h>
#include <stdlib.h>
#include <string.h>

void args_begin(struct args *a, int argc, char **argv, const char *letters,
                const struct option *names)
{
    *a = (struct args) { .argc = argc, .argv = argv, .letters = letters, .names = names };
    a->failed = -1;
    optind = 0;
    opterr = 0;
}

int next_option(struct args *a)
{
    for (;;) {
        const int at = optind != 0 ? optind : 1;
        const int c = getopt_long(a->argc, a->argv, a->letters, a->names, NULL);
        switch (c) {
        case ':':
            a->failed = usage("missing argument for option '%s'", a->argv[optind - 1]);
            return -1;
        case '?':
            a->failed = usage("unrecognized option '%s'", a->argv[optind > at ? optind - 1 : at]);
            return -1;
        case 'h':
            a->failed = show_usage(a->argv[0]);
            return -1;
        case OPT_OBJECT:
            if ((a->failed = add_object(optarg)) != 0)
                return -1;
            a->failed = -1;
            break;
        case OPT_IMAGE_OPTS:
            a->image_opts = true;
            break;
        default:
            return c;
        }
    }
}

bool take_output(struct args *a, bool *json)
{
    *json = strcmp(optarg, "json") == 0;
    if (*json || strcmp(optarg, "human") == 0)
        return true;
    a->failed = say("--output must be used with human or json as argument.");
    return false;
}

/* ---- --object --------------------------------------------------------------------------- */

static char *read_all(const char *name, size_t *len)
{
    FILE *f = fopen(name, "rb");
    char *data = f != NULL ? malloc(65536) : NULL;
    *len = data != NULL ? fread(data, 1, 65536, f) : 0;
    if (f == NULL)
        say("Unable to read %s: %m", name);
    else
        fclose(f);
    return data;
}

/* [RFC4648 §4] */
static bool from_base64(const char *text, size_t len, char *out, size_t *n)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0, have = 0;
    *n = 0;
    for (size_t i = 0; i < len && text[i] != '='; i++) {
        const char *at = strchr(alphabet, text[i]);
        if (text[i] == '\n' || text[i] == '\r' || text[i] == ' ')
            continue;
        if (at == NULL || *at == '\0')
            return false;
        bits = bits << 6 | (uint32_t)(at - alphabet);
        if ((have += 6) >= 8)
            out[(*n)++] = (char)(bits >> (have -= 8));
    }
    return true;
}

static int add_secret(const struct optlist *l)
{
    const char *id = optlist_get(l, "id"), *data = optlist_get(l, "data");
    const char *file = optlist_get(l, "file"), *format = optlist_get(l, "format");
    if (id == NULL)
        return say("Parameter 'id' is missing");
    if ((data != NULL) == (file != NULL))
        return say(data != NULL ? "'file' and 'data' are mutually exclusive"
                                : "Must provide 'file' or 'data'");
    size_t len = data != NULL ? strlen(data) : 0;
    char *bytes = data != NULL ? strdup(data) : read_all(file, &len);
    int failed = bytes == NULL;
    if (!failed && format != NULL && strcmp(format, "base64") == 0 &&
        !from_base64(bytes, len, bytes, &len))
        failed = say("Invalid base64 data in secret '%s'", id);
    if (!failed && vm_secret_add(the_ctx(), id, bytes, len) != VM_OK)
        failed = say_last("%s", "");
    free(bytes);
    return failed;
}

/* tls-creds-x509 and tls-creds-psk, for images at NBD servers. */
static int add_tls(const struct optlist *l, const char *kind)
{
    const char *id = optlist_get(l, "id");
    char all[2048];
    if (id == NULL)
        return say("Parameter 'id' is missing");
    int n = snprintf(all, sizeof all, "kind=%s", kind);
    for (int i = 0; i < l->n && n < (int)sizeof all; i++)
        if (strcmp(l->rows[i].name, "id") != 0 && strcmp(l->rows[i].name, "qom-type") != 0)
            n += snprintf(all + n, sizeof all - (size_t)n, ",%s=%s", l->rows[i].name,
                          l->rows[i].value);
    if (n >= (int)sizeof all)
        return say("the object '%s' is described in too many words", id);
    return vm_tls_add(the_ctx(), id, all) == VM_OK ? 0 : say_last("%s", "");
}

int add_object(const char *text)
{
    struct optlist l = { 0 };
    optlist_parse(&l, text, "qom-type");
    const char *type = optlist_get(&l, "qom-type");
    int failed = 0;
    if (type != NULL && strcmp(type, "secret") == 0)
        failed = add_secret(&l);
    else if (type != NULL && strncmp(type, "tls-creds-", 10) == 0)
        failed = add_tls(&l, type + 10);
    else if (type == NULL || (strcmp(type, "iothread") != 0 && strcmp(type, "throttle-group") != 0))
        failed = say("invalid object type: %s", type != NULL ? type : text);
    optlist_free(&l);
    return failed;
}
