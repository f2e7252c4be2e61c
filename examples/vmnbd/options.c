/* SPDX-License-Identifier: MIT */
/**
 * @file options.c
 * The command line, with the words of qemu-nbd.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmnbd.h"

enum {
    OPT_CACHE = 256,
    OPT_AIO,
    OPT_DISCARD,
    OPT_DETECT_ZEROES,
    OPT_IMAGE_OPTS,
    OPT_OBJECT,
    OPT_TLS_CREDS,
    OPT_TLS_OTHER,
    OPT_FORK,
    OPT_PID_FILE,
    OPT_HANDSHAKE,
    OPT_ADD,
};

/* clang-format off */
static const struct option names[] = {
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { "port", required_argument, NULL, 'p' },
    { "bind", required_argument, NULL, 'b' },
    { "socket", required_argument, NULL, 'k' },
    { "shared", required_argument, NULL, 'e' },
    { "persistent", no_argument, NULL, 't' },
    { "verbose", no_argument, NULL, 'v' },
    { "export-name", required_argument, NULL, 'x' },
    { "description", required_argument, NULL, 'D' },
    { "offset", required_argument, NULL, 'o' },
    { "partition", required_argument, NULL, 'P' },
    { "allocation-depth", no_argument, NULL, 'A' },
    { "bitmap", required_argument, NULL, 'B' },
    { "list", no_argument, NULL, 'L' },
    { "object", required_argument, NULL, OPT_OBJECT },
    { "tls-creds", required_argument, NULL, OPT_TLS_CREDS },
    { "tls-authz", required_argument, NULL, OPT_TLS_OTHER },
    { "tls-hostname", required_argument, NULL, OPT_TLS_OTHER },
    { "trace", required_argument, NULL, 'T' },
    { "fork", no_argument, NULL, OPT_FORK },
    { "pid-file", required_argument, NULL, OPT_PID_FILE },
    { "handshake-limit", required_argument, NULL, OPT_HANDSHAKE },
    { "connect", required_argument, NULL, 'c' },
    { "disconnect", required_argument, NULL, 'd' },
    { "format", required_argument, NULL, 'f' },
    { "read-only", no_argument, NULL, 'r' },
    { "snapshot", no_argument, NULL, 's' },
    { "load-snapshot", required_argument, NULL, 'l' },
    { "nocache", no_argument, NULL, 'n' },
    { "cache", required_argument, NULL, OPT_CACHE },
    { "aio", required_argument, NULL, OPT_AIO },
    { "discard", required_argument, NULL, OPT_DISCARD },
    { "detect-zeroes", required_argument, NULL, OPT_DETECT_ZEROES },
    { "image-opts", no_argument, NULL, OPT_IMAGE_OPTS },
    { "add", required_argument, NULL, OPT_ADD },
    { 0 },
};
/* clang-format on */

static const char help_text[] =
    "usage: %s [OPTION]... FILE\n"
    "       %s -L [OPTION]...\n"
    "       %s -d DEVICE\n"
    "Offer a disk image to other programs by NBD.\n\n"
    "  -h, --help                this text\n"
    "  -V, --version             which version this is\n\n"
    "Who may come:\n"
    "  -k, --socket=PATH         listen at a unix socket\n"
    "  -p, --port=PORT           or at a TCP port (10809)\n"
    "  -b, --bind=ADDRESS        of this address (0.0.0.0)\n"
    "                            sockets handed over by LISTEN_FDS are used instead\n"
    "  -e, --shared=N            clients at a time (1; 0: any number)\n"
    "  -t, --persistent          do not end when the last client has gone\n"
    "      --handshake-limit=S   seconds a client may take to choose an export (10; 0: for ever)\n"
    "      --object tls-creds-x509,id=ID,dir=DIR,endpoint=server[,verify-peer=on|off]\n"
    "      --object tls-creds-psk,id=ID,dir=DIR,endpoint=server\n"
    "      --tls-creds=ID        clients must use TLS with these credentials\n\n"
    "What they get:\n"
    "  -x, --export-name=NAME    its name (empty)\n"
    "  -D, --description=TEXT    words about it\n"
    "  -o, --offset=BYTES        from here on\n"
    "  -P, --partition=N         this partition\n"
    "  -A, --allocation-depth    tell which image of a chain has what\n"
    "      --add NAME=FILE       another image under another name; may be repeated\n\n"
    "How images are opened:\n"
    "  -f, --format=FORMAT       of the image; guessed if it is not given\n"
    "      --image-opts          FILE is a list of options\n"
    "  -r, --read-only           no writes\n"
    "  -s, --snapshot            writes go to a temporary file\n"
    "  -l, --load-snapshot=NAME  an internal snapshot, read-only\n"
    "  -n, --nocache             as --cache=none\n"
    "      --cache=MODE          none, writeback (default), writethrough, directsync, unsafe\n"
    "      --aio=MODE            threads, native, io_uring: accepted, decided by measurement\n"
    "      --discard=MODE        ignore (default), unmap\n"
    "      --detect-zeroes=MODE  off (default), on, unmap\n"
    "      --object secret,id=ID,data=TEXT|file=FILE\n\n"
    "The process:\n"
    "      --fork                return when clients may come\n"
    "      --pid-file=PATH       keep the process's number there\n"
    "  -v, --verbose             tell of clients on stderr\n"
    "  -L, --list                tell what a server at -k or -b and -p has\n"
    "  -c, --connect=DEVICE      give it to this kernel as DEVICE (/dev/nbd0)\n"
    "  -d, --disconnect=DEVICE   take it away again\n";

