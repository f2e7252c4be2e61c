/* SPDX-License-Identifier: MIT */
/**
 * @file segment.h
 * Descriptors, segment registers and the stacks that far control pushes to.
 *
 * Functions that may fault raise for c->cur: the handler's instruction, or NULL while an event is
 * being delivered (st.rip is exact then). They check everything before they change registers.
 *
 * Spec: [SDM-3A §3.4, §3.5], [SDM-3A §5].
 */
#ifndef LIBVM_CPU_X86_SEGMENT_H
#define LIBVM_CPU_X86_SEGMENT_H

#include "cpu/x86/exception.h"
#include "cpu/x86/mmu.h"

/* ---- a descriptor as 64 bits of memory ---- */

static inline uint32_t x86_desc_base(uint64_t d)
{
    return (uint32_t)((d >> 16 & 0xffffff) | (d >> 32 & 0xff000000));
}
static inline uint32_t x86_desc_limit(uint64_t d)
{
    uint32_t l = (uint32_t)((d & 0xffff) | (d >> 32 & 0xf0000));
    return d >> 55 & 1 ? l << 12 | 0xfff : l;
}
static inline uint16_t x86_desc_attr(uint64_t d)
{
    return d >> 40 & 0xf0ff;
}
static inline unsigned x86_desc_dpl(uint64_t d)
{
    return d >> 45 & 3;
}
static inline bool x86_desc_present(uint64_t d)
{
    return d >> 47 & 1;
}
/** S and type together: 0x10 set for code and data. */
static inline unsigned x86_desc_type(uint64_t d)
{
    return d >> 40 & 0x1f;
}
static inline bool x86_desc_is_code(uint64_t d)
{
    return (x86_desc_type(d) & 0x18) == 0x18;
}
static inline bool x86_desc_conforming(uint64_t d)
{
    return x86_desc_type(d) >> 2 & 1;
}

/** System descriptor types [SDM-3A table 3-2]. */
enum {
    X86_SYS_TSS16 = 1, X86_SYS_LDT = 2, X86_SYS_TSS16_BUSY = 3, X86_SYS_CALL16 = 4,
    X86_SYS_TASK = 5, X86_SYS_INT16 = 6, X86_SYS_TRAP16 = 7, X86_SYS_TSS = 9,
    X86_SYS_TSS_BUSY = 11, X86_SYS_CALL = 12, X86_SYS_INT = 14, X86_SYS_TRAP = 15,
};

/** Gate fields. */
static inline uint16_t x86_gate_sel(uint64_t g)
{
    return (uint16_t)(g >> 16);
}
static inline uint32_t x86_gate_off(uint64_t g)
{
    return (uint32_t)((g & 0xffff) | (g >> 32 & 0xffff0000));
}

static inline bool x86_null_sel(uint16_t sel)
{
    return (sel & ~3) == 0;
}

/** Raise @p vector for c->cur, or for the event being delivered. */
_Noreturn static inline void x86_raise_cur(struct vcpu *c, unsigned vector, uint32_t error)
{
    vm__x86_fault(c, c->cur, vector, error);
}

/** Is [off, size) inside the segment? Type is not looked at but for expand-down. */
bool vm__x86_seg_in_limit(const struct x86_seg *s, uint32_t off, unsigned size);

/** Read a descriptor of the GDT or LDT; false when the selector lies outside the table.
 * @p high receives the second half of a 16-byte descriptor, if not NULL. */
bool vm__x86_desc_fetch(struct vcpu *c, uint16_t sel, uint64_t *d, uint64_t *high);
/** Set the accessed bit of a code or data descriptor in memory and in *d. */
void vm__x86_desc_accessed(struct vcpu *c, uint16_t sel, uint64_t *d);
/** Change bits of a descriptor's type byte in memory (TSS busy). */
void vm__x86_desc_type_bits(struct vcpu *c, uint16_t sel, uint8_t clear, uint8_t set);

/** Hidden part from a descriptor. */
void vm__x86_seg_set(struct x86_seg *s, uint16_t sel, uint64_t d);
/** A segment register that holds a null selector. */
void vm__x86_seg_null(struct x86_seg *s, uint16_t sel);
/** Real and virtual-8086 mode: base from the selector; limits stay (V86: 64 KiB, DPL 3). */
void vm__x86_seg_real(struct vcpu *c, unsigned seg, uint16_t sel);

/** MOV, POP, LDS…: ES, SS, DS, FS or GS in any mode. The caller calls vm__x86_sync_seg(). */
void vm__x86_load_seg(struct vcpu *c, unsigned seg, uint16_t sel);
/** What loading @p sel into a data or stack segment register would raise: 0, or a vector; the
 * error code is the selector. @p d is filled in unless the selector is null. */
unsigned vm__x86_check_seg(struct vcpu *c, unsigned seg, uint16_t sel, unsigned cpl, uint64_t *d);
void vm__x86_load_ldt(struct vcpu *c, uint16_t sel);
void vm__x86_load_tr(struct vcpu *c, uint16_t sel);

/**
 * A code segment as target of far control at privilege @p cpl: present and of code type are
 * checked by the caller. Loads CS (accessed bit set by the caller) and RIP.
 */
void vm__x86_set_cs(struct vcpu *c, uint16_t sel, uint64_t d, unsigned cpl);

/** Refresh what depends on one segment register; cheaper than vm__x86_sync_mode(). */
void vm__x86_sync_seg(struct vcpu *c, unsigned seg);

/* ---- a stack to push to that is not (yet) SS:SP ---- */

struct x86_stack {
    struct x86_seg ss;
    uint64_t sp;
    uint32_t err;  /**< error code of #SS */
    int access;    /**< 0: supervisor, X86_ACCESS_USER: CPL 3 */
    uint8_t size;  /**< log2 of SP's bytes */
};

/** The current stack. */
void vm__x86_stack_cur(struct vcpu *c, struct x86_stack *s);
/** Push @p size bytes; raises #SS(err). Registers do not change. */
void vm__x86_stack_push(struct vcpu *c, struct x86_stack *s, unsigned size, uint64_t v);
/** Read @p size bytes at SS:SP + @p skip; SP does not move. Raises like a POP. */
uint64_t vm__x86_stack_read(struct vcpu *c, unsigned skip, unsigned size);
/** Take over the stack pointer (and SS if it was switched: by the caller). */
static inline void x86_stack_commit_sp(struct vcpu *c, const struct x86_stack *s)
{
    c->st.gpr[X86_RSP] = s->sp;
}

/** Stack for privilege @p dpl from the TSS, checked [SDM-3A §5.8.5]; not for long mode. */
void vm__x86_stack_inner(struct vcpu *c, unsigned dpl, uint32_t ext, struct x86_stack *s);

/** RSPn (0-2) or ISTn (3 + n) from the 64-bit TSS. */
uint64_t vm__x86_tss_rsp(struct vcpu *c, unsigned slot, uint32_t ext);

/* ---- tasks: task.c [SDM-3A §7] ---- */

enum x86_task_source { X86_TASK_JMP, X86_TASK_CALL, X86_TASK_INT, X86_TASK_IRET };

/**
 * Switch to the task of TSS selector @p sel. @p next_rip is saved in the old TSS. Faults before the
 * commit point belong to the old task, after it to the new one.
 * @param ext EXT bit for error codes
 */
void vm__x86_task_switch(struct vcpu *c, uint16_t sel, enum x86_task_source src, uint64_t next_rip,
                         uint32_t ext);

#endif
