/* SPDX-License-Identifier: MIT */
/**
 * @file test_firmware.c
 * Files read whole, and firmware found on its path.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "core/config.h"
#include "core/firmware.h"
#include "support/fake_machine.h"

static char dir[] = "/tmp/libvm-firmware-XXXXXX";
static char file[sizeof dir + 8];
static struct fake_machine fake;

static void set_up(void)
{
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(file, sizeof file, "%s/x.rom", dir);
    FILE *f = fopen(file, "wb");
    cr_assert_eq(fwrite("\x55\xaa\x01", 1, 3, f), 3);
    fclose(f);
    fake_init(&fake);
}

static void tear_down(void)
{
    fake_fini(&fake);
    unlink(file);
    rmdir(dir);
}

TestSuite(firmware, .init = set_up, .fini = tear_down);

static void set_path(const char *fmt)
{
    char path[100];
    (void)snprintf(path, sizeof path, fmt, dir);
    cr_assert_eq(vm__config_set(fake.m->config, "firmware.path", path), VM_OK);
}

Test(firmware, is_found_in_a_later_folder)
{
    struct vm_file f;
    set_path("/nowhere::%s:/tmp");
    cr_assert_eq(vm__firmware_find(fake.m, "x.rom", "pkg", 1 << 20, &f), VM_OK);
    cr_assert_eq(f.len, 3);
    cr_assert_eq(f.data[1], 0xaa);
    vm__file_free(&f);
}

Test(firmware, a_name_with_a_slash_is_a_path)
{
    struct vm_file f;
    set_path("/nowhere");
    cr_assert_eq(vm__firmware_find(fake.m, file, "pkg", 3, &f), VM_OK);
    vm__file_free(&f);
}

Test(firmware, what_is_missing_names_its_package)
{
    struct vm_file f;
    set_path("/nowhere");
    cr_assert_eq(vm__firmware_find(fake.m, "x.rom", "x-roms", 1 << 20, &f), VM_E_NOENT);
    cr_assert_str_eq(vm_last_error()->message,
                     "x.rom not found in /nowhere: install the package x-roms");
    cr_assert_eq(vm__firmware_find(fake.m, "x.rom", NULL, 1 << 20, &f), VM_E_NOENT);
    cr_assert_str_eq(vm_last_error()->message, "x.rom not found in /nowhere");
}

Test(firmware, what_is_too_long_or_empty_or_a_folder_is_refused)
{
    struct vm_file f;
    set_path("%s");
    cr_assert_eq(vm__firmware_find(fake.m, "x.rom", "pkg", 2, &f), VM_E_RANGE);
    cr_assert_eq(truncate(file, 0), 0);
    cr_assert_eq(vm__firmware_find(fake.m, "x.rom", "pkg", 100, &f), VM_E_RANGE);
    cr_assert_eq(vm__file_read(dir, 100, &f), VM_E_IO);
}
