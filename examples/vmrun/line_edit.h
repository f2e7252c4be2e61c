/* SPDX-License-Identifier: MIT */
/**
 * @file line_edit.h
 * A line editor over any stream of bytes: keys in, echo out.
 */
#ifndef VMRUN_LINE_EDIT_H
#define VMRUN_LINE_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINE_BYTES = 4096, LINE_HISTORY = 64 };

struct line_ops {
    void (*put)(void *ud, const char *text, size_t len); /**< to the terminal */
    void (*line)(void *ud, const char *line);            /**< Enter was pressed */
    /** Call @p fn for everything the last word of @p text could become. */
    void (*complete)(void *ud, const char *text, void (*fn)(void *to, const char *word), void *to);
};

struct line_edit {
    const struct line_ops *ops;
    void *ud;
    const char *prompt;
    char text[LINE_BYTES];
    size_t len, at;  /**< bytes, and the cursor among them */
    size_t shown_at; /**< where the terminal's cursor is */
    char *history[LINE_HISTORY];
    size_t n_history, in_history;
    uint8_t escape;  /**< inside an escape sequence: see line_edit.c */
    unsigned number; /**< its parameter */
    bool after_cr;
};

void line_init(struct line_edit *e, const struct line_ops *ops, void *ud, const char *prompt);
void line_fini(struct line_edit *e);
/** Show the prompt and what is typed so far. */
void line_show(struct line_edit *e);
/** One byte from the keyboard. */
void line_key(struct line_edit *e, uint8_t byte);

#endif
