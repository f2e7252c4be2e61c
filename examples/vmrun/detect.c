/* SPDX-License-Identifier: MIT */
/**
 * @file detect.c
 * `vmrun FILE`: what is it, and what is to be done with it?
 *
 * Only the first 64 KiB, the last sector and the size are looked at. A raw disk needs its boot
 * signature: a file that merely might be a disk is not started by guessing.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opts.h"
#include "vmrun.h"

enum { HEAD = 65536, TAIL = 512 };

struct probe {
    uint8_t head[HEAD], tail[TAIL];
    size_t n;      /**< bytes of head */
    uint64_t size; /**< of the file */
};

static bool at(const struct probe *p, size_t off, const void *magic, size_t len)
{
    return off + len <= p->n && memcmp(p->head + off, magic, len) == 0;
}

static uint32_t le32(const uint8_t *b)
{
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

/* ---- recognising ---- */

/** Image formats by their magic; doc/references.md names their specifications. */
static const struct {
    const char *format;
    size_t off, len;
    const char *magic;
} formats[] = {
    { "qcow2", 0, 8, "QFI\xfb\0\0\0\2" },
    { "qcow2", 0, 8, "QFI\xfb\0\0\0\3" },
    { "qcow", 0, 8, "QFI\xfb\0\0\0\1" },
    { "qed", 0, 4, "QED\0" },
    { "vdi", 0x40, 4, "\x7f\x10\xda\xbe" },
    { "vmdk", 0, 4, "KDMV" },
    { "vmdk", 0, 4, "COWD" },
    { "vmdk", 0, 21, "# Disk DescriptorFile" },
    { "vhdx", 0, 8, "vhdxfile" },
    { "vpc", 0, 8, "conectix" },
    { "parallels", 0, 16, "WithoutFreeSpace" },
    { "parallels", 0, 16, "WithouFreSpacExt" },
    { "luks", 0, 6, "LUKS\xba\xbe" },
    { "bochs", 0, 23, "Bochs Virtual HD Image" },
};

static const char *image_format(const struct probe *p)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (at(p, formats[i].off, formats[i].magic, formats[i].len))
            return formats[i].format;
    if (memcmp(p->tail, "conectix", 8) == 0) /* a fixed VHD has its footer only */
        return "vpc";
    if (memcmp(p->tail, "koly", 4) == 0)
        return "dmg";
    return NULL;
}

/** ISO 9660: "CD001" in the volume descriptor at sector 16 [ECMA-119 §8.1]. */
static bool is_iso(const struct probe *p)
{
    return at(p, 16 * 2048 + 1, "CD001", 5);
}

/** The primary descriptor says how many blocks there are [ECMA-119 §8.4.8]. Tools add up to 150
 * blocks of padding that others cut off again; more is missing from a download that did not finish.
 */
static bool is_whole(const struct probe *p, const char *option, const char *path)
{
    enum { DESCRIPTOR = 16 * 2048, BLOCK = 2048, PADDING = 150 };
    if (!is_iso(p) || p->head[DESCRIPTOR] != 1)
        return true;
    const uint64_t blocks = le32(p->head + DESCRIPTOR + 80);
    if (p->size / BLOCK + PADDING >= blocks)
        return true;
    say("%s%s%s: the CD-ROM image is cut short: %llu bytes of %llu", option,
        *option != '\0' ? " " : "", path, (unsigned long long)p->size,
        (unsigned long long)(blocks * BLOCK));
    return false;
}

/** [Linux-boot]: the setup header's magic, with a boot sector's signature before it. */
static bool is_linux(const struct probe *p)
{
    return at(p, 0x202, "HdrS", 4) && at(p, 0x1fe, "\x55\xaa", 2);
}

/** [Multiboot §3.1.1]: in the first 8 KiB, aligned, with a checksum. */
static bool is_multiboot(const struct probe *p)
{
    for (size_t i = 0; i + 12 <= p->n && i < 8192; i += 4)
        if (le32(p->head + i) == 0x1badb002 &&
            le32(p->head + i) + le32(p->head + i + 4) + le32(p->head + i + 8) == 0)
            return true;
    return false;
}

