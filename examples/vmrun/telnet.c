/* SPDX-License-Identifier: MIT */
/**
 * @file telnet.c
 * Telnet commands, in and out.
 *
 * Spec: [RFC854], [RFC857] echo, [RFC858] suppress go-ahead.
 */
#include "telnet.h"

#include <unistd.h>

enum { IAC = 255, DONT = 254, DO = 253, WONT = 252, WILL = 251, SB = 250, BRK = 243, SE = 240 };
enum { ECHO = 1, SUPPRESS_GO_AHEAD = 3 };
enum { TEXT, COMMAND, OPTION, SUB, SUB_COMMAND };

void telnet_begin(struct telnet *t, int fd)
{
    static const uint8_t hello[] = { IAC, WILL, ECHO,
                                     IAC, WILL, SUPPRESS_GO_AHEAD,
                                     IAC, DO,   SUPPRESS_GO_AHEAD };
    *t = (struct telnet) { .state = TEXT };
    (void)!write(fd, hello, sizeof hello);
}

/** The byte after IAC. True: it is text. */
static bool command(struct telnet *t, uint8_t byte, bool *brk)
{
    t->state = TEXT;
    switch (byte) {
    case IAC:
        return true;
    case BRK:
        *brk = true;
        return false;
    case SB:
        t->state = SUB;
        return false;
    case WILL:
    case WONT:
    case DO:
    case DONT:
        t->state = OPTION; /* what the peer answers to our wishes changes nothing here */
        return false;
    default:
        return false;
    }
}

size_t telnet_decode(struct telnet *t, uint8_t *buf, size_t len, bool *brk)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        const uint8_t byte = buf[i];
        switch (t->state) {
        case COMMAND:
            if (command(t, byte, brk))
                buf[n++] = byte;
            break;
        case OPTION:
            t->state = TEXT;
            break;
        case SUB:
            t->state = byte == IAC ? SUB_COMMAND : SUB;
            break;
        case SUB_COMMAND:
            t->state = byte == SE ? TEXT : SUB;
            break;
        default:
            if (byte == IAC)
                t->state = COMMAND;
            else if (!t->after_cr || (byte != 0 && byte != '\n'))
                buf[n++] = byte;
            t->after_cr = byte == '\r';
            break;
        }
    }
    return n;
}
