/* SPDX-License-Identifier: MIT */
/**
 * @file input.c
 * Pressing keys and moving the mouse: sendkey, mouse_move, mouse_button, info mice.
 *
 * Keys go down at once and up after a while of the machine's time, when a timer says so; keys asked
 * for meanwhile wait for their turn, so that a script may send a whole word at once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/input.h"
#include "monitor/monitor.h"

enum { COMBINATION = 16, QUEUE = 1024, HOLD_MS = 100, MAX_HOLD_MS = 60000 };

static const struct {
    const char *name;
    uint32_t usage;
} keys[] = {
#define X(name, usage) { name, usage },
#include "monitor/keys.def"
#undef X
};

enum { N_KEYS = sizeof keys / sizeof keys[0] };

/** One step: a key goes down or up at a time. */
struct step {
    uint64_t at_ns;
    uint32_t usage;
    bool down;
};

struct mon_input {
    struct vm_machine *m;
    struct vm_timer timer;
    uint32_t head, n;
    struct step queue[QUEUE];
    uint64_t last_ns; /**< when the newest step is due */
    uint32_t buttons; /**< held */
};

void vm__mon_input_free(struct mon_input *in)
{
    if (in == NULL)
        return;
    vm__timer_cancel(&in->timer);
    free(in);
}

/** Carry out what is due. Under the machine lock. */
static void on_time(void *opaque)
{
    struct mon_input *in = opaque;
    const uint64_t now = vm__clock_ns(in->m);
    while (in->n != 0 && in->queue[in->head].at_ns <= now) {
        const struct step s = in->queue[in->head];
        in->head = (in->head + 1) % QUEUE;
        in->n--;
        vm__input_key(in->m, s.usage, s.down);
    }
    if (in->n != 0)
        vm__timer_arm(&in->timer, in->queue[in->head].at_ns);
}

static struct mon_input *input_of(struct mon *mon)
{
    if (mon->state->input == NULL) {
        struct mon_input *in = calloc(1, sizeof *in);
        if (in == NULL) {
            (void)vm__fail_nomem(sizeof *in);
            return NULL;
        }
        in->m = mon->m;
        vm__timer_init(&in->timer, mon->m, on_time, in);
        mon->state->input = in;
    }
    return mon->state->input;
}

static void add_step(struct mon_input *in, uint64_t at_ns, uint32_t usage, bool down)
{
    in->queue[(in->head + in->n++) % QUEUE] =
        (struct step) { .at_ns = at_ns, .usage = usage, .down = down };
}

/* ---- names ---- */

uint32_t vm__mon_key(const char *name, size_t len)
{
    for (size_t i = 0; i < N_KEYS; i++)
        if (strlen(keys[i].name) == len && strncmp(keys[i].name, name, len) == 0)
            return keys[i].usage;
    return 0;
}

const char *vm__mon_key_name(const void *ud, uint32_t i)
{
    (void)ud;
    return i < N_KEYS ? keys[i].name : NULL;
}

/** "ctrl-alt-delete", or a usage: "0x4c". @return how many keys, or a negative status */
static int combination(const char *text, uint32_t *usages)
{
    int n = 0;
    for (const char *p = text; *p != '\0';) {
        const size_t len = strcspn(p, "-");
        char word[24];
        (void)memcpy(word, p, len < sizeof word ? len : sizeof word - 1);
        word[len < sizeof word ? len : sizeof word - 1] = '\0';
        uint64_t usage = vm__mon_key(p, len);
        if (usage == 0 && (vm__parse_u64(word, false, &usage) != VM_OK || usage > 0xffff)) {
            const char *near = vm__nearest(word, vm__mon_key_name, NULL);
            return vm__fail(VM_E_NOENT, "no key '%s'%s%s%s", word,
                            near != NULL ? "; did you mean " : "", near != NULL ? near : "",
                            near != NULL ? "?" : "");
        }
        if (n == COMBINATION)
            return vm__fail(VM_E_RANGE, "at most %d keys at once", COMBINATION);
        usages[n++] = (uint32_t)usage;
        p += len + (p[len] == '-');
    }
    return n;
}

