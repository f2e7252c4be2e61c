/* SPDX-License-Identifier: MIT */
/**
 * @file rom.c
 * The option ROM that starts a kernel at its 16-bit entry. See setup16.h.
 *
 * Spec: [BBS §3.3] option ROM and $PnP headers, boot entry vector; [fw_cfg] "DMA interface":
 * descriptors are 16 bytes, big-endian, as the table at the ROM's end holds them. They are copied
 * to the stack first, where the device can write its verdict.
 */
#include <string.h>

#include "base/endian.h"
#include "boards/boot/setup16.h"

enum {
    PNP = 0x20,
    START = 0x40,
    TABLE = 0xa0,
    DESCRIPTOR = 16,
    DMA_READ = 0x02,
    DMA_SELECT = 0x08,
};

/* clang-format off */
static const uint8_t header[] = {
    0x55, 0xaa, BOOT_ROM_BYTES / 512,
    0xb8, 0x20, 0x00,       /* 03  initialisation: mov ax, 0x20 (there is something to boot) */
    0xcb,                   /* 06  retf */
    [0x1a] = PNP, 0x00,
    [PNP] = '$', 'P', 'n', 'P', 0x01, 0x02 /* in 16 bytes */,
    [PNP + 0x14] = 0x02 /* a device to boot from */, 0x14,
    [PNP + 0x1a] = START, 0x00,
    [PNP + 0x1f] = 0x00,
};

static const uint8_t code[] = {
    0xfa,                                     /* 40  cli */
    0xfc,                                     /*     cld */
    0x0e, 0x1f,                               /*     ds = cs */
    0xbe, TABLE, 0x00,                        /*     mov si, TABLE */
    0x83, 0xec, DESCRIPTOR,                   /*     sub sp, 16 */
    0x16, 0x07,                               /*     es = ss */
    0x66, 0x83, 0x3c, 0x00,                   /* 4c  next: cmp dword [si], 0 */
    0x74, 0x2a,                               /*     je done */
    0x89, 0xe7,                               /*     mov di, sp */
    0xb9, 0x08, 0x00,                         /*     mov cx, 8 */
    0xf3, 0xa5,                               /*     rep movsw */
    0x66, 0x31, 0xc0,                         /*     xor eax, eax */
    0x8c, 0xd0,                               /*     mov ax, ss */
    0x66, 0xc1, 0xe0, 0x04,                   /*     shl eax, 4 */
    0x66, 0x0f, 0xb7, 0xcc,                   /*     movzx ecx, sp */
    0x66, 0x01, 0xc8,                         /*     add eax, ecx */
    0x66, 0x0f, 0xc8,                         /*     bswap eax */
    0xba, 0x18, 0x05,                         /*     mov dx, 0x518 */
    0x66, 0xef,                               /*     out dx, eax: carried out at once */
    0x89, 0xe7,                               /*     mov di, sp */
    0x26, 0x66, 0x83, 0x3d, 0x00,             /*     cmp dword [es:di], 0 */
    0x74, 0xd2,                               /*     je next */
    0xcd, 0x18,                               /*     int 0x18: not bootable after all */
    0xb8, 0x00, 0x00,                         /* 7c  done: mov ax, segment */
    0x8e, 0xd0,                               /*     mov ss, ax */
    0xbc, 0x00, 0x00,                         /* 81  mov sp, sp */
    0x8e, 0xd8,                               /*     ds, es, fs, gs = ax */
    0x8e, 0xc0,
    0x8e, 0xe0,
    0x8e, 0xe8,
    0xea, 0x00, 0x00, 0x00, 0x00,             /* 8c  jmp segment + 0x20:0 */
};
/* clang-format on */

enum { AT_SEGMENT = 0x7d, AT_SP = 0x82, AT_CS = 0x8f };

_Static_assert(START + sizeof code <= TABLE, "the table begins after the code");
_Static_assert(TABLE + (BOOT_PARTS + 1) * DESCRIPTOR < BOOT_ROM_BYTES, "the table fits");

static void set_checksum(uint8_t *at, const uint8_t *bytes, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + bytes[i]);
    *at = (uint8_t)(*at - sum);
}

void vm__boot_rom(const struct boot_setup16 *s, const uint16_t keys[BOOT_PARTS],
                  uint8_t rom[BOOT_ROM_BYTES])
{
    memset(rom, 0, BOOT_ROM_BYTES);
    memcpy(rom, header, sizeof header);
    memcpy(rom + START, code, sizeof code);
    vm_put_le16(rom + AT_SEGMENT, s->segment);
    vm_put_le16(rom + AT_SP, s->sp);
    vm_put_le16(rom + AT_CS, (uint16_t)(s->segment + 0x20));
    uint8_t *row = rom + TABLE;
    for (unsigned i = 0; i < BOOT_PARTS; i++) {
        if (s->part[i].len == 0)
            continue;
        vm_put_be32(row, (uint32_t)keys[i] << 16 | DMA_SELECT | DMA_READ);
        vm_put_be32(row + 4, (uint32_t)s->part[i].len);
        vm_put_be64(row + 8, s->part[i].gpa);
        row += DESCRIPTOR;
    }
    set_checksum(rom + PNP + 9, rom + PNP, 0x20);
    set_checksum(rom + BOOT_ROM_BYTES - 1, rom, BOOT_ROM_BYTES);
}
