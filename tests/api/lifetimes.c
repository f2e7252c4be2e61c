/* SPDX-License-Identifier: MIT */
/**
 * @file lifetimes.c
 * Four PCs at a time are built, run real code and are destroyed, 200 times over in one process:
 * no thread, descriptor or memory may be left. Public headers only; a plain executable, so that
 * LeakSanitizer's word counts.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libvm/libvm.h>

enum { AT_ONCE = 4, ROUNDS = 200, MARK = 0x00200000 };

/* A Multiboot kernel [Multiboot §3.1] at 1 MiB: counts at 2 MiB for ever. */
static const uint8_t kernel[] = {
    0x02, 0xb0, 0xad, 0x1b, 0x00, 0x00, 0x01, 0x00, 0xfe, 0x4f, 0x51, 0xe4, /* magic, flags, sum */
    0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, /* header, load, end */
    0x00, 0x00, 0x00, 0x00, 0x20, 0x00, 0x10, 0x00,                         /* bss end, entry */
    0xff, 0x05, 0x00, 0x00, 0x20, 0x00, /* inc dword [0x200000] */
    0xeb, 0xf8,                         /* jmp to it */
};

static int entries(const char *path)
{
    DIR *d = opendir(path);
    int n = 0;
    while (d != NULL && readdir(d) != NULL)
        n++;
    if (d != NULL)
        closedir(d);
    return n;
}

static long resident_kib(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long size = 0, rss = 0;
    if (f == NULL || fscanf(f, "%ld %ld", &size, &rss) != 2)
        rss = 0;
    if (f != NULL)
        fclose(f);
    return rss * (sysconf(_SC_PAGESIZE) / 1024);
}

static void die(const char *what)
{
    fprintf(stderr, "lifetimes: %s: %s\n", what, vm_last_error()->message);
    exit(1);
}

static vm_machine *build(vm_ctx *ctx, const char *path, int cpus)
{
    vm_config *cfg = vm_config_new(ctx, "pc");
    if (cfg == NULL || vm_config_set_str(cfg, "memory.size", "16M") != VM_OK ||
        vm_config_set_u64(cfg, "cpu.count", (uint64_t)cpus) != VM_OK ||
        vm_config_set_str(cfg, "boot.kernel", path) != VM_OK)
        die("configuration");
    vm_machine *m = vm_machine_build(cfg);
    vm_config_free(cfg);
    if (m == NULL)
        die("build");
    return m;
}

static uint32_t count_of(vm_machine *m)
{
    uint32_t v = 0;
    if (vm_mem_read(m, MARK, &v, sizeof v) != VM_OK)
        die("memory");
    return v;
}

static void one_round(vm_ctx *ctx, const char *path, int round)
{
    vm_machine *m[AT_ONCE];

    for (int k = 0; k < AT_ONCE; k++)
        m[k] = build(ctx, path, 1 + k % 2);
    for (int k = 0; k < AT_ONCE; k++)
        if (vm_machine_start(m[k]) != VM_OK)
            die("start");
    for (int k = 0; k < AT_ONCE; k++) {
        int waited = 0;
        while (count_of(m[k]) == 0) { /* it has really run */
            usleep(200);
            if (++waited > 50000) {
                fprintf(stderr, "lifetimes: machine %d of round %d does not run\n", k, round);
                exit(1);
            }
        }
        if (round % 3 == 0 && vm_machine_pause(m[k]) != VM_OK)
            die("pause");
    }
    for (int k = 0; k < AT_ONCE; k++)
        vm_machine_destroy(m[k]); /* running ones too */
}

int main(void)
{
    char path[] = "/tmp/libvm-lifetimes-XXXXXX";
    int fd = mkstemp(path), bad = 0;
    vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, NULL);

    if (fd < 0 || write(fd, kernel, sizeof kernel) != (ssize_t)sizeof kernel || ctx == NULL) {
        fprintf(stderr, "lifetimes: no kernel file\n");
        return 1;
    }
    close(fd);
    for (int k = 0; k < 10; k++)
        one_round(ctx, path, k); /* allocator and loader settle */
    int threads = entries("/proc/self/task"), fds = entries("/proc/self/fd");
    long rss = resident_kib();
    for (int k = 0; k < ROUNDS; k++)
        one_round(ctx, path, k);
    unlink(path);
    if (entries("/proc/self/task") != threads) {
        fprintf(stderr, "lifetimes: %d threads, %d before\n", entries("/proc/self/task"), threads);
        bad = 1;
    }
    if (entries("/proc/self/fd") != fds) {
        fprintf(stderr, "lifetimes: %d descriptors, %d before\n", entries("/proc/self/fd"), fds);
        bad = 1;
    }
#if !defined(__SANITIZE_ADDRESS__)
    if (resident_kib() > rss + 8192) {
        fprintf(stderr, "lifetimes: %ld KiB resident, %ld before\n", resident_kib(), rss);
        bad = 1;
    }
#endif
    vm_ctx_unref(ctx);
    printf("lifetimes: %d machines, %d threads, %d descriptors, %ld KiB more\n",
           AT_ONCE * ROUNDS, threads - 2, fds - 2, resident_kib() - rss);
    return bad;
}
