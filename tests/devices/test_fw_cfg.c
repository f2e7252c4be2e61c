/* SPDX-License-Identifier: MIT */
/**
 * @file test_fw_cfg.c
 * fw_cfg: items, file directory, ports, DMA.
 */
#include <criterion/criterion.h>

#include "devices/classes.h"
#include "devices/firmware/fw_cfg.h"

static struct fake_machine f;
static struct vm_dev *cfg;

enum {
    ERROR = 1,
    READ = 2,
    SKIP = 4,
    SELECT = 8,
    WRITE = 16,
    DESCRIPTOR = 0x1000,
    BUFFER = 0x2000
};

static void setup(void)
{
    fake_init(&f);
    cfg = fake_add(&f, &vm__fw_cfg_class, NULL);
}

static void teardown(void)
{
    fake_fini(&f);
}

static uint64_t read_le(uint16_t key, unsigned size)
{
    uint64_t v = 0;
    fake_out16(&f, 0x510, key);
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)fake_in8(&f, 0x511) << 8 * i;
    return v;
}

/** Start a transfer. @return the control word afterwards */
static uint32_t dma(uint32_t control, uint32_t len, uint64_t address)
{
    uint8_t d[16];
    vm_put_be32(d, control);
    vm_put_be32(d + 4, len);
    vm_put_be64(d + 8, address);
    vm__mem_write(f.m, DESCRIPTOR, d, sizeof d);
    fake_out32(&f, 0x514, 0);
    fake_out32(&f, 0x518, __builtin_bswap32(DESCRIPTOR));
    vm__mem_read(f.m, DESCRIPTOR, d, sizeof d);
    return vm_be32(d);
}

TestSuite(fw_cfg, .init = setup, .fini = teardown);

Test(fw_cfg, signature_and_features)
{
    cr_assert_eq(read_le(0, 4), 0x554d4551, "QEMU");
    cr_assert_eq(read_le(1, 4), 3);
    cr_assert_eq(fake_in32(&f, 0x514), 0x554d4551, "QEMU");
    cr_assert_eq(fake_in32(&f, 0x518), 0x47464320, " CFG");
}

Test(fw_cfg, items)
{
    vm__fw_cfg_add_u16(cfg, FW_CFG_NB_CPUS, 4);
    vm__fw_cfg_add_u64(cfg, FW_CFG_RAM_SIZE, UINT64_C(0x123456789a));
    cr_assert_eq(read_le(FW_CFG_NB_CPUS, 2), 4);
    cr_assert_eq(read_le(FW_CFG_RAM_SIZE, 8), UINT64_C(0x123456789a));
    cr_assert_eq(fake_in8(&f, 0x511), 0, "nothing follows");
    cr_assert_eq(read_le(0x7777, 4), 0, "no such item");
}

Test(fw_cfg, directory_lists_files_big_endian)
{
    cr_assert_eq(vm__fw_cfg_add_file(cfg, "etc/one", "1", 1), VM_OK);
    cr_assert_eq(vm__fw_cfg_add_file(cfg, "etc/two", "22", 2), VM_OK);
    cr_assert_eq(vm__fw_cfg_add_file(cfg, "etc/one", "111", 3), VM_OK, "replaced");
    cr_assert_eq(read_le(FW_CFG_FILE_DIR, 4), 0x02000000);
    uint8_t entry[64];
    for (unsigned i = 0; i < sizeof entry; i++)
        entry[i] = fake_in8(&f, 0x511);
    cr_assert_eq(vm_be32(entry), 3);
    cr_assert_eq(vm_be16(entry + 4), 0x20);
    cr_assert_str_eq((char *)entry + 8, "etc/one");
    cr_assert_eq(read_le(0x20, 3), 0x313131);
    cr_assert_eq(vm__fw_cfg_add_file(cfg, "", "", 0), VM_E_INVAL);
}

Test(fw_cfg, dma_reads_skips_and_selects)
{
    static char buf[8];
    vm__fw_cfg_add_file(cfg, "text", "abcdefgh", 8);
    cr_assert_eq(dma(0x20u << 16 | SELECT | SKIP, 2, 0), 0);
    cr_assert_eq(dma(READ, 3, BUFFER), 0);
    vm__mem_read(f.m, BUFFER, buf, 4);
    cr_assert_eq(memcmp(buf, "cde\0", 4), 0);
    cr_assert_eq(fake_in8(&f, 0x511), 'f', "one position for both interfaces");
}

Test(fw_cfg, dma_past_the_end_gives_zeroes)
{
    uint8_t buf[8];
    vm__fw_cfg_add_file(cfg, "text", "ab", 2);
    memset(buf, 0xee, sizeof buf);
    vm__mem_write(f.m, BUFFER, buf, sizeof buf);
    cr_assert_eq(dma(0x20u << 16 | SELECT | READ, 6, BUFFER), 0);
    vm__mem_read(f.m, BUFFER, buf, sizeof buf);
    cr_assert_eq(memcmp(buf, "ab\0\0\0\0\xee\xee", 8), 0);
}

Test(fw_cfg, dma_to_nowhere_is_an_error)
{
    cr_assert_eq(dma(SELECT | READ, 0xffffffff, UINT64_C(0xfffffffffffff000)), ERROR);
    cr_assert_eq(dma(SELECT | READ, 0xffffffff, FAKE_RAM_BYTES - 16), ERROR);
}

Test(fw_cfg, only_writable_files_are_written)
{
    size_t len;
    vm__fw_cfg_add_file(cfg, "fixed", "xxxx", 4);
    vm__fw_cfg_add_writable(cfg, "open", "yyyy", 4);
    vm__mem_write(f.m, BUFFER, "1234", 4);
    cr_assert_eq(dma(0x20u << 16 | SELECT | WRITE, 4, BUFFER), ERROR);
    cr_assert_eq(dma(0x21u << 16 | SELECT | WRITE, 5, BUFFER), ERROR);
    cr_assert_eq(dma(0x21u << 16 | SELECT | WRITE, 4, BUFFER), 0);
    cr_assert_eq(memcmp(vm__fw_cfg_file(cfg, "open", &len), "1234", 4), 0);
    cr_assert_eq(memcmp(vm__fw_cfg_file(cfg, "fixed", &len), "xxxx", 4), 0);
}

Test(fw_cfg, state_survives_saving)
{
    vm__fw_cfg_add_file(cfg, "text", "abcdefgh", 8);
    (void)read_le(0x20, 3);
    fake_save_load(cfg);
    cr_assert_eq(fake_in8(&f, 0x511), 'd');
}
