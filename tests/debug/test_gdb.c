/* SPDX-License-Identifier: MIT */
/* The server for gdb, packet by packet. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guest.h"

struct client {
    vm_machine *m;
    vm_gdb *g;
    pthread_mutex_t lock;
    char got[40000]; /* everything since the last packet was sent */
    size_t n;
    int how; /* as closed() was told */
};

static void out(void *ud, const void *data, size_t len)
{
    struct client *c = ud;

    pthread_mutex_lock(&c->lock);
    cr_assert(lt(sz, c->n + len, sizeof c->got));
    memcpy(c->got + c->n, data, len);
    c->n += len;
    pthread_mutex_unlock(&c->lock);
}

static int command(void *ud, vm_gdb *g, const char *line)
{
    (void)ud;
    (void)vm_gdb_print(g, "you said ");
    (void)vm_gdb_print(g, line);
    return strcmp(line, "fail") == 0 ? VM_E_INVAL : VM_OK;
}

static void closed(void *ud, int how)
{
    ((struct client *)ud)->how = how;
}

static void connect_to(struct client *c, const char *label, uint32_t cpus, uint32_t arch)
{
    static const vm_gdb_ops ops = { sizeof ops, 0, out, command, closed };
    vm_gdb_ops mine = ops;

    mine.arch = arch;
    memset(c, 0, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->m = guest_machine(cpus);
    cr_assert(c->m != NULL);
    guest_set_reg(c->m, 0, VM_X86_RIP, guest_at(label));
    c->g = vm_gdb_new(c->m, &mine, c);
    cr_assert(c->g != NULL, "%s", vm_last_error()->message);
}

static void finish(struct client *c)
{
    vm_gdb_free(c->g);
    vm_machine_destroy(c->m);
    pthread_mutex_destroy(&c->lock);
}

static void send_raw(struct client *c, const void *data, size_t len)
{
    pthread_mutex_lock(&c->lock);
    c->n = 0;
    pthread_mutex_unlock(&c->lock);
    (void)vm_gdb_feed(c->g, data, len);
}

static void send_packet(struct client *c, const char *text)
{
    char packet[20000];
    uint8_t sum = 0;

    for (const char *p = text; *p != '\0'; p++)
        sum = (uint8_t)(sum + (uint8_t)*p);
    int n = snprintf(packet, sizeof packet, "$%s#%02x", text, sum);
    send_raw(c, packet, (size_t)n);
}

/* Where the packet among what came begins and ends; its checksum must be right. */
static bool packet_in(struct client *c, char **start, char **end)
{
    uint8_t sum = 0;

    c->got[c->n] = '\0';
    *start = memchr(c->got, '$', c->n);
    *end = *start != NULL ? memchr(*start, '#', c->n - (size_t)(*start - c->got)) : NULL;
    if (*end == NULL || *end + 3 > c->got + c->n)
        return false;
    for (char *p = *start + 1; p < *end; p++)
        sum = (uint8_t)(sum + (uint8_t)*p);
    cr_assert(eq(u32, (uint32_t)strtoul((char[]) { (*end)[1], (*end)[2], 0 }, NULL, 16), sum));
    return true;
}

/* The next packet, which may take a while. Static storage. */
static const char *answer(struct client *c)
{
    static char text[40000];
    char *start, *end;

    for (int tries = 0; tries < 5000; tries++) {
        pthread_mutex_lock(&c->lock);
        bool there = packet_in(c, &start, &end);
        if (there) {
            memcpy(text, start + 1, (size_t)(end - start - 1));
            text[end - start - 1] = '\0';
            c->n -= (size_t)(end + 3 - c->got);
            memmove(c->got, end + 3, c->n);
        }
        pthread_mutex_unlock(&c->lock);
        if (there)
            return text;
        nanosleep(&(struct timespec) { .tv_nsec = 1000000 }, NULL);
    }
    cr_assert(false, "no answer");
    return "";
}

static const char *ask(struct client *c, const char *text)
{
    send_packet(c, text);
    return answer(c);
}

static void expect(struct client *c, const char *text, const char *want)
{
    const char *got = ask(c, text);
    cr_expect(strcmp(got, want) == 0, "%s gives %s, not %s", text, got, want);
}

static void expect_next(struct client *c, const char *want)
{
    const char *got = answer(c);
    cr_expect(strcmp(got, want) == 0, "%s, not %s", got, want);
}

/* The packet with a label's address in it. */
static const char *with(const char *fmt, const char *label)
{
    static char text[128];
    (void)snprintf(text, sizeof text, fmt, guest_at(label));
    return text;
}

/* ---- framing ---- */

Test(gdb, packets_are_acknowledged_and_bad_ones_refused)
{
    struct client c;

    connect_to(&c, g_loop, 1, VM_GDB_AUTO);
    send_raw(&c, "$?#3f", 5);
    cr_expect(eq(int, c.got[0], '+'));
    send_raw(&c, "$?#40", 5);
    cr_expect(eq(sz, c.n, 1));
    cr_expect(eq(int, c.got[0], '-'));
    send_raw(&c, "$?#xy", 5);
    cr_expect(eq(int, c.got[0], '-'));
    send_raw(&c, "$junk$?#3f", 10); /* a packet whose end was lost */
    cr_expect(eq(int, c.got[0], '+'));
    finish(&c);
}

Test(gdb, a_refused_answer_is_sent_again)
{
    struct client c;
    char first[64];

    connect_to(&c, g_loop, 1, VM_GDB_AUTO);
    (void)snprintf(first, sizeof first, "%s", ask(&c, "qC"));
    send_raw(&c, "-", 1);
    expect_next(&c, first);
    finish(&c);
}

Test(gdb, acknowledgements_can_be_left_out)
{
    struct client c;

    connect_to(&c, g_loop, 1, VM_GDB_AUTO);
    expect(&c, "QStartNoAckMode", "OK");
    send_packet(&c, "qC");
    cr_expect(eq(int, c.got[0], '$'));
    finish(&c);
}

Test(gdb, unknown_packets_get_the_empty_answer)
{
    static const char *const unknown[] = { "vMustReplyEmpty", "qFoo", "QFoo", "!", "b", "vRun;" };
    struct client c;

    connect_to(&c, g_loop, 1, VM_GDB_AUTO);
    for (size_t k = 0; k < sizeof unknown / sizeof unknown[0]; k++)
        expect(&c, unknown[k], "");
    finish(&c);
}

Test(gdb, malformed_packets_are_errors)
{
    static const char *const bad[] = {
        "m",
        "mzz,4",
        "m0",
        "M0,2:4",
        "M0,2:4142ff",
        "P",
        "P99=00",
        "P0=12",
        "p1000",
        "G12",
        "Hg99999999",
        "Hgzz",
        "T0",
        "T99",
        "Z0",
        "Z0,zz,1",
        "vCont;x",
        "vCont;c:99",
        "vCont;",
        "qXfer:features:read:target.xml:ffffff,10",
        "qThreadExtraInfo,7",
        "m11111111111111111,4",
        "qRcmd,4",
        "Z2,1000,0,1",
        "X0,5:abc",
    };
    struct client c;

    connect_to(&c, g_loop, 1, VM_GDB_AUTO);
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        const char *got = ask(&c, bad[k]);
        if (strcmp(bad[k], "qRcmd,4") != 0)
            cr_expect(eq(int, got[0], 'E'), "%s gives %s", bad[k], got);
    }
    finish(&c);
}

