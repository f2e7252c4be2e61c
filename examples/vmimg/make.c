/* SPDX-License-Identifier: MIT */
/**
 * @file make.c
 * Making one image: for create, convert and dd.
 */
#include "vmimg.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- the line "Formatting ..." ---------------------------------------------------------- */

struct line {
    const struct optlist *l;
    const char *seen[96];
    int n;
    bool asked; /* does the row `want` exist */
    const char *want;
    const char *format;
    bool size_told, rest;
};

static bool seen(struct line *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->seen[i], name) == 0)
            return true;
    if (s->n < (int)(sizeof s->seen / sizeof s->seen[0]))
        s->seen[s->n++] = name;
    return false;
}

static void print_value(const vm_blk_option_row *row, const char *value)
{
    uint64_t v;
    const bool size = row->type == VM_OPTION_SIZE && parse_size(value, &v);
    printf(" %s=", row->name);
    if (size)
        printf("%" PRIu64, v);
    else
        for (; *value != '\0'; value++)
            printf(*value == ',' ? ",," : "%c", *value);
}

/* The tool people know tells the size before what the image stands on. */
static bool comes_later(const char *name)
{
    return strcmp(name, "compat") == 0 || strncmp(name, "backing_", 8) == 0;
}

static int print_one(void *ud, const vm_blk_option_row *row)
{
    struct line *s = ud;
    const char *value = optlist_get(s->l, row->name);
    if (value == NULL)
        value = row->value;
    if (value != NULL && !seen(s, row->name))
        print_value(row, value);
    return 0;
}

static int print_early(void *ud, const vm_blk_option_row *row)
{
    const struct line *s = ud;
    const bool wait = !s->size_told && comes_later(row->name);
    return wait || (s->size_told && !comes_later(row->name) && !s->rest) ? 0 : print_one(ud, row);
}

/* Rows in the order of the format, but for those that come later. */
static int print_row(void *ud, const vm_blk_option_row *row)
{
    struct line *s = ud;
    (void)print_early(ud, row);
    if (strcmp(row->name, "size") != 0 || s->size_told)
        return 0;
    s->size_told = true;
    (void)vm_blk_each_option(the_ctx(), s->format, 0, print_early, s);
    s->rest = true;
    return 0;
}

static void print_line(const struct make *m, const struct optlist *l)
{
    struct line s = { .l = l, .format = m->format };
    printf("Formatting '%s', fmt=%s", m->name, m->format);
    (void)vm_blk_each_option(the_ctx(), m->format, 0, print_row, &s);
    (void)vm_blk_each_option(the_ctx(), "file", 0, print_row, &s);
    printf("\n");
    fflush(stdout);
}

/* ---- options ---------------------------------------------------------------------------- */

static int look_for(void *ud, const vm_blk_option_row *row)
{
    struct line *s = ud;
    if (strcmp(row->name, s->want) == 0)
        s->asked = true;
    return 0;
}

static bool has_option(const char *format, const char *name)
{
    struct line s = { .want = name };
    (void)vm_blk_each_option(the_ctx(), format, 0, look_for, &s);
    return s.asked;
}

static bool names_known(const struct make *m, const struct optlist *l)
{
    for (int i = 0; i < l->n; i++)
        if (!has_option(m->format, l->rows[i].name) && !has_option("file", l->rows[i].name)) {
            say("%s: Invalid parameter '%s'", m->name, l->rows[i].name);
            return false;
        }
    return true;
}

static int take_names(const struct make *m, struct optlist *l)
{
    if (m->backing != NULL) {
        if (!has_option(m->format, "backing_file"))
            return say("%s: Backing file not supported for file format '%s'", m->name, m->format);
        optlist_set(l, "backing_file", m->backing);
    }
    if (m->backing_format != NULL) {
        if (!has_option(m->format, "backing_fmt"))
            return say("%s: Backing format not supported for file format '%s'", m->name, m->format);
        optlist_set(l, "backing_fmt", m->backing_format);
    }
    return 0;
}

/* ---- the backing file ------------------------------------------------------------------- */

static bool has_protocol(const char *name)
{
    const size_t n = strcspn(name, ":/");
    return name[n] == ':';
}

