/* SPDX-License-Identifier: MIT */
/**
 * @file vmimg.h
 * What the commands of vmimg share: how they are found, how they read arguments, open images, keep
 * to a spelling of options, speak and show progress.
 *
 * A command is one file with a function `int cmd_NAME(int argc, char **argv)` and one line in the
 * table of main.c. argv[0] is the command's name; the result is the exit code.
 */
#ifndef VMIMG_H
#define VMIMG_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <libvm/block.h>

/* ---- the program (main.c) --------------------------------------------------------------- */

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;   /**< arguments, as help shows them */
    const char *summary; /**< one line */
};

/** The context of the process; made at first use. */
vm_ctx *the_ctx(void);
/** @return 0 */
int show_version(void);
/** As which program it was called: "vmimg", "qemu-img", "qemu-io". */
const char *program(void);
/** Invoked under a name of the tools it stands in for: say only what they say. */
bool compatible(void);

/* ---- speaking (say.c) ------------------------------------------------------------------- */

/** "PROGRAM: " and a line on stderr. @return 1 */
int say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** "PROGRAM: warning: " and a line. */
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** say(), and where help is. @return 1 */
int usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** The library's last sentence, after some words of ours ("" for none). @return 1 */
int say_last(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** The last error's sentence. */
const char *last(void);
/** What the host calls a status of the library. */
int status_errno(int status);
const char *status_text(int status);

/* ---- numbers (size.c) ------------------------------------------------------------------- */

/** "1.5G", "64k", "0x200". */
bool parse_size(const char *text, uint64_t *value);
/** The same for what is the size of an image; says why not. */
bool image_size(const char *text, uint64_t *value);
/** A number with the sentence that goes with @p what. */
bool sized(const char *what, const char *text, uint64_t *value);
/** "64 MiB", "1.5 KiB", "12 bytes", with up to three digits that count. */
const char *human(uint64_t bytes, char text[static 32]);

/* ---- arguments (args.c) ----------------------------------------------------------------- */

/** Long options without a letter. */
enum {
    OPT_OBJECT = 256,
    OPT_IMAGE_OPTS,
    OPT_TARGET_IMAGE_OPTS,
    OPT_OUTPUT,
    OPT_OWN /**< the first that a command may use for itself */
};
/** Rows that most commands have. */
#define COMMON_OPTIONS                                                                             \
    { "help", no_argument, NULL, 'h' }, { "object", required_argument, NULL, OPT_OBJECT },         \
    {                                                                                              \
        "image-opts", no_argument, NULL, OPT_IMAGE_OPTS                                            \
    }

/** How a command's arguments are read: next_option() until it says -1. */
struct args {
    int argc;
    char **argv;
    const char *letters;
    const struct option *names;
    bool image_opts;
    int failed; /**< the exit code, if it is not to go on; -1 */
};
/** Start over. */
void args_begin(struct args *a, int argc, char **argv, const char *letters,
                const struct option *names);
/** The next option, with optarg; those all share are dealt with here. -1: no more, or failed. */
int next_option(struct args *a);
/** "--output=human|json". */
bool take_output(struct args *a, bool *json);
/** `--object` */
int add_object(const char *text);
/** How a command is called, on stdout. @return 0 */
int show_usage(const char *command);
/** What is left after options. */
static inline int rest_count(const struct args *a)
{
    return a->argc - optind;
}

/* ---- options as text (optlist.c) -------------------------------------------------------- */

/** "a=b,c=d" as a list. */
struct optlist {
    struct {
        char *name, *value;
    } * rows;
    int n;
};
/** Add from text; ",," is a comma. A first piece without '=' is @p implied's, or it is "on". */
int optlist_parse(struct optlist *l, const char *text, const char *implied);
const char *optlist_get(const struct optlist *l, const char *name);
void optlist_set(struct optlist *l, const char *name, const char *value);
void optlist_remove(struct optlist *l, const char *name);
void optlist_free(struct optlist *l);
/** As a JSON object; the caller's. */
char *optlist_json(const struct optlist *l);
/** "help" or "?" is among the pieces. */
bool asks_help(const char *text);
/** Add a further -o to what there is, comma between. False: it makes no sense, and was said. */
bool add_options(char **all, const char *text);
/** "Supported options:" of a format (@p what as of vm_blk_list_options()). @return exit code */
int show_options(const char *format, int what, bool with_file);

/* ---- images (source.c) ------------------------------------------------------------------ */

/** How an image is to be opened. */
struct source {
    const char *name, *format; /**< format NULL: guess */
    const char *cache;         /**< NULL: writeback */
    bool image_opts;           /**< the name is a list of options */
    bool force_share;
    bool exclusive; /**< nobody else may write a raw image meanwhile */
    bool quiet;     /**< no warning about guesses */
    bool keep;      /**< discards give no space back */
    uint32_t flags;
};
/** The image, or NULL with the reason in @p why, without the name it was opened by. */
vm_blk *try_source(const struct source *s, char *why, size_t room);
/** Words of warning if the format is a guess, and raw, and it is written to. */
void warn_guess(const struct source *s, vm_blk *blk);
/** NULL when it does not open, which has been said. */
vm_blk *open_source(const struct source *s);
/** The flags of a cache mode. False: no such mode. */
bool cache_flags(const char *mode, uint32_t *flags);
/** The format of an open image; static until the next call. */
const char *format_of(vm_blk *blk);
/** info, as text to be freed; NULL with the error set. */
char *info_text(vm_blk *blk);
/** The name of the backing file as one can open it, and its format; false: none. To be freed. */
bool backing_of(vm_blk *blk, char **full, char **name, char **format);

/** Show the image as it was at a snapshot: an id, a name, or "snapshot.id=…,snapshot.name=…".
 *  (snapshot.c) */
int load_snapshot(vm_blk *blk, const char *which);

/* ---- making (make.c) -------------------------------------------------------------------- */

struct make {
    const char *name, *format;
    const char *options; /**< all -o, or NULL */
    const char *backing, *backing_format;
    uint64_t size; /**< UINT64_MAX: not given */
    bool unchecked, quiet;
};
/** `create` of one image, with its line on stdout. @return exit code */
int make_image(const struct make *m);

/* ---- long work (progress.c) ------------------------------------------------------------- */

/** Show how far it is: -p, and not -q. */
void progress_begin(bool wanted, const char *unit);
/** The next job is a part of something larger. */
void progress_part(uint64_t base, uint64_t whole);
void progress_at(uint64_t done, uint64_t total);
void progress_end(void);
/** From here on Ctrl-C and the like are noticed rather than ending the program. */
void catch_signals(void);
bool interrupted(void);
/** A file to be taken away again if the work is interrupted; NULL: none any more. Also ends with
 *  the exit code that shells know. */
void half_made(const char *name);
/** While the names of what is being made are not known yet, the end has to wait. */
void hold_signals(bool hold);
/** Take it away, and end. */
void give_up(void) __attribute__((noreturn));
/** Wait for a job, show its progress, drop it. Ends the program if it was interrupted. */
int wait_job(vm_job *job);

/* ---- commands --------------------------------------------------------------------------- */

int cmd_amend(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_bitmap(int argc, char **argv);
int cmd_cat(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_commit(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_cp(int argc, char **argv);
int cmd_create(int argc, char **argv);
int cmd_dd(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_io(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_measure(int argc, char **argv);
int cmd_mount(int argc, char **argv);
int cmd_rebase(int argc, char **argv);
int cmd_resize(int argc, char **argv);
int cmd_snapshot(int argc, char **argv);
int cmd_umount(int argc, char **argv);

#endif
