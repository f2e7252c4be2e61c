/* SPDX-License-Identifier: MIT */
/**
 * @file lockstep.c
 * Two machines with the same instruction-counted clock, compared step by step.
 *
 * What is compared is what would be saved: whatever a snapshot holds has to agree. The streams of
 * the last step that agreed are kept, so a difference can be approached again and again.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "core/address_space.h"
#include "core/config.h"
#include "core/run.h"
#include "monitor/lockstep.h"
#include "monitor/monitor.h"

enum { STEP = 20000000, CHUNK = 4096, MAX_DIFFERENCES = 4 };

struct stream {
    uint8_t *data;
    size_t len;
};

struct pair {
    struct vm_machine *m[2];
    struct stream good; /**< of both: they agreed */
    uint32_t reason;    /**< why the last run came back */
};

/* ---- running ---- */

static int run(struct vm_machine *m, uint64_t insns, uint32_t *reason)
{
    vm_exit e = { .size = sizeof e };
    const int st = vm__run_here(m, insns, -1, &e);
    *reason = e.reason;
    return st;
}

static void drop(struct stream *s)
{
    free(s->data);
    *s = (struct stream) { 0 };
}

/* Do both stand at the same state? If so it is kept in @p agreed, unless that is NULL. */
static int compare(struct pair *p, bool *same, struct stream *agreed)
{
    struct stream s[2] = { 0 };
    int st = vm__machine_save(p->m[0], &s[0].data, &s[0].len);

    if (st == VM_OK)
        st = vm__machine_save(p->m[1], &s[1].data, &s[1].len);
    *same = st == VM_OK && s[0].len == s[1].len && memcmp(s[0].data, s[1].data, s[0].len) == 0;
    if (*same && agreed != NULL) {
        drop(agreed);
        *agreed = s[0];
        s[0].data = NULL;
    }
    drop(&s[0]);
    drop(&s[1]);
    return st;
}

/* Both so many instructions on. */
static int advance(struct pair *p, uint64_t insns)
{
    uint32_t reason[2] = { VM_EXIT_BUDGET, VM_EXIT_BUDGET };
    int st = VM_OK;

    for (int k = 0; k < 2 && st == VM_OK && insns != 0; k++)
        st = run(p->m[k], insns, &reason[k]);
    p->reason = reason[0];
    return st;
}

/* Both from the last step that agreed, so many instructions on. */
static int replay(struct pair *p, uint64_t insns)
{
    int st = VM_OK;

    for (int k = 0; k < 2 && st == VM_OK; k++)
        st = vm__machine_load(p->m[k], p->good.data, p->good.len);
    return st == VM_OK ? advance(p, insns) : st;
}

/* ---- the report ---- */

static void append(void *ud, const char *text, size_t len)
{
    vm__buf_put(ud, text, len);
}

static void ask(struct vm_buf *b, struct vm_machine *m, const char *command)
{
    if (vm__monitor(m, command, append, b) != VM_OK)
        vm__buf_printf(b, "(%s: %s)\n", command, vm_last_error()->message);
}

static size_t line_length(const char *s)
{
    return strcspn(s, "\n");
}

/* Two texts of the same shape, line by line; where they differ both, marked. */
static void side_by_side(struct vm_buf *b, const struct pair *p, const char *x, const char *y)
{
    while (*x != '\0' || *y != '\0') {
        const size_t nx = line_length(x), ny = line_length(y);
        if (nx == ny && memcmp(x, y, nx) == 0) {
            vm__buf_printf(b, "  %.*s\n", (int)nx, x);
        } else {
            vm__buf_printf(b, "! %.*s  <- %s\n", (int)nx, x, p->m[0]->cpu_class->engine(p->m[0]));
            vm__buf_printf(b, "! %.*s  <- %s\n", (int)ny, y, p->m[1]->cpu_class->engine(p->m[1]));
        }
        x += nx + (x[nx] == '\n');
        y += ny + (y[ny] == '\n');
    }
}

static void put_both(struct vm_buf *b, const struct pair *p, const char *command)
{
    struct vm_buf x = { 0 }, y = { 0 };

    ask(&x, p->m[0], command);
    ask(&y, p->m[1], command);
    vm__buf_put(&x, "", 1);
    vm__buf_put(&y, "", 1);
    if (x.data != NULL && y.data != NULL)
        side_by_side(b, p, (const char *)x.data, (const char *)y.data);
    free(x.data);
    free(y.data);
}

static void put_bytes(struct vm_buf *b, const uint8_t *at, const char *who)
{
    vm__buf_printf(b, " ");
    for (unsigned k = 0; k < 16; k++)
        vm__buf_printf(b, " %02x", at[k]);
    vm__buf_printf(b, "  %s\n", who);
}

