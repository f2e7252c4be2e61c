/* SPDX-License-Identifier: MIT */
/**
 * @file kernels.c
 * Compute loops of ordinary integer code, the same for every emulator that is compared.
 *
 * Each kernel takes a number of loops and returns a checksum; 0 loops does nothing, so that the
 * cost of starting up can be measured and taken off. Freestanding: no library, no floating point.
 */
#include <stddef.h>
#include <stdint.h>

#define NOINLINE __attribute__((noinline))

/* Filled in by the bench before the image is run; see payload.py. */
__attribute__((section(".params"), used)) volatile struct {
    char magic[8];
    uint32_t kernel;
    uint32_t loops;
} params = { "VMBENCH1", 0, 0 };

static uint8_t bytes[65536];
static uint32_t words[4096];
static uint32_t matrix[3][48][48];

static void *copy(void *dst, const void *src, size_t n)
{
    void *d = dst;
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(n) : : "memory");
    return dst;
}

/* The compiler may call these for assignments. */
void *memcpy(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
void *memcpy(void *dst, const void *src, size_t n)
{
    return copy(dst, src, n);
}
void *memset(void *dst, int c, size_t n)
{
    void *d = dst;
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
    return dst;
}

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static uint32_t sieve(uint32_t loops)
{
    uint32_t primes = 0;
    while (loops-- > 0) {
        for (uint32_t i = 2; i < sizeof bytes; i++)
            bytes[i] = 1;
        for (uint32_t i = 2; i * i < sizeof bytes; i++)
            if (bytes[i])
                for (uint32_t j = i * i; j < sizeof bytes; j += i)
                    bytes[j] = 0;
        for (uint32_t i = 2; i < sizeof bytes; i++)
            primes += bytes[i];
    }
    return primes;
}

static void sift(uint32_t *a, uint32_t start, uint32_t n)
{
    uint32_t root = start, child;
    while ((child = 2 * root + 1) < n) {
        if (child + 1 < n && a[child] < a[child + 1])
            child++;
        if (a[root] >= a[child])
            return;
        uint32_t t = a[root];
        a[root] = a[child];
        a[child] = t;
        root = child;
    }
}

static uint32_t heapsort(uint32_t loops)
{
    uint32_t seed = 1, sum = 0, n = sizeof words / sizeof words[0];
    while (loops-- > 0) {
        for (uint32_t i = 0; i < n; i++)
            words[i] = next(&seed);
        for (uint32_t i = n / 2; i-- > 0;)
            sift(words, i, n);
        for (uint32_t end = n - 1; end > 0; end--) {
            uint32_t t = words[0];
            words[0] = words[end];
            words[end] = t;
            sift(words, 0, end);
        }
        sum = sum * 31 + words[n / 2];
    }
    return sum;
}

static uint32_t hash(uint32_t loops)
{
    uint32_t h = 2166136261u, seed = 7;
    for (uint32_t i = 0; i < 4096; i++)
        bytes[i] = (uint8_t)next(&seed);
    while (loops-- > 0) {
        for (uint32_t i = 0; i < 4096; i++)
            h = (h ^ bytes[i]) * 16777619u;
        const uint32_t *w = (const uint32_t *)(const void *)bytes;
        for (uint32_t i = 0; i < 1024; i++) {
            uint32_t k = w[i] * 0xcc9e2d51u;
            k = k << 15 | k >> 17;
            h ^= k * 0x1b873593u;
            h = (h << 13 | h >> 19) * 5 + 0xe6546b64u;
        }
    }
    return h;
}

static NOINLINE size_t length(const char *s)
{
    size_t n = 0;
    while (s[n] != '\0')
        n++;
    return n;
}

static NOINLINE int compare(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b)
        a++, b++;
    return (uint8_t)*a - (uint8_t)*b;
}

