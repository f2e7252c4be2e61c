/* SPDX-License-Identifier: MIT */
/**
 * @file display_curses.c
 * The guest's text screen in our terminal, with colours; the keyboard goes to the guest.
 *
 * Ctrl-A is for us, as on a serial line: Ctrl-A h says what there is. A letter after Escape is
 * Alt and the letter, as terminals send it. The monitor takes the terminal over line by line.
 */
#include <curses.h>
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "display.h"
#include "vmrun.h"

enum {
    PERIOD_MS = 33,
    CTRL_A = 1,
    ESCAPE = 27,
    USAGE_A = 0x04,
    USAGE_F1 = 0x3a,
    USAGE_CTRL = 0xe0,
    USAGE_SHIFT = 0xe1,
    USAGE_ALT = 0xe2,
};

static struct {
    struct vmrun *v;
    struct watch *tick, *input;
    vm_text_cell *cells;
    size_t room;
    bool prefix;  /**< Ctrl-A was typed */
    bool monitor; /**< the terminal is the monitor's */
    bool greeted;
    int notice; /**< ticks for which the bottom line is ours */
    const char *text;
} screen;

/* ---- showing ------------------------------------------------------------------------------ */

/** VGA counts blue as 1 and red as 4, terminals the other way round. */
static short terminal_colour(unsigned vga)
{
    static const short order[8] = { COLOR_BLACK, COLOR_BLUE,    COLOR_GREEN,  COLOR_CYAN,
                                    COLOR_RED,   COLOR_MAGENTA, COLOR_YELLOW, COLOR_WHITE };
    return order[vga & 7];
}

static bool many_colours(void)
{
    return COLORS >= 16 && COLOR_PAIRS >= 256;
}

static void make_colours(void)
{
    if (!has_colors())
        return;
    start_color();
    const unsigned n = many_colours() ? 16 : 8;
    for (unsigned back = 0; back < n; back++)
        for (unsigned fore = 0; fore < n; fore++)
            (void)init_pair((short)(back * n + fore), terminal_colour(fore) + (short)(fore & 8),
                            terminal_colour(back) + (short)(back & 8));
}

static attr_t look_of(const vm_text_cell *c, short *pair)
{
    attr_t attr = A_NORMAL;
    const bool many = many_colours();
    *pair = 0;
    if (has_colors())
        *pair = (short)(many ? c->background * 16 + c->foreground
                             : (c->background & 7) * 8 + (c->foreground & 7));
    if (!many && (c->foreground & 8))
        attr |= A_BOLD;
    if (c->flags & VM_CELL_BLINK)
        attr |= A_BLINK;
    return attr;
}

static void put_cell(int y, int x, const vm_text_cell *c)
{
    const wchar_t text[2] = { c->code >= 0x20 ? (wchar_t)c->code : L' ', L'\0' };
    cchar_t cell;
    short pair;
    const attr_t attr = look_of(c, &pair);
    if (setcchar(&cell, text, attr, pair, NULL) == OK)
        (void)mvadd_wch(y, x, &cell);
}

static void show_cells(size_t n, uint32_t columns)
{
    int cursor_y = -1, cursor_x = -1;
    const int rows = (int)(n / columns);
    /* A screen with more rows than the terminal: the part with the cursor. */
    for (size_t i = 0; i < n; i++) {
        if (screen.cells[i].flags & VM_CELL_CURSOR) {
            cursor_y = (int)(i / columns);
            cursor_x = (int)(i % columns);
        }
    }
    int top = rows > LINES && cursor_y >= LINES ? cursor_y - LINES + 1 : 0;
    for (int y = 0; y < LINES && y + top < rows; y++) {
        const vm_text_cell *row = &screen.cells[(size_t)(y + top) * columns];
        for (int x = 0; x < COLS && x < (int)columns; x++)
            put_cell(y, x, &row[x]);
    }
    (void)curs_set(cursor_y >= 0 && screen.notice == 0);
    if (cursor_y >= 0)
        (void)move(cursor_y - top < LINES ? cursor_y - top : LINES - 1,
                   cursor_x < COLS ? cursor_x : COLS - 1);
}

