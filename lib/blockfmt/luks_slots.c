/* SPDX-License-Identifier: MIT */
/**
 * @file luks_slots.c
 * Passwords of a LUKS header: added to a free slot, taken away from theirs.
 *
 * The last active slot is never given up, and no active slot is written over: without the master
 * key the data is lost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/options.h"
#include "blockfmt/crypto_io.h"
#include "blockfmt/luks.h"
#include "blockfmt/luks_impl.h"
#include "host/thread.h"

enum { DEFAULT_MS = 2000, WIPES = 4 };

/** What to do, as the options say it. */
struct change {
    bool active;
    const char *new_secret, *old_secret;
    uint64_t slot, ms; /**< slot VM_LUKS_SLOTS: not given */
};

static const char *full(char *buf, size_t room, const char *prefix, const char *name)
{
    (void)snprintf(buf, room, "%s%s", prefix, name);
    return buf;
}

static int read_change(struct change *c, struct vm_blk_options *o, const char *prefix)
{
    static const char *const states[] = { "active", "inactive", NULL };
    char name[64];
    uint32_t state = 2;
    *c = (struct change) { .slot = VM_LUKS_SLOTS, .ms = DEFAULT_MS };
    int st = vm__opt_enum(o, full(name, sizeof name, prefix, "state"), states, &state);
    if (st == VM_OK)
        st = vm__opt_u64(o, full(name, sizeof name, prefix, "keyslot"), &c->slot);
    if (st == VM_OK)
        st = vm__opt_u64(o, full(name, sizeof name, prefix, "iter-time"), &c->ms);
    c->new_secret = vm__opt_str(o, full(name, sizeof name, prefix, "new-secret"));
    c->old_secret = vm__opt_str(o, full(name, sizeof name, prefix, "old-secret"));
    c->active = state == 0;
    if (st != VM_OK)
        return st;
    if (state == 2)
        return vm__fail(VM_E_INVAL, "Parameter '%sstate' is missing", prefix);
    if (vm__opt_has(o, full(name, sizeof name, prefix, "keyslot")) && c->slot >= VM_LUKS_SLOTS)
        return vm__fail(VM_E_INVAL, "Invalid keyslot %llu specified, must be between 0 and %d",
                        (unsigned long long)c->slot, VM_LUKS_SLOTS - 1);
    return VM_OK;
}

static int active_count(const struct vm_luks *l)
{
    int n = 0;
    for (int i = 0; i < VM_LUKS_SLOTS; i++)
        n += l->slots[i].active;
    return n;
}

static int add(struct vm_luks *l, const struct vm_luks_place *p, struct vm_blk_env *env,
               const struct change *c)
{
    uint64_t slot = c->slot;
    uint8_t *password;
    size_t len;
    if (c->new_secret == NULL)
        return vm__fail(VM_E_INVAL, "'new-secret' is required to activate a keyslot");
    if (c->old_secret != NULL)
        return vm__fail(VM_E_INVAL, "'old-secret' must not be given when activating keyslots");
    for (int i = 0; slot == VM_LUKS_SLOTS && i < VM_LUKS_SLOTS; i++)
        if (!l->slots[i].active)
            slot = (uint64_t)i;
    if (slot == VM_LUKS_SLOTS)
        return vm__fail(VM_E_NOSPC, "Can't add a keyslot - all keyslots are in use");
    if (l->slots[slot].active)
        return vm__fail(VM_E_BUSY,
                        "Refusing to overwrite active keyslot %u - please erase it first",
                        (unsigned)slot);
    int st = vm__crypt_password(env, c->new_secret, &password, &len);
    if (st != VM_OK)
        return st;
    st = vm__luks_set_slot(l, p, (int)slot, password, len, c->ms);
    vm__wipe(password, len);
    free(password);
    return st;
}

