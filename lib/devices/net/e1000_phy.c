/* SPDX-License-Identifier: MIT */
/**
 * @file e1000_phy.c
 * The 82540EM's PHY, a Marvell 88E1011 inside, behind the MDI control register.
 *
 * Spec: [82540EM §13.4.7] MDIC, [82540EM §13.2] PHY registers. Negotiation is over at once.
 */
#include "devices/net/e1000.h"

enum {
    MDIC_PHY = 1, /* the address it answers at */
    MDIC_WRITE = 1,
    MDIC_READ = 2,
    MDIC_READY = 0x10000000,
    MDIC_INT = 0x20000000,
    MDIC_ERROR = 0x40000000,

    PHY_CTRL = 0,
    PHY_STATUS = 1,
    PHY_ID1 = 2,
    PHY_ID2 = 3,
    PHY_ADVERTISE = 4,
    PHY_PARTNER = 5,
    PHY_EXPANSION = 6,
    PHY_1000_CTRL = 9,
    PHY_1000_STATUS = 10,
    PHY_EXT_STATUS = 15,
    PHY_SPEC_STATUS = 17,

    CTRL_RESTART = 0x0200,
    CTRL_RESET = 0x8000,
    STATUS_BASE = 0x7949,
    STATUS_LINK = 0x0024, /* link, and the negotiation is over */
    SPEC_LINK = 0xac00,   /* 1000 Mb/s, full duplex, resolved, link */
};

void vm__e1000_phy_reset(struct e1000 *s)
{
    memset(s->phy, 0, sizeof s->phy);
    s->phy[PHY_CTRL] = 0x1140;
    s->phy[PHY_ADVERTISE] = 0x0de1;
    s->phy[PHY_1000_CTRL] = 0x0e00;
}

static uint16_t phy_read(const struct e1000 *s, unsigned n)
{
    const bool up = vm__net_link(s->nic.net);
    switch (n) {
    case PHY_STATUS:
        return (uint16_t)(STATUS_BASE | (up ? STATUS_LINK : 0));
    case PHY_ID1:
        return 0x0141;
    case PHY_ID2:
        return 0x0c20;
    case PHY_PARTNER:
        return up ? 0xcde1 : 0;
    case PHY_EXPANSION:
        return up ? 0x000f : 0;
    case PHY_1000_STATUS:
        return up ? 0x3c00 : 0;
    case PHY_EXT_STATUS:
        return 0x3000;
    case PHY_SPEC_STATUS:
        return up ? SPEC_LINK : 0;
    default:
        return s->phy[n];
    }
}

static void phy_write(struct vm_dev *dev, unsigned n, uint16_t v)
{
    struct e1000 *s = vm_dev_state(dev);
    if (n == PHY_CTRL && (v & CTRL_RESET)) {
        vm__e1000_phy_reset(s);
    } else if (n == PHY_CTRL) {
        s->phy[n] = v & (uint16_t)~CTRL_RESTART;
        if ((v & CTRL_RESTART) && vm__net_link(s->nic.net))
            vm__e1000_interrupt(dev, INT_LSC);
    } else {
        s->phy[n] = v;
    }
}

void vm__e1000_mdic_write(struct vm_dev *dev, uint32_t v)
{
    struct e1000 *s = vm_dev_state(dev);
    const unsigned n = v >> 16 & 31, op = v >> 26 & 3;
    uint32_t answer = v & ~(uint32_t)MDIC_ERROR;
    if ((v >> 21 & 31) != MDIC_PHY || (op != MDIC_READ && op != MDIC_WRITE))
        answer |= MDIC_ERROR;
    else if (op == MDIC_READ)
        answer = (answer & 0xffff0000) | phy_read(s, n);
    else
        phy_write(dev, n, (uint16_t)v);
    *vm__e1000_reg(s, MDIC) = answer | MDIC_READY;
    if (v & MDIC_INT)
        vm__e1000_interrupt(dev, INT_MDAC);
}
