/* SPDX-License-Identifier: MIT */
/**
 * @file inside.c
 * Taking a disk apart: its partitions, and the volumes of LVM on any of these.
 */
#include "inside.h"

#include <string.h>

static struct piece *add(struct inside *in, vm_blk *blk)
{
    if (in->n == MAX_PIECES) {
        warn("more than %d partitions and volumes", MAX_PIECES);
        vm_blk_close(blk);
        return NULL;
    }
    struct piece *p = &in->pieces[in->n++];
    p->blk = blk;
    return p;
}

static int add_part(void *ud, const vm_part_row *row)
{
    struct inside *in = ud;
    vm_blk *blk = vm_part_open(in->disk, row->index, in->flags);
    if (blk == NULL) {
        warn("partition %u: %s", row->index, last());
        return 0;
    }
    struct piece *p = add(in, blk);
    if (p != NULL)
        snprintf(p->name, sizeof p->name, "p%u", row->index);
    return 0;
}

/* A group may lie on several partitions, each of which names all volumes. */
struct volumes {
    struct inside *in;
    vm_blk *pvs[MAX_PIECES + 1];
    uint32_t n;
};

static int add_volume(void *ud, const char *name, uint64_t bytes)
{
    struct volumes *v = ud;
    if (inside_find(v->in, name) != NULL || strlen(name) >= sizeof v->in->pieces[0].name)
        return 0;
    if (bytes == UINT64_MAX) {
        warn("%s is of a kind that cannot be opened", name);
        return 0;
    }
    vm_blk *blk = vm_volume_open(v->pvs, v->n, name, v->in->flags);
    if (blk == NULL) {
        warn("%s: %s", name, last());
        return 0;
    }
    struct piece *p = add(v->in, blk);
    if (p != NULL)
        snprintf(p->name, sizeof p->name, "%s", name);
    return 0;
}

static int ignore(void *ud, const char *name, uint64_t bytes)
{
    (void)ud;
    (void)name;
    (void)bytes;
    return 0;
}

static void add_volumes(struct inside *in)
{
    struct volumes v = { .in = in };
    const int n = in->n;
    for (int i = -1; i < n; i++) {
        vm_blk *pv = i < 0 ? in->disk : in->pieces[i].blk;
        const int st = vm_volume_list(pv, ignore, NULL);
        if (st == VM_OK)
            v.pvs[v.n++] = pv;
        else if (st != VM_E_NOENT)
            warn("LVM of %s: %s", i < 0 ? "the disk" : in->pieces[i].name, last());
    }
    for (uint32_t i = 0; i < v.n; i++)
        (void)vm_volume_list(v.pvs[i], add_volume, &v);
}

bool inside_open(struct inside *in, vm_blk *disk, uint32_t flags)
{
    memset(in, 0, sizeof *in);
    in->disk = disk;
    in->flags = flags;
    if (vm_part_list(disk, add_part, in) != VM_OK) {
        say_last("%s", "");
        inside_close(in);
        return false;
    }
    add_volumes(in);
    return true;
}

void inside_close(struct inside *in)
{
    while (in->n > 0) /* volumes before the partitions they lie on */
        vm_blk_close(in->pieces[--in->n].blk);
}

vm_blk *inside_find(const struct inside *in, const char *name)
{
    if (*name == '\0')
        return in->disk;
    const bool number = *name >= '0' && *name <= '9';
    for (int i = 0; i < in->n; i++)
        if (strcmp(in->pieces[i].name + (number ? 1 : 0), name) == 0 &&
            (!number || in->pieces[i].name[0] == 'p'))
            return in->pieces[i].blk;
    return NULL;
}
