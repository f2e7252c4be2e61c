/* SPDX-License-Identifier: MIT */
/**
 * @file net.c
 * Networks: info network, info usernet, set_link, netdev_add, netdev_del, hostfwd_add,
 * hostfwd_remove.
 */
#include <string.h>

#include "base/error.h"
#include "core/net_backend.h"
#include "monitor/monitor.h"

static int run_info_network(struct mon *mon, char *args)
{
    const int st = vm__mon_end(&args);
    struct vm_net *net = NULL;
    while (st == VM_OK && (net = vm__net_next(mon->m, net)) != NULL)
        vm__net_info(net, &mon->out);
    return st;
}

static int run_set_link(struct mon *mon, char *args)
{
    const char *name = vm__mon_need(&args, "the name of a card or a network");
    const char *word = name != NULL ? vm__mon_need(&args, "on or off") : NULL;
    if (word == NULL)
        return vm_last_error()->code;
    struct vm_net *net = vm__net_by_name(mon->m, name);
    if (net == NULL)
        return vm__fail(VM_E_NOENT, "no card or network %.60s; info network lists them", name);
    if (strcmp(word, "on") != 0 && strcmp(word, "off") != 0)
        return vm__fail(VM_E_INVAL, "%.20s is neither on nor off", word);
    vm__net_set_link(net, strcmp(word, "on") == 0);
    return VM_OK;
}

static int run_netdev_add(struct mon *mon, char *args)
{
    const char *text = vm__mon_need(&args, "a network (user,id=n1)");
    return text != NULL ? vm__net_add(mon->m, text) : VM_E_INVAL;
}

static int run_netdev_del(struct mon *mon, char *args)
{
    const char *id = vm__mon_need(&args, "a network's id");
    return id != NULL ? vm__net_remove(mon->m, id) : VM_E_INVAL;
}

/** The network that a command on forwards means: the one it names, or the first that can. */
static int control(struct mon *mon, const char *verb, char *args)
{
    const char *id = vm__mon_need(&args, "a forward (tcp::2222-:22)");
    const char *fwd = id != NULL ? vm__mon_word(&args) : NULL;
    if (id == NULL)
        return VM_E_INVAL;
    struct vm_net *net = NULL;
    if (fwd != NULL) {
        net = vm__net_by_name(mon->m, id);
        if (net == NULL)
            return vm__fail(VM_E_NOENT, "no network %.60s; info network lists them", id);
        return vm__net_control(net, verb, fwd, &mon->out);
    }
    int st = vm__fail(VM_E_NOENT, "there is no user network");
    while (st == VM_E_NOENT || st == VM_E_NOTSUP) {
        net = vm__net_next(mon->m, net);
        if (net == NULL)
            break;
        st = vm__net_control(net, verb, id, &mon->out);
        if (st == VM_E_NOENT)
            break;
    }
    return st;
}

static int run_hostfwd_add(struct mon *mon, char *args)
{
    return control(mon, "hostfwd_add", args);
}

static int run_hostfwd_remove(struct mon *mon, char *args)
{
    return control(mon, "hostfwd_remove", args);
}

static int run_info_usernet(struct mon *mon, char *args)
{
    const int st = vm__mon_end(&args);
    struct vm_net *net = NULL;
    while (st == VM_OK && (net = vm__net_next(mon->m, net)) != NULL)
        (void)vm__net_control(net, "usernet", "", &mon->out); /* others have none to tell */
    return st;
}

const struct mon_command vm__mon_net[] = {
    { "set_link", NULL, "NAME on|off", "plug a network cable in or pull it out", 0, run_set_link },
    { "netdev_add", NULL, "KIND,id=ID,...", "add a network", 0, run_netdev_add },
    { "netdev_del", NULL, "ID", "take a network away", 0, run_netdev_del },
    { "hostfwd_add", NULL, "[ID] tcp:ADDR:PORT-ADDR:PORT", "forward a port of the host", 0,
      run_hostfwd_add },
    { "hostfwd_remove", NULL, "[ID] tcp:ADDR:PORT", "end a forward", 0, run_hostfwd_remove },
    { 0 },
};

const struct mon_command vm__mon_info_net[] = {
    { "network", NULL, NULL, "network cards and what they are connected to", 0, run_info_network },
    { "usernet", NULL, NULL, "connections of user networks", 0, run_info_usernet },
    { 0 },
};
