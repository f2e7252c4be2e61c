/* SPDX-License-Identifier: MIT */
/**
 * @file fuzz_main.c
 * A plain driver for fuzz targets, where there is no libFuzzer: TARGET SEED COUNT, or TARGET FILE…
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST = 600, SLOW_MS = 20000 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

static int run_file(const char *name)
{
    static uint8_t buf[1 << 20];
    FILE *f = fopen(name, "rb");
    if (f == NULL) {
        perror(name);
        return 1;
    }
    size_t n = fread(buf, 1, sizeof buf, f);
    (void)fclose(f);
    return LLVMFuzzerTestOneInput(buf, n);
}

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
    char *end;
    (void)LLVMFuzzerInitialize(&argc, &argv);
    uint64_t seed = argc == 3 ? strtoull(argv[1], &end, 0) : 0;
    if (argc != 3 || *end != '\0') {
        int bad = 0;
        for (int i = 1; i < argc; i++)
            bad |= run_file(argv[i]);
        return bad;
    }
    seed = seed * 0x9e3779b97f4a7c15u + 1;
    for (uint64_t n = strtoull(argv[2], NULL, 0); n != 0; n--) {
        uint8_t buf[MOST];
        size_t len =
            (size_t)(next_random(&seed) >> 20) % (next_random(&seed) >> 30 & 3 ? 24 : MOST);
        const uint64_t first = seed;
        for (size_t i = 0; i < len; i++)
            buf[i] = (uint8_t)(next_random(&seed) >> 24);
        const int64_t begin = now_ms();
        (void)LLVMFuzzerTestOneInput(buf, len);
        if (now_ms() - begin > SLOW_MS) {
            (void)fprintf(stderr, "input %llx took %lld ms\n", (unsigned long long)first,
                          (long long)(now_ms() - begin));
            return 1;
        }
    }
    return 0;
}
