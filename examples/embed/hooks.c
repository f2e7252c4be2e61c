/* SPDX-License-Identifier: MIT */
/**
 * @file hooks.c
 * Count what a guest's kernel does on its way: blocks, interrupts, bytes to the serial port.
 *
 *     hooks bzImage
 *
 * See doc/how-to/hooks.md.
 */
#include <inttypes.h>
#include <stdio.h>

#include <libvm/libvm.h>

struct counts {
    uint64_t blocks, interrupts[256], bytes;
};

static int on_block(void *ud, vm_cpu *cpu, vm_hook_event *event)
{
    struct counts *n = ud;
    (void)cpu;
    (void)event;
    n->blocks++;
    return VM_HOOK_GO;
}

static int on_interrupt(void *ud, vm_cpu *cpu, vm_hook_event *event)
{
    struct counts *n = ud;
    (void)cpu;
    n->interrupts[event->addr & 255]++;
    return VM_HOOK_GO;
}

/* The first serial port's data register: show what the guest prints, and keep it from the port. */
static int on_serial(void *ud, vm_cpu *cpu, vm_hook_event *event)
{
    struct counts *n = ud;
    (void)cpu;
    n->bytes++;
    (void)putchar((int)(event->value & 0xff));
    return VM_HOOK_HANDLED;
}

static int complain(void)
{
    (void)fprintf(stderr, "hooks: %s\n", vm_last_error()->message);
    return 1;
}

/* In the kernel's half of the address space, whatever it is. */
#define KERNEL UINT64_C(0xffff800000000000)

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: hooks KERNEL\n");
        return 2;
    }
    vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, NULL);
    vm_config *cfg = ctx != NULL ? vm_config_new(ctx, "pc") : NULL;
    if (cfg == NULL || vm_config_set_str(cfg, "boot.kernel", argv[1]) != VM_OK ||
        vm_config_set_str(cfg, "boot.cmdline", "console=ttyS0 panic=-1") != VM_OK ||
        vm_config_set_str(cfg, "reset.action", "stop") != VM_OK)
        return complain();
    vm_machine *m = vm_machine_build(cfg);
    static struct counts n;
    if (m == NULL || vm_hook_add(m, VM_HOOK_INTR, 0, 255, on_interrupt, &n, NULL) < 0 ||
        vm_hook_add(m, VM_HOOK_PORT_WRITE, 0x3f8, 0x3f8, on_serial, &n, NULL) < 0)
        return complain();
    const int64_t blocks = vm_hook_add(m, VM_HOOK_BLOCK, KERNEL, UINT64_MAX, on_block, &n, NULL);
    if (blocks < 0)
        return complain();

    /* Every block of the kernel's first 200 million instructions; from then on at full speed. */
    if (vm_run(m, 200000000, -1, NULL) != VM_OK || vm_hook_del(m, blocks) != VM_OK ||
        vm_run(m, 0, 60000000000, NULL) != VM_OK)
        return complain();
    (void)printf("\n%" PRIu64 " blocks, %" PRIu64 " page faults, %" PRIu64 " bytes printed\n",
                 n.blocks, n.interrupts[14], n.bytes);
    vm_machine_destroy(m);
    vm_config_free(cfg);
    vm_ctx_unref(ctx);
    return 0;
}