static bool is_floppy_size(uint64_t size)
{
    static const unsigned kib[] = { 160, 180, 320, 360, 720, 1200, 1440, 1680, 1720, 2880 };
    for (size_t i = 0; i < sizeof kib / sizeof kib[0]; i++)
        if (size == kib[i] * UINT64_C(1024))
            return true;
    return false;
}

/* ---- doing ---- */

static bool take_drive(struct parse *p, const char *path, const char *settings)
{
    char text[8192] = "";
    if (!opts_append(text, sizeof text, "file", path) ||
        strlen(text) + strlen(settings) >= sizeof text) {
        say("%.80s: too long", path);
        return false;
    }
    (void)strcat(text, settings);
    return add_drive(p, path, text);
}

static bool take_kernel(struct parse *p, const char *path)
{
    if (p->o->has_kernel) {
        say("%s: a kernel, but there is one already", path);
        return false;
    }
    p->o->has_kernel = true;
    return set_key(p, path, "boot.kernel", path);
}

static bool read_probe(const char *path, struct probe *p)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        say("%s: %s", path, strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return false;
    }
    if (S_ISDIR(st.st_mode)) {
        say("%s: a folder is not a disk image", path);
        (void)close(fd);
        return false;
    }
    const off_t end = lseek(fd, 0, SEEK_END); /* block devices have no st_size */
    p->size = end > 0 ? (uint64_t)end : 0;
    const ssize_t n = pread(fd, p->head, sizeof p->head, 0);
    p->n = n > 0 ? (size_t)n : 0;
    if (p->size < TAIL || pread(fd, p->tail, TAIL, end - TAIL) != TAIL)
        memset(p->tail, 0, TAIL);
    (void)close(fd);
    if (n < 0 || p->size == 0) {
        say("%s: %s", path, n < 0 ? strerror(errno) : "the file is empty");
        return false;
    }
    return true;
}

static bool decide(struct parse *p, const char *path, const struct probe *probe)
{
    char text[64];
    const char *format;
    if (is_iso(probe)) {
        if (!is_whole(probe, "", path))
            return false;
        p->o->took_cd = true;
        p->took = "a CD-ROM";
        return take_drive(p, path, ",media=cdrom,format=raw,readonly=on");
    }
    if ((format = image_format(probe)) != NULL) {
        (void)snprintf(p->took_text, sizeof p->took_text, "a %s disk", format);
        p->took = p->took_text;
        (void)snprintf(text, sizeof text, ",media=disk,format=%s", format);
        return take_drive(p, path, text);
    }
    if (is_linux(probe) || is_multiboot(probe) ||
        at(probe, 0,
           "\x7f"
           "ELF",
           4)) {
        p->took = is_linux(probe)       ? "a Linux kernel"
                  : is_multiboot(probe) ? "a Multiboot kernel"
                                        : "an ELF kernel";
        return take_kernel(p, path);
    }
    if (is_floppy_size(probe->size)) {
        p->o->took_floppy = true;
        p->took = "a floppy disk";
        return take_drive(p, path, ",if=floppy,format=raw");
    }
    if (at(probe, 510, "\x55\xaa", 2)) {
        p->took = "a raw disk";
        return take_drive(p, path, ",media=disk,format=raw");
    }
    say("%s: not recognised: no CD-ROM, disk with a boot sector, floppy or kernel; "
        "-hda takes it as a disk whatever it is",
        path);
    return false;
}

static struct probe probe; /* 64 KiB are much for a stack */

bool check_cdrom(const char *option, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || access(path, R_OK) != 0)
        return true; /* a device or a protocol; or what is wrong is said elsewhere */
    return st.st_size == 0 || (read_probe(path, &probe) && is_whole(&probe, option, path));
}

bool take_file(struct parse *p, const char *path)
{
    if (!read_probe(path, &probe) || !decide(p, path, &probe))
        return false;
    if (p->speak)
        say("%s: %s", path, p->took);
    return true;
}
