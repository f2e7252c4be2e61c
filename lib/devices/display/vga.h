/* SPDX-License-Identifier: MIT */
/**
 * @file vga.h
 * Between the files of the VGA: state, and who does what.
 *
 *   vga.c        the PCI function: windows, ROM, map, reset, saving
 *   vga_regs.c   sequencer, CRTC, graphics, attribute and DAC registers, status
 *   vga_timing.c where the beam is
 *   vga_mem.c    the window at 0xA0000: planes, latches, write modes
 *   vga_dispi.c  the "DISPI" registers of high resolutions
 *   vga_edid.c   what the monitor says of itself
 *   vga_scan.c   from registers to scan lines: size, address and row of each, colours
 *   vga_text.c   characters
 *   vga_line.c   pixels of one line in graphics modes
 *   vga_draw.c   refresh: what changed is drawn anew
 *
 * Video memory. A plane's byte `o` and plane `p` lie at vga_slot(o) + p: the four planes of an
 * address side by side, one 32-bit word. The words are ordered so that chain-4 is linear: then the
 * window in mode 13h, and the linear framebuffer of DISPI modes, are plain RAM to the guest.
 * (Chain-4 uses one address of a plane in four: of the processor's address, bits 0 and 1 select the
 * plane, and bits 14 and 15 take their place, as in the CRTC's doubleword mode that shows it.)
 */
#ifndef LIBVM_DEVICES_DISPLAY_VGA_H
#define LIBVM_DEVICES_DISPLAY_VGA_H

#include "core/dirty.h"
#include "core/display.h"
#include "devices/pci/pci.h"

enum {
    VGA_SEQ_REGS = 5,
    VGA_CRTC_REGS = 25,
    VGA_GC_REGS = 9,
    VGA_ATTR_REGS = 21,

    VGA_MEM_BASE = 0xa0000,
    VGA_MEM_SIZE = 0x20000,
    VGA_BANK_SIZE = 0x10000,
    VGA_PLANE_SIZE = 0x10000, /* addresses in a plane of the VGA proper */

    VGA_MAX_LINES = 2048,
    VGA_MAX_DOTS = 256 * 9 * 2, /* 256 characters at half the dot clock */
};

/* Registers by number, and bits, as IBM names them. */
enum {
    SEQ_RESET = 0,
    SEQ_CLOCKING = 1,
    SEQ_MAP_MASK = 2,
    SEQ_FONT = 3,
    SEQ_MEMORY = 4,
    CLOCKING_8_DOTS = 0x01,
    CLOCKING_HALF = 0x08,
    CLOCKING_OFF = 0x20,
    MEMORY_EXTENDED = 0x02,
    MEMORY_NOT_ODD_EVEN = 0x04,
    MEMORY_CHAIN4 = 0x08,

    CRTC_H_TOTAL = 0x00,
    CRTC_H_END = 0x01,
    CRTC_V_TOTAL = 0x06,
    CRTC_OVERFLOW = 0x07,
    CRTC_PRESET_ROW = 0x08,
    CRTC_MAX_SCAN = 0x09,
    CRTC_CURSOR_START = 0x0a,
    CRTC_CURSOR_END = 0x0b,
    CRTC_START_HIGH = 0x0c,
    CRTC_START_LOW = 0x0d,
    CRTC_CURSOR_HIGH = 0x0e,
    CRTC_CURSOR_LOW = 0x0f,
    CRTC_V_SYNC_START = 0x10,
    CRTC_V_SYNC_END = 0x11,
    CRTC_V_END = 0x12,
    CRTC_OFFSET = 0x13,
    CRTC_UNDERLINE = 0x14,
    CRTC_MODE = 0x17,
    CRTC_LINE_COMPARE = 0x18,
    MAX_SCAN_DOUBLE = 0x80,
    CURSOR_OFF = 0x20,
    V_SYNC_END_PROTECT = 0x80,
    UNDERLINE_DWORD = 0x40,
    UNDERLINE_COUNT4 = 0x20,
    MODE_MAP13 = 0x01,
    MODE_MAP14 = 0x02,
    MODE_HALF_LINES = 0x04,
    MODE_COUNT2 = 0x08,
    MODE_WRAP15 = 0x20,
    MODE_BYTE = 0x40,

    GC_SET_RESET = 0,
    GC_SET_RESET_ENABLE = 1,
    GC_COMPARE = 2,
    GC_ROTATE = 3,
    GC_READ_MAP = 4,
    GC_MODE = 5,
    GC_MISC = 6,
    GC_DONT_CARE = 7,
    GC_BIT_MASK = 8,
    GC_MODE_READ1 = 0x08,
    GC_MODE_ODD_EVEN = 0x10,
    GC_MODE_INTERLEAVE = 0x20,
    GC_MODE_256 = 0x40,
    GC_MISC_GRAPHICS = 0x01,
    GC_MISC_CHAIN = 0x02,

