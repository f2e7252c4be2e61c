/* SPDX-License-Identifier: MIT */
/**
 * @file vga_regs.c
 * The VGA's registers behind their ports.
 *
 * Spec: [IBM-VGA §2], [FreeVGA "VGA Functional I/O Ports"]. Every register reads back what was
 * written, but for bits that do not exist. With MISC_COLOUR clear the CRTC and status ports are at
 * 3Bx instead of 3Dx.
 */
#include "devices/display/vga.h"

enum {
    BASE = 0x3b0,
    MONO_CRTC_INDEX = 0x3b4 - BASE,
    MONO_CRTC_DATA = 0x3b5 - BASE,
    MONO_STATUS = 0x3ba - BASE,
    ATTR_WRITE = 0x3c0 - BASE,
    ATTR_READ = 0x3c1 - BASE,
    MISC_WRITE = 0x3c2 - BASE, /* reads input status 0 */
    SEQ_INDEX = 0x3c4 - BASE,
    SEQ_DATA = 0x3c5 - BASE,
    DAC_MASK = 0x3c6 - BASE,
    DAC_READ_INDEX = 0x3c7 - BASE, /* reads the state */
    DAC_WRITE_INDEX = 0x3c8 - BASE,
    DAC_DATA = 0x3c9 - BASE,
    FEATURE_READ = 0x3ca - BASE,
    MISC_READ = 0x3cc - BASE,
    GC_INDEX = 0x3ce - BASE,
    GC_DATA = 0x3cf - BASE,
    COLOUR_CRTC_INDEX = 0x3d4 - BASE,
    COLOUR_CRTC_DATA = 0x3d5 - BASE,
    COLOUR_STATUS = 0x3da - BASE,

    STATUS0_SENSE = 0x10, /* a monitor is there */
    STATUS_DIAGNOSTIC = 0x30,
};

/** Bits that exist. */
static const uint8_t seq_bits[VGA_SEQ_REGS] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e };
static const uint8_t gc_bits[VGA_GC_REGS] = {
    0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff
};

static uint8_t attr_bits(unsigned i)
{
    static const uint8_t above[] = { 0xef, 0xff, 0x3f, 0x0f, 0x0f };
    return i < ATTR_MODE ? 0x3f : above[i - ATTR_MODE];
}

/* ---- sequencer, graphics controller ------------------------------------------------------- */

static void seq_write(struct vm_dev *dev, uint8_t v)
{
    struct vga *s = vm_dev_state(dev);
    const unsigned i = s->seq_index;

    if (i >= VGA_SEQ_REGS || s->seq[i] == (v & seq_bits[i]))
        return;
    s->seq[i] = v & seq_bits[i];
    if (i == SEQ_MAP_MASK || i == SEQ_MEMORY)
        vm__vga_update_map(dev);
    if (i == SEQ_CLOCKING)
        s->frame_ns = 0;
    if (i != SEQ_MAP_MASK)
        vga_stale(s);
}

static void gc_write(struct vm_dev *dev, uint8_t v)
{
    struct vga *s = vm_dev_state(dev);
    const unsigned i = s->gc_index;

    if (i >= VGA_GC_REGS || s->gc[i] == (v & gc_bits[i]))
        return;
    const uint8_t changed = s->gc[i] ^ (v & gc_bits[i]);
    s->gc[i] = v & gc_bits[i];
    if (i != GC_COMPARE && i != GC_READ_MAP && i != GC_DONT_CARE)
        vm__vga_update_map(dev);
    if (i == GC_MISC || (i == GC_MODE && (changed & (GC_MODE_256 | GC_MODE_INTERLEAVE))))
        vga_stale(s);
}

/* ---- CRTC --------------------------------------------------------------------------------- */

