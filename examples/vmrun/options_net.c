/* SPDX-License-Identifier: MIT */
/**
 * @file options_net.c
 * Options for networks: -nic, -netdev, -net.
 *
 * Networks become keys "netdev.N", cards "nic.N" of the configuration; the library checks them.
 * -net joins all that it names at one hub; of one card and one network, it joins the two.
 */
#include <stdlib.h>
#include <string.h>

#include "opts.h"
#include "vmrun.h"

enum { PIECE_BYTES = 4096, TEXT_BYTES = 8192 };

/* ---- lists -------------------------------------------------------------------------------- */

/** The next item of a comma list, doubled commas kept. False: there is none. */
static bool next_piece(const char **at, char *piece, size_t size)
{
    const char *from = *at;
    size_t n = 0;
    if (from == NULL)
        return false;
    for (; *from != '\0' && n + 2 < size; from++) {
        if (from[0] == ',' && from[1] != ',')
            break;
        if (from[0] == ',')
            piece[n++] = *from++;
        piece[n++] = *from;
    }
    piece[n] = '\0';
    *at = *from == ',' ? from + 1 : NULL;
    return true;
}

/** Is @p piece "name=…"? Its value, or NULL. */
static const char *value_of(const char *piece, const char *name)
{
    const size_t n = strlen(name);
    return strncmp(piece, name, n) == 0 && piece[n] == '=' ? piece + n + 1 : NULL;
}

static bool append(char *text, size_t size, const char *piece)
{
    const size_t n = strlen(text), m = strlen(piece);
    if (n + m + 2 > size)
        return false;
    if (n != 0)
        text[n] = ',';
    memcpy(text + n + (n != 0), piece, m + 1);
    return true;
}

/* ---- what there is ------------------------------------------------------------------------ */

struct found {
    const char *name;
    bool hit;
};

static int match(void *ud, const char *name, const char *summary)
{
    struct found *f = ud;
    (void)summary;
    f->hit |= strcmp(f->name, name) == 0;
    return 0;
}

static bool has(struct parse *p, int list, const char *name)
{
    struct found f = { .name = name };
    return vm_list(p->ctx, list, match, &f) == VM_OK && f.hit;
}

/** QEMU's short names of cards. */
static const struct {
    const char *model, *device;
} models[] = {
    { "e1000", "e1000" },
    { "rtl8139", "rtl8139" },
    { "virtio", "virtio-net-pci" },
    { "e1000-82540em", "e1000" },
    { "virtio-net-pci", "virtio-net-pci" },
};
enum { N_MODELS = sizeof models / sizeof models[0], N_SHOWN = 3 };

static bool model_help(struct parse *p)
{
    puts("Network cards:");
    for (unsigned i = 0; i < N_SHOWN; i++)
        if (has(p, VM_LIST_DEVICES, models[i].device))
            printf("  %s\n", models[i].model);
    p->done = true;
    return true;
}

/** NULL after a line. */
static const char *find_model(struct parse *p, const char *option, const char *name)
{
    const char *names[N_MODELS];
    size_t n = 0;
    for (unsigned i = 0; i < N_MODELS; i++) {
        if (!has(p, VM_LIST_DEVICES, models[i].device))
            continue;
        if (strcmp(models[i].model, name) == 0)
            return models[i].device;
        names[n++] = models[i].model;
    }
    const char *near = nearest(name, names, n);
    if (near != NULL)
        say("%s: no network card %s; did you mean %s?", option, name, near);
    else
        say("%s: no network card %s; model=help lists them", option, name);
    return NULL;
}

static const char *default_model(struct parse *p)
{
    for (unsigned i = 0; i < N_SHOWN; i++)
        if (has(p, VM_LIST_DEVICES, models[i].device))
            return models[i].device;
    return NULL;
}

/* ---- keys --------------------------------------------------------------------------------- */

static bool add_net(struct parse *p, const char *option, const char *text)
{
    char key[32];
    (void)snprintf(key, sizeof key, "netdev.%u", p->o->n_netdevs++);
    return set_key(p, option, key, text);
}

