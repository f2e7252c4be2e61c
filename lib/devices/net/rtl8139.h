/* SPDX-License-Identifier: MIT */
/**
 * @file rtl8139.h
 * Between the files of the RTL8139: registers, state.
 */
#ifndef LIBVM_DEVICES_NET_RTL8139_H
#define LIBVM_DEVICES_NET_RTL8139_H

#include "devices/net/eeprom.h"
#include "devices/net/nic.h"

/* [RTL8139C+ §6] registers */
enum {
    IDR0 = 0x00,
    MAR0 = 0x08,
    TSD0 = 0x10,  /* four; C+: DTCCR takes two */
    TSAD0 = 0x20, /* four; C+: TNPDS, THPDS */
    RBSTART = 0x30,
    ERBCR = 0x34,
    ERSR = 0x36,
    CR = 0x37,
    CAPR = 0x38,
    CBR = 0x3a,
    IMR = 0x3c,
    ISR = 0x3e,
    TCR = 0x40,
    RCR = 0x44,
    TCTR = 0x48,
    MPC = 0x4c,
    EECR = 0x50, /* the datasheet's 9346CR */
    CONFIG0 = 0x51,
    CONFIG1 = 0x52,
    TIMERINT = 0x54,
    MSR = 0x58,
    CONFIG3 = 0x59,
    CONFIG4 = 0x5a,
    MULINT = 0x5c,
    RERID = 0x5e,
    TSAD = 0x60,
    BMCR = 0x62,
    BMSR = 0x64,
    ANAR = 0x66,
    ANLPAR = 0x68,
    ANER = 0x6a,
    CSCR = 0x74,
    WAKE_FIRST = 0x84, /* CRCs, patterns and masks of wake-up frames: storage */
    WAKE_LAST = 0xd3,
    CONFIG5 = 0xd8,
    TPPOLL = 0xd9,
    CPCR = 0xe0,
    RDSAR = 0xe4,
    ETTHR = 0xec,
};

enum {
    CR_BUFE = 0x01,
    CR_TE = 0x04,
    CR_RE = 0x08,
    CR_RST = 0x10,

    INT_ROK = 0x0001,
    INT_TOK = 0x0004,
    INT_RXOVW = 0x0010, /* C+: no descriptor */
    INT_LINK = 0x0020,
    INT_TDU = 0x0080,
    INT_SWINT = 0x0100,
    INT_TIMEOUT = 0x4000,
    INT_ALL = 0xe1ff,

    TSD_SIZE = 0x1fff,
    TSD_OWN = 0x2000,
    TSD_TOK = 0x8000,
    TSD_WRITABLE = 0x003f1fff,

    TCR_LOOPBACK = 0x00060000,
    TCR_WRITABLE = 0x030707f0,
    TCR_VERSION = 0x74000000, /* RTL8139C; with the next bit C+ */
    TCR_CPLUS = 0x00800000,

    RCR_AAP = 0x01,
    RCR_APM = 0x02,
    RCR_AM = 0x04,
    RCR_AB = 0x08,
    RCR_WRAP = 0x80,

    EECR_DO = 0x01,
    EECR_DI = 0x02,
    EECR_SK = 0x04,
    EECR_CS = 0x08,
    EECR_MODE = 0xc0,
    EECR_RELOAD = 0x40,
    EECR_PROGRAM = 0x80,
    EECR_CONFIG = 0xc0,

    TPPOLL_HPQ = 0x80,
    TPPOLL_NPQ = 0x40,
    TPPOLL_SWINT = 0x01,

    CPCR_CPTX = 0x01,
    CPCR_CPRX = 0x02,
    CPCR_RXCSUM = 0x20,
    CPCR_RXVLAN = 0x40,

    CP_DESC = 16,      /* bytes */
    CP_DESC_MOST = 64, /* of a ring */
};

struct rtl_tally {
    uint64_t tx_ok, rx_ok, tx_err;
    uint32_t rx_err;
    uint16_t missed;
    uint64_t rx_unicast, rx_broadcast;
    uint32_t rx_multicast;
};

struct rtl8139 {
    struct vm_pci pci;
    struct vm_nic nic;
    bool cplus; /* property */

    uint8_t idr[8], mar[8]; /* of idr six are used */
    uint32_t tsd[4], tsad[4];
    uint32_t rbstart, tcr, rcr, timer_int;
    uint64_t timer_start; /* machine's time at which TCTR was 0 */
    uint16_t capr, cbr, imr, isr, mulint;
    uint8_t cr, eecr, config[6]; /* CONFIG0 … CONFIG5; 2 is not used */
    uint8_t tx_next;             /* descriptor that is sent next */
    uint16_t bmcr, anar, cscr, cpcr;
    uint8_t etthr;
    uint8_t wake[WAKE_LAST - WAKE_FIRST + 1];
    uint32_t dtccr[2];
    uint64_t rdsar;
    uint8_t cp_rx, cp_tx[2]; /* places in the rings; 1: high priority */
    struct rtl_tally tally;
    struct vm_eeprom eeprom;
    struct vm_timer timer;

    /* Not saved. */
    struct vm_timer retry; /* the receiver looks for descriptors again */
    uint8_t *frame;        /* VM_NET_FRAME_MAX bytes: what is being sent */
    bool sending;
};

static inline bool vm__rtl_cp_rx(const struct rtl8139 *s)
{
    return s->cplus && (s->cpcr & CPCR_CPRX);
}
static inline bool vm__rtl_cp_tx(const struct rtl8139 *s)
{
    return s->cplus && (s->cpcr & CPCR_CPTX);
}

/* rtl8139.c */
/** Set bits of ISR and drive the pin. */
void vm__rtl_interrupt(struct vm_dev *dev, uint16_t bits);

/* rtl8139_tx.c */
/** Send what there is to send, as far as the network takes it. */
void vm__rtl_transmit(struct vm_dev *dev);
void vm__rtl_dump_tally(struct vm_dev *dev);

/* rtl8139_rx.c */
bool vm__rtl_receive(void *opaque, const struct vm_net_frame *f);
/** The ring of classic mode holds nothing. */
bool vm__rtl_empty(const struct rtl8139 *s);

#endif
