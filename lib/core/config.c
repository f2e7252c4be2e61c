/* SPDX-License-Identifier: MIT */
/**
 * @file config.c
 * The description of a machine: known keys with text values.
 */
#include "core/config.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/board.h"
#include "core/cpu.h"
#include "core/part.h"

enum { KEY_BYTES = 128 };

/* By enum vm_clock_mode. */
static const char *const clock_modes[] = { "realtime", "icount", NULL };
static const char *const reset_actions[] = { "reset", "stop", NULL };

static const struct vm_key core_keys[] = {
    { "name", VM_KEY_STR, .help = "a name for people" },
    { "memory.size", VM_KEY_SIZE, "128M", .min = 1 << 20, .max = UINT64_C(1) << 40,
      .help = "RAM in bytes" },
    { "cpu.count", VM_KEY_U64, "1", .min = 1, .max = VM_MAX_CPUS, .help = "processors" },
    { "cpu.model", VM_KEY_STR, .help = "processor model" },
    { "cpu.features", VM_KEY_STR, .help = "features on or off: +avx2,-rdrand" },
    { "cpu.triple_fault", VM_KEY_ENUM, "reset", .choices = reset_actions,
      .help = "what a triple fault does" },
    { "engine", VM_KEY_STR, "auto",
      .help = "what runs guest code: auto, or names, preferred first: jit,interp" },
    { "jit.threshold", VM_KEY_U64, "12", .min = 1, .max = 1000000,
      .help = "entries before a block is translated" },
    { "jit.windows", VM_KEY_BOOL, "on",
      .help = "translated code remembers the page each place met last" },
    { "jit.exact", VM_KEY_BOOL, "off",
      .help = "flags and interrupts just as the interpreter has them" },
    { "jit.perf_map", VM_KEY_BOOL, "off",
      .help = "write /tmp/perf-PID.map, which names translated code for Linux's perf" },
    { "kvm.device", VM_KEY_STR, "/dev/kvm", .help = "KVM's device" },
    { "kvm.signal", VM_KEY_U64, "0", .max = 64,
      .help = "a signal that KVM may use to interrupt its processors; 0: none" },
    { "clock.mode", VM_KEY_ENUM, "realtime", .choices = clock_modes,
      .help = "what drives the machine's time" },
    { "clock.ns_per_insn", VM_KEY_U64, "1", .min = 1, .max = 1000,
      .help = "icount: nanoseconds an instruction takes" },
    { "rtc.base", VM_KEY_STR, .help = "utc, localtime, or seconds since 1970; icount: 2000-01-01" },
    { "rng.seed", VM_KEY_U64, .help = "makes random numbers repeatable" },
    { "reset.action", VM_KEY_ENUM, "reset", .choices = reset_actions,
      .help = "what a reset by the guest does" },
    { "boot.kernel", VM_KEY_STR, .help = "kernel to boot directly" },
    { "boot.initrd", VM_KEY_STR, .help = "its initial RAM disk, or modules" },
    { "boot.cmdline", VM_KEY_STR, .help = "its command line" },
    { "firmware.path", VM_KEY_STR,
      "/usr/share/seabios:/usr/share/qemu:/usr/share/ovmf:/usr/share/OVMF:/usr/lib/ipxe/qemu:"
      "/usr/share/vgabios",
      .help = "folders with firmware images, separated by colons" },
    { "serial0", VM_KEY_STR, "on", .help = "first serial port: on or off" },
    { "serial1", VM_KEY_STR, "off", .help = "second serial port" },
    { "serial2", VM_KEY_STR, "off", .help = "third serial port" },
    { "serial3", VM_KEY_STR, "off", .help = "fourth serial port" },
    { "global.*", VM_KEY_STR, .help = "global.CLASS.PROPERTY: default of every device of a class" },
    { "drive.*", VM_KEY_STR, .help = "a drive: file=...,format=...,if=ide,index=0,..." },
    { "netdev.*", VM_KEY_STR, .help = "a network: user,id=...,hostfwd=...; or tap, socket, ..." },
    { "netdump.*", VM_KEY_STR, .help = "a record of a network: FILE,netdev=ID[,maxlen=BYTES]" },
    { "nic.*", VM_KEY_STR, .help = "a network card, in a slot before other devices" },
    { "device.*", VM_KEY_STR, .help = "a device: class,property=value,..." },
    { 0 },
};

