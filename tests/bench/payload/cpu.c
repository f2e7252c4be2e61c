/* SPDX-License-Identifier: MIT */
/**
 * @file cpu.c
 * Eleven compute kernels, as the first and only program of a guest or as a program of the host.
 *
 * Each is announced before and after on the standard output, so that the host can measure the
 * emulator's CPU time in between, and ends in a number that must be the same everywhere.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

static uint64_t seed;

static uint32_t next(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

/* Pointer chase through 2 MiB in random order. */
static uint64_t chase(unsigned n)
{
    enum { CELLS = 1 << 19 };
    static uint32_t cell[CELLS], order[CELLS];
    uint32_t at = 0;

    for (uint32_t k = 0; k < CELLS; k++)
        order[k] = k;
    for (uint32_t k = CELLS - 1; k > 0; k--) {
        uint32_t j = next() % k, t = order[k];
        order[k] = order[j];
        order[j] = t;
    }
    for (uint32_t k = 0; k < CELLS; k++)
        cell[order[k]] = order[(k + 1) % CELLS];
    for (unsigned k = 0; k < n * CELLS; k++)
        at = cell[at];
    return at;
}

/* Sum of an array, in order. */
static uint64_t sum(unsigned n)
{
    enum { WORDS = 1 << 16 };
    static uint64_t word[WORDS];
    uint64_t s = 0;

    for (uint32_t k = 0; k < WORDS; k++)
        word[k] = next();
    for (unsigned r = 0; r < n; r++)
        for (uint32_t k = 0; k < WORDS; k++) {
            s += word[k];
            __asm__("" : "+r"(s)); /* one at a time */
        }
    return s;
}

/* Open addressing: insert and look up. */
static uint64_t hash(unsigned n)
{
    enum { SLOTS = 1 << 16 };
    static uint32_t slot[SLOTS];
    uint64_t found = 0;

    for (unsigned r = 0; r < n; r++) {
        memset(slot, 0, sizeof slot);
        for (uint32_t k = 0; k < SLOTS / 2; k++) {
            uint32_t key = next() | 1, at = key * 2654435761u >> 16;
            while (slot[at] != 0 && slot[at] != key)
                at = (at + 1) % SLOTS;
            found += slot[at] == key;
            slot[at] = key;
        }
    }
    return found;
}

static uint64_t matmul(unsigned n)
{
    enum { N = 96 };
    static float a[N][N], b[N][N], c[N][N];
    float trace = 0;

    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = (float)(next() % 16);
            b[i][j] = (float)(next() % 16);
        }
    for (unsigned r = 0; r < n; r++)
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++)
                for (int j = 0; j < N; j++)
                    c[i][j] = (k ? c[i][j] : 0) + a[i][k] * b[k][j];
    for (int i = 0; i < N; i++)
        trace += c[i][i];
    return (uint64_t)trace;
}