/* ---- memory ---- */

Test(gdb, memory_is_read_and_written)
{
    struct client c;
    char text[128];

    connect_to(&c, g_loop, 1, VM_GDB_AUTO);
    expect(&c, with("m%x,4", g_buffer), "55555555");
    expect(&c, with("M%x,3:414243", g_buffer), "OK");
    expect(&c, with("m%x,4", g_buffer), "41424355");
    /* Escaped bytes in binary data: 23h is '#', 7dh is '}'. */
    int n = snprintf(text, sizeof text, "$X%x,2:}\x03}\x5d#", guest_at(g_buffer));
    uint8_t sum = 0;
    for (int k = 1; k < n - 1; k++)
        sum = (uint8_t)(sum + (uint8_t)text[k]);
    n += sprintf(text + n, "%02x", sum);
    send_raw(&c, text, (size_t)n);
    expect_next(&c, "OK");
    expect(&c, with("m%x,4", g_buffer), "237d4355");
    finish(&c);
}

Test(gdb, what_is_not_memory_is_an_error_and_devices_are_left_alone)
{
    struct client c;

    connect_to(&c, g_loop, 1, VM_GDB_AUTO);
    cr_expect(eq(int, ask(&c, "mfee00020,4")[0], 'E'), "the local APIC");
    cr_expect(eq(int, ask(&c, "m80000000,4")[0], 'E'), "nothing");
    cr_expect(eq(int, ask(&c, "M80000000,1:00")[0], 'E'));
    cr_expect(eq(sz, strlen(ask(&c, "mfffff0,20")), 32), "up to the end of memory");
    finish(&c);
}

