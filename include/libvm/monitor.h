/* SPDX-License-Identifier: MIT */
/**
 * @file monitor.h
 * The monitor: one line of text asks or commands, text answers.
 *
 * Commands and their output follow the spellings that people know from QEMU's monitor ("info
 * registers", "x/10i $rip", "sendkey ctrl-alt-delete"); "help" lists them. A host program adds
 * commands of its own, which then are there for whoever speaks to this machine's monitor.
 *
 * Threads: [any]. A command that needs exact processor state has every processor stand still while
 * it looks, and lets them go on; no event is posted for that. Inside a callback of the same machine
 * such a command answers VM_E_STATE unless the machine is paused.
 *
 *     static void print(void *ud, const char *text, size_t len) { fwrite(text, 1, len, ud); }
 *     if (vm_monitor(m, "info registers", print, stdout) != VM_OK)
 *         fprintf(stderr, "%s\n", vm_last_error()->message);
 */
#ifndef LIBVM_MONITOR_H
#define LIBVM_MONITOR_H

#include <libvm/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Gets @p len bytes of text, not NUL-terminated; lines end in "\n". */
typedef void (*vm_text_fn)(void *ud, const char *text, size_t len);

/**
 * Carry out one command. Output comes on the calling thread, with no lock held, before it returns.
 *
 * @param line one command, without a newline; an empty one does nothing
 * @param out  may be NULL
 * @retval VM_E_NOENT no such command, device or register; the message names the nearest
 * @retval VM_E_INVAL the arguments make no sense; any other status as the command says
 * @since 0.1
 */
VM_API int vm_monitor(vm_machine *m, const char *line, vm_text_fn out, void *ud);

/**
 * A command of the host program's. What it prints when it fails becomes the error's message.
 *
 * @param args what follows the command's name, without leading blanks
 * @return VM_OK or a negative VM_E_*. Called on the thread of vm_monitor() with no lock held.
 */
typedef int (*vm_monitor_fn)(void *ud, const char *args, vm_text_fn out, void *out_ud);

/**
 * Add a command, or put another in place of one of that name.
 *
 * @param name two words, "info chardev", add to what "info" knows
 * @param args how its arguments are shown by help: "FILE [FORMAT]"; NULL for none
 * @param help one line
 * @since 0.1
 */
VM_API int vm_monitor_add(vm_machine *m, const char *name, const char *args, const char *help,
                          vm_monitor_fn fn, void *ud, vm_free_fn free_ud);

/**
 * What the last word of a line could be: names every candidate. [any]
 * @param line what stands before the cursor
 * @since 0.1
 */
VM_API int vm_monitor_complete(vm_machine *m, const char *line, vm_list_fn fn, void *ud);

#ifdef __cplusplus
}
#endif
#endif
