/* SPDX-License-Identifier: MIT */
/**
 * @file block_impl.h
 * What the two files of the exported block functions share.
 */
#ifndef LIBVM_API_BLOCK_IMPL_H
#define LIBVM_API_BLOCK_IMPL_H

/** A set from "a=b,…" or a JSON object, to be freed; NULL with the error set. */
struct vm_blk_options *vm__api_options(const char *text);

#endif