/* ---- registers ---- */

Test(gdb, registers_are_those_of_amd64_and_can_be_written)
{
    struct client c;
    uint8_t ymm[32];

    connect_to(&c, g_loop, 1, VM_GDB_AUTO);
    guest_set_reg(c.m, 0, VM_X86_RBX, UINT64_C(0x1122334455667788));
    const char *regs = ask(&c, "g");
    cr_expect(eq(int, strncmp(regs + 16, "8877665544332211", 16), 0), "RBX is the second");
    expect(&c, "p1", "8877665544332211");
    expect(&c, "P1=0102030405060708", "OK");
    cr_expect(eq(u64, guest_reg(c.m, 0, VM_X86_RBX), UINT64_C(0x0807060504030201)));
    /* XMM1 is register 41; the upper half of YMM1 stays. */
    memset(ymm, 0x77, sizeof ymm);
    cr_assert(eq(int, vm_cpu_reg_write(vm_cpu_get(c.m, 0), VM_X86_YMM0 + 1, ymm, 32), VM_OK));
    expect(&c, "P29=000102030405060708090a0b0c0d0e0f", "OK");
    cr_assert(eq(int, vm_cpu_reg_read(vm_cpu_get(c.m, 0), VM_X86_YMM0 + 1, ymm, 32), VM_OK));
    cr_expect(eq(u8, ymm[15], 15));
    cr_expect(eq(u8, ymm[16], 0x77));
    /* All of them as they were read change nothing. */
    char all[40000];
    (void)snprintf(all, sizeof all, "G%s", ask(&c, "g"));
    expect(&c, all, "OK");
    expect(&c, "g", all + 1);
    finish(&c);
}

Test(gdb, the_program_counter_is_linear)
{
    struct client c;

    connect_to(&c, g_loop, 1, VM_GDB_AUTO);
    guest_set_reg(c.m, 0, VM_X86_SEG_BASE + 1, 0x1000);
    guest_set_reg(c.m, 0, VM_X86_RIP, 0x234);
    expect(&c, "p10", "3412000000000000");
    expect(&c, "P10=0020000000000000", "OK");
    cr_expect(eq(u64, guest_reg(c.m, 0, VM_X86_RIP), 0x1000));
    finish(&c);
}