/** Out of the header first: a cut of the power leaves no active slot without its key material. */
static int erase(struct vm_luks *l, const struct vm_luks_place *p, int slot)
{
    struct vm_luks_slot *s = &l->slots[slot];
    size_t bytes = ((size_t)l->key_bytes * s->stripes + VM_CRYPT_SECTOR - 1) / VM_CRYPT_SECTOR *
                   VM_CRYPT_SECTOR;
    uint8_t *junk = malloc(bytes);
    int st = junk != NULL ? VM_OK : vm__fail_nomem(bytes);
    s->active = false;
    s->iterations = 0;
    memset(s->salt, 0, sizeof s->salt);
    if (st == VM_OK)
        st = vm__luks_write(l, p);
    for (int i = 0; st == VM_OK && i < WIPES; i++) {
        for (size_t at = 0; at < bytes; at += 65536)
            (void)vm__host_random(junk + at, bytes - at < 65536 ? bytes - at : 65536);
        st = vm__blk_write(p->file, p->at + s->at, junk, bytes);
        if (st == VM_OK)
            st = vm__blk_flush(p->file, 0);
    }
    free(junk);
    return st;
}

/** Every slot that the old password opens. */
static int remove_password(struct vm_luks *l, const struct vm_luks_place *p, struct vm_blk_env *env,
                           const char *secret)
{
    struct vm_luks left = *l;
    uint8_t *password, key[VM_CRYPT_MAX_KEY];
    size_t len;
    bool found[VM_LUKS_SLOTS] = { false };
    int slot, n = 0, st = vm__crypt_password(env, secret, &password, &len);
    if (st != VM_OK)
        return st;
    while ((st = vm__luks_find_slot(&left, p, password, len, key, &slot)) == VM_OK) {
        found[slot] = true;
        left.slots[slot].active = false;
        n++;
    }
    vm__wipe(password, len);
    free(password);
    vm__wipe(key, sizeof key);
    vm__wipe(left.key, sizeof left.key);
    if (st != VM_E_PERM)
        return st;
    if (n == 0)
        return vm__fail(VM_E_PERM, "No keyslots match given (old) password for erase operation");
    if (n == active_count(l))
        return vm__fail(VM_E_PERM, "All the active keyslots match the (old) password that was "
                                   "given and erasing them will erase all the data in the image "
                                   "irreversibly - refusing operation");
    st = VM_OK;
    for (int i = 0; st == VM_OK && i < VM_LUKS_SLOTS; i++)
        if (found[i])
            st = erase(l, p, i);
    return st;
}

static int take_away(struct vm_luks *l, const struct vm_luks_place *p, struct vm_blk_env *env,
                     const struct change *c)
{
    if (c->new_secret != NULL)
        return vm__fail(VM_E_INVAL, "'new-secret' must not be given when erasing keyslots");
    if (c->slot == VM_LUKS_SLOTS)
        return c->old_secret != NULL
                   ? remove_password(l, p, env, c->old_secret)
                   : vm__fail(VM_E_INVAL, "To erase keyslot(s), either explicit keyslot index or "
                                          "the password currently contained in them must be given");
    if (c->old_secret != NULL) {
        struct vm_luks only = *l;
        uint8_t *password, key[VM_CRYPT_MAX_KEY];
        size_t len;
        int found;
        for (int i = 0; i < VM_LUKS_SLOTS; i++)
            only.slots[i].active = only.slots[i].active && i == (int)c->slot;
        int st = vm__crypt_password(env, c->old_secret, &password, &len);
        if (st == VM_OK) {
            st = vm__luks_find_slot(&only, p, password, len, key, &found);
            vm__wipe(password, len);
            free(password);
        }
        vm__wipe(key, sizeof key);
        vm__wipe(only.key, sizeof only.key);
        if (st != VM_OK)
            return st == VM_E_PERM ? vm__fail(st,
                                              "This keyslot %u doesn't contain the given (old) "
                                              "password",
                                              (unsigned)c->slot)
                                   : st;
    }
    if (!l->slots[c->slot].active)
        return vm__fail(VM_E_INVAL, "Given keyslot %u is already erased (inactive)",
                        (unsigned)c->slot);
    if (active_count(l) == 1)
        return vm__fail(VM_E_PERM,
                        "Attempt to erase the only active keyslot %u which will erase "
                        "all the data in the image irreversibly - refusing operation",
                        (unsigned)c->slot);
    return erase(l, p, (int)c->slot);
}

int vm__luks_amend(struct vm_luks *l, const struct vm_luks_place *p, struct vm_blk_env *env,
                   struct vm_blk_options *o, const char *prefix)
{
    struct change c;
    int st = read_change(&c, o, prefix);
    if (st != VM_OK)
        return st;
    if (l->sectors == NULL)
        return vm__fail(VM_E_STATE, "The image was opened without its key");
    return c.active ? add(l, p, env, &c) : take_away(l, p, env, &c);
}
