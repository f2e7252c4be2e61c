/* SPDX-License-Identifier: MIT */
/**
 * @file info_machine.c
 * The machine and its devices: info status, name, uuid, version, qtree, pic, irq, device.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <libvm/version.h>

#include "base/error.h"
#include "core/config.h"
#include "core/device.h"
#include "core/field_io.h"
#include "core/run.h"
#include "monitor/monitor.h"

static int run_status(struct mon *mon, char *args)
{
    (void)args;
    switch (vm__run_state(mon->m)) {
    case VM_ST_BUILT:
        mon_printf(mon, "VM status: paused (prelaunch)\n");
        break;
    case VM_ST_RUNNING:
        mon_printf(mon, "VM status: running\n");
        break;
    case VM_ST_PAUSED:
        mon_printf(mon, "VM status: paused\n");
        break;
    case VM_ST_SHUTDOWN:
        mon_printf(mon, "VM status: paused (shutdown)\n");
        break;
    default:
        mon_printf(mon, "VM status: paused (internal-error)\n");
        break;
    }
    return VM_OK;
}

static int run_name(struct mon *mon, char *args)
{
    const char *name = vm__config_str(mon->m->config, "name");
    (void)args;
    if (name != NULL && *name != '\0')
        mon_printf(mon, "%s\n", name);
    return VM_OK;
}

static int run_uuid(struct mon *mon, char *args)
{
    static const char nil[] = "00000000-0000-0000-0000-000000000000";
    const char *uuid = NULL;
    (void)args;
    if (vm__config_known(mon->m->config, "pc.uuid"))
        uuid = vm__config_str(mon->m->config, "pc.uuid");
    mon_printf(mon, "%s\n", uuid != NULL ? uuid : nil);
    return VM_OK;
}

static int run_version(struct mon *mon, char *args)
{
    (void)args;
    mon_printf(mon, "%s\n", vm_version_string());
    return VM_OK;
}

/** What a device's class has to say, two blanks in front of every line. */
static void put_info(struct mon *mon, struct vm_dev *dev, const char *indent)
{
    struct vm_buf text = { 0 };
    dev->cls->info(dev, &text);
    size_t at = 0;
    while (at < text.len) {
        const uint8_t *end = memchr(text.data + at, '\n', text.len - at);
        const size_t n = end != NULL ? (size_t)(end - (text.data + at)) : text.len - at;
        mon_printf(mon, "%s%.*s\n", indent, (int)n, text.data + at);
        at += n + 1;
    }
    free(text.data);
}

/* ---- all devices ---- */

static void put_windows(struct mon *mon, const struct vm_dev *dev, int indent)
{
    for (uint32_t i = 0; i < dev->n_windows; i++) {
        struct vm_region_info r;
        if (dev->windows[i] == NULL)
            continue;
        vm__region_info(dev->windows[i], &r);
        if (r.placed)
            mon_printf(mon, "%*s%s %016" PRIx64 "/%016" PRIx64 "%s\n", indent, "",
                       r.space == VM_SPACE_PORT ? "port" : "mmio", r.base, r.size,
                       r.enabled ? "" : " (off)");
    }
}

static void put_device(struct mon *mon, struct vm_dev *dev, int indent)
{
    mon_printf(mon, "%*sdev: %s, id \"%s\"\n", indent, "", dev->cls->name, dev->id);
    for (const struct vm_prop *p = dev->cls->props; p != NULL && p->name != NULL; p++) {
        char value[256];
        if (vm__dev_get(dev, p->name, value, sizeof value) == VM_OK)
            mon_printf(mon, "%*s%s = %s\n", indent + 2, "", p->name, value);
    }
    put_windows(mon, dev, indent + 2);
}

/** Children stand under the bus they sit on; the tree is as deep as there are bridges. */
static void put_children(struct mon *mon, const struct vm_dev *parent, int indent)
{
    for (uint32_t i = 0; i < mon->m->n_devs && indent < 32; i++) {
        struct vm_dev *dev = mon->m->devs[i];
        /* A host bridge sits on the bus that it makes. */
        if ((dev->parent == dev ? NULL : dev->parent) != parent)
            continue;
        put_device(mon, dev, indent);
        put_children(mon, dev, indent + 2);
    }
}

static int run_qtree(struct mon *mon, char *args)
{
    (void)args;
    mon_printf(mon, "bus: main-system-bus\n");
    put_children(mon, NULL, 2);
    return VM_OK;
}

/* ---- one device ---- */

static int put_field(void *ud, const char *name, const char *value)
{
    struct mon *mon = ud;
    mon_printf(mon, "  %s = %s\n", name, value);
    return 0;
}

/** What the device says of itself and every field of its state. */
static int run_device(struct mon *mon, char *args)
{
    const char *id = vm__mon_need(&args, "a device's id (info qtree lists them)");
    if (id == NULL)
        return VM_E_INVAL;
    struct vm_dev *dev = vm__dev_find(mon->m, id);
    if (dev == NULL)
        return vm__fail(VM_E_NOENT, "no device %.60s; info qtree lists them", id);
    mon_printf(mon, "%s: %s (%s)\n", dev->id, dev->cls->name, dev->cls->summary);
    put_windows(mon, dev, 2);
    if (dev->cls->info != NULL)
        put_info(mon, dev, "  ");
    return vm__fields_show(dev->cls->fields, dev->state, put_field, mon);
}

/* ---- interrupts ---- */

static bool put_class(struct mon *mon, const char *class_name)
{
    bool any = false;
    for (uint32_t i = 0; i < mon->m->n_devs; i++) {
        struct vm_dev *dev = mon->m->devs[i];
        if (strcmp(dev->cls->name, class_name) != 0 || dev->cls->info == NULL)
            continue;
        put_info(mon, dev, "");
        any = true;
    }
    return any;
}

static int run_pic(struct mon *mon, char *args)
{
    (void)args;
    bool any = put_class(mon, "ioapic");
    any = put_class(mon, "i8259") || any;
    return any ? VM_OK : vm__fail(VM_E_NOENT, "the machine has no interrupt controller to show");
}

const struct mon_command vm__mon_info_machine[] = {
    { "version", NULL, NULL, "version of the library", 0, run_version },
    { "status", NULL, NULL, "running, paused, shut down", 0, run_status },
    { "name", NULL, NULL, "the machine's name", 0, run_name },
    { "uuid", NULL, NULL, "the machine's UUID", 0, run_uuid },
    { "qtree", "devices", NULL, "every device, its properties and windows", 0, run_qtree },
    { "device", NULL, "ID", "state of one device, field by field", MON_EXACT, run_device },
    { "pic", "irq", NULL, "interrupt controllers", MON_EXACT, run_pic },
    { 0 },
};