/* ---- commands ---- */

static int run_sendkey(struct mon *mon, char *args)
{
    uint32_t usages[COMBINATION];
    uint64_t hold_ms = HOLD_MS;
    const char *word = vm__mon_need(&args, "a key, or several joined by '-'");
    const int n = word != NULL ? combination(word, usages) : VM_E_INVAL;
    if (n < 0)
        return n;
    if (args[strspn(args, " \t")] != '\0') {
        const int st = vm__mon_expr(mon, &args, &hold_ms);
        if (st != VM_OK || hold_ms > MAX_HOLD_MS)
            return st != VM_OK ? st : vm__fail(VM_E_RANGE, "at most %d milliseconds", MAX_HOLD_MS);
    }
    struct mon_input *in = input_of(mon);
    if (in == NULL)
        return VM_E_NOMEM;
    if (in->n + 2 * (uint32_t)n > QUEUE)
        return vm__fail(VM_E_BUSY, "%u keys are waiting already", in->n);
    /* Behind what waits, with a moment in between: guests tell two presses apart by it. */
    const uint64_t now = vm__clock_ns(mon->m), gap = hold_ms * 1000000u;
    const uint64_t at = in->n != 0 && in->last_ns + gap > now ? in->last_ns + gap : now;
    for (int i = 0; i < n; i++)
        add_step(in, at, usages[i], true);
    for (int i = n; i-- > 0;)
        add_step(in, at + gap, usages[i], false);
    in->last_ns = at + gap;
    on_time(in);
    return VM_OK;
}

static int signed_arg(struct mon *mon, char **args, int32_t *v)
{
    uint64_t n;
    const int st = vm__mon_expr(mon, args, &n);
    if (st != VM_OK)
        return st;
    if ((int64_t)n > 32767 || (int64_t)n < -32768)
        return vm__fail(VM_E_RANGE, "a mouse moves by at most 32767");
    *v = (int32_t)(int64_t)n;
    return VM_OK;
}

static int run_mouse_move(struct mon *mon, char *args)
{
    int32_t dx = 0, dy = 0, dz = 0;
    struct mon_input *in = input_of(mon);
    int st = in != NULL ? signed_arg(mon, &args, &dx) : VM_E_NOMEM;
    if (st == VM_OK)
        st = signed_arg(mon, &args, &dy);
    if (st == VM_OK && args[strspn(args, " \t")] != '\0')
        st = signed_arg(mon, &args, &dz);
    if (st == VM_OK)
        vm__input_relative(mon->m, dx, dy, dz, in->buttons);
    return st;
}

static int run_mouse_button(struct mon *mon, char *args)
{
    uint64_t mask;
    struct mon_input *in = input_of(mon);
    const int st = in != NULL ? vm__mon_expr(mon, &args, &mask) : VM_E_NOMEM;
    if (st != VM_OK)
        return st;
    if (mask > 7)
        return vm__fail(VM_E_RANGE, "buttons are a sum of 1 left, 2 middle, 4 right");
    in->buttons = (mask & 1 ? VM_BUTTON_LEFT : 0u) | (mask & 2 ? VM_BUTTON_MIDDLE : 0u) |
                  (mask & 4 ? VM_BUTTON_RIGHT : 0u);
    vm__input_relative(mon->m, 0, 0, 0, in->buttons);
    return VM_OK;
}

const struct mon_command vm__mon_input[] = {
    { "sendkey", NULL, "KEYS [HOLD_MS]", "press keys: sendkey ctrl-alt-delete 200", 0,
      run_sendkey },
    { "mouse_move", NULL, "DX DY [DZ]", "move the mouse, turn its wheel", 0, run_mouse_move },
    { "mouse_button", NULL, "MASK", "hold buttons: 1 left, 2 middle, 4 right", 0,
      run_mouse_button },
    { 0 },
};