static uint32_t strings(uint32_t loops)
{
    static const char text[] = "The quick brown fox jumps over the lazy dog and runs away";
    char *line = (char *)bytes, *other = (char *)bytes + 4096;
    uint32_t sum = 0;
    while (loops-- > 0) {
        for (uint32_t i = 0; i < 16; i++)
            copy(line + i * (sizeof text - 1), text, sizeof text);
        size_t n = length(line);
        for (size_t i = 0; i <= n; i++) {
            char c = line[i];
            other[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
        }
        sum += (uint32_t)n + (uint32_t)compare(line, other);
        memset(other, ' ', 512);
        copy(other, line, n + 1);
        sum += (uint32_t)compare(line, other);
        for (size_t i = 0; i < n; i++)
            sum = sum * 33 + (line[i] == 'o');
    }
    return sum;
}

static NOINLINE uint32_t fib(uint32_t n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint32_t recursion(uint32_t loops)
{
    uint32_t sum = 0;
    while (loops-- > 0)
        sum += fib(18 + (loops & 1));
    return sum;
}

static uint32_t multiply(uint32_t loops)
{
    uint32_t seed = 3, sum = 0;
    for (uint32_t i = 0; i < 48; i++)
        for (uint32_t j = 0; j < 48; j++) {
            matrix[0][i][j] = next(&seed);
            matrix[1][i][j] = next(&seed);
        }
    while (loops-- > 0) {
        for (uint32_t i = 0; i < 48; i++)
            for (uint32_t j = 0; j < 48; j++) {
                uint32_t s = 0;
                for (uint32_t k = 0; k < 48; k++)
                    s += matrix[0][i][k] * matrix[1][k][j];
                matrix[2][i][j] = s;
            }
        sum += matrix[2][loops % 48][7];
    }
    return sum;
}

/* A search tree: loads that depend on each other, branches that are hard to foresee. */
struct node {
    struct node *kid[2];
    uint32_t key, hits;
};

static uint32_t tree(uint32_t loops)
{
    static struct node nodes[2048];
    uint32_t sum = 0;
    while (loops-- > 0) {
        uint32_t used = 0, seed = loops;
        struct node *root = NULL;
        for (uint32_t i = 0; i < 2048; i++) {
            uint32_t key = next(&seed) & 4095;
            struct node **at = &root;
            while (*at != NULL && (*at)->key != key)
                at = &(*at)->kid[key > (*at)->key];
            if (*at == NULL) {
                *at = &nodes[used++];
                (*at)->kid[0] = (*at)->kid[1] = NULL;
                (*at)->key = key;
                (*at)->hits = 0;
            }
            (*at)->hits++;
        }
        sum += used + root->hits;
    }
    return sum;
}

/* A small bytecode machine: indirect jumps through a table. */
static uint32_t bytecode(uint32_t loops)
{
    static const uint8_t program[] = { 0, 9, 1, 3, 2, 5, 4, 6, 7, 3, 1, 2, 0, 7, 5, 8 };
    uint32_t a = 1, b = 2, c = 0;
    while (loops-- > 0)
        for (uint32_t turn = 0; turn < 256; turn++)
            for (uint32_t pc = 0; pc < sizeof program; pc++)
                switch (program[pc]) {
                case 0:
                    a += b;
                    break;
                case 1:
                    b ^= a << 3;
                    break;
                case 2:
                    c += a & b;
                    break;
                case 3:
                    a -= c >> 2;
                    break;
                case 4:
                    b = ~b;
                    break;
                case 5:
                    if (c & 1)
                        a++;
                    break;
                case 6:
                    c = c << 1 | c >> 31;
                    break;
                case 7:
                    words[a & 1023] = b;
                    break;
                case 8:
                    b += words[c & 1023];
                    break;
                case 9:
                    a = a * 5 + 1;
                    break;
                }
    return a ^ b ^ c;
}

/* Long numbers in base 2^32: multiply with carry, then divide back. */
static uint32_t bignum(uint32_t loops)
{
    uint32_t n = 64, sum = 0;
    while (loops-- > 0) {
        words[0] = loops | 1;
        for (uint32_t i = 1; i < n; i++)
            words[i] = 0;
        for (uint32_t f = 3; f < 40; f++) {
            uint32_t carry = 0;
            for (uint32_t i = 0; i < n; i++) {
                uint64_t p = (uint64_t)words[i] * (f * 2654435761u) + carry;
                words[i] = (uint32_t)p;
                carry = (uint32_t)(p >> 32);
            }
        }
        uint32_t rest = 0;
        for (uint32_t i = n; i-- > 0;)
            __asm__("divl %4"
                    : "=a"(words[i]), "=d"(rest)
                    : "0"(words[i]), "1"(rest), "r"(1000000007u)
                    : "cc");
        sum = sum * 31 + rest;
    }
    return sum;
}

static uint32_t (*const kernels[])(uint32_t) = {
    sieve, heapsort, hash, strings, recursion, multiply, tree, bytecode, bignum,
};

static void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void say(const char *s)
{
    out8(0x3fb, 0x03); /* eight bits, no parity [PC16550D §8.1] */
    for (; *s != '\0'; s++) {
        for (int tries = 0; tries < 1000 && (in8(0x3fd) & 0x20) == 0; tries++)
            ;
        out8(0x3f8, (uint8_t)*s);
    }
}

/** End the machine: isa-debug-exit, else Bochs's port for it; then stand still. */
static void end(void)
{
    out8(0xf4, 0);
    for (const char *s = "Shutdown"; *s != '\0'; s++)
        out8(0x8900, (uint8_t)*s);
    for (;;)
        __asm__ volatile("cli; hlt");
}

void bench_main(void);
void bench_main(void)
{
    char text[] = "sum 00000000\r\n";
    uint32_t sum = 0;
    if (params.loops > 0)
        sum = kernels[params.kernel](params.loops);
    for (int i = 0; i < 8; i++)
        text[4 + i] = "0123456789abcdef"[sum >> (28 - 4 * i) & 15];
    say(text);
    end();
}
