/* SPDX-License-Identifier: MIT */
/**
 * @file test_base.c
 * Errors, endian, checked arithmetic, parsing, configuration.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "core/config.h"

Test(error, context_goes_before_the_line)
{
    cr_assert_eq(vm__fail(VM_E_RANGE, "only %d bytes", 3), VM_E_RANGE);
    cr_assert_eq(vm__fail_prefix(VM_E_RANGE, "ide0: "), VM_E_RANGE);
    cr_assert_str_eq(vm_last_error()->message, "ide0: only 3 bytes");
    cr_assert_eq(vm_last_error()->code, VM_E_RANGE);
}

Test(error, a_host_reason_is_appended)
{
    vm__fail_os(VM_E_IO, 2, "open x");
    cr_assert_str_eq(vm_last_error()->message, "open x: No such file or directory");
    cr_assert_eq(vm_last_error()->os_errno, 2);
}

Test(error, a_long_line_is_cut_not_overrun)
{
    char text[2000];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    vm__fail(VM_E_IO, "%s", text);
    cr_assert_lt(strlen(vm_last_error()->message), 512);
    vm__fail_prefix(VM_E_IO, "here: ");
    cr_assert_eq(strncmp(vm_last_error()->message, "here: aaa", 9), 0);
}

Test(endian, both_orders_at_odd_addresses)
{
    uint8_t b[9] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };
    cr_assert_eq(vm_le32(b + 1), 0x04030201);
    cr_assert_eq(vm_be32(b + 1), 0x01020304);
    cr_assert_eq(vm_be64(b + 1), 0x0102030405060708);
    vm_put_be16(b + 1, 0xabcd);
    cr_assert_eq(b[1], 0xab);
    cr_assert_eq(vm_le_n(b + 3, 3), 0x050403);
}

Test(bits, fields_and_extension)
{
    cr_assert_eq(vm_bits(0xabcd, 4, 8), 0xbc);
    cr_assert_eq(vm_put_bits(0xffff, 4, 8, 0), 0xf00f);
    cr_assert_eq(vm_sext(0x80, 8), -128);
    cr_assert_eq(vm_mask(64), UINT64_MAX);
}

Test(checked, ranges_do_not_wrap)
{
    cr_assert(vm_in_range(10, 0, 10));
    cr_assert_not(vm_in_range(10, 1, 10));
    cr_assert_not(vm_in_range(UINT64_MAX, 2, 10));
    uint64_t v;
    cr_assert_not(vm_add_u64(UINT64_MAX, 1, &v));
    cr_assert_not(vm_mul_u64(UINT64_MAX / 2, 3, &v));
}

Test(buf, reading_past_the_end_fails_for_good)
{
    struct vm_buf b = { 0 };
    vm__buf_name(&b, "ab");
    vm__buf_u32(&b, 7);
    struct vm_reader r = { .data = b.data, .len = b.len };
    cr_assert_not(vm__read_name(&r, "abc"));
    cr_assert(vm__read_name(&r, "ab"));
    cr_assert_eq(vm__read_u64(&r), 0);
    cr_assert(r.failed);
    cr_assert_eq(vm__read_u8(&r), 0);
    free(b.data);
}

Test(parse, numbers)
{
    uint64_t v;
    cr_assert_eq(vm__parse_u64("0x10", false, &v), VM_OK);
    cr_assert_eq(v, 16);
    cr_assert_eq(vm__parse_u64("2G", true, &v), VM_OK);
    cr_assert_eq(v, UINT64_C(2) << 30);
    cr_assert_eq(vm__parse_u64("2G", false, &v), VM_E_INVAL);
    cr_assert_eq(vm__parse_u64("", true, &v), VM_E_INVAL);
    cr_assert_eq(vm__parse_u64("-1", true, &v), VM_E_INVAL);
    cr_assert_eq(vm__parse_u64("18446744073709551616", true, &v), VM_E_INVAL);
    cr_assert_eq(vm__parse_u64("99999999T", true, &v), VM_E_INVAL);
}

static const struct vm_registry nothing;

static struct vm_config *config(struct vm_ctx **ctx)
{
    *ctx = vm__ctx_new(&nothing, NULL);
    return vm__config_new(*ctx, NULL, NULL);
}

Test(config, an_unknown_key_names_the_nearest)
{
    struct vm_ctx *ctx;
    struct vm_config *cfg = config(&ctx);
    cr_assert_eq(vm__config_set(cfg, "memory.siez", "1M"), VM_E_NOENT);
    cr_assert_str_eq(vm_last_error()->message, "no setting memory.siez; did you mean memory.size?");
    cr_assert_eq(vm__config_set(cfg, "zzz", "1"), VM_E_NOENT);
    cr_assert_str_eq(vm_last_error()->message, "no setting zzz");
    vm__config_free(cfg);
    vm__ctx_unref(ctx);
}

Test(config, values_are_checked_when_set)
{
    struct vm_ctx *ctx;
    struct vm_config *cfg = config(&ctx);
    cr_assert_eq(vm__config_set(cfg, "memory.size", "lots"), VM_E_INVAL);
    cr_assert_eq(vm__config_set(cfg, "memory.size", "900T"), VM_E_INVAL);
    cr_assert_eq(vm__config_set(cfg, "clock.mode", "sundial"), VM_E_INVAL);
    cr_assert_eq(vm__config_set(cfg, "cpu.count", "0"), VM_E_INVAL);
    cr_assert_eq(vm__config_set(cfg, "memory.size", "256M"), VM_OK);
    cr_assert_eq(vm__config_u64(cfg, "memory.size"), 256u << 20);
    cr_assert_eq(vm__config_u64(cfg, "cpu.count"), 1, "a default");
    vm__config_free(cfg);
    vm__ctx_unref(ctx);
}

Test(config, json_sets_all_or_nothing)
{
    struct vm_ctx *ctx;
    struct vm_config *cfg = config(&ctx);
    cr_assert_eq(vm__config_set_json(cfg,
                                     "{\"memory\":{\"size\":\"64M\"},\"cpu\":{\"count\":4},"
                                     "\"device\":[{\"class\":\"x\",\"a\":\"1,2\",\"b\":true}]}"),
                 VM_OK);
    cr_assert_eq(vm__config_u64(cfg, "cpu.count"), 4);
    cr_assert_str_eq(vm__config_str(cfg, "device.0"), "x,a=1,,2,b=on");
    cr_assert_eq(vm__config_set_json(cfg, "{\"cpu\":{\"count\":8},\"nonsense\":1}"), VM_E_NOENT);
    cr_assert_eq(vm__config_u64(cfg, "cpu.count"), 4, "untouched");
    cr_assert_eq(vm__config_set_json(cfg, "{\"cpu\":"), VM_E_INVAL);
    cr_assert_eq(vm__config_set_json(cfg, "[]"), VM_E_INVAL);
    vm__config_free(cfg);
    vm__ctx_unref(ctx);
}