/** What there is instead of text. */
static void show_other(void)
{
    char line[96] = "The screen is off";
    size_t len = 0;
    uint32_t width, height;
    const int st = vm_display_grab(screen.v->m, 0, NULL, &len, &width, &height);
    if (st == VM_OK)
        (void)snprintf(line, sizeof line, "The screen shows graphics, %u x %u", width, height);
    (void)curs_set(0);
    (void)mvaddstr(LINES / 2, (COLS - (int)strlen(line)) / 2, line);
}

static bool get_cells(size_t *n, uint32_t *columns)
{
    *n = screen.room;
    int st = vm_display_cells(screen.v->m, 0, screen.cells, n, columns);
    if (st == VM_E_RANGE || (st == VM_OK && *n > screen.room)) {
        vm_text_cell *more = realloc(screen.cells, *n * sizeof *more);
        if (more == NULL)
            return false;
        screen.cells = more;
        screen.room = *n;
        st = vm_display_cells(screen.v->m, 0, screen.cells, n, columns);
    }
    return st == VM_OK && *columns != 0;
}

static void show(void)
{
    size_t n;
    uint32_t columns;
    int y, x;
    (void)erase();
    if (get_cells(&n, &columns))
        show_cells(n, columns);
    else
        show_other();
    if (screen.notice > 0) {
        screen.notice--;
        getyx(stdscr, y, x);
        (void)attrset(A_REVERSE);
        (void)mvaddnstr(LINES - 1, 0, screen.text, COLS);
        (void)attrset(A_NORMAL);
        (void)move(y, x);
    }
    (void)refresh();
}

static void notice(const char *text)
{
    screen.text = text;
    screen.notice = 4000 / PERIOD_MS;
}

static void on_tick(void *ud)
{
    (void)ud;
    if (!screen.monitor)
        show();
}

/* ---- the monitor -------------------------------------------------------------------------- */

static void print(void *ud, const char *text, size_t len)
{
    (void)ud;
    (void)fwrite(text, 1, len, stdout);
}

static void prompt(void)
{
    (void)fputs("(vmrun) ", stdout);
    (void)fflush(stdout);
}

static void start_monitor(void)
{
    screen.monitor = true;
    (void)endwin();
    if (!screen.greeted)
        puts("monitor: 'help' lists commands, an empty line goes back to the screen");
    screen.greeted = true;
    prompt();
}

/** A line from the terminal, which is in its ordinary state now. */
static void monitor_line(void)
{
    char line[1024];
    const ssize_t n = read(STDIN_FILENO, line, sizeof line - 1);
    if (n <= 0 || line[0] == '\n') {
        screen.monitor = false;
        (void)clearok(stdscr, TRUE);
        show();
        return;
    }
    line[n] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (vm_monitor(screen.v->m, line, print, NULL) != VM_OK)
        printf("Error: %s\n", vm_last_error()->message);
    if (!loop_is_over(screen.v->loop))
        prompt();
}

/* ---- keys --------------------------------------------------------------------------------- */

static void press(uint32_t modifier, uint32_t usage)
{
    vm_machine *m = screen.v->m;
    if (modifier != 0)
        (void)vm_input_key(m, modifier, 1);
    (void)vm_input_key(m, usage, 1);
    (void)vm_input_key(m, usage, 0);
    if (modifier != 0)
        (void)vm_input_key(m, modifier, 0);
}

static void type(char c)
{
    const char text[2] = { c, '\0' };
    (void)vm_input_text(screen.v->m, text);
}

/** A command after Ctrl-A. */
static void command(int c)
{
    screen.prefix = false;
    switch (c) {
    case 'x':
        loop_quit(screen.v->loop, 0);
        break;
    case 'c':
        start_monitor();
        break;
    case CTRL_A:
        press(USAGE_CTRL, USAGE_A);
        break;
    case 's':
        commit_disks();
        break;
    default:
        notice("Ctrl-A: x ends, c monitor, s commit disks, Ctrl-A sends Ctrl-A");
        break;
    }
}

