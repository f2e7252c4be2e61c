/* SPDX-License-Identifier: MIT */
/**
 * @file snapshot.c
 * `snapshot`: internal snapshots; and how others name one (`-l`).
 */
#include "vmimg.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "info_print.h"

static json_t *snapshots_of(vm_blk *blk)
{
    char *text = info_text(blk);
    json_t *info = text != NULL ? json_loads(text, 0, NULL) : NULL;
    json_t *list = json_incref(json_object_get(info, "snapshots"));
    json_decref(info);
    free(text);
    return list;
}

static bool is(const json_t *s, const char *member, const char *value)
{
    const char *have = json_string_value(json_object_get(s, member));
    return value == NULL || (have != NULL && strcmp(have, value) == 0);
}

int load_snapshot(vm_blk *blk, const char *which)
{
    struct optlist l = { 0 };
    const char *id = NULL, *name = NULL, *found = NULL;
    json_t *list = snapshots_of(blk), *s;
    size_t i;
    int failed = 0;
    if (strncmp(which, "snapshot.", 9) == 0) {
        optlist_parse(&l, which, NULL);
        id = optlist_get(&l, "snapshot.id");
        name = optlist_get(&l, "snapshot.name");
    }
    json_array_foreach(list, i, s)
    {
        const bool fits = id != NULL || name != NULL ? is(s, "id", id) && is(s, "name", name)
                                                     : is(s, "id", which) || is(s, "name", which);
        if (fits && found == NULL)
            found = json_string_value(json_object_get(s, "id"));
    }
    if (found == NULL)
        failed = say("Failed to load snapshot: Can't find snapshot");
    else if (vm_blk_snapshot(blk, "load", found) != VM_OK)
        failed = say("Failed to load snapshot: %s", last());
    json_decref(list);
    optlist_free(&l);
    return failed;
}

static int list(vm_blk *blk)
{
    json_t *all = snapshots_of(blk);
    if (json_array_size(all) != 0) {
        printf("Snapshot list:\n");
        print_snapshots(all);
    }
    json_decref(all);
    return 0;
}

static int act(vm_blk *blk, int action, const char *name)
{
    const char *const what = action == 'c' ? "create" : action == 'a' ? "apply" : "delete";
    const int st = vm_blk_snapshot(blk, what, name);
    if (st == VM_OK)
        return 0;
    if (action == 'c') {
        const int no = st == VM_E_RANGE ? EINVAL : status_errno(st); /* counts have no room */
        return say("Could not create snapshot '%s': %d (%s)", name, -no, strerror(no));
    }
    if (action == 'd' && st == VM_E_NOENT)
        return say("Could not delete snapshot '%s': snapshot not found", name);
    if (action == 'a' && st == VM_E_NOENT)
        return say("Could not apply snapshot '%s': Failed to load snapshot: %s", name,
                   status_text(st));
    return say("Could not %s snapshot '%s': %s", what, name, last());
}

int cmd_snapshot(int argc, char **argv)
{
    static const struct option names[] = {
        COMMON_OPTIONS,
        { "format", required_argument, NULL, 'f' },
        { "list", no_argument, NULL, 'l' },
        { "apply", required_argument, NULL, 'a' },
        { "create", required_argument, NULL, 'c' },
        { "delete", required_argument, NULL, 'd' },
        { "force-share", no_argument, NULL, 'U' },
        { "quiet", no_argument, NULL, 'q' },
        { 0 },
    };
    struct source s = { 0 };
    const char *name = NULL;
    struct args a;
    int c, action = 0;
    args_begin(&a, argc, argv, ":la:c:d:f:hqU", names);
    while ((c = next_option(&a)) != -1) {
        if (c == 'f')
            s.format = optarg;
        else if (c == 'q')
            s.quiet = true;
        else if (c == 'U')
            s.force_share = true;
        else if (action != 0)
            return usage("Cannot mix '-l', '-a', '-c', '-d'");
        else {
            action = c;
            name = optarg;
        }
    }
    if (a.failed >= 0)
        return a.failed;
    if (rest_count(&a) != 1)
        return usage("Expecting one image file name");
    s.name = argv[optind];
    s.image_opts = a.image_opts;
    if (action == 0 && !compatible())
        action = 'l';
    s.flags = action == 'l' || action == 0 ? VM_BLK_RO : 0;
    s.quiet = false;
    vm_blk *blk = open_source(&s);
    if (blk == NULL)
        return 1;
    const int failed = action == 0 ? 0 : action == 'l' ? list(blk) : act(blk, action, name);
    vm_blk_close(blk);
    return failed;
}