/* Where memory differs: RAM below 4 GiB, and above. */
static void put_memory(struct vm_buf *b, const struct pair *p)
{
    const uint64_t size = vm__config_u64(p->m[0]->config, "memory.size");
    unsigned found = 0;

    for (uint64_t at = 0; at < size + (UINT64_C(1) << 30) && found < MAX_DIFFERENCES; at += CHUNK) {
        uint8_t x[CHUNK], y[CHUNK];
        if (vm__mem_read(p->m[0], at, x, CHUNK) != VM_OK ||
            vm__mem_read(p->m[1], at, y, CHUNK) != VM_OK || memcmp(x, y, CHUNK) == 0)
            continue;
        unsigned k = 0;
        while (x[k] == y[k])
            k++;
        k &= ~15u;
        found++;
        vm__buf_printf(b, "! memory at guest-physical 0x%" PRIx64 ":\n", at + k);
        put_bytes(b, x + k, p->m[0]->cpu_class->engine(p->m[0]));
        put_bytes(b, y + k, p->m[1]->cpu_class->engine(p->m[1]));
    }
    if (found == 0)
        vm__buf_printf(b, "  memory is the same\n");
}

/* The machines stand before the instruction; then behind it. */
static int write_report(struct pair *p, struct vm_buf *b, uint64_t before, uint64_t after)
{
    vm__buf_printf(b, "%s and %s differ after instruction %" PRIu64 "\n\nbefore it:\n",
                   p->m[0]->cpu_class->engine(p->m[0]), p->m[1]->cpu_class->engine(p->m[1]), after);
    int st = replay(p, before);
    if (st != VM_OK)
        return st;
    ask(b, p->m[0], "info registers -a");
    vm__buf_printf(b, "\nthe code there:\n");
    ask(b, p->m[0], "x/12i $pc");
    st = advance(p, 1);
    if (st != VM_OK)
        return st;
    vm__buf_printf(b, "\nafter it:\n");
    for (uint32_t c = 0; c < p->m[0]->n_cpus; c++) {
        struct vm_buf cpu = { 0 };
        vm__buf_printf(&cpu, "cpu %u", c);
        vm__buf_put(&cpu, "", 1);
        for (int k = 0; k < 2 && cpu.data != NULL; k++)
            (void)vm__monitor(p->m[k], (const char *)cpu.data, append, b);
        free(cpu.data);
        put_both(b, p, "info registers");
    }
    put_memory(b, p);
    vm__buf_put(b, "", 1);
    return b->failed ? VM_E_NOMEM : VM_OK;
}

/* They agree at @p done and differ @p step later. */
static int narrow(struct pair *p, uint64_t done, uint64_t step, vm_lockstep_fn fn, void *ud)
{
    uint64_t same = 0, differs = step;
    struct vm_buf b = { 0 };
    int st = VM_OK;

    while (st == VM_OK && differs - same > 1) {
        const uint64_t middle = same + (differs - same) / 2;
        bool agree = false;
        st = replay(p, middle);
        if (st == VM_OK)
            st = compare(p, &agree, NULL);
        if (agree)
            same = middle;
        else
            differs = middle;
    }
    if (st == VM_OK)
        st = write_report(p, &b, same, done + differs);
    if (st == VM_OK) {
        (void)fn(ud, done + differs, (const char *)b.data);
        st = vm__fail(VM_E_CORRUPT, "%s and %s differ after instruction %" PRIu64,
                      p->m[0]->cpu_class->engine(p->m[0]), p->m[1]->cpu_class->engine(p->m[1]),
                      done + differs);
    }
    free(b.data);
    return st;
}

/* ---- in ---- */

static bool fit(const struct vm_machine *m)
{
    return m->n_cpus != 0 && m->cpu_class->engine != NULL &&
           vm__config_enum(m->config, "clock.mode") == VM_CLOCK_ICOUNT;
}

int vm__lockstep(struct vm_machine *a, struct vm_machine *b, uint64_t insns, uint64_t step,
                 vm_lockstep_fn fn, void *ud)
{
    struct pair p = { .m = { a, b }, .reason = VM_EXIT_BUDGET };
    uint64_t done = 0;
    bool same = false;

    if (!fit(a) || !fit(b))
        return vm__fail(VM_E_INVAL, "machines in lockstep have clock.mode=icount and processors");
    int st = compare(&p, &same, &p.good);
    if (st == VM_OK && !same)
        st = vm__fail(VM_E_INVAL, "the machines differ before they run");
    while (st == VM_OK && (insns == 0 || done < insns)) {
        uint64_t n = step != 0 ? step : STEP;
        if (insns != 0 && n > insns - done)
            n = insns - done;
        st = advance(&p, n);
        if (st == VM_OK)
            st = compare(&p, &same, &p.good);
        if (st == VM_OK && !same) {
            st = narrow(&p, done, n, fn, ud);
            break;
        }
        done += n;
        if (st == VM_OK && (p.reason != VM_EXIT_BUDGET || fn(ud, done, NULL) != 0))
            break;
    }
    drop(&p.good);
    return st;
}
