/* SPDX-License-Identifier: MIT */
/**
 * @file part.h
 * What a floor above hangs on a machine or a context: drives on a machine, block nodes on a
 * context.
 *
 * The core knows nothing of what it is, but tells it what happens. A machine's parts are called
 * under the machine lock, while every processor stands still, in the order they were added.
 */
#ifndef LIBVM_CORE_PART_H
#define LIBVM_CORE_PART_H

struct vm_ctx;
struct vm_machine;

/** Any call may be NULL. */
struct vm_part_class {
    const char *name;
    /** The machine's time has stopped: finish what is in flight, hold back what comes. */
    void (*pause)(void *part);
    void (*resume)(void *part);
    /** Before the devices' own reset. */
    void (*reset)(void *part, int kind);
    /** Before state is saved: devices must not be waiting for anything. */
    void (*save)(void *part);
    void (*destroy)(void *part); /**< of a machine: after its devices */
};

/** A list of them; in its owner, zeroed. */
struct vm_part {
    const struct vm_part_class *cls;
    void *part;
    struct vm_part *next;
};

int vm__machine_add_part(struct vm_machine *m, const struct vm_part_class *cls, void *part);
/** The part of this class, or NULL. */
void *vm__machine_part(const struct vm_machine *m, const struct vm_part_class *cls);
void vm__parts_pause(struct vm_machine *m);
void vm__parts_resume(struct vm_machine *m);
void vm__parts_reset(struct vm_machine *m, int kind);
void vm__parts_save(struct vm_machine *m);
void vm__parts_destroy(struct vm_part *list);

/** The context's part of this class, made by @p make at first use. NULL with the error set. Any
 *  thread. */
void *vm__ctx_part(struct vm_ctx *ctx, const struct vm_part_class *cls,
                   void *(*make)(struct vm_ctx *ctx));

#endif