struct entry {
    const struct vm_key *key;
    char *name; /* differs from key->name for families */
    char *value;
};

struct vm_config {
    struct vm_ctx *ctx;
    const struct vm_board_class *board; /* may be NULL: a bare machine */
    const struct vm_cpu_class *cpu;
    struct entry *entries; /* in the order first set */
    uint32_t n, room;
};

/* ---- context ---------------------------------------------------------------------------- */

struct vm_ctx *vm__ctx_new(const struct vm_registry *registry, const vm_host_ops *host)
{
    struct vm_ctx *ctx = calloc(1, sizeof *ctx);
    if (ctx == NULL) {
        vm__fail_nomem(sizeof *ctx);
        return NULL;
    }
    atomic_store(&ctx->refs, 1);
    pthread_mutex_init(&ctx->lock, NULL);
    ctx->registry = registry;
    if (host != NULL)
        memcpy(&ctx->host, host, host->size < sizeof ctx->host ? host->size : sizeof ctx->host);
    return ctx;
}

struct vm_ctx *vm__ctx_ref(struct vm_ctx *ctx)
{
    atomic_fetch_add(&ctx->refs, 1);
    return ctx;
}

void vm__ctx_unref(struct vm_ctx *ctx)
{
    if (ctx == NULL || atomic_fetch_sub(&ctx->refs, 1) != 1)
        return;
    vm__parts_destroy(ctx->parts);
    pthread_mutex_destroy(&ctx->lock);
    if (ctx->host.free != NULL)
        ctx->host.free(ctx->host.ud);
    free(ctx);
}

/* ---- known keys ------------------------------------------------------------------------- */

/* Row @p i of the core's keys, then of the board's. */
static const struct vm_key *nth_key(const struct vm_board_class *board, uint32_t i)
{
    const uint32_t n = sizeof core_keys / sizeof core_keys[0] - 1;
    if (i < n)
        return &core_keys[i];
    if (board == NULL || board->keys == NULL)
        return NULL;
    for (const struct vm_key *k = board->keys; k->name != NULL; k++, i--)
        if (i == n)
            return k;
    return NULL;
}

static const char *nth_name(const void *ud, uint32_t i)
{
    const struct vm_key *k = nth_key(ud, i);
    return k != NULL ? k->name : NULL;
}

static bool matches(const struct vm_key *k, const char *name)
{
    const size_t len = strlen(k->name);
    if (k->name[len - 1] != '*')
        return strcmp(k->name, name) == 0;
    return strncmp(k->name, name, len - 1) == 0 && name[len - 1] != '\0';
}

static const struct vm_key *find_key(const struct vm_config *cfg, const char *name)
{
    const struct vm_key *k;
    for (uint32_t i = 0; (k = nth_key(cfg->board, i)) != NULL; i++)
        if (matches(k, name))
            return k;
    const char *near = vm__nearest(name, nth_name, cfg->board);
    if (near != NULL)
        vm__fail(VM_E_NOENT, "no setting %s; did you mean %s?", name, near);
    else
        vm__fail(VM_E_NOENT, "no setting %s", name);
    return NULL;
}

int vm__config_list_keys(const struct vm_board_class *board, vm_list_fn fn, void *ud)
{
    const struct vm_key *k;
    for (uint32_t i = 0; (k = nth_key(board, i)) != NULL; i++) {
        const int st = fn(ud, k->name, k->help != NULL ? k->help : "");
        if (st != 0)
            return st;
    }
    return VM_OK;
}

