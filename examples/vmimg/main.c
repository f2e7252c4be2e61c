/* SPDX-License-Identifier: MIT */
/**
 * @file main.c
 * vmimg: images made, looked at, copied and changed, with the words of the tools people know.
 *
 * Called as qemu-img or qemu-io (a link is enough) it stands in for these.
 */
#include "vmimg.h"

#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct command commands[] = {
    { "amend", cmd_amend, "[-f FMT] [-t CACHE] [-p] [-q] [--force] -o OPTIONS FILE", "change properties of an image" },
    { "bench", cmd_bench, "[-c COUNT] [-d DEPTH] [-f FMT] [-w] [-s SIZE] [-S STEP] [-o OFFSET] [-t CACHE] FILE", "measure requests" },
    { "bitmap", cmd_bitmap, "(--add [-g N] | --remove | --clear | --enable | --disable | --merge SRC)... [-b FILE [-F FMT]] [-f FMT] FILE BITMAP", "work on dirty bitmaps" },
    { "cat", cmd_cat, "[-F FMT] [-U] IMAGE:PARTITION:/PATH...", "write files inside an image to stdout" },
    { "check", cmd_check, "[-f FMT] [-r leaks|all] [--output=human|json] [-T CACHE] [-U] [-q] FILE", "look for damage, and repair it" },
    { "commit", cmd_commit, "[-f FMT] [-t CACHE] [-b BASE] [-r RATE] [-d] [-p] [-q] FILE", "write an image into its backing file" },
    { "compare", cmd_compare, "[-f FMT] [-F FMT] [-T CACHE] [-s] [-p] [-q] [-U] FILE1 FILE2", "compare contents" },
    { "convert", cmd_convert, "[-f FMT] [-O FMT] [-o OPTIONS] [-B BASE [-F FMT]] [-c] [-l SNAPSHOT] [-S SIZE] [-n] [-p] [-q] [-t CACHE] [-T CACHE] [-m N] [-W] [-C] [-r RATE] [-U] FILE... TARGET", "copy into a new image of any format" },
    { "cp", cmd_cp, "[-F FMT] [-U] FILE... IMAGE:PARTITION:/PATH | IMAGE:PARTITION:/PATH... FILE", "copy files into an image, or out of it" },
    { "create", cmd_create, "[-f FMT] [-b BASE [-F FMT]] [-u] [-o OPTIONS] [-q] FILE [SIZE]", "make an image" },
    { "dd", cmd_dd, "[-f FMT] [-O FMT] [-U] [bs=SIZE] [count=N] [skip=N] if=FILE of=FILE", "copy a part" },
    { "info", cmd_info, "[-f FMT] [--output=human|json] [--backing-chain] [-U] FILE", "tell what an image is" },
    { "io", cmd_io, "[-f FMT] [-r] [-s] [-n] [-C] [-t CACHE] [-d MODE] [-U] [-c COMMAND]... [FILE]", "read and write by hand" },
    { "ls", cmd_ls, "[-l] [-F FMT] [-U] IMAGE | IMAGE:PARTITION:/PATH", "list partitions and volumes, or a folder inside" },
    { "map", cmd_map, "[-f FMT] [--start-offset=N] [--max-length=N] [--output=human|json] [-U] FILE", "tell what lies where" },
    { "measure", cmd_measure, "[-O FMT] [-o OPTIONS] [--output=human|json] (--size N | [-f FMT] [-l SNAPSHOT] [-U] FILE)", "tell how large a copy would be" },
    { "mount", cmd_mount, "[-F FMT] [--rw] [-f] [--allow-other] [-t CACHE] [-U] FILE FOLDER", "show its disk, partitions and volumes as files" },
    { "rebase", cmd_rebase, "[-f FMT] [-t CACHE] [-T CACHE] [-p] [-q] [-U] [-u] -b BASE [-F FMT] FILE", "give it another backing file" },
    { "resize", cmd_resize, "[-f FMT] [--preallocation=MODE] [--shrink] [-q] FILE [+|-]SIZE", "change the size" },
    { "snapshot", cmd_snapshot, "[-l | -a NAME | -c NAME | -d NAME] [-q] [-U] FILE", "work on internal snapshots" },
    { "umount", cmd_umount, "FOLDER", "end a mount, with all written out" },
    { 0 },
};
/* clang-format on */