static bool add_card(struct parse *p, const char *option, const char *text)
{
    char key[32];
    (void)snprintf(key, sizeof key, "nic.%u", p->o->n_nics++);
    return set_key(p, option, key, text);
}

/** A guestfwd to one of vmrun's backends goes through a channel of the guest's. */
static bool guestfwd(struct parse *p, const char *option, const char *piece, char *out, size_t size)
{
    const char *text = value_of(piece, "guestfwd");
    const char *target = text != NULL ? strchr(text, '-') : NULL;
    char id[CHR_ID_BYTES];
    if (target == NULL || strncmp(target, "-cmd:", 5) == 0 || strncmp(target, "-unix:", 6) == 0) {
        (void)snprintf(out, size, "%s", piece);
        return true;
    }
    (void)snprintf(id, sizeof id, "guestfwd%u", p->o->n_guestfwd++);
    (void)snprintf(out, size, "guestfwd=%.*s-chr:%s", (int)(target - text), text, id);
    if (strncmp(target, "-chardev:", 9) == 0)
        return add_wire(p, option, WIRE_GUEST, id, target + 9);
    return add_chr(p, option, target + 1, id) && add_wire(p, option, WIRE_GUEST, id, id);
}

/** One item of a network's list. */
static bool net_piece(struct parse *p, const char *option, const char *piece, char *net)
{
    char text[PIECE_BYTES];
    if (!guestfwd(p, option, piece, text, sizeof text))
        return false;
    if (append(net, TEXT_BYTES, text))
        return true;
    say("%s: too long", option);
    return false;
}

/** Settings of a card in its short forms. False: this is none of them. */
static bool card_piece(const char *piece, char *card)
{
    static const char *const same[] = { "mac", "bootindex", "romfile", "addr", NULL };
    char text[PIECE_BYTES];
    const char *mac = value_of(piece, "macaddr");
    if (mac != NULL) {
        (void)snprintf(text, sizeof text, "mac=%s", mac);
        return append(card, TEXT_BYTES, text);
    }
    for (unsigned i = 0; same[i] != NULL; i++)
        if (value_of(piece, same[i]) != NULL)
            return append(card, TEXT_BYTES, piece);
    return false;
}

/* ---- -nic --------------------------------------------------------------------------------- */

static bool nic(struct parse *p, const char *arg)
{
    char piece[PIECE_BYTES], net[TEXT_BYTES] = "", card[TEXT_BYTES] = "", id[64] = "";
    char text[2 * TEXT_BYTES];
    const char *model = default_model(p), *at = arg, *v;
    bool first = true;
    while (next_piece(&at, piece, sizeof piece)) {
        if (first && strchr(piece, '=') != NULL)
            (void)append(net, sizeof net, "user");
        first = false;
        if ((v = value_of(piece, "model")) != NULL) {
            if (strcmp(v, "help") == 0)
                return model_help(p);
            model = find_model(p, "-nic", v);
            if (model == NULL)
                return false;
        } else if ((v = value_of(piece, "id")) != NULL) {
            (void)snprintf(id, sizeof id, "%.63s", v);
        } else if (!card_piece(piece, card) && !net_piece(p, "-nic", piece, net)) {
            return false;
        }
    }
    if (model == NULL) {
        say("-nic %s: this library was built without network cards", arg);
        return false;
    }
    if (id[0] == '\0')
        (void)snprintf(id, sizeof id, "#net%u", p->o->n_netdevs);
    (void)snprintf(text, sizeof text, "%s,id=%s", net, id);
    if (!add_net(p, "-nic", text))
        return false;
    (void)snprintf(text, sizeof text, "%s,netdev=%s%s%s", model, id, card[0] != '\0' ? "," : "",
                   card);
    return add_card(p, "-nic", text);
}

static bool opt_nic(struct parse *p, const char *arg)
{
    p->o->net_said = true;
    return strcmp(arg, "none") == 0 || nic(p, arg);
}

/* ---- -netdev ------------------------------------------------------------------------------ */