Test(gdb, the_description_is_whole_and_fits_the_registers)
{
    static const uint32_t archs[] = { VM_GDB_AMD64, VM_GDB_I386, VM_GDB_I8086 };

    for (size_t k = 0; k < 3; k++) {
        struct client c;
        char xml[16384] = "", q[64];
        size_t n = 0, bits = 0;

        connect_to(&c, g_loop, 1, archs[k]);
        for (;;) {
            (void)snprintf(q, sizeof q, "qXfer:features:read:target.xml:%zx,300", n);
            const char *part = ask(&c, q);
            cr_assert(part[0] == 'm' || part[0] == 'l');
            bool last = part[0] == 'l';
            for (part++; *part != '\0'; part++) /* '}' escapes */
                xml[n++] = *part == '}' ? (char)(*++part ^ 0x20) : *part;
            if (last)
                break;
        }
        cr_expect(strstr(xml, "</target>") != NULL);
        cr_expect(strstr(xml, k == 0 ? "\"rip\"" : "\"eip\"") != NULL);
        for (const char *p = xml; (p = strstr(p, "bitsize=\"")) != NULL; p += 9)
            bits += strtoul(p + 9, NULL, 10);
        cr_expect(eq(sz, strlen(ask(&c, "g")), bits / 4));
        finish(&c);
    }
}

/* ---- running ---- */

Test(gdb, a_breakpoint_stops_with_its_thread_and_reason)
{
    struct client c;

    connect_to(&c, g_loop, 1, VM_GDB_AUTO);
    expect(&c, "?", "T05thread:1;");
    cr_expect(strstr(ask(&c, "qSupported:swbreak+"), "swbreak+") != NULL);
    expect(&c, with("Z0,%x,1", g_loop_add), "OK");
    for (uint32_t k = 1; k <= 3; k++) {
        expect(&c, "vCont;c", "T05thread:1;swbreak:;");
        cr_expect(eq(u64, guest_reg(c.m, 0, VM_X86_RAX), k));
    }
    expect(&c, with("z0,%x,1", g_loop_add), "OK");
    expect(&c, with("z0,%x,1", g_loop_add), "OK"); /* asked again after a lost answer */
    expect(&c, "vCont;s:1", "T05thread:1;");
    cr_expect(eq(u32, guest_word(c.m, g_sum), 6));
    finish(&c);
}

Test(gdb, watchpoints_name_the_address)
{
    struct client c;
    char want[64];

    connect_to(&c, g_accesses, 1, VM_GDB_AUTO);
    expect(&c, with("Z2,%x,4", g_var), "OK");
    (void)snprintf(want, sizeof want, "T05thread:1;watch:%x;", guest_at(g_var) + 2);
    expect(&c, "c", want);
    expect(&c, with("z2,%x,4", g_var), "OK");
    expect(&c, with("Z4,%x,4", g_var), "OK");
    (void)snprintf(want, sizeof want, "T05thread:1;awatch:%x;", guest_at(g_var));
    expect(&c, "c", want);
    expect(&c, with("z4,%x,4", g_var), "OK");
    expect(&c, with("Z3,%x,4", g_buffer), "OK");
    (void)snprintf(want, sizeof want, "T05thread:1;rwatch:%x;", guest_at(g_buffer));
    expect(&c, "c", want);
    finish(&c);
}

Test(gdb, control_c_stops_a_running_machine)
{
    struct client c;

    connect_to(&c, g_self, 1, VM_GDB_AUTO);
    send_packet(&c, "vCont;c");
    send_raw(&c, "\3", 1);
    expect_next(&c, "T02thread:1;");
    finish(&c);
}

Test(gdb, the_first_packet_pauses_and_detaching_lets_go)
{
    struct client c;

    connect_to(&c, g_self, 1, VM_GDB_AUTO);
    cr_assert(eq(int, vm_machine_start(c.m), VM_OK));
    expect(&c, "?", "T05thread:1;");
    cr_expect(eq(int, vm_machine_state(c.m), VM_ST_PAUSED));
    expect(&c, with("Z0,%x,1", g_self), "OK");
    expect(&c, "D", "OK");
    cr_expect(eq(int, c.how, VM_GDB_DETACHED));
    cr_expect(eq(int, vm_machine_state(c.m), VM_ST_RUNNING));
    cr_expect(eq(int, vm_gdb_feed(c.g, "$?#3f", 5), VM_E_STATE));
    finish(&c);
}

