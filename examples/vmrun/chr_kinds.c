/* SPDX-License-Identifier: MIT */
/**
 * @file chr_kinds.c
 * The list of character backends, and the short forms of their names.
 */
#include <ctype.h>
#include <string.h>

#include "chr.h"
#include "vmrun.h"

extern const struct chr_kind chr_stdio, chr_file, chr_null, chr_pty, chr_pipe, chr_serial,
    chr_socket, chr_vc;

const struct chr_kind *const chr_kinds[] = {
    &chr_stdio,  &chr_file,   &chr_null,    &chr_pty, &chr_pipe,
    &chr_serial, &chr_socket, &chr_ringbuf, &chr_vc,  NULL,
};

/** "HOST:PORT[,…]" → ",host=HOST,port=PORT,…". */
static bool host_port(const char *option, const char *text, const char *rest, char *out,
                      size_t size)
{
    const size_t n = strcspn(rest, ",");
    const char *colon = NULL;
    char host[256] = "", port[32] = "";
    for (const char *p = rest; p < rest + n; p++)
        colon = *p == ':' ? p : colon; /* the last one: IPv6 addresses have some of their own */
    if (colon == NULL || (size_t)(colon - rest) >= sizeof host || rest + n - colon - 1 <= 0 ||
        (size_t)(rest + n - colon - 1) >= sizeof port) {
        say("%s %s: HOST:PORT is expected", option, text);
        return false;
    }
    memcpy(host, rest, (size_t)(colon - rest));
    memcpy(port, colon + 1, (size_t)(rest + n - colon - 1));
    char *name = host;
    const size_t len = strlen(host);
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        name++;
    }
    const int used = snprintf(out + strlen(out), size - strlen(out), ",host=%s,port=%s%s", name,
                              port, rest[n] != '\0' ? rest + n : "");
    return used >= 0;
}

/** Forms whose rest is a path, perhaps with settings behind. */
static const struct {
    const char *prefix, *kind;
} path_forms[] = {
    { "file:", "file" },
    { "pipe:", "pipe" },
    { "unix:", "socket" },
};

bool chr_spec(const char *option, const char *text, char *out, size_t size)
{
    const char *mux = "";
    const char *rest = text;
    if (strncmp(rest, "mon:", 4) == 0) {
        mux = ",mux=on";
        rest += 4;
    }
    for (size_t i = 0; i < sizeof path_forms / sizeof path_forms[0]; i++) {
        const size_t n = strlen(path_forms[i].prefix);
        if (strncmp(rest, path_forms[i].prefix, n) == 0)
            return snprintf(out, size, "%s,path=%s%s", path_forms[i].kind, rest + n, mux) <
                   (int)size;
    }
    const bool telnet = strncmp(rest, "telnet:", 7) == 0;
    if (telnet || strncmp(rest, "tcp:", 4) == 0) {
        (void)snprintf(out, size, "socket%s%s", telnet ? ",telnet=on" : "", mux);
        return host_port(option, text, rest + (telnet ? 7 : 4), out, size);
    }
    if (rest[0] == '/')
        return snprintf(out, size, "serial,path=%s%s", rest, mux) < (int)size;
    const char *colon = strchr(rest, ':'); /* "vc:800x600" */
    const size_t n = strncmp(rest, "vc:", 3) == 0 ? (size_t)(colon - rest) : strlen(rest);
    return snprintf(out, size, "%.*s%s", (int)n, rest, mux) < (int)size;
}

bool chr_spec_is_terminal(const char *spec)
{
    return strncmp(spec, "stdio", 5) == 0 && (spec[5] == '\0' || spec[5] == ',');
}
