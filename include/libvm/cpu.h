/* SPDX-License-Identifier: MIT */
/**
 * @file cpu.h
 * Processors from outside: registers and address translation.
 *
 * Registers travel by number, as bytes in guest (little-endian) order. A processor handle lives as
 * long as its machine.
 *
 * Threads: [cpu] from that processor's callback, or while the machine does not run.
 */
#ifndef LIBVM_CPU_H
#define LIBVM_CPU_H

#include <libvm/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

/** x86 register numbers; add the index to the first of a group. */
enum {
    VM_X86_RAX = 0x00, /**< 16 general registers in encoding order, 8 bytes each */
    VM_X86_RCX = 0x01,
    VM_X86_RDX = 0x02,
    VM_X86_RBX = 0x03,
    VM_X86_RSP = 0x04,
    VM_X86_RBP = 0x05,
    VM_X86_RSI = 0x06,
    VM_X86_RDI = 0x07,
    VM_X86_R8 = 0x08,
    VM_X86_R9 = 0x09,
    VM_X86_R10 = 0x0a,
    VM_X86_R11 = 0x0b,
    VM_X86_R12 = 0x0c,
    VM_X86_R13 = 0x0d,
    VM_X86_R14 = 0x0e,
    VM_X86_R15 = 0x0f,
    VM_X86_RIP = 0x10,
    VM_X86_RFLAGS = 0x11,
    VM_X86_CPL = 0x12, /**< read only */
    VM_X86_ES = 0x20,  /**< selectors, 2 bytes, in encoding order */
    VM_X86_CS = 0x21,
    VM_X86_SS = 0x22,
    VM_X86_DS = 0x23,
    VM_X86_FS = 0x24,
    VM_X86_GS = 0x25,
    VM_X86_LDTR = 0x26,
    VM_X86_TR = 0x27,
    VM_X86_SEG_BASE = 0x28,   /**< + 0…7 as above; 8 bytes */
    VM_X86_SEG_LIMIT = 0x30,  /**< + 0…7; 4 bytes, in bytes */
    VM_X86_SEG_ACCESS = 0x38, /**< + 0…7; 4 bytes: descriptor bits 8…23 */
    VM_X86_GDTR_BASE = 0x40,
    VM_X86_GDTR_LIMIT = 0x41,
    VM_X86_IDTR_BASE = 0x42,
    VM_X86_IDTR_LIMIT = 0x43,
    VM_X86_CR0 = 0x50, /**< + n; 8 bytes; 0 2 3 4 8 exist */
    VM_X86_CR2 = 0x52,
    VM_X86_CR3 = 0x53,
    VM_X86_CR4 = 0x54,
    VM_X86_CR8 = 0x58,
    VM_X86_DR0 = 0x60, /**< + 0…7; 8 bytes */
    VM_X86_XCR0 = 0x70,
    VM_X86_ST0 = 0x80, /**< + 0…7, relative to TOP; 10 bytes */
    VM_X86_FCW = 0x90, /**< x87 words, 2 bytes; FIP and FDP 8 */
    VM_X86_FSW = 0x91,
    VM_X86_FTW = 0x92, /**< full 16-bit form */
    VM_X86_FOP = 0x93,
    VM_X86_FIP = 0x94,
    VM_X86_FDP = 0x95,
    VM_X86_FCS = 0x96,
    VM_X86_FDS = 0x97,
    VM_X86_MXCSR = 0x98, /**< 4 bytes */
    VM_X86_XMM0 = 0x100, /**< + 0…31; 16 bytes */
    VM_X86_YMM0 = 0x120, /**< + 0…31; 32 bytes */
    VM_X86_ZMM0 = 0x140, /**< + 0…31; 64 bytes */
    VM_X86_K0 = 0x160,   /**< + 0…7; 8 bytes */
};
/** A model-specific register, 8 bytes. */
#define VM_X86_MSR(n) (0x80000000u ^ (uint32_t)(n))

/** Kinds of access, for vm_cpu_translate(). */
enum { VM_ACCESS_READ = 0, VM_ACCESS_WRITE = 1, VM_ACCESS_EXEC = 2 };

/** [any] Processor @p index, or NULL. @since 0.1 */
VM_API vm_cpu *vm_cpu_get(vm_machine *m, uint32_t index);
/** [any] How many there are. @since 0.1 */
VM_API uint32_t vm_cpu_count(const vm_machine *m);
/**
 * Read a register. [cpu]
 * @param size bytes in @p buf; a narrower one gets the low bytes, a wider one zeroes above
 * @retval VM_E_NOENT no such register on this processor
 * @since 0.1
 */
VM_API int vm_cpu_reg_read(vm_cpu *cpu, uint32_t reg, void *buf, size_t size);
/** Write a register; the value is checked as the instruction that loads it would. [cpu] @since 0.1
 */
VM_API int vm_cpu_reg_write(vm_cpu *cpu, uint32_t reg, const void *buf, size_t size);
/** [any] The number of "rax", "xmm3", "cr0", "msr:0x1b"; VM_E_NOENT if there is none. @since 0.1 */
VM_API int64_t vm_cpu_reg_id(vm_machine *m, const char *name);
/** Guest-linear to guest-physical without side effects. [cpu] @retval VM_E_RANGE not mapped so.
 * @since 0.1 */
VM_API int vm_cpu_translate(vm_cpu *cpu, uint64_t gva, int access, uint64_t *gpa);
/** [cpu] Instructions executed. @since 0.1 */
VM_API uint64_t vm_cpu_insns(vm_cpu *cpu);
/** Copy through the processor's page tables. [cpu] @retval VM_E_RANGE some byte is not mapped.
 * @since 0.1 */
VM_API int vm_vmem_read(vm_cpu *cpu, uint64_t gva, void *buf, size_t len);
/** The same for writing; what the page tables make read-only is VM_E_RANGE too. [cpu] @since 0.1 */
VM_API int vm_vmem_write(vm_cpu *cpu, uint64_t gva, const void *buf, size_t len);

#ifdef __cplusplus
}
#endif
#endif
