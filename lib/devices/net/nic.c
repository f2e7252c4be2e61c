/* SPDX-License-Identifier: MIT */
/**
 * @file nic.c
 * Cable, address and boot ROM of a card. See nic.h.
 *
 * A ROM that nobody asked for may be missing. It was asked for by name, by a place in the boot
 * order, or by an order that has the network in it.
 */
#include "devices/net/nic.h"

#include <string.h>

#include "core/config.h"
#include "core/firmware.h"
#include "core/machine.h"

enum { ROM_MOST = 1 << 20 };

static bool order_has_net(struct vm_machine *m, const char *key)
{
    const char *order = vm__config_known(m->config, key) ? vm__config_str(m->config, key) : NULL;
    return order != NULL && strchr(order, 'n') != NULL;
}

/**
 * Firmware runs a ROM only if it names the function it was found on; one file serves several.
 * [PCI-FW §5.1.2] Byte 6, which no code looks at, keeps the image's bytes adding up to 0.
 */
static void adopt(const struct vm_dev *dev, struct vm_file *rom)
{
    enum { DATA_AT = 0x18, IDS = 4, SPARE = 6 };
    const size_t at = rom->len > DATA_AT + 2 ? vm_le16(rom->data + DATA_AT) : 0;
    if (at == 0 || at + IDS + 4 > rom->len || memcmp(rom->data + at, "PCIR", 4) != 0)
        return;
    const uint8_t *own = vm__pci(dev)->config;
    for (size_t i = 0; i < 4; i++) {
        uint8_t *byte = rom->data + at + IDS + i;
        rom->data[SPARE] = (uint8_t)(rom->data[SPARE] + *byte - own[i]);
        *byte = own[i];
    }
}

static int add_rom(struct vm_dev *dev, struct vm_nic *nic, const char *rom)
{
    struct vm_file file;
    uint64_t size = VM_PAGE_SIZE;
    const bool asked = nic->romfile != NULL || nic->bootindex != UINT32_MAX ||
                       order_has_net(dev->m, "boot.order") || order_has_net(dev->m, "boot.once");

    if (nic->romfile != NULL && (strcmp(nic->romfile, "none") == 0 || *nic->romfile == '\0'))
        return VM_OK;
    int st = vm__firmware_find(dev->m, nic->romfile != NULL ? nic->romfile : rom, "ipxe-qemu",
                               ROM_MOST, &file);
    if (st != VM_OK)
        return asked ? st : VM_OK;
    adopt(dev, &file);
    while (size < file.len)
        size *= 2;
    nic->rom = vm__rom_new(dev->m, "nic-rom", file.data, file.len, size);
    vm__file_free(&file);
    if (nic->rom == NULL)
        return vm_last_error()->code;
    vm__pci_bar_region(dev, PCI_ROM_BAR, VM_PCI_BAR_MEM, false, nic->rom);
    return VM_OK;
}

int vm__nic_init(struct vm_dev *dev, struct vm_nic *nic, const char *rom,
                 const struct vm_net_nic_ops *ops)
{
    int st = vm__net_mac(dev->m, nic->mac_text, nic->mac);
    if (st == VM_OK)
        st = add_rom(dev, nic, rom);
    if (st != VM_OK)
        return st;
    nic->net = vm__net_attach_nic(dev->m, nic->netdev, dev->id, nic->mac, ops, dev);
    if (nic->net != NULL)
        return VM_OK;
    st = vm_last_error()->code;
    vm__nic_fini(nic);
    return st;
}

void vm__nic_fini(struct vm_nic *nic)
{
    vm__net_detach_nic(nic->net);
    vm__region_free(nic->rom);
    nic->net = NULL;
    nic->rom = NULL;
}
