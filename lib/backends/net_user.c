/* SPDX-License-Identifier: MIT */
/**
 * @file net_user.c
 * The user network: a router, DHCP, DNS and TFTP server in this process, and connections of the
 * guest as sockets of this process; by libslirp.
 *
 * libslirp's parsers get nothing but ARP and IP, whole packets of bounded length with complete
 * checksums (packets that the guest itself cut into fragments are lost), and it is never entered
 * twice at a time. A guest that opens more sockets than SOCKETS_MOST is not
 * given new ones until others end: descriptors belong to the whole process.
 *
 * Not saved with the machine: what goes through connections of a machine that was restored ends.
 */
#include "backends/net_user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/endian.h"
#include "base/error.h"
#include "core/chr.h"
#include "core/config.h"
#include "core/machine.h"
#include "core/net_packet.h"

enum {
    SOCKETS_MOST = 900, /* below the customary limit of 1024 descriptors */
    SEARCH_MOST = 16,
    ETHER_ARP = 0x0806,
    ETHER_IP4 = 0x0800,
    ETHER_IP6 = 0x86dd,
    IP_MOST = 14 + 65535,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    TCP_SYN = 0x02,
    TCP_ACK = 0x10,
    PORT_DHCP = 67,
};

/* A guestfwd that leads to a channel. */
struct user_guestfwd {
    struct user_guestfwd *next;
    struct user *u;
    struct vm_chr *chr;
    struct in_addr addr;
    int port;
};

/* ---- frames of the guest ------------------------------------------------------------------ */

