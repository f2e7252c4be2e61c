/* SPDX-License-Identifier: MIT */
/**
 * @file version.h
 * Versions, and the two words every other header needs.
 */
#ifndef LIBVM_VERSION_H
#define LIBVM_VERSION_H

#include <stddef.h>
#include <stdint.h>

/** Marks what the library exports. */
#if defined(__GNUC__)
#define VM_API __attribute__((visibility("default")))
#else
#define VM_API
#endif

/** The interface this header describes: major << 16 | minor. */
#define VM_API_VERSION 0x00010000u

#ifdef __cplusplus
extern "C" {
#endif

/** Called once when the library drops its last use of @p ud. May be NULL wherever it is asked for.
 */
typedef void (*vm_free_fn)(void *ud);

/**
 * The interface the loaded library implements.
 *
 * [any] The major half equals that of #VM_API_VERSION or the two do not fit; a larger minor half
 * only adds.
 * @since 0.1
 */
VM_API uint32_t vm_version(void);

/** The library's release as text, "0.1.0". [any] Static storage. @since 0.1 */
VM_API const char *vm_version_string(void);

#ifdef __cplusplus
}
#endif
#endif