    ATTR_MODE = 0x10,
    ATTR_PLANES = 0x12,
    ATTR_PAN = 0x13,
    ATTR_SELECT = 0x14,
    ATTR_MODE_LINE_GRAPHICS = 0x04,
    ATTR_MODE_BLINK = 0x08,
    ATTR_MODE_PAN_TOP = 0x20,
    ATTR_MODE_256 = 0x40,
    ATTR_MODE_P54 = 0x80,
    ATTR_INDEX_ON = 0x20, /* of the index register: the palette drives the screen */

    MISC_COLOUR = 0x01,
    MISC_RAM = 0x02,
};

/* DISPI registers [BOCHS-VBE]. */
enum {
    DISPI_ID = 0,
    DISPI_XRES,
    DISPI_YRES,
    DISPI_BPP,
    DISPI_ENABLE,
    DISPI_BANK,
    DISPI_VIRT_WIDTH,
    DISPI_VIRT_HEIGHT,
    DISPI_X_OFFSET,
    DISPI_Y_OFFSET,
    DISPI_MEMORY_64K,
    DISPI_REGS,

    DISPI_ID5 = 0xb0c5,
    DISPI_ENABLED = 0x01,
    DISPI_GETCAPS = 0x02,
    DISPI_8BIT_DAC = 0x20,
    DISPI_LFB = 0x40,
    DISPI_NOCLEARMEM = 0x80,

    DISPI_MAX_X = 4096,
    DISPI_MAX_Y = 2400,
};

/** One line of the picture: where it begins and which row of the characters it shows. */
struct vga_scan {
    uint32_t base; /**< address counter at its first character, before panning */
    uint8_t row;   /**< row scan counter */
    uint8_t pan;   /**< dots shifted out on the left */
};

/** What the registers amount to; rebuilt when one of them changed. */
struct vga_picture {
    bool off;             /**< black */
    bool text;            /**< else graphics */
    bool dispi;           /**< a DISPI mode: of the rest only width, height and bpp count */
    uint32_t bpp;         /**< DISPI bits a pixel */
    uint32_t width;       /**< dots on the screen */
    uint32_t height;      /**< lines */
    uint32_t columns;     /**< characters, or groups of eight dots */
    uint32_t char_width;  /**< 8 or 9; text only */
    uint32_t dot_repeat;  /**< 2 at half the dot clock */
    uint32_t count_shift; /**< the counter steps once in 1, 2 or 4 characters */
    uint32_t font[2];     /**< plane address of the font for attribute bit 3 clear and set */
    uint32_t colour[256]; /**< 0x00RRGGBB by pixel value; 16 in text and planar modes */
};

struct vga {
    struct vm_pci pci;

    /* Properties. */
    uint64_t vram_bytes;
    const char *rom_file;
    uint32_t xres, yres;

    /* Registers. */
    uint8_t misc, feature;
    uint8_t seq_index, seq[VGA_SEQ_REGS];
    uint8_t crtc_index, crtc[VGA_CRTC_REGS];
    uint8_t gc_index, gc[VGA_GC_REGS];
    uint8_t attr_index, attr[VGA_ATTR_REGS];
    uint8_t attr_data; /**< not 0: the next write to 3C0 is data */
    uint8_t status_toggle;
    uint8_t dac_mask, dac_read_index, dac_write_index;
    uint8_t dac_step;    /**< 0…2: red, green, blue */
    uint8_t dac_reading; /**< not 0: 3C7 was written last, not 3C8 */
    uint8_t dac_wait[2]; /**< red and green of a colour being written */
    uint8_t dac[768];
    uint8_t latch[4]; /**< a byte a plane */
    uint16_t dispi_index, dispi[DISPI_REGS];
    uint8_t big_endian; /**< not 0: DISPI pixels of 16 and 32 bits are */

    /* Rebuilt, not saved. */
    struct vm_region *vram, *rom;
    uint8_t *mem; /**< vram's bytes */
    struct vm_page *pages;
    struct vm_region *linear; /**< the part of vram at 0xA0000, if it is plain memory now */
    uint64_t linear_off;
    uint64_t frame_ns, line_ns; /**< 0: to be worked out */
    struct vm_display *display;
    uint8_t edid[128];