/* ---- values ----------------------------------------------------------------------------- */

static int check_number(const struct vm_key *k, const char *name, const char *value)
{
    uint64_t v;
    if (vm__parse_u64(value, k->type == VM_KEY_SIZE, &v) != VM_OK)
        return vm__fail(VM_E_INVAL, "%s: %s is not a %s", name, value,
                        k->type == VM_KEY_SIZE ? "size" : "number");
    if (v < k->min || (k->max != 0 && v > k->max))
        return vm__fail(VM_E_INVAL, "%s: %s is not in %llu to %llu", name, value,
                        (unsigned long long)k->min, (unsigned long long)k->max);
    return VM_OK;
}

static int choice(const struct vm_key *k, const char *value)
{
    for (int i = 0; k->choices[i] != NULL; i++)
        if (strcmp(k->choices[i], value) == 0)
            return i;
    return -1;
}

static int check(const struct vm_key *k, const char *name, const char *value)
{
    bool on;
    switch ((enum vm_key_type)k->type) {
    case VM_KEY_STR:
        return VM_OK;
    case VM_KEY_U64:
    case VM_KEY_SIZE:
        return check_number(k, name, value);
    case VM_KEY_BOOL:
        if (vm__parse_bool(value, &on) != VM_OK)
            return vm__fail(VM_E_INVAL, "%s: %s is neither on nor off", name, value);
        return VM_OK;
    case VM_KEY_ENUM:
        if (choice(k, value) < 0) {
            char all[160] = "";
            for (int i = 0; k->choices[i] != NULL; i++) {
                const size_t n = strlen(all);
                snprintf(all + n, sizeof all - n, "%s%s", i != 0 ? ", " : "", k->choices[i]);
            }
            return vm__fail(VM_E_INVAL, "%s: %s is none of %s", name, value, all);
        }
        return VM_OK;
    }
    return VM_E_INVAL;
}

static struct entry *find_entry(const struct vm_config *cfg, const char *name)
{
    for (uint32_t i = 0; i < cfg->n; i++)
        if (strcmp(cfg->entries[i].name, name) == 0)
            return &cfg->entries[i];
    return NULL;
}

static int put(struct vm_config *cfg, const struct vm_key *key, const char *name, const char *value)
{
    char *copy = strdup(value);
    if (copy == NULL)
        return vm__fail_nomem(strlen(value));
    struct entry *e = find_entry(cfg, name);
    if (e != NULL) {
        free(e->value);
        e->value = copy;
        return VM_OK;
    }
    if (cfg->n == cfg->room) {
        const uint32_t room = cfg->room != 0 ? cfg->room * 2 : 16;
        struct entry *entries = realloc(cfg->entries, room * sizeof *entries);
        if (entries == NULL) {
            free(copy);
            return vm__fail_nomem(room * sizeof *entries);
        }
        cfg->entries = entries;
        cfg->room = room;
    }
    char *own_name = strdup(name);
    if (own_name == NULL) {
        free(copy);
        return vm__fail_nomem(strlen(name));
    }
    cfg->entries[cfg->n++] = (struct entry) { key, own_name, copy };
    return VM_OK;
}

int vm__config_set(struct vm_config *cfg, const char *name, const char *value)
{
    const struct vm_key *key = find_key(cfg, name);
    if (key == NULL)
        return VM_E_NOENT;
    const int st = check(key, name, value);
    return st != VM_OK ? st : put(cfg, key, name, value);
}

/* ---- life ------------------------------------------------------------------------------- */

struct vm_config *vm__config_new(struct vm_ctx *ctx, const struct vm_board_class *board,
                                 const struct vm_cpu_class *cpu)
{
    struct vm_config *cfg = calloc(1, sizeof *cfg);
    if (cfg == NULL) {
        vm__fail_nomem(sizeof *cfg);
        return NULL;
    }
    cfg->ctx = vm__ctx_ref(ctx);
    cfg->board = board;
    cfg->cpu = cpu;
    return cfg;
}