Test(gdb, kill_tells_the_embedder_only)
{
    struct client c;

    connect_to(&c, g_self, 1, VM_GDB_AUTO);
    expect(&c, "vKill;1", "OK");
    cr_expect(eq(int, c.how, VM_GDB_KILLED));
    finish(&c);
}

Test(gdb, there_is_one_session_a_machine_and_freeing_it_takes_its_breakpoints_away)
{
    static const vm_gdb_ops ops = { sizeof ops, 0, out, NULL, NULL };
    struct client c;
    vm_exit e = { .size = sizeof e };

    connect_to(&c, g_loop, 1, VM_GDB_AUTO);
    cr_expect(vm_gdb_new(c.m, &ops, &c) == NULL);
    expect(&c, with("Z0,%x,1", g_loop_add), "OK");
    vm_gdb_free(c.g);
    c.g = vm_gdb_new(c.m, &ops, &c);
    cr_assert(c.g != NULL);
    cr_assert(eq(int, vm_run(c.m, 0, 20000000, &e), VM_OK));
    cr_expect(ne(u32, e.reason, VM_EXIT_DEBUG));
    finish(&c);
}

Test(gdb, a_pause_by_someone_else_is_told_and_a_power_off_is_an_exit)
{
    struct client c;

    connect_to(&c, g_self, 1, VM_GDB_AUTO);
    send_packet(&c, "c");
    cr_assert(eq(int, vm_machine_pause(c.m), VM_OK));
    expect_next(&c, "T02thread:1;");
    guest_set_reg(c.m, 0, VM_X86_RIP, guest_at(g_off));
    expect(&c, "c", "W00");
    expect(&c, "c", "W00");
    finish(&c);
}

/* ---- threads ---- */

Test(gdb, processors_are_threads_and_one_can_step_alone)
{
    static const uint8_t ap_code[] = { 0x66, 0xff, 0x06, 0x00, 0x70, 0xeb, 0xf9 };
    struct client c;
    char want[64];

    connect_to(&c, g_smp, 2, VM_GDB_AUTO);
    cr_assert(eq(int, vm_mem_write(c.m, 0x8000, ap_code, sizeof ap_code), VM_OK));
    expect(&c, "qfThreadInfo", "m1,2");
    expect(&c, "qsThreadInfo", "l");
    expect(&c, "T2", "OK");
    expect(&c, "qThreadExtraInfo,2", "4350552031"); /* CPU 1 */
    expect(&c, "Z0,8005,1", "OK");
    expect(&c, "vCont;c", "T05thread:2;");
    expect(&c, "qC", "QC2");
    expect(&c, "p10", "0580000000000000");
    uint64_t spin = guest_reg(c.m, 0, VM_X86_RIP);
    for (int k = 0; k < 5; k++)
        expect(&c, "vCont;s:2", "T05thread:2;");
    cr_expect(eq(u64, guest_reg(c.m, 0, VM_X86_RIP), spin), "thread 1 stood");
    expect(&c, "Hg1", "OK");
    (void)snprintf(want, sizeof want, "%02x%02x%02x0000000000", (unsigned)(spin & 0xff),
                   (unsigned)(spin >> 8 & 0xff), (unsigned)(spin >> 16 & 0xff));
    expect(&c, "p10", want);
    finish(&c);
}

/* ---- commands ---- */

Test(gdb, monitor_commands_reach_the_embedder)
{
    struct client c;

    connect_to(&c, g_loop, 1, VM_GDB_AUTO);
    send_packet(&c, "qRcmd,6869"); /* hi */
    expect_next(&c, "O796f75207361696420");
    expect_next(&c, "O6869");
    expect_next(&c, "OK");
    send_packet(&c, "qRcmd,6661696c"); /* fail */
    (void)answer(&c);
    (void)answer(&c);
    cr_expect(eq(int, answer(&c)[0], 'E'));
    cr_expect(eq(int, vm_gdb_print(c.g, "x"), VM_E_STATE));
    finish(&c);
}
