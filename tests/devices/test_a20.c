/* SPDX-License-Identifier: MIT */
/**
 * @file test_a20.c
 * Address line 20, from both gates through the board to the processor: a whole PC runs a guest.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include <libvm/libvm.h>

/* A Multiboot kernel that lies at 4 MiB and compares a byte at 3 MiB with one at 2 MiB. */
/* clang-format off */
static const uint8_t kernel[] = {
    0x02, 0xb0, 0xad, 0x1b, 0x00, 0x00, 0x01, 0x00, 0xfe, 0x4f, 0x51, 0xe4, /* magic, flags, sum */
    0x00, 0x00, 0x40, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, /* header, load, end */
    0x00, 0x00, 0x00, 0x00, 0x20, 0x00, 0x40, 0x00,                         /* bss end, entry */
    0xfa,                                     /* cli */
    0xc6, 0x05, 0x00, 0x00, 0x30, 0x00, 0x11, /* movb $0x11, 0x300000 */
    0xc6, 0x05, 0x00, 0x00, 0x20, 0x00, 0x22, /* movb $0x22, 0x200000 */
    0x31, 0xdb,                               /* xorl %ebx, %ebx */
    0x80, 0x3d, 0x00, 0x00, 0x30, 0x00, 0x11, /* cmpb $0x11, 0x300000: open after reset */
    0x75, 0x3e,                               /* jne bad */
    0x30, 0xc0, 0xe6, 0x92,                   /* port 92h: off, but the keyboard's gate is on */
    0x80, 0x3d, 0x00, 0x00, 0x30, 0x00, 0x11, /* cmpb $0x11, 0x300000 */
    0x75, 0x31,                               /* jne bad */
    0x43,                                     /* incl %ebx */
    0xb0, 0xdd, 0xe6, 0x64,                   /* keyboard controller: off */
    0x80, 0x3d, 0x00, 0x00, 0x30, 0x00, 0x22, /* cmpb $0x22, 0x300000: bit 20 is masked */
    0x75, 0x23,                               /* jne bad */
    0x43,                                     /* incl %ebx */
    0xc6, 0x05, 0x01, 0x00, 0x30, 0x00, 0x33, /* movb $0x33, 0x300001 */
    0xb0, 0x02, 0xe6, 0x92,                   /* port 92h: on */
    0x80, 0x3d, 0x00, 0x00, 0x30, 0x00, 0x11, /* cmpb $0x11, 0x300000 */
    0x75, 0x0e,                               /* jne bad */
    0x43,                                     /* incl %ebx */
    0x80, 0x3d, 0x01, 0x00, 0x20, 0x00, 0x33, /* cmpb $0x33, 0x200001: where the write went */
    0x75, 0x04,                               /* jne bad */
    0xb0, 0x10, 0xe6, 0xf4,                   /* debug exit: 0x10 */
    0x89, 0xd8, 0xe6, 0xf4,                   /* bad: debug exit: tests passed */
    0xf4, 0xeb, 0xfd,                         /* hlt, for ever */
};
/* clang-format on */

Test(a20, is_gated_by_port_92_and_the_keyboard_controller)
{
    char path[] = "/tmp/libvm-a20-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, kernel, sizeof kernel) == (ssize_t)sizeof kernel);
    close(fd);
    vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, NULL);
    vm_config *cfg = vm_config_new(ctx, "pc");
    cr_assert_eq(vm_config_set_str(cfg, "memory.size", "16M"), VM_OK);
    cr_assert_eq(vm_config_set_str(cfg, "boot.kernel", path), VM_OK);
    cr_assert_eq(vm_config_set_str(cfg, "device.0", "isa-debug-exit"), VM_OK);
    vm_machine *m = vm_machine_build(cfg);
    vm_config_free(cfg);
    unlink(path);
    cr_assert_not_null(m, "%s", vm_last_error()->message);

    vm_exit why = { .size = sizeof why };
    cr_assert_eq(vm_run(m, 1000000, INT64_C(20000000000), &why), VM_OK);
    cr_assert_eq(why.reason, (uint32_t)VM_EXIT_SHUTDOWN);
    cr_assert_eq(why.code, 0x10 << 1 | 1, "%d steps passed", why.code >> 1);
    vm_machine_destroy(m);
    vm_ctx_unref(ctx);
}
