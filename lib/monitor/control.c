/* SPDX-License-Identifier: MIT */
/**
 * @file control.c
 * Commands to the machine as a whole: stop, cont, resets, power button, cpu, nmi, log.
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "core/board.h"
#include "core/config.h"
#include "core/device.h"
#include "core/device_spec.h"
#include "core/run.h"
#include "monitor/monitor.h"

static int run_stop(struct mon *mon, char *args)
{
    (void)args;
    return vm__run_pause(mon->m);
}

static int run_cont(struct mon *mon, char *args)
{
    (void)args;
    return vm__run_start(mon->m);
}

static int run_reset(struct mon *mon, char *args)
{
    (void)args;
    return vm__run_reset(mon->m, VM_RESET_COLD);
}

static int run_powerdown(struct mon *mon, char *args)
{
    (void)args;
    const struct vm_board_class *board = mon->m->board;
    if (board == NULL || board->power_button == NULL)
        return vm__fail(VM_E_NOTSUP, "the board has no power button");
    board->power_button(mon->m);
    return VM_OK;
}

static int run_nmi(struct mon *mon, char *args)
{
    (void)args;
    if (mon->m->irq_hub.nmi == NULL)
        return vm__fail(VM_E_NOTSUP, "no processor listens to the line");
    mon->m->irq_hub.nmi(mon->m->irq_hub.cpus);
    return VM_OK;
}

static int run_cpu(struct mon *mon, char *args)
{
    uint64_t n;
    const int st = vm__mon_expr(mon, &args, &n);
    if (st != VM_OK)
        return st;
    if (n >= mon->m->n_cpus)
        return vm__fail(VM_E_NOENT, "there is no processor %" PRIu64 "; there are %u", n,
                        mon->m->n_cpus);
    mon->state->cpu = (uint32_t)n;
    return VM_OK;
}

/** engine [NAME]: what runs guest code from now on. */
static int run_engine(struct mon *mon, char *args)
{
    const char *name = vm__mon_word(&args);
    const struct vm_cpu_class *cls = mon->m->cpu_class;
    if (mon->m->n_cpus == 0 || cls->set_engine == NULL)
        return vm__fail(VM_E_NOTSUP, "the machine has no processor");
    const int st = name != NULL ? cls->set_engine(mon->m, name) : VM_OK;
    if (st == VM_OK && name == NULL)
        mon_printf(mon, "%s\n", cls->engine(mon->m));
    return st != VM_OK ? st : vm__mon_end(&args);
}

/* ---- log ---- */

static const struct {
    const char *name;
    uint32_t mask;
    const char *help;
} log_items[] = {
    { "in_asm", VM_LOG_ASM, "instructions as they are decoded" },
    { "exec", VM_LOG_EXEC, "blocks as they are run" },
    { "int", VM_LOG_INT, "interrupts and exceptions" },
    { "io", VM_LOG_IO, "device registers and ports" },
    { "irq", VM_LOG_IRQ, "interrupt controllers" },
    { "blk", VM_LOG_BLK, "disks" },
    { "guest_errors", VM_LOG_GUEST, "what the guest does wrong" },
    { "unimp", VM_LOG_UNIMP, "what the guest asks for and is not there" },
    { "cpu", VM_LOG_CPU, "processor state changes" },
    { "perf", VM_LOG_PERF, "what makes the machine slow" },
};

enum { N_LOG_ITEMS = sizeof log_items / sizeof log_items[0] };

static const char *log_name(const void *ud, uint32_t i)
{
    (void)ud;
    return i < N_LOG_ITEMS ? log_items[i].name : NULL;
}

static int log_item(const char *word, uint32_t *mask)
{
    for (size_t i = 0; i < N_LOG_ITEMS; i++) {
        if (strcmp(log_items[i].name, word) == 0) {
            *mask |= log_items[i].mask;
            return VM_OK;
        }
    }
    const char *near = vm__nearest(word, log_name, NULL);
    return vm__fail(VM_E_NOENT, "log: no item %.40s%s%s%s", word,
                    near != NULL ? "; did you mean " : "", near != NULL ? near : "",
                    near != NULL ? "?" : "");
}

/** log ITEM[,ITEM…], or none: what the host program's sink gets from now on. */
static int run_log(struct mon *mon, char *args)
{
    uint32_t mask = 0;
    char *list = vm__mon_word(&args);
    if (list == NULL || strcmp(list, "help") == 0) {
        for (size_t i = 0; i < N_LOG_ITEMS; i++)
            mon_printf(mon, "%-14s %s\n", log_items[i].name, log_items[i].help);
        return VM_OK;
    }
    while (strcmp(list, "none") != 0 && *list != '\0') {
        const size_t n = strcspn(list, ",");
        const bool more = list[n] == ',';
        list[n] = '\0';
        const int st = log_item(list, &mask);
        if (st != VM_OK)
            return st;
        list += n + more;
    }
    if (mask != 0 && mon->m->log.fn == NULL)
        return vm__fail(VM_E_STATE, "nobody listens to this machine's log");
    mon->m->log.level = mask != 0 ? VM_LOG_DEBUG : VM_LOG_WARN;
    mon->m->log.categories = mask;
    return VM_OK;
}

/* ---- devices ---- */

static int run_device_add(struct mon *mon, char *args)
{
    const char *spec = vm__mon_need(&args, "a device, like pci-testdev,id=name");
    return spec != NULL ? vm__dev_plug(mon->m, spec) : VM_E_INVAL;
}

static int run_device_del(struct mon *mon, char *args)
{
    const char *id = vm__mon_need(&args, "a device's id");
    if (id == NULL)
        return VM_E_INVAL;
    if (vm__dev_find(mon->m, id) == NULL)
        return vm__fail(VM_E_NOENT, "no device %.60s; info qtree lists them", id);
    return vm__dev_unplug(mon->m, id);
}

static int run_boot_set(struct mon *mon, char *args)
{
    const char *order = vm__mon_need(&args, "an order of drives, like cad");
    const struct vm_board_class *board = mon->m->board;
    if (order == NULL)
        return VM_E_INVAL;
    if (board == NULL || board->boot_set == NULL)
        return vm__fail(VM_E_NOTSUP, "the board has no boot order to set");
    return board->boot_set(mon->m, order);
}

const struct mon_command vm__mon_control[] = {
    { "stop", "s", NULL, "pause the machine", MON_FREE, run_stop },
    { "cont", "c", NULL, "let it go on, or start", MON_FREE, run_cont },
    { "system_reset", NULL, NULL, "press the reset button", MON_FREE, run_reset },
    { "system_powerdown", NULL, NULL, "press the power button: the guest is asked to power off", 0,
      run_powerdown },
    { "nmi", NULL, NULL, "raise a non-maskable interrupt", 0, run_nmi },
    { "cpu", NULL, "N", "the processor that other commands look at", 0, run_cpu },
    { "engine", NULL, "[NAME]", "change what runs guest code, or name it", MON_EXACT, run_engine },
    { "boot_set", NULL, "ORDER", "what firmware tries after the next reset", 0, run_boot_set },
    { "device_add", NULL, "NAME[,PROP=V]", "plug a device in: the guest is told", 0,
      run_device_add },
    { "device_del", NULL, "ID", "ask the guest to let go of a device", 0, run_device_del },
    { "log", NULL, "ITEM[,ITEM]|none", "what is traced; alone it lists the items", MON_EXACT,
      run_log },
    { 0 },
};