static void clear(struct vm_config *cfg)
{
    for (uint32_t i = 0; i < cfg->n; i++) {
        free(cfg->entries[i].name);
        free(cfg->entries[i].value);
    }
    free(cfg->entries);
}

void vm__config_free(struct vm_config *cfg)
{
    if (cfg == NULL)
        return;
    clear(cfg);
    vm__ctx_unref(cfg->ctx);
    free(cfg);
}

struct vm_config *vm__config_copy(const struct vm_config *cfg)
{
    struct vm_config *copy = vm__config_new(cfg->ctx, cfg->board, cfg->cpu);
    for (uint32_t i = 0; copy != NULL && i < cfg->n; i++) {
        const struct entry *e = &cfg->entries[i];
        if (put(copy, e->key, e->name, e->value) != VM_OK) {
            vm__config_free(copy);
            return NULL;
        }
    }
    return copy;
}

/* ---- JSON ------------------------------------------------------------------------------- */

static int set_json(struct vm_config *cfg, const char *prefix, json_t *value);

static int set_children(struct vm_config *cfg, const char *prefix, json_t *value)
{
    const char *name;
    json_t *child;
    char key[KEY_BYTES];

    json_object_foreach(value, name, child)
    {
        const char *dot = *prefix != '\0' ? "." : "";
        if (snprintf(key, sizeof key, "%s%s%s", prefix, dot, name) >= KEY_BYTES)
            return vm__fail(VM_E_INVAL, "a setting's name is too long: %.40s...", name);
        const int st = set_json(cfg, key, child);
        if (st != VM_OK)
            return st;
    }
    return VM_OK;
}

static int set_elements(struct vm_config *cfg, const char *prefix, json_t *value)
{
    size_t i;
    json_t *child;
    char key[KEY_BYTES];

    json_array_foreach(value, i, child)
    {
        if (snprintf(key, sizeof key, "%s.%zu", prefix, i) >= KEY_BYTES)
            return vm__fail(VM_E_INVAL, "a setting's name is too long: %.40s...", prefix);
        const int st = set_json(cfg, key, child);
        if (st != VM_OK)
            return st;
    }
    return VM_OK;
}

/* Text of a scalar in @p number if it is not a string already; NULL: not a scalar. */
static const char *scalar(json_t *value, char *number, size_t size)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return json_string_value(value);
    case JSON_INTEGER:
        snprintf(number, size, "%lld", (long long)json_integer_value(value));
        return number;
    case JSON_TRUE:
        return "on";
    case JSON_FALSE:
        return "off";
    case JSON_REAL:
    case JSON_NULL:
    case JSON_OBJECT:
    case JSON_ARRAY:
        break;
    }
    return NULL;
}

/* { "class": "x", "a": 1 } is "x,a=1"; a comma in a value is doubled. */
static int set_device(struct vm_config *cfg, const char *key, json_t *value)
{
    char text[1024], number[24];
    const char *name;
    json_t *child;
    const char *cls = json_string_value(json_object_get(value, "class"));
    if (cls == NULL)
        return vm__fail(VM_E_INVAL, "%s: no \"class\"", key);
    size_t n = (size_t)snprintf(text, sizeof text, "%s", cls);

    json_object_foreach(value, name, child)
    {
        if (strcmp(name, "class") == 0)
            continue;
        const char *s = scalar(child, number, sizeof number);
        if (s == NULL)
            return vm__fail(VM_E_INVAL, "%s: %s is no plain value", key, name);
        if (n < sizeof text)
            n += (size_t)snprintf(text + n, sizeof text - n, ",%s=", name);
        for (; *s != '\0' && n + 2 < sizeof text; s++) {
            if (*s == ',')
                text[n++] = ',';
            text[n++] = *s;
        }
        if (*s != '\0' || n + 2 >= sizeof text)
            return vm__fail(VM_E_INVAL, "%s: longer than %zu bytes", key, sizeof text);
        text[n] = '\0';
    }
    return vm__config_set(cfg, key, text);
}