/** @return false: it is no key that has a name */
static bool named_key(int c)
{
    static const struct {
        int key;
        uint8_t usage, modifier;
    } keys[] = {
        { KEY_UP, 0x52, 0 },    { KEY_DOWN, 0x51, 0 },  { KEY_LEFT, 0x50, 0 },
        { KEY_RIGHT, 0x4f, 0 }, { KEY_HOME, 0x4a, 0 },  { KEY_END, 0x4d, 0 },
        { KEY_PPAGE, 0x4b, 0 }, { KEY_NPAGE, 0x4e, 0 }, { KEY_IC, 0x49, 0 },
        { KEY_DC, 0x4c, 0 },    { KEY_ENTER, 0x28, 0 }, { KEY_BACKSPACE, 0x2a, 0 },
        { KEY_BTAB, 0x2b, 1 },  { KEY_SLEFT, 0x50, 1 }, { KEY_SRIGHT, 0x4f, 1 },
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i].key == c) {
            press(keys[i].modifier ? USAGE_SHIFT : 0, keys[i].usage);
            return true;
        }
    }
    if (c >= KEY_F(1) && c <= KEY_F(12))
        press(0, USAGE_F1 + (uint32_t)(c - KEY_F(1)));
    else if (c >= KEY_F(13) && c <= KEY_F(24)) /* terminals number shifted ones on */
        press(USAGE_SHIFT, USAGE_F1 + (uint32_t)(c - KEY_F(13)));
    else
        return c > 0xff;
    return true;
}

static void key(int c)
{
    if (screen.prefix)
        command(c);
    else if (c == CTRL_A)
        screen.prefix = true;
    else if (c == KEY_RESIZE)
        (void)clearok(stdscr, TRUE);
    else if (named_key(c))
        return;
    else if (c >= 1 && c <= 26 && c != '\t' && c != '\n' && c != '\r' && c != '\b')
        press(USAGE_CTRL, USAGE_A + (uint32_t)c - 1);
    else if (c < 0x80)
        type((char)c);
}

/** Alt and a key: Escape with the key right behind it. */
static void escape(int c)
{
    if (c == ERR) {
        type(ESCAPE);
        return;
    }
    (void)vm_input_key(screen.v->m, USAGE_ALT, 1);
    if (c >= 'a' && c <= 'z')
        press(0, USAGE_A + (uint32_t)(c - 'a'));
    else if (c >= '1' && c <= '9')
        press(0, 0x1e + (uint32_t)(c - '1'));
    else
        (void)named_key(c);
    (void)vm_input_key(screen.v->m, USAGE_ALT, 0);
}

static void on_input(void *ud, short revents)
{
    (void)ud;
    if (screen.monitor) {
        monitor_line();
        return;
    }
    if (revents & (POLLHUP | POLLERR)) {
        loop_quit(screen.v->loop, 1);
        return;
    }
    for (int c; !screen.monitor && (c = getch()) != ERR;) {
        if (c == ESCAPE)
            escape(getch());
        else
            key(c);
    }
}

/* ---- life --------------------------------------------------------------------------------- */

static void leave(void)
{
    if (!isendwin())
        (void)endwin();
}

static void close_curses(void)
{
    loop_unwatch(screen.tick);
    loop_unwatch(screen.input);
    leave();
    say_before = NULL;
    free(screen.cells);
    screen.cells = NULL;
    screen.room = 0;
}

static bool open_curses(struct vmrun *v)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        say("-display curses: standard input and output are not a terminal");
        return false;
    }
    (void)setlocale(LC_CTYPE, "");
    screen.v = v;
    if (newterm(NULL, stdout, stdin) == NULL) {
        const char *term = getenv("TERM");
        say("-display curses: the terminal '%s' is not known", term != NULL ? term : "");
        return false;
    }
    say_before = leave; /* a line on the screen would be painted over */
    (void)atexit(leave);
    (void)raw();
    (void)noecho();
    (void)nonl();
    (void)nodelay(stdscr, TRUE);
    (void)keypad(stdscr, TRUE);
    (void)set_escdelay(25);
    make_colours();
    notice("Ctrl-A h: help");
    screen.tick = loop_every(v->loop, PERIOD_MS, on_tick, NULL);
    screen.input = loop_watch(v->loop, STDIN_FILENO, POLLIN, on_input, NULL);
    return screen.tick != NULL && screen.input != NULL;
}

const struct display_kind display_curses = {
    .name = "curses",
    .help = "text screens in this terminal",
    .needs = "ncurses",
    .open = open_curses,
    .close = close_curses,
};
