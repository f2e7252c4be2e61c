/* SPDX-License-Identifier: MIT */
/**
 * @file options.h
 * Options of nodes: nested names with text values, each to be used once.
 *
 * One set, three spellings: "driver=qcow2,file.driver=file,file.filename=x" (dots nest; ",," is a
 * comma), a JSON object, and the pseudo file name "json:{…}". A driver takes what it knows; what is
 * left over when it has opened is an error that names the option.
 */
#ifndef LIBVM_BLOCK_OPTIONS_H
#define LIBVM_BLOCK_OPTIONS_H

#include "block/node.h"

/** Empty set; free with vm__options_free(). NULL: no memory, error set. */
struct vm_blk_options *vm__options_new(void);
void vm__options_free(struct vm_blk_options *o);
/** Add "a=b,c.d=e"; @p implied names a first item that has no '='. @retval VM_E_INVAL */
int vm__options_parse(struct vm_blk_options *o, const char *text, const char *implied);
/** Add from the text of a JSON object, in which names and strings may also stand in single quotes.
 */
int vm__options_json_text(struct vm_blk_options *o, const char *text);
/** Add from a JSON object; numbers and booleans become text, arrays "name.0", "name.1". */
int vm__options_json(struct vm_blk_options *o, const struct json_t *object);
int vm__options_set(struct vm_blk_options *o, const char *name, const char *value);

/** The text of a name, marked as used; NULL if it is not there. Valid while @p o lives. */
const char *vm__opt_str(struct vm_blk_options *o, const char *name);
bool vm__opt_has(const struct vm_blk_options *o,
                 const char *name); /**< not marked; "file" sees "file.x" */
/** Typed: @p value is left alone if the name is absent. @retval VM_E_INVAL with a sentence */
int vm__opt_bool(struct vm_blk_options *o, const char *name, bool *value);
int vm__opt_u64(struct vm_blk_options *o, const char *name, uint64_t *value);
int vm__opt_size(struct vm_blk_options *o, const char *name,
                 uint64_t *value); /**< with k M G T P E */
int vm__opt_enum(struct vm_blk_options *o, const char *name, const char *const *choices,
                 uint32_t *value);
/** Everything under "name." as a set of its own, marked as used here; NULL if there is nothing. */
struct vm_blk_options *vm__opt_sub(struct vm_blk_options *o, const char *name);
/** "1.5G", "64k", "0x200", "512b". @retval VM_E_INVAL with no message */
int vm__parse_size(const char *text, uint64_t *value);
/** Check names and values against a table. @retval VM_E_INVAL "Invalid parameter 'x'" */
int vm__opt_check(const struct vm_blk_options *o, const struct vm_blk_option *table);
/** A name nobody used, or NULL. */
const char *vm__opt_unused(const struct vm_blk_options *o);
/** Each name and value in the order set. Non-zero from @p fn ends it. */
int vm__opt_each(const struct vm_blk_options *o,
                 int (*fn)(void *ud, const char *name, const char *value), void *ud);

#endif