static int try_help(void)
{
    return say("Try `--help' for more information.");
}

static bool number(const char *text, uint64_t most, uint64_t *value)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    *value = strtoull(text, &end, 0);
    return *end == '\0' && *value <= most;
}

/* ---- --object --------------------------------------------------------------------------- */

/* The value of "name=" in "a=b,c=d", or "". */
static void property(const char *text, const char *name, char *to, size_t room)
{
    const size_t len = strlen(name);
    *to = '\0';
    for (const char *at = text; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, len) == 0 && at[len] == '=') {
            snprintf(to, room, "%.*s", (int)strcspn(at + len + 1, ","), at + len + 1);
            return;
        }
    }
}

static int add_secret(vm_ctx *ctx, const char *id, const char *text)
{
    char data[4096], file[1024];
    size_t len;
    property(text, "data", data, sizeof data);
    property(text, "file", file, sizeof file);
    len = strlen(data);
    if (*file != '\0') {
        FILE *f = fopen(file, "rb");
        if (f == NULL)
            return say("Unable to read %s: %m", file);
        len = fread(data, 1, sizeof data, f);
        fclose(f);
    }
    return vm_secret_add(ctx, id, data, len) == VM_OK ? 0 : say("%s", last());
}

static int add_tls(vm_ctx *ctx, const char *id, const char *kind, const char *text)
{
    static const char *const known[] = { "dir", "endpoint", "verify-peer", "priority", "username" };
    char all[4096], value[1024];
    int n = snprintf(all, sizeof all, "kind=%s", kind);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        property(text, known[i], value, sizeof value);
        if (*value != '\0' && n < (int)sizeof all)
            n += snprintf(all + n, sizeof all - (size_t)n, ",%s=%s", known[i], value);
    }
    return vm_tls_add(ctx, id, all) == VM_OK ? 0 : say("%s", last());
}

static int add_object(vm_ctx *ctx, const char *text)
{
    char type[64], id[64];
    snprintf(type, sizeof type, "%.*s", (int)strcspn(text, ","), text);
    property(text, "id", id, sizeof id);
    if (*id == '\0')
        return say("Parameter 'id' is missing");
    if (strcmp(type, "secret") == 0)
        return add_secret(ctx, id, text);
    if (strcmp(type, "tls-creds-x509") == 0)
        return add_tls(ctx, id, "x509", text);
    if (strcmp(type, "tls-creds-psk") == 0)
        return add_tls(ctx, id, "psk", text);
    return say("invalid object type: %s", type);
}

/* ---- the options ------------------------------------------------------------------------ */

