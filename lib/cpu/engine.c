/* SPDX-License-Identifier: MIT */
/**
 * @file engine.c
 * Which engines a machine may use, and changing from one to another.
 */
#include "cpu/engine.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "core/config.h"
#include "core/machine.h"
#include "cpu/vcpu.h"

static const struct vm_engine *find(const char *name, size_t len)
{
    for (const struct vm_engine *const *e = vm__engines; *e != NULL; e++)
        if (strlen((*e)->name) == len && memcmp((*e)->name, name, len) == 0)
            return *e;
    return NULL;
}

static int no_engine(const char *name, size_t len)
{
    char all[64] = "";
    size_t n = 0;

    for (const struct vm_engine *const *e = vm__engines; *e != NULL && n < sizeof all; e++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", n != 0 ? ", " : "", (*e)->name);
    return vm__fail(VM_E_NOENT, "no engine '%.*s'; there are: %s", (int)(len < 40 ? len : 40), name,
                    all);
}

/* ---- the list ---- */

static bool listed(const struct x86_cpus *s, const struct vm_engine *e)
{
    for (unsigned k = 0; s->engines[k] != NULL; k++)
        if (s->engines[k] == e)
            return true;
    return false;
}

static void append(struct x86_cpus *s, const struct vm_engine *e)
{
    unsigned n = 0;

    while (s->engines[n] != NULL)
        n++;
    if (!listed(s, e) && n < X86_ENGINES_MAX)
        s->engines[n] = e;
}

/* Why an engine is not in the list, for those who ask. */
static void note(struct x86_cpus *s, const struct vm_engine *e, const char *why)
{
    const size_t n = strlen(s->not_used);

    (void)snprintf(s->not_used + n, sizeof s->not_used - n, "%s not used: %s\n", e->name, why);
}

/* Take it up if it can run. Why the first one could not is kept in @p why. */
static int consider(struct x86_cpus *s, const struct vm_engine *e, char *why, size_t size)
{
    char now[128] = "";
    const int st = e->probe(s->m, now, sizeof now);

    if (st == VM_OK) {
        append(s, e);
        return VM_OK;
    }
    vm__logf(&s->m->log, VM_LOG_INFO, VM_LOG_CPU, "engine", "%s cannot run here: %s", e->name, now);
    note(s, e, now);
    if (*why == '\0')
        (void)snprintf(why, size, "engine %s cannot run here: %s", e->name, now);
    return st;
}

static int add_auto(struct x86_cpus *s, char *why, size_t size)
{
    char reason[128] = "";
    int st = VM_E_NOTSUP;

    for (const struct vm_engine *const *e = vm__engines; *e != NULL; e++) {
        if ((*e)->on_request != NULL && (*e)->on_request(s->m, reason, sizeof reason)) {
            vm__logf(&s->m->log, VM_LOG_INFO, VM_LOG_CPU, "engine",
                     "%s is left to those who ask: %s", (*e)->name, reason);
            note(s, *e, reason);
            continue;
        }
        if (consider(s, *e, why, size) == VM_OK)
            st = VM_OK;
    }
    return st;
}

int vm__x86_choose_engines(struct x86_cpus *s)
{
    const char *want = vm__config_str(s->m->config, "engine");
    char why[200] = "";
    int st = VM_E_NOENT;

    if (want == NULL || *want == '\0')
        want = "auto";
    for (const char *at = want; *at != '\0';) {
        const size_t len = strcspn(at, ",");
        const struct vm_engine *e = find(at, len);
        const bool any = len == 4 && memcmp(at, "auto", 4) == 0;
        if (e == NULL && !any)
            return no_engine(at, len);
        const int one = any ? add_auto(s, why, sizeof why) : consider(s, e, why, sizeof why);
        if (one == VM_OK || st == VM_E_NOENT)
            st = one;
        at += len + (at[len] == ',');
    }
    s->engine = s->engines[0];
    return s->engine != NULL ? VM_OK : vm__fail(st, "%s", why);
}

void vm__x86_limit_to_engines(const struct x86_cpus *s, uint64_t *have)
{
    for (unsigned k = 0; s->engines[k] != NULL; k++)
        if (s->engines[k]->features != NULL)
            s->engines[k]->features(s->m, have);
}

/* ---- changing ---- */

/* What an engine has hung onto a processor. */
struct belongings {
    struct x86_cache *cache;
    void *engine_data;
};

static struct belongings put_aside(struct vcpu *c)
{
    const struct belongings b = { .cache = c->cache, .engine_data = c->engine_data };

    c->cache = NULL;
    c->engine_data = NULL;
    return b;
}

static void take_up(struct vcpu *c, struct belongings b)
{
    c->cache = b.cache;
    c->engine_data = b.engine_data;
}

/* Processors 0…n-1 give up what engine @p e made for them, and get back what lies in @p other. */
static void exchange(struct x86_cpus *s, const struct vm_engine *e, const struct belongings *other,
                     uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        e->vcpu_fini(s->cpu[k]);
        take_up(s->cpu[k], other[k]);
    }
}