/* Words through a pointer, not the C library's. */
static uint64_t copy(unsigned n)
{
    enum { WORDS = 1 << 15 };
    static uint64_t from[WORDS], to[WORDS];

    for (uint32_t k = 0; k < WORDS; k++)
        from[k] = next();
    for (unsigned r = 0; r < n; r++)
        for (uint32_t k = 0; k < WORDS; k++) {
            to[k] = from[k];
            __asm__("" : : : "memory");
        }
    return to[n % WORDS];
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t sort(unsigned n)
{
    enum { WORDS = 1 << 14 };
    static uint32_t word[WORDS];
    uint64_t s = 0;

    for (unsigned r = 0; r < n; r++) {
        for (uint32_t k = 0; k < WORDS; k++)
            word[k] = next();
        qsort(word, WORDS, sizeof word[0], compare);
        s += word[WORDS / 2];
    }
    return s;
}

static __attribute__((noinline)) uint64_t fib_of(unsigned n)
{
    return n < 2 ? n : fib_of(n - 1) + fib_of(n - 2);
}
static uint64_t fib(unsigned n)
{
    return fib_of(n);
}

/* A little interpreter: a switch in a loop. */
static uint64_t interp(unsigned n)
{
    static const uint8_t code[] = { 0, 1, 4, 2, 3, 5, 1, 2, 4, 0, 3, 6 };
    uint64_t a = 1, b = 2, steps = 0;
    unsigned pc = 0, left = n;

    for (;;) {
        steps++;
        switch (code[pc++]) {
        case 0: a += b; break;
        case 1: b ^= a << 3; break;
        case 2: a = a >> 1 | b << 63; break;
        case 3: b += 7; break;
        case 4: a *= 5; break;
        case 5: b -= a; break;
        default:
            pc = 0;
            if (--left == 0)
                return a ^ b ^ steps;
        }
    }
}

/* The compression function of SHA-256 [FIPS 180-4], constants made up: only its shape matters. */
static uint64_t sha(unsigned n)
{
    uint32_t h[8], w[64], k[64];

    for (int i = 0; i < 64; i++)
        k[i] = next();
    for (int i = 0; i < 8; i++)
        h[i] = next();
#define ROR(x, s) ((x) >> (s) | (x) << (32 - (s)))
    for (unsigned r = 0; r < n; r++) {
        uint32_t s[8];
        for (int i = 0; i < 16; i++)
            w[i] = h[i % 8] + (uint32_t)i;
        for (int i = 16; i < 64; i++)
            w[i] = w[i - 16] + w[i - 7] + (ROR(w[i - 15], 7) ^ ROR(w[i - 15], 18) ^ w[i - 15] >> 3) +
                   (ROR(w[i - 2], 17) ^ ROR(w[i - 2], 19) ^ w[i - 2] >> 10);
        memcpy(s, h, sizeof s);
        for (int i = 0; i < 64; i++) {
            uint32_t t1 = s[7] + (ROR(s[4], 6) ^ ROR(s[4], 11) ^ ROR(s[4], 25)) +
                          ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
            uint32_t t2 = (ROR(s[0], 2) ^ ROR(s[0], 13) ^ ROR(s[0], 22)) +
                          ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
            memmove(s + 1, s, 7 * sizeof s[0]);
            s[4] += t1;
            s[0] = t1 + t2;
        }
        for (int i = 0; i < 8; i++)
            h[i] += s[i];
    }
    return h[0];
}

/* Words of a text, counted a byte at a time. */
static uint64_t words(unsigned n)
{
    enum { BYTES = 1 << 18 };
    static char text[BYTES];
    uint64_t count = 0;

    for (uint32_t k = 0; k < BYTES; k++)
        text[k] = " etaoin shrdlu\n"[next() % 15];
    for (unsigned r = 0; r < n; r++) {
        int inside = 0;
        for (uint32_t k = 0; k < BYTES; k++) {
            int space = text[k] == ' ' || text[k] == '\n';
            count += inside && space;
            inside = !space;
        }
    }
    return count;
}

struct node {
    struct node *child[2];
    uint32_t key;
};

static uint64_t tree(unsigned n)
{
    enum { NODES = 1 << 14 };
    static struct node node[NODES];
    struct node *root = NULL;
    uint64_t depth = 0;

    for (uint32_t k = 0; k < NODES; k++) {
        struct node **at = &root;
        node[k] = (struct node) { .key = next() };
        while (*at)
            at = &(*at)->child[node[k].key > (*at)->key];
        *at = &node[k];
    }
    for (unsigned r = 0; r < n; r++)
        for (uint32_t k = 0; k < NODES; k++)
            for (struct node *p = root; p->key != node[k].key; depth++)
                p = p->child[node[k].key > p->key];
    return depth;
}

static double nbody_step(double *p, unsigned n)
{
    double e = 0;
    for (unsigned r = 0; r < n; r++)
        for (int i = 0; i < 8; i++)
            for (int j = 0; j < 8; j++) {
                double d = p[i] - p[j] + 0.5;
                p[i] += 1e-9 / (d * d + 1.0);
                e += d * 1e-12;
            }
    return e;
}
static uint64_t nbody(unsigned n)
{
    double p[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    double e = nbody_step(p, n);
    return (uint64_t)((p[0] + e) * 1e6);
}

static uint64_t fill(unsigned n)
{
    enum { BYTES = 1 << 16 };
    static uint8_t block[BYTES];
    for (unsigned r = 0; r < n; r++) {
        void *d = block;
        size_t c = BYTES;
        __asm__ volatile("rep stosb" : "+D"(d), "+c"(c) : "a"(r) : "memory");
    }
    return block[n % BYTES];
}

static const struct {
    const char *name;
    uint64_t (*run)(unsigned n);
    unsigned n;
} kernels[] = {
    { "chase", chase, 12 },    { "sum", sum, 3000 },         { "hash", hash, 180 },
    { "matmul", matmul, 240 }, { "copy", copy, 3000 },       { "qsort", sort, 30 },
    { "fib", fib, 36 },        { "interp", interp, 3000000 }, { "sha256", sha, 60000 },
    { "words", words, 180 },   { "tree", tree, 40 },         { "nbody", nbody, 200000 },
    { "fill", fill, 20000 },
};

int main(int argc, char **argv)
{
    unsigned scale = argc > 1 ? (unsigned)atoi(argv[1]) : 1;

    setvbuf(stdout, NULL, _IONBF, 0);
    for (unsigned k = 0; k < sizeof kernels / sizeof kernels[0]; k++) {
        seed = 1;
        (void)kernels[k].run(kernels[k].n / 20 + 1); /* warm */
        printf("<%s>\n", kernels[k].name);
        seed = 1;
        uint64_t r = 0;
        for (unsigned s = 0; s < scale; s++)
            r += kernels[k].run(kernels[k].n);
        printf("</%s> %llx\n", kernels[k].name, (unsigned long long)r);
    }
    printf("<end>\n");
    if (getpid() == 1)
        reboot(RB_AUTOBOOT);
    return 0;
}