static int take_number(struct wish *w, int c)
{
    uint64_t v;
    switch (c) {
    case 'e':
        if (!number(optarg, INT32_MAX, &v))
            return say("Invalid shared device number '%s'", optarg);
        w->shared = (uint32_t)v;
        break;
    case 'o':
        if (!number(optarg, INT64_MAX, &v))
            return say("Invalid offset '%s'", optarg);
        w->offset = v;
        break;
    case 'P':
        if (!number(optarg, 255, &v) || v == 0)
            return say("Invalid partition '%s'", optarg);
        w->partition = (uint32_t)v;
        break;
    case OPT_HANDSHAKE:
        if (!number(optarg, 1 << 20, &v))
            return say("Invalid handshake limit '%s'", optarg);
        w->handshake_limit = (uint32_t)v;
        break;
    }
    return -1;
}

/* @return -1: go on; else the exit code */
static int take(struct wish *w, vm_ctx *ctx, int c, const char *self)
{
    switch (c) {
    case 'h':
        printf(help_text, self, self, self);
        return 0;
    case 'V':
        printf("%s %s (libvm)\n", self, vm_version_string());
        return 0;
    case 'p':
        w->port = optarg;
        break;
    case 'b':
        w->bind = optarg;
        break;
    case 'k':
        w->socket = optarg;
        break;
    case 'x':
        w->name = optarg;
        break;
    case 'D':
        w->description = optarg;
        break;
    case 'c':
        w->device = optarg;
        break;
    case 'f':
        w->format = optarg;
        break;
    case 'l':
        w->load_snapshot = optarg;
        w->read_only = true;
        break;
    case 't':
        w->persistent = true;
        break;
    case 'v':
        w->verbose = true;
        break;
    case 'A':
        w->depth = true;
        break;
    case 'L':
        w->list = true;
        break;
    case 'r':
        w->read_only = true;
        break;
    case 's':
        w->snapshot = true;
        break;
    case 'n':
        w->cache = "none";
        break;
    case 'd':
        return kernel_disconnect(optarg);
    case 'T':
        break; /* there is nothing to trace */
    case 'e':
    case 'o':
    case 'P':
    case OPT_HANDSHAKE:
        return take_number(w, c);
    case OPT_CACHE:
        w->cache = optarg;
        break;
    case OPT_AIO:
        w->aio = optarg;
        break;
    case OPT_DISCARD:
        w->discard = optarg;
        break;
    case OPT_DETECT_ZEROES:
        w->detect_zeroes = optarg;
        break;
    case OPT_IMAGE_OPTS:
        w->image_opts = true;
        break;
    case OPT_TLS_CREDS:
        w->tls = optarg;
        break;
    case OPT_FORK:
        w->fork = true;
        break;
    case OPT_PID_FILE:
        w->pid_file = optarg;
        break;
    case OPT_OBJECT:
        return add_object(ctx, optarg) == 0 ? -1 : 1;
    case 'B':
        return say("dirty bitmaps cannot be offered yet: --bitmap=%s", optarg);
    case OPT_TLS_OTHER:
        return say("--tls-authz and --tls-hostname are not there");
    case OPT_ADD:
        if (w->n_added == MAX_ADDED || strchr(optarg, '=') == NULL)
            return say("--add NAME=FILE, at most %d times", MAX_ADDED);
        w->added[w->n_added++] = optarg;
        break;
    default:
        return try_help();
    }
    return -1;
}

int read_command_line(struct wish *w, vm_ctx *ctx, int argc, char **argv)
{
    static const char letters[] = "hVb:o:p:P:rsnc:d:vk:e:f:tl:x:T:D:AB:L";
    const char *slash = strrchr(argv[0], '/');
    int c, done = -1;
    *w = (struct wish) { .shared = 1, .handshake_limit = 10, .name = "", .description = "" };
    while (done < 0 && (c = getopt_long(argc, argv, letters, names, NULL)) != -1)
        done = take(w, ctx, c, slash != NULL ? slash + 1 : argv[0]);
    if (done >= 0)
        return done;
    if (w->list)
        return optind == argc ? -1 : say("List mode is incompatible with a file name");
    if (argc - optind != 1) {
        say("Invalid number of arguments");
        return try_help();
    }
    w->file = argv[optind];
    if (w->image_opts && w->format != NULL)
        return say("--image-opts and -f are mutually exclusive");
    if (w->socket != NULL && (w->port != NULL || w->bind != NULL))
        return say("-k and -p or -b are mutually exclusive");
    if (w->offset != 0 && w->partition != 0)
        return say("-o and -P are mutually exclusive");
    return -1;
}
