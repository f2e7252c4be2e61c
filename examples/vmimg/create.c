/* SPDX-License-Identifier: MIT */
/**
 * @file create.c
 * `create`, `resize`.
 */
#include "vmimg.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int cmd_create(int argc, char **argv)
{
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "format", required_argument, NULL, 'f' },
        { "options", required_argument, NULL, 'o' },
        { "backing", required_argument, NULL, 'b' },
        { "backing-format", required_argument, NULL, 'F' },
        { "backing-unsafe", no_argument, NULL, 'u' },
        { "quiet", no_argument, NULL, 'q' },
        { 0 },
    };
    struct make m = { .format = "raw", .size = UINT64_MAX };
    struct args a;
    char *options = NULL;
    int c, failed;
    args_begin(&a, argc, argv, ":F:B:b:f:ho:qu", names);
    while ((c = next_option(&a)) != -1) {
        if (c == 'f')
            m.format = optarg;
        else if (c == 'b')
            m.backing = optarg;
        else if (c == 'F' || c == 'B')
            m.backing_format = optarg;
        else if (c == 'u')
            m.unchecked = true;
        else if (c == 'q')
            m.quiet = true;
        else if (c == 'o' && !add_options(&options, optarg))
            return 1;
    }
    if (a.failed >= 0)
        return a.failed;
    m.name = optind < argc ? argv[optind++] : NULL;
    m.options = options;
    if (options != NULL && asks_help(options)) {
        failed = show_options(m.format, 0, m.name != NULL);
        if (!failed && m.name == NULL)
            printf("\nThe protocol level may support further options.\n"
                   "Specify the target filename to include those options.\n");
    } else if (m.name == NULL) {
        failed = usage("Expecting image file name");
    } else if (optind < argc && !image_size(argv[optind], &m.size)) {
        failed = 1;
    } else if (optind + 1 < argc) {
        failed = usage("Unexpected argument: %s", argv[optind + 1]);
    } else {
        failed = make_image(&m);
    }
    free(options);
    return failed;
}

/* ---- resize ----------------------------------------------------------------------------- */

struct resize {
    struct source source;
    const char *preallocation;
    const char *size; /* with its sign */
    bool shrink, quiet;
};

static int new_size(const struct resize *r, uint64_t now, uint64_t *size)
{
    const char *text = r->size;
    const char sign = *text == '+' || *text == '-' ? *text++ : 0;
    (void)parse_size(text, size);
    if (sign == '+' && __builtin_add_overflow(now, *size, size))
        *size = UINT64_MAX;
    else if (sign == '-')
        *size = *size < now ? now - *size : 0;
    if (*size == 0 || *size > INT64_MAX)
        return say("New image size must be positive");
    return 0;
}

static int resize(const struct resize *r, vm_blk *blk)
{
    const uint64_t now = (uint64_t)vm_blk_size(blk);
    uint64_t size;
    if (new_size(r, now, &size))
        return 1;
    if (size <= now && r->preallocation != NULL && strcmp(r->preallocation, "off") != 0)
        return say("Preallocation can only be used for growing images");
    if (size < now && !r->shrink) {
        say("Use the --shrink option to perform a shrink operation.");
        warn("Shrinking an image will delete all data beyond the shrunken image's end. Before "
             "performing such an operation, make sure there is no important data there.");
        return 1;
    }
    if (vm_blk_resize(blk, size, r->preallocation) != VM_OK)
        return say_last("%s", "");
    if (!r->quiet)
        printf("Image resized.\n");
    return 0;
}

static bool known_mode(const char *text)
{
    static const char *const modes[] = { "off", "metadata", "falloc", "full" };
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(modes[i], text) == 0)
            return true;
    return false;
}

int cmd_resize(int argc, char **argv)
{
    enum { OPT_PREALLOCATION = OPT_OWN, OPT_SHRINK };
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "format", required_argument, NULL, 'f' },
        { "preallocation", required_argument, NULL, OPT_PREALLOCATION },
        { "shrink", no_argument, NULL, OPT_SHRINK },
        { "quiet", no_argument, NULL, 'q' },
        { 0 },
    };
    struct resize r = { 0 };
    struct args a;
    int c;
    /* The size is the last word, and may look like an option: "-1G". */
    const bool help =
        argc >= 2 && (strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[argc - 1], "-h") == 0);
    if (argc < 3 && !help)
        return usage("Not enough arguments");
    if (!help)
        r.size = argv[--argc];
    args_begin(&a, argc, argv, ":f:hq", names);
    while ((c = next_option(&a)) != -1) {
        if (c == 'f')
            r.source.format = optarg;
        else if (c == 'q')
            r.quiet = true;
        else if (c == OPT_SHRINK)
            r.shrink = true;
        else if (c == OPT_PREALLOCATION && known_mode(optarg))
            r.preallocation = optarg;
        else if (c == OPT_PREALLOCATION)
            return usage("Invalid preallocation mode '%s'", optarg);
    }
    if (a.failed >= 0)
        return a.failed;
    if (rest_count(&a) != 1)
        return usage("Expecting image file name and size");
    r.source.name = argv[optind];
    r.source.image_opts = a.image_opts;
    if (a.image_opts && r.source.format != NULL)
        return say("--image-opts and --format are mutually exclusive");
    uint64_t size;
    if (!parse_size(r.size + (*r.size == '+' || *r.size == '-'), &size))
        return say("Parameter 'size' expects a non-negative number below 2^64\n"
                   "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
                   "and exabytes, respectively.");
    vm_blk *blk = open_source(&r.source);
    const int failed = blk == NULL ? 1 : resize(&r, blk);
    vm_blk_close(blk);
    return failed;
}
