/* SPDX-License-Identifier: MIT */
/**
 * @file e1000.h
 * Between the files of the 82540EM: registers, state.
 */
#ifndef LIBVM_DEVICES_NET_E1000_H
#define LIBVM_DEVICES_NET_E1000_H

#include "devices/net/eeprom.h"
#include "devices/net/nic.h"

/* [82540EM §13] registers */
enum {
    CTRL = 0x0000,
    STATUS = 0x0008,
    EECD = 0x0010,
    EERD = 0x0014,
    CTRL_EXT = 0x0018,
    MDIC = 0x0020,
    FCAL = 0x0028,
    VET = 0x0038,
    ICR = 0x00c0,
    ITR = 0x00c4,
    ICS = 0x00c8,
    IMS = 0x00d0,
    IMC = 0x00d8,
    RCTL = 0x0100,
    FCTTV = 0x0170,
    TXCW = 0x0178,
    TCTL = 0x0400,
    TIPG = 0x0410,
    LEDCTL = 0x0e00,
    PBA = 0x1000,
    RDBAL = 0x2800,
    RDBAH = 0x2804,
    RDLEN = 0x2808,
    RDH = 0x2810,
    RDT = 0x2818,
    RDTR = 0x2820,
    RADV = 0x282c,
    TDBAL = 0x3800,
    TDBAH = 0x3804,
    TDLEN = 0x3808,
    TDH = 0x3810,
    TDT = 0x3818,
    TADV = 0x382c,
    STATS = 0x4000,
    GPRC = 0x4074,
    BPRC = 0x4078,
    MPRC = 0x407c,
    GPTC = 0x4080,
    GORCL = 0x4088,
    GOTCL = 0x4090,
    TORL = 0x40c0,
    TOTL = 0x40c8,
    TPR = 0x40d0,
    TPT = 0x40d4,
    MPTC = 0x40f0,
    BPTC = 0x40f4,
    STATS_END = 0x4124,
    RXCSUM = 0x5000,
    MTA = 0x5200,
    RAL0 = 0x5400,
    VFTA = 0x5600,
    WUC = 0x5800,
    REGS_END = 0x6000,
};

enum {
    CTRL_FD = 0x00000001,
    CTRL_SLU = 0x00000040,
    CTRL_SPEED_1000 = 0x00000200,
    CTRL_RST = 0x04000000,
    CTRL_VME = 0x40000000,
    STATUS_FD = 0x0001,
    STATUS_LU = 0x0002,
    STATUS_1000 = 0x0080,

    INT_TXDW = 0x0001,
    INT_TXQE = 0x0002,
    INT_LSC = 0x0004,
    INT_RXDMT0 = 0x0010,
    INT_RXO = 0x0040,
    INT_RXT0 = 0x0080,
    INT_MDAC = 0x0200,
    INT_ALL = 0x0001ffff,

    RCTL_EN = 0x00000002,
    RCTL_UPE = 0x00000008,
    RCTL_MPE = 0x00000010,
    RCTL_LPE = 0x00000020,
    RCTL_LBM = 0x000000c0,
    RCTL_BAM = 0x00008000,
    RCTL_VFE = 0x00040000,
    RCTL_BSEX = 0x02000000,
    RCTL_SECRC = 0x04000000,
    TCTL_EN = 0x00000002,
    RXCSUM_IPOFL = 0x0100,
    RXCSUM_TUOFL = 0x0200,
    RAH_AV = (int)0x80000000,

    E1000_DESC = 16, /* bytes of a descriptor */
    E1000_RING_MOST = 0x10000,
};

/** A TCP/IP context: where checksums are summed and put. [82540EM §3.3.6] */
struct e1000_context {
    uint8_t ipcss, ipcso, tucss, tucso;
    uint16_t ipcse, tucse;
    uint16_t mss;
};

struct e1000 {
    struct vm_pci pci;
    struct vm_nic nic;

    uint32_t reg[REGS_END / 4]; /* by offset / 4 */
    uint32_t io_address;        /* of the port window */
    uint16_t phy[32];
    struct e1000_context context;
    struct vm_eeprom eeprom;
    uint64_t quiet_until; /* no new interrupt before this time */
    struct vm_timer throttle;

    /* Not saved. */
    struct vm_timer more; /* goes on sending */
    uint8_t *frame;       /* VM_NET_FRAME_MAX bytes: what is being sent */
    bool sending;
};

static inline uint32_t *vm__e1000_reg(struct e1000 *s, unsigned off)
{
    return &s->reg[off / 4];
}

/* e1000.c */
void vm__e1000_interrupt(struct vm_dev *dev, uint32_t causes);
/** Add to a counter that stays at its end. */
void vm__e1000_count(struct e1000 *s, unsigned off, uint32_t n);
/** The same of 64 bits in two registers. */
void vm__e1000_count64(struct e1000 *s, unsigned off, uint64_t n);

/* e1000_tx.c */
void vm__e1000_transmit(struct vm_dev *dev);

/* e1000_rx.c */
bool vm__e1000_receive(void *opaque, const struct vm_net_frame *f);

/* e1000_phy.c */
void vm__e1000_phy_reset(struct e1000 *s);
void vm__e1000_mdic_write(struct vm_dev *dev, uint32_t v);

#endif