/* As seen from where the new image is. */
static char *beside(const char *image, const char *name)
{
    const char *slash = strrchr(image, '/');
    char *full = NULL;
    if (*name == '/' || has_protocol(name) || slash == NULL)
        return strdup(name);
    if (asprintf(&full, "%.*s/%s", (int)(slash - image), image, name) < 0)
        full = NULL;
    return full;
}

static void say_backing(const char *image)
{
    /* "Could not open 'X': " and why; a file that is missing says so by itself. */
    const char *why = last(), *again = strstr(why, "': Could not open '");
    say("%s: %s\nCould not open backing image.", image, again != NULL ? again + 3 : why);
}

/* Opens it, for its format and size. */
static int look_at_backing(const struct make *m, const char *name, const char *format,
                           uint64_t *size)
{
    char *full = beside(m->name, name);
    const uint32_t flags = VM_BLK_RO | VM_BLK_SHARE_RW | VM_BLK_PROBE | VM_BLK_NO_IO;
    vm_blk *blk = full != NULL ? vm_blk_open(the_ctx(), full, format, flags) : NULL;
    int failed = 0;
    if (blk == NULL) {
        say_backing(m->name);
        failed = 1;
    } else if (format == NULL) {
        failed = say("%s: Backing file specified without backing format", m->name);
        fprintf(stderr, "Detected format of %s.%s", format_of(blk), compatible() ? "" : "\n");
    } else if (*size == UINT64_MAX) {
        *size = (uint64_t)vm_blk_size(blk);
    }
    vm_blk_close(blk);
    free(full);
    return failed;
}

static int check_backing(const struct make *m, const struct optlist *l, uint64_t *size)
{
    const char *name = optlist_get(l, "backing_file"), *format = optlist_get(l, "backing_fmt");
    uint32_t can;
    if (format != NULL && vm_blk_driver_can(the_ctx(), format, &can) != VM_OK)
        return say("%s: Unknown backing file format '%s'", m->name, format);
    if (name == NULL)
        return 0;
    if (*name == '\0')
        return say("%s: Expected backing file name, got empty string", m->name);
    if (strcmp(name, m->name) == 0)
        return say("%s: Error: Trying to create an image with the same filename as the backing "
                   "file",
                   m->name);
    if (m->unchecked)
        return 0;
    return look_at_backing(m, name, format, size);
}

/* ---- making ----------------------------------------------------------------------------- */

static int take_size(const struct make *m, struct optlist *l, uint64_t *size)
{
    const char *text = optlist_get(l, "size");
    char number[32];
    *size = m->size;
    if (text != NULL && m->size != UINT64_MAX)
        return say("%s: The image size must be specified only once", m->name);
    if (*size == UINT64_MAX && text != NULL && !parse_size(text, size)) {
        say("%s: Parameter 'size' expects a non-negative number below 2^64\n"
            "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
            "and exabytes, respectively.",
            m->name);
        return 1;
    }
    const int failed = check_backing(m, l, size);
    if (failed)
        return failed;
    if (*size == UINT64_MAX)
        return say("%s: Image creation needs a size parameter", m->name);
    snprintf(number, sizeof number, "%" PRIu64, *size);
    optlist_set(l, "size", number);
    return 0;
}

static int make(const struct make *m, struct optlist *l)
{
    uint64_t size = m->size;
    if (m->options != NULL)
        optlist_parse(l, m->options, NULL);
    if (!names_known(m, l))
        return 1;
    int failed = take_names(m, l);
    if (!failed)
        failed = take_size(m, l, &size);
    if (failed)
        return failed;
    if (!m->quiet)
        print_line(m, l);
    char *json = optlist_json(l);
    if (vm_blk_create(the_ctx(), m->name, m->format, size, json) != VM_OK)
        failed = say_last("%s: ", m->name);
    free(json);
    return failed;
}

int make_image(const struct make *m)
{
    struct optlist l = { 0 };
    uint32_t can;
    if (vm_blk_driver_can(the_ctx(), m->format, &can) != VM_OK)
        return say("%s: Unknown file format '%s'", m->name, m->format);
    if (!(can & VM_CAN_CREATE))
        return say("%s: Format driver '%s' does not support image creation", m->name, m->format);
    const int failed = make(m, &l);
    optlist_free(&l);
    return failed;
}