static bool opt_netdev(struct parse *p, const char *arg)
{
    char piece[PIECE_BYTES], net[TEXT_BYTES] = "";
    const char *at = arg;
    bool has_id = false;
    p->o->net_said = true;
    if (strcmp(arg, "help") == 0 || strcmp(arg, "?") == 0) {
        p->done = true;
        return vm_list(p->ctx, VM_LIST_NETS, print_row, NULL) == VM_OK || say_last("-netdev");
    }
    if (strcmp(arg, "none") == 0)
        return true;
    while (next_piece(&at, piece, sizeof piece)) {
        has_id |= value_of(piece, "id") != NULL;
        if (!net_piece(p, "-netdev", piece, net))
            return false;
    }
    if (!has_id) {
        say("-netdev %s: id= is missing", arg);
        return false;
    }
    return add_net(p, "-netdev", net);
}

/* ---- -net --------------------------------------------------------------------------------- */

static bool remember(struct parse *p, const char *arg, bool card, const char *text)
{
    struct options *o = p->o;
    if (o->n_nets == MAX_NETS) {
        say("-net %s: more than %d of them", arg, MAX_NETS);
        return false;
    }
    struct net_wish *w = &o->nets[o->n_nets++];
    w->card = card;
    w->text = strdup(text);
    return w->text != NULL;
}

static bool net_nic(struct parse *p, const char *arg)
{
    char piece[PIECE_BYTES], card[TEXT_BYTES] = "", text[2 * TEXT_BYTES];
    const char *model = default_model(p), *at = strchr(arg, ','), *v;
    bool joined = false;
    at = at != NULL ? at + 1 : NULL;
    while (next_piece(&at, piece, sizeof piece)) {
        if ((v = value_of(piece, "model")) != NULL) {
            if (strcmp(v, "help") == 0)
                return model_help(p);
            model = find_model(p, "-net nic", v);
            if (model == NULL)
                return false;
        } else if (value_of(piece, "netdev") != NULL) {
            joined = append(card, sizeof card, piece);
        } else if ((v = value_of(piece, "name")) != NULL) {
            (void)snprintf(text, sizeof text, "id=%s", v);
            (void)append(card, sizeof card, text);
        } else if (value_of(piece, "vectors") == NULL && !card_piece(piece, card)) {
            say("-net %s: a card has no setting %s", arg, piece);
            return false;
        }
    }
    if (model == NULL) {
        say("-net %s: this library was built without network cards", arg);
        return false;
    }
    (void)snprintf(text, sizeof text, "%s%s%s", model, card[0] != '\0' ? "," : "", card);
    return joined ? add_card(p, "-net", text) : remember(p, arg, true, text);
}

static bool opt_net(struct parse *p, const char *arg)
{
    char piece[PIECE_BYTES], net[TEXT_BYTES] = "";
    const char *at = arg;
    p->o->net_said = true;
    if (strcmp(arg, "none") == 0)
        return true;
    if (strcmp(arg, "nic") == 0 || strncmp(arg, "nic,", 4) == 0)
        return net_nic(p, arg);
    while (next_piece(&at, piece, sizeof piece)) {
        /* "name" is what -netdev calls "id" */
        const char *name = value_of(piece, "name");
        char text[PIECE_BYTES + 8];
        (void)snprintf(text, sizeof text, "%s%s", name != NULL ? "id=" : "",
                       name != NULL ? name : piece);
        if (!net_piece(p, "-net", text, net))
            return false;
    }
    return remember(p, arg, false, net);
}

/** The id in a network's text, or one that is put there. */
static bool give_id(const char *text, unsigned n, char *out, size_t size, char *id, size_t id_size)
{
    char piece[PIECE_BYTES];
    const char *at = text;
    while (next_piece(&at, piece, sizeof piece)) {
        const char *v = value_of(piece, "id");
        if (v != NULL) {
            (void)snprintf(id, id_size, "%.63s", v);
            return snprintf(out, size, "%s", text) < (int)size;
        }
    }
    (void)snprintf(id, id_size, "#net%u", n);
    return snprintf(out, size, "%s,id=%s", text, id) < (int)size;
}

