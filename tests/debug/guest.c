/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Addresses are written as offsets from the image's start: it is linked as data of the host. */
#define AT(label) "0x100000 + (" #label " - guest_image)"

/* clang-format off */
__asm__(".pushsection .rodata\n"
        ".balign 4096\n"
        ".code32\n"
        ".globl guest_image, guest_image_end\n"
        "guest_image:\n"
        ".long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)\n"
        ".long 0x100000, 0x100000, 0, 0, 0x100020\n"
        "  jmp g_done\n"

        ".globl g_loop, g_loop_top, g_loop_add, g_done\n"
        "g_loop: xor %eax, %eax\n"
        "g_loop_top: inc %eax\n"
        "g_loop_add: add %eax, " AT(g_sum) "\n"
        "  cmp $10, %eax\n"
        "  jb g_loop_top\n"
        "g_done: cli\n"
        "  hlt\n"
        "  jmp g_done\n"

        ".globl g_rep, g_rep_insn, g_rep_after\n"
        "g_rep: mov $" AT(g_buffer) ", %edi\n"
        "  mov $5, %ecx\n"
        "  mov $0x41, %al\n"
        "g_rep_insn: rep stosb\n"
        "g_rep_after: jmp g_done\n"

        ".globl g_movss, g_movss_insn, g_movss_next, g_movss_after\n"
        "g_movss: mov %ss, %eax\n"
        "g_movss_insn: mov %eax, %ss\n"
        "g_movss_next: nop\n"
        "g_movss_after: jmp g_done\n"

        /* Own GDT (the loader's may be anywhere), IDT in RAM at 200000h, the 8259s at 20h and 28h. */
        ".globl g_interrupts, g_sti, g_hlt, g_hlt_after, g_irq5, g_fault, g_fault_insn, g_invalid\n"
        "setup: lgdt " AT(gdtr) "\n"
        "  mov $16, %eax\n"
        "  mov %eax, %ds\n mov %eax, %es\n mov %eax, %ss\n"
        "  ljmp $8, $" AT(0f) "\n"
        "0:mov $0x280000, %esp\n"
        "  mov $" AT(g_invalid) ", %eax\n"
        "  mov $6, %ecx\n"
        "  call gate\n"
        "  mov $" AT(g_irq5) ", %eax\n"
        "  mov $0x25, %ecx\n"
        "  call gate\n"
        "  lidt " AT(idtr) "\n"
        "  mov $0x11, %al\n out %al, $0x20\n out %al, $0xa0\n"
        "  mov $0x20, %al\n out %al, $0x21\n"
        "  mov $0x28, %al\n out %al, $0xa1\n"
        "  mov $4, %al\n out %al, $0x21\n"
        "  mov $2, %al\n out %al, $0xa1\n"
        "  mov $1, %al\n out %al, $0x21\n out %al, $0xa1\n"
        "  mov $0xdf, %al\n out %al, $0x21\n"
        "  mov $0xff, %al\n out %al, $0xa1\n"
        "  jmp *%esi\n"
        "gate: lea 0x200000(, %ecx, 8), %edi\n"
        "  mov %ax, (%edi)\n"
        "  movw $8, 2(%edi)\n"
        "  movw $0x8e00, 4(%edi)\n"
        "  shr $16, %eax\n"
        "  mov %ax, 6(%edi)\n"
        "  ret\n"
        "g_interrupts: mov $" AT(g_sti) ", %esi\n"
        "  jmp setup\n"
        "g_sti: sti\n"
        "g_hlt: hlt\n"
        "g_hlt_after: jmp g_done\n"
        "g_irq5: incl " AT(g_var) "\n"
        "  push %eax\n mov $0x20, %al\n out %al, $0x20\n pop %eax\n"
        "  iret\n"
        "g_fault: mov $" AT(g_fault_insn) ", %esi\n"
        "  jmp setup\n"
        "g_fault_insn: ud2\n"
        "  jmp g_done\n"
        "g_invalid: addl $2, (%esp)\n"
        "  iret\n"

        ".globl g_self\n"
        "g_self: jmp g_self\n"

        ".globl g_accesses, g_read, g_write, g_rmw, g_split, g_movs, g_push, g_accesses_end\n"
        "g_accesses: mov $7, %ebx\n"
        "g_read: mov " AT(g_var) ", %eax\n"
        "g_write: movb $3, " AT(g_var) " + 2\n"
        "g_rmw: lock incl " AT(g_var) "\n"
        "g_split: mov %ebx, " AT(g_page_end) " - 2\n"
        "  mov $" AT(g_buffer) ", %esi\n"
        "  mov $" AT(g_var) " - 4, %edi\n"
        "  mov $3, %ecx\n"
        "g_movs: rep movsl\n"
        "  mov $" AT(g_var2) " + 4, %esp\n"
        "g_push: push %ebx\n"
        "g_accesses_end: jmp g_done\n"

        ".globl g_smp, g_smp_spin\n"
        "g_smp: movl $0xc4500, 0xfee00300\n" /* INIT, then start-up at 8000h, all but this one */
        "  movl $0xc4608, 0xfee00300\n"
        "g_smp_spin: incl " AT(g_var) "\n"
        "  jmp g_smp_spin\n"

        ".globl g_off\n"
        "g_off: mov $0x31, %al\n" /* isa-debug-exit */
        "  out %al, $0xf4\n"
        "  jmp g_done\n"

        ".balign 8\n"
        "gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff\n"
        "gdtr: .word 23\n .long " AT(gdt) "\n"
        "idtr: .word 0x1ff\n .long 0x200000\n"
        ".balign 4096\n"
        ".globl g_sum, g_buffer, g_var, g_var2, g_page_end\n"
        "g_sum: .long 0\n"
        ".balign 64\n"
        "g_buffer: .fill 64, 1, 0x55\n"
        "  .long 0\n"
        "g_var: .long 0\n"
        "g_var2: .long 0\n"
        ".balign 4096\n"
        "g_page_end: .fill 4096, 1, 0\n"
        "guest_image_end:\n"
        ".code64\n"
        ".popsection\n");