/** It may make libslirp open another socket. */
static bool opens(const uint8_t *f, size_t len)
{
    struct vm_net_packet p;
    if (!vm__net_parse(f, len, &p))
        return false;
    if (p.proto == PROTO_TCP)
        return (f[p.l4 + 13] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
    return p.proto != PROTO_UDP || vm_be16(f + p.l4 + 2) != PORT_DHCP;
}

/** IPv4 with options, or a piece of a packet. libslirp 4.7 puts pieces together in a way that
 *  garbage makes it follow pointers out of packets; it gets none. */
static bool is_unsafe(const uint8_t *f, size_t len)
{
    enum { IP = 14, FRAGMENT = 0x3fff };
    return len >= IP + 20 && vm_be16(f + 12) == ETHER_IP4 &&
           (f[IP] != 0x45 || (vm_be16(f + IP + 6) & FRAGMENT) != 0);
}

static bool user_send(void *opaque, const struct vm_net_frame *frame)
{
    struct user *u = opaque;
    if (u->inside) {
        u->refused = true;
        return false;
    }
    uint8_t *own = NULL;
    const uint8_t *f = vm__net_flat(u->net, frame);
    if (f == NULL || frame->len > IP_MOST)
        return true;
    const uint16_t type = vm_be16(f + 12);
    if ((type != ETHER_ARP && type != ETHER_IP4 && type != ETHER_IP6) || is_unsafe(f, frame->len) ||
        (u->n_sockets >= SOCKETS_MOST && opens(f, frame->len)))
        return true;
    if (frame->meta.flags & VM_NET_NEEDS_CSUM) {
        own = malloc(frame->len);
        if (own == NULL)
            return true;
        memcpy(own, f, frame->len);
        vm__net_complete(own, frame->len, &frame->meta);
        f = own;
    }
    vm__user_enter(u);
    slirp_input(u->slirp, f, (int)frame->len);
    vm__user_leave(u);
    free(own);
    return true;
}

/* ---- addresses and forwards --------------------------------------------------------------- */

static int parse_addr(const char *what, const char *text, struct in_addr *out)
{
    if (inet_aton(text, out) == 0)
        return vm__fail(VM_E_INVAL, "%s: %s is not an IPv4 address", what, text);
    return VM_OK;
}

static int parse_port(const char *what, const char *text, bool may_be_zero, int *port)
{
    uint64_t v;
    if (vm__parse_u64(text, false, &v) != VM_OK || v > 65535 || (v == 0 && !may_be_zero))
        return vm__fail(VM_E_INVAL, "%s: %s is not a port", what, text);
    *port = (int)v;
    return VM_OK;
}

/** The text up to @p end, and on behind it. False: there is no @p end. */
static bool cut(const char **at, char end, char *piece, size_t size)
{
    const char *stop = strchr(*at, end);
    if (stop == NULL || (size_t)(stop - *at) >= size)
        return false;
    memcpy(piece, *at, (size_t)(stop - *at));
    piece[stop - *at] = '\0';
    *at = stop + 1;
    return true;
}

struct forward {
    bool udp;
    struct in_addr host, guest;
    int host_port, guest_port;
};

static int bad_forward(const char *text)
{
    return vm__fail(VM_E_INVAL,
                    "hostfwd %s: [tcp|udp]:[ADDRESS]:PORT-[GUESTADDRESS]:PORT is expected", text);
}

static int parse_proto(const char *what, const char *proto, bool *udp)
{
    if (*proto != '\0' && strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0)
        return vm__fail(VM_E_INVAL, "%s: %s is neither tcp nor udp", what, proto);
    *udp = strcmp(proto, "udp") == 0;
    return VM_OK;
}

/** "tcp:127.0.0.1:2222-10.0.2.15:22"; without the guest's half to remove one. */
static int parse_forward(const char *text, bool whole, struct forward *fwd)
{
    char proto[8], host[64], port[8];
    const char *at = text;
    *fwd = (struct forward) { .host.s_addr = INADDR_ANY };
    if (!cut(&at, ':', proto, sizeof proto) || !cut(&at, ':', host, sizeof host))
        return bad_forward(text);
    int st = parse_proto("hostfwd", proto, &fwd->udp);
    if (st == VM_OK && host[0] != '\0')
        st = parse_addr("hostfwd", host, &fwd->host);
    if (st != VM_OK || !whole)
        return st == VM_OK ? parse_port("hostfwd", at, true, &fwd->host_port) : st;
    if (!cut(&at, '-', port, sizeof port) || !cut(&at, ':', host, sizeof host))
        return bad_forward(text);
    st = parse_port("hostfwd", port, true, &fwd->host_port);
    if (st == VM_OK && host[0] != '\0')
        st = parse_addr("hostfwd", host, &fwd->guest);
    return st == VM_OK ? parse_port("hostfwd", at, false, &fwd->guest_port) : st;
}

static int add_hostfwd(struct user *u, const char *text)
{
    struct forward fwd;
    int st = parse_forward(text, true, &fwd);
    if (st != VM_OK)
        return st;
    if (slirp_add_hostfwd(u->slirp, fwd.udp, fwd.host, fwd.host_port, fwd.guest, fwd.guest_port) <
        0)
        return vm__fail_os(errno == EADDRINUSE ? VM_E_BUSY : VM_E_IO, errno,
                           "hostfwd %s: port %d of the host", text, fwd.host_port);
    return VM_OK;
}

static int remove_hostfwd(struct user *u, const char *text)
{
    struct forward fwd;
    int st = parse_forward(text, false, &fwd);
    if (st != VM_OK)
        return st;
    if (slirp_remove_hostfwd(u->slirp, fwd.udp, fwd.host, fwd.host_port) < 0)
        return vm__fail(VM_E_NOENT, "no such forward: %s", text);
    return VM_OK;
}

/* ---- guestfwd: a service of the guest's network ------------------------------------------- */

static ssize_t fwd_write(const void *buf, size_t len, void *opaque)
{
    struct user_guestfwd *g = opaque;
    return (ssize_t)vm__chr_write(g->chr, buf, len);
}

static size_t fwd_can_receive(void *opaque)
{
    const struct user_guestfwd *g = opaque;
    return g->u->inside ? 0 : slirp_socket_can_recv(g->u->slirp, g->addr, g->port);
}

static void fwd_receive(void *opaque, const uint8_t *buf, size_t len)
{
    const struct user_guestfwd *g = opaque;
    vm__user_enter(g->u);
    slirp_socket_recv(g->u->slirp, g->addr, g->port, buf, (int)len);
    vm__user_leave(g->u);
}

static const struct vm_chr_guest_ops fwd_ops = { .can_receive = fwd_can_receive,
                                                 .receive = fwd_receive };

static int add_fwd_channel(struct user *u, const char *id, struct in_addr addr, int port)
{
    struct user_guestfwd *g = calloc(1, sizeof *g);
    if (g == NULL)
        return vm__fail_nomem(sizeof *g);
    *g = (struct user_guestfwd) { .u = u, .addr = addr, .port = port };
    g->chr = vm__chr_get(u->m, id);
    int st = g->chr != NULL ? vm__chr_attach_guest(g->chr, &fwd_ops, g) : VM_E_NOMEM;
    if (st != VM_OK) {
        free(g);
        return st;
    }
    g->next = u->fwd;
    u->fwd = g;
    if (slirp_add_guestfwd(u->slirp, fwd_write, g, &g->addr, port) < 0)
        return vm__fail(VM_E_INVAL, "guestfwd: the network has no such address and port to give");
    return VM_OK;
}

/** "tcp:10.0.2.100:1234-cmd:COMMAND", "-unix:PATH", "-chr:CHANNEL" */
static int add_guestfwd(struct user *u, const char *text)
{
    char proto[8], host[64], port_text[8];
    const char *at = text;
    struct in_addr addr;
    bool udp = false;
    int port = 0;
    if (!cut(&at, ':', proto, sizeof proto) || !cut(&at, ':', host, sizeof host) ||
        !cut(&at, '-', port_text, sizeof port_text))
        return vm__fail(VM_E_INVAL, "guestfwd %s: [tcp]:ADDRESS:PORT-TARGET is expected", text);
    int st = parse_proto("guestfwd", proto, &udp);
    if (st == VM_OK && udp)
        st = vm__fail(VM_E_INVAL, "guestfwd: there is tcp only");
    if (st == VM_OK)
        st = parse_addr("guestfwd", host, &addr);
    if (st == VM_OK)
        st = parse_port("guestfwd", port_text, false, &port);
    if (st != VM_OK)
        return st;
    int made = 0;
    if (strncmp(at, "cmd:", 4) == 0)
        made = slirp_add_exec(u->slirp, at + 4, &addr, port);
    else if (strncmp(at, "unix:", 5) == 0)
        made = slirp_add_unix(u->slirp, at + 5, &addr, port);
    else if (strncmp(at, "chr:", 4) == 0)
        return add_fwd_channel(u, at + 4, addr, port);
    else
        return vm__fail(VM_E_INVAL, "guestfwd %s: cmd:, unix: or chr: is expected behind the port",
                        text);
    if (made < 0)
        return vm__fail(VM_E_INVAL, "guestfwd %s: the network has no such address and port to give",
                        text);
    return VM_OK;
}

/* ---- the monitor -------------------------------------------------------------------------- */

static void user_info(void *opaque, struct vm_buf *out)
{
    const struct user *u = opaque;
    vm__buf_printf(out, "user: %s", u->about);
}

static int user_control(void *opaque, const char *verb, const char *arg, struct vm_buf *out)
{
    struct user *u = opaque;
    if (u->inside)
        return vm__fail(VM_E_BUSY, "the network is at work");
    int st = VM_OK;
    vm__user_enter(u);
    if (strcmp(verb, "hostfwd_add") == 0) {
        st = add_hostfwd(u, arg);
    } else if (strcmp(verb, "hostfwd_remove") == 0) {
        st = remove_hostfwd(u, arg);
    } else if (strcmp(verb, "usernet") == 0) {
        char *text = slirp_connection_info(u->slirp);
        vm__buf_printf(out, "%s:\n%s", vm__net_id(u->net), text != NULL ? text : "");
        free(text);
    } else {
        st = vm__fail(VM_E_NOTSUP, "a user network has no %s", verb);
    }
    vm__user_leave(u);
    return st;
}

/* ---- life --------------------------------------------------------------------------------- */

static void user_close(void *opaque)
{
    struct user *u = opaque;
    if (u->slirp != NULL) {
        u->inside = true;
        slirp_cleanup(u->slirp);
    }
    while (u->fwd != NULL) {
        struct user_guestfwd *g = u->fwd;
        u->fwd = g->next;
        vm__chr_detach_guest(g->chr);
        free(g);
    }
    vm__user_loop_fini(u);
    free(u);
}

static void user_room(void *opaque)
{
    (void)opaque; /* TCP sends again what was dropped */
}

static const struct vm_net_host_ops ops = {
    .send = user_send,
    .room = user_room,
    .info = user_info,
    .control = user_control,
    .close = user_close,
};

/* What the settings become; text stays the spec's. */
struct plan {
    SlirpConfig cfg;
    const char *search[SEARCH_MOST + 1];
    unsigned prefix; /* bits of the IPv4 network */
};

static int addr_setting(const struct vm_spec *spec, const char *name, struct in_addr *out)
{
    const char *text = vm__spec_get(spec, name);
    return text != NULL ? parse_addr(name, text, out) : VM_OK;
}

/** net=10.0.2.0[/24 or /255.255.255.0]; of an address alone as its class is. */
static int plan_net(const struct vm_spec *spec, struct plan *p)
{
    const char *text = vm__spec_get(spec, "net");
    SlirpConfig *c = &p->cfg;
    (void)inet_aton("10.0.2.0", &c->vnetwork);
    c->vnetmask.s_addr = htonl(0xffffff00);
    if (text != NULL) {
        char addr[64];
        const char *mask = strchr(text, '/');
        uint64_t bits = 24;
        (void)snprintf(addr, sizeof addr, "%.*s",
                       (int)(mask != NULL ? mask - text : (ptrdiff_t)strlen(text)), text);
        int st = parse_addr("net", addr, &c->vnetwork);
        if (st != VM_OK)
            return st;
        if (mask != NULL && strchr(mask, '.') != NULL)
            st = parse_addr("net", mask + 1, &c->vnetmask);
        else if (mask != NULL &&
                 (vm__parse_u64(mask + 1, false, &bits) != VM_OK || bits > 30 || bits < 4))
            st = vm__fail(VM_E_INVAL, "net: %s is not a network's size from 4 to 30", mask + 1);
        else
            c->vnetmask.s_addr = htonl((uint32_t)(UINT64_C(0xffffffff) << (32 - bits)));
        if (st != VM_OK)
            return st;
    }
    const uint32_t mask = ntohl(c->vnetmask.s_addr);
    if ((~mask & (~mask + 1)) != 0 || ~mask < 3)
        return vm__fail(VM_E_INVAL, "net: %s is not a mask", inet_ntoa(c->vnetmask));
    p->prefix = (unsigned)__builtin_popcount(mask);
    c->vnetwork.s_addr &= c->vnetmask.s_addr;
    return VM_OK;
}

static int inside_net(const struct plan *p, const char *name, struct in_addr a)
{
    if ((a.s_addr & p->cfg.vnetmask.s_addr) == p->cfg.vnetwork.s_addr)
        return VM_OK;
    return vm__fail(VM_E_INVAL, "%s: %s is not in the network", name, inet_ntoa(a));
}

static int plan_hosts(const struct vm_spec *spec, struct plan *p)
{
    SlirpConfig *c = &p->cfg;
    const uint32_t net = ntohl(c->vnetwork.s_addr), last = ~ntohl(c->vnetmask.s_addr);
    c->vhost.s_addr = htonl(net | (2 & last));
    c->vnameserver.s_addr = htonl(net | (3 & last));
    c->vdhcp_start.s_addr = htonl(net | (15 & last));
    int st = addr_setting(spec, "host", &c->vhost);
    if (st == VM_OK)
        st = addr_setting(spec, "dns", &c->vnameserver);
    if (st == VM_OK)
        st = addr_setting(spec, "dhcpstart", &c->vdhcp_start);
    if (st == VM_OK)
        st = inside_net(p, "host", c->vhost);
    if (st == VM_OK)
        st = inside_net(p, "dns", c->vnameserver);
    if (st == VM_OK)
        st = inside_net(p, "dhcpstart", c->vdhcp_start);
    if (st == VM_OK && c->vhost.s_addr == c->vnameserver.s_addr)
        st = vm__fail(VM_E_INVAL, "dns: it cannot be the address of host");
    return st;
}

static int addr6_setting(const struct vm_spec *spec, const char *name, struct in6_addr *out)
{
    const char *text = vm__spec_get(spec, name);
    if (text != NULL && inet_pton(AF_INET6, text, out) != 1)
        return vm__fail(VM_E_INVAL, "%s: %s is not an IPv6 address", name, text);
    return VM_OK;
}

static int plan_ip6(const struct vm_spec *spec, struct plan *p)
{
    SlirpConfig *c = &p->cfg;
    uint64_t len = 64;
    bool on = true, on4 = true;
    (void)inet_pton(AF_INET6, "fec0::", &c->vprefix_addr6);
    int st = vm__spec_bool(spec, "ipv6", &on);
    if (st == VM_OK)
        st = vm__spec_bool(spec, "ipv4", &on4);
    if (st == VM_OK)
        st = addr6_setting(spec, "ipv6-prefix", &c->vprefix_addr6);
    if (st == VM_OK)
        st = vm__spec_u64(spec, "ipv6-prefixlen", 126, &len);
    c->vprefix_len = (uint8_t)len;
    c->vhost6 = c->vnameserver6 = c->vprefix_addr6;
    c->vhost6.s6_addr[15] |= 2;
    c->vnameserver6.s6_addr[15] |= 3;
    if (st == VM_OK)
        st = addr6_setting(spec, "ipv6-host", &c->vhost6);
    if (st == VM_OK)
        st = addr6_setting(spec, "ipv6-dns", &c->vnameserver6);
    c->in6_enabled = on;
    c->in_enabled = on4;
    if (st == VM_OK && !on && !on4)
        st = vm__fail(VM_E_INVAL, "ipv4 and ipv6: both are off");
    return st;
}

static int plan_names(const struct vm_spec *spec, struct plan *p)
{
    SlirpConfig *c = &p->cfg;
    unsigned n = 0;
    c->vhostname = vm__spec_get(spec, "hostname");
    c->vdomainname = vm__spec_get(spec, "domainname");
    for (uint32_t i = 0; i < spec->n; i++)
        if (strcmp(spec->settings[i].name, "dnssearch") == 0 && n < SEARCH_MOST)
            p->search[n++] = spec->settings[i].value;
    c->vdnssearch = n != 0 ? p->search : NULL;
    c->tftp_server_name = vm__spec_get(spec, "tftp-server-name");
    c->tftp_path = vm__spec_get(spec, "tftp");
    c->bootfile = vm__spec_get(spec, "bootfile");
    if (c->vhostname != NULL && strlen(c->vhostname) > 255)
        return vm__fail(VM_E_INVAL, "hostname: it is longer than 255 characters");
    if (c->vdomainname != NULL && strlen(c->vdomainname) > 255)
        return vm__fail(VM_E_INVAL, "domainname: it is longer than 255 characters");
    if (c->bootfile != NULL && strlen(c->bootfile) > 127)
        return vm__fail(VM_E_INVAL, "bootfile: it is longer than 127 characters");
    struct stat info;
    if (c->tftp_path != NULL && stat(c->tftp_path, &info) != 0)
        return vm__fail_os(VM_E_NOENT, errno, "tftp: %s", c->tftp_path);
    if (c->tftp_path != NULL && !S_ISDIR(info.st_mode))
        return vm__fail(VM_E_INVAL, "tftp: %s is not a folder", c->tftp_path);
    bool restricted = false;
    int st = vm__spec_bool(spec, "restrict", &restricted);
    c->restricted = restricted;
    return st;
}

static int add_forwards(struct user *u, const struct vm_spec *spec)
{
    int st = VM_OK;
    for (uint32_t i = 0; i < spec->n && st == VM_OK; i++) {
        if (strcmp(spec->settings[i].name, "hostfwd") == 0)
            st = add_hostfwd(u, spec->settings[i].value);
        else if (strcmp(spec->settings[i].name, "guestfwd") == 0)
            st = add_guestfwd(u, spec->settings[i].value);
    }
    return st;
}

static int start(struct user *u, const struct plan *p, const struct vm_spec *spec)
{
    u->inside = true;
    u->slirp = slirp_new(&p->cfg, &vm__user_callbacks, u);
    if (u->slirp == NULL)
        return vm__fail(VM_E_INVAL, "the user network does not accept these settings");
    const int st = add_forwards(u, spec);
    vm__user_leave(u);
    return st;
}

static int user_open(struct vm_net *net, const struct vm_spec *spec)
{
    struct plan p = { .cfg = { .version = 4 } };
    int st = plan_net(spec, &p);
    if (st == VM_OK)
        st = plan_hosts(spec, &p);
    if (st == VM_OK)
        st = plan_ip6(spec, &p);
    if (st == VM_OK)
        st = plan_names(spec, &p);
    if (st != VM_OK)
        return st;
    struct user *u = calloc(1, sizeof *u);
    if (u == NULL)
        return vm__fail_nomem(sizeof *u);
    u->net = net;
    u->m = vm__net_machine(net);
    (void)snprintf(u->about, sizeof u->about, "net=%s/%u, restrict=%s", inet_ntoa(p.cfg.vnetwork),
                   p.prefix, p.cfg.restricted ? "on" : "off");
    vm__user_loop_init(u);
    st = start(u, &p, spec);
    if (st != VM_OK) {
        user_close(u);
        return st;
    }
    return vm__net_attach_host(net, &ops, u,
                               VM_NET_TAKES_CSUM | VM_NET_TAKES_TSO4 | VM_NET_TAKES_TSO6);
}

static const char *const settings[] = {
    "net",         "host",           "dhcpstart",        "dns",
    "dnssearch",   "hostname",       "domainname",       "restrict",
    "tftp",        "bootfile",       "hostfwd",          "guestfwd",
    "ipv4",        "ipv6",           "ipv6-host",        "ipv6-dns",
    "ipv6-prefix", "ipv6-prefixlen", "tftp-server-name", NULL,
};

const struct vm_net_backend vm__net_user_backend = {
    .name = "user",
    .summary = "a network inside this process, with a way out for the guest; needs no rights",
    .settings = settings,
    .open = user_open,
};