static void crtc_write(struct vga *s, uint8_t v)
{
    const unsigned i = s->crtc_index;

    if (i >= VGA_CRTC_REGS)
        return;
    if (i <= CRTC_OVERFLOW && (s->crtc[CRTC_V_SYNC_END] & V_SYNC_END_PROTECT)) {
        if (i != CRTC_OVERFLOW)
            return;
        /* The line compare bit is not protected. */
        v = (s->crtc[i] & 0xef) | (v & 0x10);
    }
    if (s->crtc[i] == v)
        return;
    s->crtc[i] = v;
    s->frame_ns = 0;
    if (i < CRTC_CURSOR_START || i > CRTC_CURSOR_LOW || i == CRTC_START_HIGH || i == CRTC_START_LOW)
        vga_stale(s);
    else
        s->touched = true; /* the cursor: only its place changes */
}

/* ---- attribute controller ----------------------------------------------------------------- */

/** [FreeVGA "Accessing the Attribute Registers"]: one port takes index and data in turn. */
static void attr_write(struct vga *s, uint8_t v)
{
    const unsigned i = s->attr_index & 0x1f;

    s->attr_data = !s->attr_data;
    if (s->attr_data) {
        if ((s->attr_index ^ v) & ATTR_INDEX_ON)
            vga_stale(s);
        s->attr_index = v & 0x3f;
    } else if (i < VGA_ATTR_REGS && s->attr[i] != (v & attr_bits(i))) {
        s->attr[i] = v & attr_bits(i);
        vga_stale(s);
    }
}

/* ---- DAC ---------------------------------------------------------------------------------- */

static uint8_t dac_bits(const struct vga *s)
{
    return s->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC ? 0xff : 0x3f;
}

/** A colour takes effect with its third byte. */
static void dac_data_write(struct vga *s, uint8_t v)
{
    v &= dac_bits(s);
    if (s->dac_step < 2) {
        s->dac_wait[s->dac_step++] = v;
        return;
    }
    uint8_t *colour = &s->dac[3 * s->dac_write_index];
    const uint8_t rgb[3] = { s->dac_wait[0], s->dac_wait[1], v };
    if (memcmp(colour, rgb, 3) != 0)
        vga_stale(s);
    memcpy(colour, rgb, 3);
    s->dac_step = 0;
    s->dac_write_index++;
}

static uint8_t dac_data_read(struct vga *s)
{
    const uint8_t v = s->dac[3 * s->dac_read_index + s->dac_step];
    if (++s->dac_step == 3) {
        s->dac_step = 0;
        s->dac_read_index++;
    }
    return v;
}

/* ---- ports -------------------------------------------------------------------------------- */

static uint8_t status_read(struct vm_dev *dev)
{
    struct vga *s = vm_dev_state(dev);
    s->attr_data = false;
    /* Two bits show colour outputs; programs only look whether they move. */
    s->status_toggle ^= STATUS_DIAGNOSTIC;
    return vm__vga_retrace(dev) | s->status_toggle;
}

/** The port is that of the other kind of monitor. */
static bool is_elsewhere(const struct vga *s, uint32_t off)
{
    return s->misc & MISC_COLOUR ? off < ATTR_WRITE : off >= 0x3d0 - BASE;
}

static uint8_t indexed(const uint8_t *regs, unsigned n, unsigned i)
{
    return i < n ? regs[i] : 0;
}

uint8_t vm__vga_port_read(struct vm_dev *dev, uint32_t off)
{
    struct vga *s = vm_dev_state(dev);

    if (is_elsewhere(s, off))
        return 0xff;
    switch (off) {
    case MONO_CRTC_INDEX:
    case COLOUR_CRTC_INDEX:
        return s->crtc_index;
    case MONO_CRTC_DATA:
    case COLOUR_CRTC_DATA:
        return indexed(s->crtc, VGA_CRTC_REGS, s->crtc_index);
    case MONO_STATUS:
    case COLOUR_STATUS:
        return status_read(dev);
    case ATTR_WRITE:
        return s->attr_index;
    case ATTR_READ:
        return indexed(s->attr, VGA_ATTR_REGS, s->attr_index & 0x1f);
    case MISC_WRITE:
        return STATUS0_SENSE;
    case SEQ_INDEX:
        return s->seq_index;
    case SEQ_DATA:
        return indexed(s->seq, VGA_SEQ_REGS, s->seq_index);
    case DAC_MASK:
        return s->dac_mask;
    case DAC_READ_INDEX:
        return s->dac_reading ? 3 : 0;
    case DAC_WRITE_INDEX:
        return s->dac_write_index;
    case DAC_DATA:
        return dac_data_read(s);
    case FEATURE_READ:
        return s->feature;
    case MISC_READ:
        return s->misc;
    case GC_INDEX:
        return s->gc_index;
    case GC_DATA:
        return indexed(s->gc, VGA_GC_REGS, s->gc_index);
    default:
        return 0xff;
    }
}