/** Every -net: at a port of the hub, or, if there are but two, at each other. */
static bool join_nets(struct parse *p)
{
    const struct options *o = p->o;
    char text[TEXT_BYTES + 128], id[64], last[64] = "";
    const bool pair = o->n_nets == 2 && o->nets[0].card != o->nets[1].card;
    for (unsigned i = 0; i < o->n_nets; i++) {
        if (o->nets[i].card)
            continue;
        if (!give_id(o->nets[i].text, o->n_netdevs, text, sizeof text, last, sizeof last) ||
            !add_net(p, "-net", text))
            return false;
        (void)snprintf(text, sizeof text, "hubport,hubid=0,netdev=%s,id=#hub%u", last, i);
        if (!pair && !add_net(p, "-net", text))
            return false;
    }
    for (unsigned i = 0; i < o->n_nets; i++) {
        if (!o->nets[i].card)
            continue;
        (void)snprintf(id, sizeof id, "%s", last);
        if (!pair) {
            (void)snprintf(id, sizeof id, "#hub%u", i);
            (void)snprintf(text, sizeof text, "hubport,hubid=0,id=%s", id);
            if (!add_net(p, "-net", text))
                return false;
        }
        (void)snprintf(text, sizeof text, "%s,netdev=%s", o->nets[i].text, id);
        if (!add_card(p, "-net", text))
            return false;
    }
    return true;
}

/** -object filter-dump,id=F,netdev=ID,file=PATH[,maxlen=N]; there are no other objects here. */
static bool opt_object(struct parse *p, const char *arg)
{
    static const char *const names[] = { "qom-type", "id", "netdev", "file", "maxlen", NULL };
    struct opts o;
    char key[32], text[TEXT_BYTES] = "";
    if (!opts_parse(&o, "-object", arg, "qom-type", names))
        return false;
    const char *kind = opts_get(&o, "qom-type"), *file = opts_get(&o, "file");
    const char *net = opts_get(&o, "netdev"), *most = opts_get(&o, "maxlen");
    bool ok = kind != NULL && strcmp(kind, "filter-dump") == 0;
    if (!ok)
        say("-object %s: there is filter-dump only", arg);
    if (ok && (file == NULL || net == NULL)) {
        say("-object %s: file= and netdev= are needed", arg);
        ok = false;
    }
    /* A name of a file begins the list: its commas are doubled as values' are. */
    ok = ok && opts_append(text, sizeof text, "", file) &&
         opts_append(text, sizeof text, "netdev", net) &&
         (most == NULL || opts_append(text, sizeof text, "maxlen", most));
    (void)snprintf(key, sizeof key, "netdump.%u", p->o->n_dumps++);
    ok = ok && set_key(p, "-object", key, text + 1);
    opts_free(&o);
    return ok;
}

bool net_defaults(struct parse *p)
{
    const struct options *o = p->o;
    char mode[16] = "";
    size_t len = sizeof mode;
    if (!join_nets(p))
        return false;
    /* A run that can be repeated has no network unless it is asked for: hosts' packets cannot. */
    const bool icount =
        vm_config_get(p->cfg, "clock.mode", mode, &len) == VM_OK && strcmp(mode, "icount") == 0;
    if (o->net_said || o->nodefaults || icount || default_model(p) == NULL ||
        !has(p, VM_LIST_NETS, "user"))
        return true;
    return nic(p, "user");
}

static const struct option rows[] = {
    { "-nic", "KIND[,model=CARD]", NULL, opt_nic,
      "a network and its card: user,hostfwd=tcp::2222-:22; none; model=help lists cards" },
    { "-netdev", "KIND,id=ID,...", NULL, opt_netdev,
      "a network, for a card's netdev property; help lists kinds" },
    { "-net", "KIND,...", NULL, opt_net, "the older way: nic,model=CARD and user, at one hub" },
    { "-object", "filter-dump,...", NULL, opt_object,
      "a record of a network, for Wireshark: netdev=ID,file=PATH" },
    { 0 },
};

const struct option_group options_net = { "Network", rows };