/* Both engines exist for a moment, so that failure leaves the old one as it was. */
static int change(struct x86_cpus *s, const struct vm_engine *to)
{
    const struct vm_engine *from = s->engine;
    struct belongings old[VM_MAX_CPUS], new[VM_MAX_CPUS];
    void *const data = s->engine_data;
    uint32_t n = 0;
    int st;

    for (uint32_t k = 0; k < s->n; k++)
        from->store(s->cpu[k]);
    s->engine_data = NULL;
    st = to->create(s);
    if (st != VM_OK) {
        s->engine_data = data;
        return st;
    }
    s->engine = to;
    for (; st == VM_OK && n < s->n; n++) {
        old[n] = put_aside(s->cpu[n]);
        st = to->vcpu_init(s->cpu[n]);
        if (st != VM_OK)
            take_up(s->cpu[n], old[n]);
        else
            new[n] = (struct belongings) { s->cpu[n]->cache, s->cpu[n]->engine_data };
    }
    if (st != VM_OK) {
        exchange(s, to, old, n - 1);
        to->destroy(s);
        s->engine = from;
        s->engine_data = data;
        return st;
    }
    for (uint32_t k = 0; k < n; k++)
        take_up(s->cpu[k], old[k]);
    void *const new_data = s->engine_data;
    s->engine_data = data;
    s->engine = from;
    exchange(s, from, new, n);
    from->destroy(s);
    s->engine = to;
    s->engine_data = new_data;
    for (uint32_t k = 0; k < n; k++) {
        to->load(s->cpu[k]);
        vm__x86_sync_mode(s->cpu[k]);
        x86_recheck(s->cpu[k]);
    }
    return VM_OK;
}

int vm__x86_set_engine(struct vm_machine *m, const char *name)
{
    struct x86_cpus *s = m->irq_hub.cpus;
    const struct vm_engine *e = find(name, strlen(name));

    if (e == NULL)
        return no_engine(name, strlen(name));
    if (!listed(s, e))
        return vm__fail(
            VM_E_NOTSUP,
            "the machine was not built for engine %s: key \"engine\" lists those it may "
            "use",
            name);
    if (e == s->engine)
        return VM_OK;
    if (!e->hooks && vm__hook_any(&m->hooks, VM_HOOK_ALL))
        return vm__fail(VM_E_NOTSUP, "the machine has hooks, which engine %s does not know", name);
    const int st = change(s, e);
    if (st == VM_OK)
        vm__logf(&m->log, VM_LOG_INFO, VM_LOG_CPU, "engine", "from now on %s", name);
    return st;
}

const char *vm__x86_engine(const struct vm_machine *m)
{
    const struct x86_cpus *s = m->irq_hub.cpus;
    return s->engine->name;
}

bool vm__x86_has_hooks(const struct vm_machine *m)
{
    const struct x86_cpus *s = m->irq_hub.cpus;
    return s->engine->hooks;
}