static void misc_write(struct vm_dev *dev, uint8_t v)
{
    struct vga *s = vm_dev_state(dev);
    s->misc = v & 0xef;
    s->frame_ns = 0;
    vm__vga_update_map(dev);
}

static void dac_index_write(struct vga *s, uint8_t v, bool reading)
{
    if (reading)
        s->dac_read_index = v;
    else
        s->dac_write_index = v;
    s->dac_reading = reading;
    s->dac_step = 0;
}

void vm__vga_port_write(struct vm_dev *dev, uint32_t off, uint8_t v)
{
    struct vga *s = vm_dev_state(dev);

    if (is_elsewhere(s, off))
        return;
    switch (off) {
    case MONO_CRTC_INDEX:
    case COLOUR_CRTC_INDEX:
        s->crtc_index = v & 0x3f;
        break;
    case MONO_CRTC_DATA:
    case COLOUR_CRTC_DATA:
        crtc_write(s, v);
        break;
    case MONO_STATUS:
    case COLOUR_STATUS:
        s->feature = v & 0x0b;
        break;
    case ATTR_WRITE:
        attr_write(s, v);
        break;
    case MISC_WRITE:
        misc_write(dev, v);
        break;
    case SEQ_INDEX:
        s->seq_index = v & 0x07;
        break;
    case SEQ_DATA:
        seq_write(dev, v);
        break;
    case DAC_MASK:
        s->dac_mask = v;
        vga_stale(s);
        break;
    case DAC_READ_INDEX:
        dac_index_write(s, v, true);
        break;
    case DAC_WRITE_INDEX:
        dac_index_write(s, v, false);
        break;
    case DAC_DATA:
        dac_data_write(s, v);
        break;
    case GC_INDEX:
        s->gc_index = v & 0x0f;
        break;
    case GC_DATA:
        gc_write(dev, v);
        break;
    default:
        break;
    }
}

/* ---- reset -------------------------------------------------------------------------------- */

void vm__vga_regs_reset(struct vga *s)
{
    s->misc = s->feature = 0;
    s->seq_index = s->crtc_index = s->gc_index = s->attr_index = 0;
    memset(s->seq, 0, sizeof s->seq);
    memset(s->crtc, 0, sizeof s->crtc);
    memset(s->gc, 0, sizeof s->gc);
    memset(s->attr, 0, sizeof s->attr);
    memset(s->dac, 0, sizeof s->dac);
    memset(s->latch, 0, sizeof s->latch);
    s->attr_data = s->dac_reading = 0;
    s->dac_mask = 0xff;
    s->dac_read_index = s->dac_write_index = s->dac_step = s->status_toggle = 0;
    s->dac_wait[0] = s->dac_wait[1] = 0;
    s->frame_ns = 0;
}

void vm__vga_regs_fix(struct vga *s)
{
    for (unsigned i = 0; i < VGA_SEQ_REGS; i++)
        s->seq[i] &= seq_bits[i];
    for (unsigned i = 0; i < VGA_GC_REGS; i++)
        s->gc[i] &= gc_bits[i];
    for (unsigned i = 0; i < VGA_ATTR_REGS; i++)
        s->attr[i] &= attr_bits(i);
    s->seq_index &= 0x07;
    s->crtc_index &= 0x3f;
    s->gc_index &= 0x0f;
    s->attr_index &= 0x3f;
    s->dac_step %= 3;
    s->status_toggle &= STATUS_DIAGNOSTIC;
    s->frame_ns = 0;
}