    struct vm_dirty dirty;
    bool logging;      /**< dirty is in use */
    bool stale;        /**< registers changed: work out the picture again */
    bool redraw;       /**< draw all of it */
    bool font_touched; /**< plane 2 was written */
    struct vga_picture picture;
    struct vga_scan scan[VGA_MAX_LINES];
    uint32_t *pixels;       /**< the surface */
    uint32_t width, height; /**< of it */
    uint64_t room;          /**< pixels allocated */
    bool touched;           /**< the cursor was */
    uint8_t phase;          /**< vm__vga_blink_phase() as drawn */
    uint32_t *cells;        /**< text: what each place shows, as text_key() */
    uint64_t cells_room;
    uint32_t line[VGA_MAX_DOTS]; /**< one line, being drawn */
};

/** Where the four planes' bytes of plane address @p o lie in video memory. */
static inline uint32_t vga_slot(uint32_t o)
{
    return (o & ~(uint32_t)0xffff) << 2 | ((o ^ o >> 14) & 3) << 16 | (o & 0xfffc);
}

static inline bool vga_in_dispi(const struct vga *s)
{
    return s->dispi[DISPI_ENABLE] & DISPI_ENABLED;
}

/** A DISPI mode whose pixels lie side by side. */
static inline bool vga_is_packed(const struct vga *s)
{
    return vga_in_dispi(s) && s->dispi[DISPI_BPP] > 4;
}

/** A register that shapes the picture changed. */
static inline void vga_stale(struct vga *s)
{
    s->stale = true;
}

/* vga_regs.c: port 0x3b0 + off */
uint8_t vm__vga_port_read(struct vm_dev *dev, uint32_t off);
void vm__vga_port_write(struct vm_dev *dev, uint32_t off, uint8_t v);
void vm__vga_regs_reset(struct vga *s);
/** Bring registers that came from outside into their ranges. */
void vm__vga_regs_fix(struct vga *s);

/* vga_timing.c */
/** Input status 1's bits 0 and 3: not drawing, vertical retrace. */
uint8_t vm__vga_retrace(struct vm_dev *dev);
/** Bit 0: the cursor shows, bit 1: blinking characters show. */
uint8_t vm__vga_blink_phase(struct vm_dev *dev);

/* vga_mem.c: the window at VGA_MEM_BASE */
uint64_t vm__vga_mem_read(struct vm_dev *dev, uint64_t off, unsigned size);
void vm__vga_mem_write(struct vm_dev *dev, uint64_t off, unsigned size, uint64_t v);
/** Is VGA_BANK_SIZE at VGA_MEM_BASE plain memory now, and of which offset of vram? */
bool vm__vga_mem_linear(const struct vga *s, uint64_t *off);

/* vga_dispi.c */
uint16_t vm__vga_dispi_read(const struct vga *s, uint32_t index);
void vm__vga_dispi_write(struct vm_dev *dev, uint32_t index, uint16_t v);
void vm__vga_dispi_reset(struct vga *s);
/** Registers that came from outside: do they make sense? */
int vm__vga_dispi_check(const struct vga *s);
/** Bytes from line to line of a DISPI mode; for 4 bits a pixel, of a plane. */
uint32_t vm__vga_dispi_pitch(const struct vga *s);

/* vga_edid.c */
enum { VGA_EDID_SIZE = 128 };
void vm__vga_edid(uint8_t *edid, uint32_t width, uint32_t height);

/* vga.c */
/** Memory, mapping or sequencing registers changed: the window may be plain memory now. */
void vm__vga_update_map(struct vm_dev *dev);

/* vga_scan.c */
/** Work out s->picture and s->scan. */
void vm__vga_scan_update(struct vga *s);
/** The memory address that the CRTC puts out for a value of its counter in row @p row. */
uint32_t vm__vga_scan_address(const struct vga *s, uint32_t counter, unsigned row);

/* vga_text.c */
/** Draw the rows of a text screen that changed; @p phase is vm__vga_blink_phase(). */
void vm__vga_text_draw(struct vga *s, uint8_t phase);
/** Rows of characters, and the first scan line of each up to @p max; the next one is the end. */
uint32_t vm__vga_text_rows(const struct vga *s, uint16_t *first, uint32_t max);
size_t vm__vga_text_cells(struct vm_dev *dev, vm_text_cell *cells, size_t max, uint32_t *columns);

/* vga_line.c */
/** Was any byte written that line @p y may show? */
bool vm__vga_line_dirty(const struct vga *s, uint32_t y);
/** Behind the last byte of video memory that the picture may show. */
uint64_t vm__vga_lines_end(const struct vga *s);
/** The line's pixels, s->picture.width of them. */
void vm__vga_line_draw(const struct vga *s, uint32_t y, uint32_t *out);

/* vga_draw.c */
extern const struct vm_display_guest_ops vm__vga_display_ops;
void vm__vga_draw_fini(struct vga *s);
/** s->line is line @p y: take it into the surface. @return it differs from what was there */
bool vm__vga_draw_line(struct vga *s, uint32_t y);

#endif
