/* SPDX-License-Identifier: MIT */
/**
 * @file info_print.h
 * What is known of images, for people.
 */
#ifndef VMIMG_INFO_PRINT_H
#define VMIMG_INFO_PRINT_H

#include <jansson.h>

/** One image, from its JSON. */
void print_info(const json_t *info);
/** A value, four blanks for each level, and a line's end. */
void print_json(const json_t *value);
/** The table of snapshots. */
void print_snapshots(const json_t *list);
/** "Format specific information:"; nothing if @p specific is NULL. */
void print_specific(const json_t *specific);

#endif