static int set_json(struct vm_config *cfg, const char *key, json_t *value)
{
    char number[24];
    if (json_is_object(value)) {
        if (strncmp(key, "device.", 7) == 0)
            return set_device(cfg, key, value);
        return set_children(cfg, key, value);
    }
    if (json_is_array(value))
        return set_elements(cfg, key, value);
    const char *text = scalar(value, number, sizeof number);
    if (text == NULL)
        return vm__fail(VM_E_INVAL, "%s: not a text, whole number or boolean", key);
    return vm__config_set(cfg, key, text);
}

int vm__config_set_json(struct vm_config *cfg, const char *json)
{
    json_error_t error;
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        return vm__fail(VM_E_INVAL, "JSON line %d: %s", error.line, error.text);
    struct vm_config *copy = NULL;
    int st;
    if (!json_is_object(root)) {
        st = vm__fail(VM_E_INVAL, "JSON: settings are an object");
    } else {
        /* All or nothing: work on a copy, keep it if it went well. */
        copy = vm__config_copy(cfg);
        st = copy != NULL ? set_children(copy, "", root) : VM_E_NOMEM;
    }
    json_decref(root);
    if (st == VM_OK) {
        const struct vm_config old = *cfg;
        cfg->entries = copy->entries;
        cfg->n = copy->n;
        cfg->room = copy->room;
        copy->entries = old.entries;
        copy->n = old.n;
    }
    vm__config_free(copy);
    return st;
}

/* ---- reading ---------------------------------------------------------------------------- */

bool vm__config_known(const struct vm_config *cfg, const char *name)
{
    return find_key(cfg, name) != NULL;
}

const char *vm__config_str(const struct vm_config *cfg, const char *name)
{
    const struct entry *e = find_entry(cfg, name);
    if (e != NULL)
        return e->value;
    const struct vm_key *key = find_key(cfg, name);
    return key != NULL ? key->value : NULL;
}

uint64_t vm__config_u64(const struct vm_config *cfg, const char *name)
{
    const char *text = vm__config_str(cfg, name);
    uint64_t v = 0;
    if (text != NULL)
        (void)vm__parse_u64(text, true, &v);
    return v;
}

bool vm__config_bool(const struct vm_config *cfg, const char *name)
{
    const char *text = vm__config_str(cfg, name);
    bool on = false;
    if (text != NULL)
        (void)vm__parse_bool(text, &on);
    return on;
}

uint32_t vm__config_enum(const struct vm_config *cfg, const char *name)
{
    const struct vm_key *key = find_key(cfg, name);
    const char *text = vm__config_str(cfg, name);
    const int i = key != NULL && text != NULL ? choice(key, text) : 0;
    return i > 0 ? (uint32_t)i : 0;
}

int vm__config_each(const struct vm_config *cfg, const char *prefix,
                    int (*fn)(void *ud, const char *key, const char *value), void *ud)
{
    const size_t len = strlen(prefix);
    for (uint32_t i = 0; i < cfg->n; i++) {
        if (strncmp(cfg->entries[i].name, prefix, len) != 0)
            continue;
        const int st = fn(ud, cfg->entries[i].name, cfg->entries[i].value);
        if (st != 0)
            return st;
    }
    return VM_OK;
}

const struct vm_board_class *vm__config_board(const struct vm_config *cfg)
{
    return cfg->board;
}

const struct vm_cpu_class *vm__config_cpu(const struct vm_config *cfg)
{
    return cfg->cpu;
}

struct vm_ctx *vm__config_ctx(const struct vm_config *cfg)
{
    return cfg->ctx;
}
