/* SPDX-License-Identifier: MIT */
/**
 * @file hello.c
 * The smallest program round a machine: boot a kernel, print what it says on its serial port.
 *
 *     hello VMLINUZ [INITRD [COMMAND-LINE]]
 */
#include <stdio.h>

#include <libvm/libvm.h>

static int64_t on_serial(void *ud, const void *buf, size_t len)
{
    (void)ud;
    fwrite(buf, 1, len, stdout);
    fflush(stdout);
    return (int64_t)len;
}

static int sorry(void)
{
    fprintf(stderr, "hello: %s\n", vm_last_error()->message);
    return 1;
}

int main(int argc, char **argv)
{
    static const vm_chr_ops serial = { .size = sizeof serial, .write = on_serial };
    vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, NULL);
    vm_config *cfg = vm_config_new(ctx, "pc");
    vm_exit why = { .size = sizeof why };
    int status = 0;

    if (argc < 2) {
        fprintf(stderr, "usage: hello VMLINUZ [INITRD [COMMAND-LINE]]\n");
        return 1;
    }
    if (cfg == NULL || vm_config_set_str(cfg, "memory.size", "512M") != VM_OK ||
        vm_config_set_str(cfg, "boot.kernel", argv[1]) != VM_OK ||
        vm_config_set_str(cfg, "boot.initrd", argc > 2 ? argv[2] : "") != VM_OK ||
        vm_config_set_str(cfg, "boot.cmdline", argc > 3 ? argv[3] : "console=ttyS0") != VM_OK)
        return sorry();

    vm_machine *m = vm_machine_build(cfg);
    vm_config_free(cfg);
    if (m == NULL || vm_chr_attach(m, "serial0", &serial, NULL, NULL) != VM_OK ||
        vm_run(m, 0, -1, &why) != VM_OK)
        status = sorry();
    vm_machine_destroy(m);
    vm_ctx_unref(ctx);
    return status;
}
