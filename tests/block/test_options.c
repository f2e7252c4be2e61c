/* SPDX-License-Identifier: MIT */
/**
 * @file test_options.c
 * Three spellings of one set of options, and their values.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "block/options.h"

static struct vm_blk_options *o;

static void setup(void)
{
    o = vm__options_new();
}

static void teardown(void)
{
    vm__options_free(o);
}

TestSuite(options, .init = setup, .fini = teardown);

Test(options, text_has_names_values_and_an_implied_first)
{
    cr_assert_eq(vm__options_parse(o, "disk.img,format=raw,file.x=1,snapshot", "file"), VM_OK);
    cr_assert_str_eq(vm__opt_str(o, "file"), "disk.img");
    cr_assert_str_eq(vm__opt_str(o, "format"), "raw");
    cr_assert_str_eq(vm__opt_str(o, "file.x"), "1");
    cr_assert_str_eq(vm__opt_str(o, "snapshot"), "on");
    cr_assert_null(vm__opt_unused(o));
}

Test(options, a_doubled_comma_is_a_comma)
{
    cr_assert_eq(vm__options_parse(o, "a=x,,y,,,b=2", NULL), VM_OK);
    cr_assert_str_eq(vm__opt_str(o, "a"), "x,y,");
    cr_assert_str_eq(vm__opt_str(o, "b"), "2");
}

Test(options, the_last_value_of_a_name_counts)
{
    cr_assert_eq(vm__options_parse(o, "a=1,a=2", NULL), VM_OK);
    cr_assert_str_eq(vm__opt_str(o, "a"), "2");
}

Test(options, json_nests_and_arrays_have_numbers)
{
    json_t *j =
        json_loads("{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"a\"},"
                   "\"n\":7,\"t\":true,\"list\":[{\"x\":1},\"two\"],\"backing\":null}",
                   0, NULL);
    cr_assert_eq(vm__options_json(o, j), VM_OK);
    json_decref(j);
    cr_assert_str_eq(vm__opt_str(o, "file.filename"), "a");
    cr_assert_str_eq(vm__opt_str(o, "n"), "7");
    cr_assert_str_eq(vm__opt_str(o, "t"), "on");
    cr_assert_str_eq(vm__opt_str(o, "list.0.x"), "1");
    cr_assert_str_eq(vm__opt_str(o, "list.1"), "two");
    cr_assert_str_eq(vm__opt_str(o, "backing"), "");
}

Test(options, json_that_nests_without_end_is_refused)
{
    char text[2048] = "1";
    for (int i = 0; i < 100; i++) {
        char more[2048];
        snprintf(more, sizeof more, "{\"a\":%s}", text);
        memcpy(text, more, sizeof text);
    }
    json_t *j = json_loads(text, 0, NULL);
    cr_assert_not_null(j);
    cr_assert_eq(vm__options_json(o, j), VM_E_INVAL);
    json_decref(j);
}

Test(options, a_sub_set_drops_the_prefix_and_counts_as_used)
{
    cr_assert_eq(vm__options_parse(o, "file.a=1,file.b.c=2,filex.d=3,e=4", NULL), VM_OK);
    cr_assert(vm__opt_has(o, "file"));
    struct vm_blk_options *sub = vm__opt_sub(o, "file");
    cr_assert_str_eq(vm__opt_str(sub, "a"), "1");
    cr_assert_str_eq(vm__opt_str(sub, "b.c"), "2");
    cr_assert_not(vm__opt_has(sub, "d"));
    vm__options_free(sub);
    cr_assert_str_eq(vm__opt_unused(o), "filex.d");
    cr_assert_null(vm__opt_sub(o, "nothing"));
}

Test(options, sizes)
{
    static const struct {
        const char *text;
        uint64_t value; /* UINT64_MAX: refused */
    } rows[] = {
        { "0", 0 },
        { "512b", 512 },
        { "1k", 1024 },
        { "1.5G", UINT64_C(3) << 29 },
        { "0.25K", 256 },
        { "0x10", 16 },
        { "7E", UINT64_C(7) << 60 },
        { "18446744073709551614", UINT64_MAX - 1 },
        { "16E", UINT64_MAX },
        { "18446744073709551616", UINT64_MAX },
        { "1.5", UINT64_MAX },
        { "1.", UINT64_MAX },
        { "1kk", UINT64_MAX },
        { "-1", UINT64_MAX },
        { "", UINT64_MAX },
        { "k", UINT64_MAX },
        { "1 k", UINT64_MAX },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t v = UINT64_MAX;
        const int st = vm__parse_size(rows[i].text, &v);
        if (rows[i].value == UINT64_MAX)
            cr_expect_neq(st, VM_OK, "%s", rows[i].text);
        else
            cr_expect(st == VM_OK && v == rows[i].value, "%s", rows[i].text);
    }
}

Test(options, wrong_values_are_named)
{
    bool b = false;
    uint64_t v = 5;
    uint32_t e = 0;
    static const char *const choices[] = { "x", "y", NULL };
    cr_assert_eq(vm__options_parse(o, "a=zz,c=y", NULL), VM_OK);
    cr_assert_eq(vm__opt_bool(o, "a", &b), VM_E_INVAL);
    cr_assert_str_eq(vm_last_error()->message, "Parameter 'a' expects 'on' or 'off'");
    cr_assert_eq(vm__opt_size(o, "a", &v), VM_E_INVAL);
    cr_assert_str_eq(vm_last_error()->message,
                     "Parameter 'a' expects a non-negative number below 2^64");
    cr_assert_eq(vm__opt_enum(o, "a", choices, &e), VM_E_INVAL);
    cr_assert_eq(vm__opt_enum(o, "c", choices, &e), VM_OK);
    cr_assert_eq(e, 1);
    cr_assert_eq(vm__opt_size(o, "missing", &v), VM_OK);
    cr_assert_eq(v, 5);
}

Test(options, a_table_knows_its_names_and_types)
{
    static const struct vm_blk_option table[] = {
        { "size", VM_OPT_SIZE, "" },
        { "on", VM_OPT_BOOL, "" },
        { 0 },
    };
    cr_assert_eq(vm__options_parse(o, "size=1M,on=off", NULL), VM_OK);
    cr_assert_eq(vm__opt_check(o, table), VM_OK);
    cr_assert_eq(vm__options_set(o, "on", "maybe"), VM_OK);
    cr_assert_eq(vm__opt_check(o, table), VM_E_INVAL);
    cr_assert_eq(vm__options_set(o, "on", "yes"), VM_OK);
    cr_assert_eq(vm__options_set(o, "foo", "1"), VM_OK);
    cr_assert_eq(vm__opt_check(o, table), VM_E_INVAL);
    cr_assert_str_eq(vm_last_error()->message, "Invalid parameter 'foo'");
}

Test(options, there_is_an_end_to_how_many)
{
    char name[16];
    int st = VM_OK;
    for (int i = 0; i < 100000 && st == VM_OK; i++) {
        snprintf(name, sizeof name, "n%d", i);
        st = vm__options_set(o, name, "v");
    }
    cr_assert_eq(st, VM_E_INVAL);
}