static const char *self = "vmimg";

vm_ctx *the_ctx(void)
{
    static vm_ctx *ctx;
    if (ctx == NULL && (ctx = vm_ctx_create(VM_API_VERSION, NULL)) == NULL) {
        say("%s", last());
        exit(1);
    }
    return ctx;
}

const char *program(void)
{
    return self;
}

bool compatible(void)
{
    return strncmp(self, "qemu-", 5) == 0;
}

int show_usage(const char *command)
{
    const bool io = strcmp(self, "qemu-io") == 0;
    for (const struct command *c = commands; c->name != NULL; c++)
        if (io ? c->run == cmd_io : strcmp(c->name, command) == 0) {
            printf("usage: %s%s%s %s\n%s\n", self, io ? "" : " ", io ? "" : c->name, c->usage,
                   c->summary);
            printf("--image-opts and --object secret,id=ID,data=TEXT|file=FILE everywhere;\n"
                   "-o help lists the options of a format.\n");
            break;
        }
    return 0;
}

/* ---- help ------------------------------------------------------------------------------- */

struct names {
    char *names[128];
    int n;
};

static int add_name(void *ud, const char *name, const char *summary)
{
    struct names *l = ud;
    (void)summary;
    if (l->n < 128 && (l->names[l->n] = strdup(name)) != NULL)
        l->n++;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int help(void)
{
    struct names l = { .n = 0 };
    printf("usage: %s [-h] [-V] COMMAND [OPTIONS]\n"
           "Disk images: make, look at, copy, change.\n\n"
           "Commands (%s COMMAND --help says more):\n",
           self, self);
    for (const struct command *c = commands; c->name != NULL; c++)
        printf("  %-10s %s\n", c->name, c->summary);
    printf("\nSizes are bytes; k, M, G, T, P and E stand for powers of 1024.\n"
           "CACHE is none, writeback, writethrough, directsync or unsafe.\n"
           "FILE may be a name, or json:{...} that describes any stack of drivers.\n\n"
           "Exit codes: 0 done, 1 failed. check: 2 damaged, 3 leaks, 63 the format has no check.\n"
           "compare: 1 different, 2 not opened, 3 and 4 not read.\n\n"
           "Supported formats:");
    vm_blk_list_drivers(the_ctx(), add_name, &l);
    qsort(l.names, (size_t)l.n, sizeof l.names[0], by_name);
    for (int i = 0; i < l.n; i++) {
        printf(" %s", l.names[i]);
        free(l.names[i]);
    }
    printf("\n");
    return 0;
}

int show_version(void)
{
    /* Scripts that ask want to know whose behaviour they may count on. */
    if (compatible())
        printf("%s version 7.2.22 (as vmimg of libvm %s does it)\n", self, vm_version_string());
    else
        printf("%s version %s\n", self, vm_version_string());
    return 0;
}

/* ---- main ------------------------------------------------------------------------------- */

static int run(int argc, char **argv)
{
    static const struct option names[] = { { "help", no_argument, NULL, 'h' },
                                           { "version", no_argument, NULL, 'V' },
                                           { "trace", required_argument, NULL, 'T' },
                                           { 0 } };
    int c;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "+:hVT:", names, NULL)) != -1) {
        switch (c) {
        case 'h':
            return help();
        case 'V':
            return show_version();
        case 'T':
            break; /* there is nothing to trace */
        case ':':
            return usage("missing argument for option '%s'", argv[optind - 1]);
        default:
            return usage("unrecognized option '%s'", argv[optind - 1]);
        }
    }
    if (optind >= argc)
        return usage("Not enough arguments");
    argc -= optind;
    argv += optind;
    for (const struct command *cmd = commands; cmd->name != NULL; cmd++)
        if (strcmp(cmd->name, argv[0]) == 0)
            return cmd->run(argc, argv);
    return usage("Command not found: %s", argv[0]);
}

int main(int argc, char **argv)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    if (argc > 0)
        self = slash != NULL ? slash + 1 : argv[0];
    const int st = strcmp(self, "qemu-io") == 0 ? cmd_io(argc, argv) : run(argc, argv);
    return fflush(stdout) == 0 ? st : 1;
}
