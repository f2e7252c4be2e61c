/* SPDX-License-Identifier: MIT */
/**
 * @file no_list.c
 * Built without libnbd: other servers cannot be asked.
 */
#include "vmnbd.h"

int list_exports(const struct wish *w)
{
    (void)w;
    return say("--list: this vmnbd was built without libnbd");
}