/* clang-format on */

static vm_machine *build(const char *path, uint32_t cpus)
{
    vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, NULL);
    vm_config *cfg = vm_config_new(ctx, "pc");
    const char *engine = getenv("LIBVM_TEST_ENGINE");
    vm_machine *m = NULL;

    if (vm_config_set_str(cfg, "memory.size", "16M") == VM_OK &&
        vm_config_set_u64(cfg, "cpu.count", cpus) == VM_OK &&
        (engine == NULL || vm_config_set_str(cfg, "engine", engine) == VM_OK) &&
        vm_config_set_u64(cfg, "jit.threshold", 2) == VM_OK &&
        vm_config_set_str(cfg, "device.0", "isa-debug-exit,iobase=0xf4") == VM_OK &&
        vm_config_set_str(cfg, "boot.kernel", path) == VM_OK)
        m = vm_machine_build(cfg);
    if (m == NULL)
        (void)fprintf(stderr, "guest: %s\n", vm_last_error()->message);
    vm_config_free(cfg);
    vm_ctx_unref(ctx);
    return m;
}

vm_machine *guest_machine(uint32_t cpus)
{
    char path[] = "/tmp/libvm-guest-XXXXXX";
    int fd = mkstemp(path);
    size_t len = (size_t)(guest_image_end - guest_image);
    vm_machine *m = NULL;

    if (fd >= 0 && write(fd, guest_image, len) == (ssize_t)len)
        m = build(path, cpus);
    if (fd >= 0) {
        (void)close(fd);
        (void)unlink(path);
    }
    return m;
}

uint64_t guest_reg(vm_machine *m, uint32_t cpu, uint32_t reg)
{
    uint64_t v = 0;
    if (vm_cpu_reg_read(vm_cpu_get(m, cpu), reg, &v, sizeof v) != VM_OK)
        (void)fprintf(stderr, "guest: %s\n", vm_last_error()->message);
    return v;
}

void guest_set_reg(vm_machine *m, uint32_t cpu, uint32_t reg, uint64_t v)
{
    if (vm_cpu_reg_write(vm_cpu_get(m, cpu), reg, &v, sizeof v) != VM_OK)
        (void)fprintf(stderr, "guest: %s\n", vm_last_error()->message);
}

uint32_t guest_word(vm_machine *m, const char *label)
{
    uint32_t v = 0;
    if (vm_mem_read(m, guest_at(label), &v, sizeof v) != VM_OK)
        (void)fprintf(stderr, "guest: %s\n", vm_last_error()->message);
    return v;
}
