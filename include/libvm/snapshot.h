/* SPDX-License-Identifier: MIT */
/**
 * @file snapshot.h
 * A whole machine's state as bytes.
 *
 * Saving and loading need the machine built, paused or shut down. The bytes are tagged, versioned
 * and checked on loading: they may come from anywhere. A machine built from the same configuration
 * can load them; state and memory are those of the moment of saving.
 */
#ifndef LIBVM_SNAPSHOT_H
#define LIBVM_SNAPSHOT_H

#include <libvm/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Save to a buffer of the library's; free it with vm_buffer_free(). [owner]
 * @retval VM_E_STATE it runs
 * @since 0.1
 */
VM_API int vm_machine_save(vm_machine *m, void **data, size_t *len);
/**
 * Load. [owner] The machine is unchanged if the bytes are refused.
 * @retval VM_E_CORRUPT malformed; VM_E_VERSION from a newer or different machine; VM_E_STATE it
 * runs
 * @since 0.1
 */
VM_API int vm_machine_load(vm_machine *m, const void *data, size_t len);
/** [any] Free what vm_machine_save() gave; NULL is fine. @since 0.1 */
VM_API void vm_buffer_free(void *data);

#ifdef __cplusplus
}
#endif
#endif
