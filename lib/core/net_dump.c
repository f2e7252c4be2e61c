/* SPDX-License-Identifier: MIT */
/**
 * @file net_dump.c
 * What goes over a cable, written to a file that Wireshark and tcpdump read.
 *
 * Spec: [PCAP]. Times are the machine's, counted from its clock's start; sums that are still to be
 * completed are as they travel.
 */
#include "core/net_dump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/endian.h"
#include "base/error.h"
#include "core/machine.h"

enum { LINK_ETHERNET = 1 };
#define MAGIC_NS UINT32_C(0xa1b23c4d) /* times in nanoseconds */

struct dump {
    struct vm_machine *m;
    FILE *file;
    uint32_t most;
};

static void on_frame(void *opaque, bool to_guest, const struct vm_net_frame *f)
{
    struct dump *d = opaque;
    const uint64_t now = vm__clock_ns(d->m);
    uint8_t head[16];
    uint32_t left = f->len < d->most ? (uint32_t)f->len : d->most;
    (void)to_guest;
    vm_put_le32(head, (uint32_t)(d->m->epoch_s + now / 1000000000));
    vm_put_le32(head + 4, (uint32_t)(now % 1000000000));
    vm_put_le32(head + 8, left);
    vm_put_le32(head + 12, (uint32_t)f->len);
    (void)fwrite(head, 1, sizeof head, d->file);
    for (uint32_t i = 0; i < f->n_iov && left != 0; i++) {
        const size_t n = f->iov[i].len < left ? f->iov[i].len : left;
        (void)fwrite(f->iov[i].base, 1, n, d->file);
        left -= (uint32_t)n;
    }
}

static void on_close(void *opaque)
{
    struct dump *d = opaque;
    (void)fclose(d->file);
    free(d);
}

int vm__net_dump(struct vm_net *net, const char *path, uint32_t most)
{
    uint8_t head[24] = { 0 };
    struct dump *d = calloc(1, sizeof *d);
    if (d == NULL)
        return vm__fail_nomem(sizeof *d);
    d->m = vm__net_machine(net);
    d->most = most;
    d->file = fopen(path, "wbe");
    if (d->file == NULL) {
        free(d);
        return vm__fail_os(VM_E_IO, errno, "%s", path);
    }
    vm_put_le32(head, MAGIC_NS);
    vm_put_le16(head + 4, 2);
    vm_put_le16(head + 6, 4);
    vm_put_le32(head + 16, most);
    vm_put_le32(head + 20, LINK_ETHERNET);
    (void)fwrite(head, 1, sizeof head, d->file);
    const struct vm_net_tap tap = { .frame = on_frame, .close = on_close, .opaque = d };
    const int st = vm__net_tap_add(net, &tap);
    if (st != VM_OK)
        on_close(d);
    return st;
}
