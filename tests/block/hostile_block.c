/* SPDX-License-Identifier: MIT */
/**
 * @file hostile_block.c
 * Names and options that nobody should open. A plain program, so that LeakSanitizer's verdict
 * counts: every way out of opening gives back what it took.
 */
#undef NDEBUG
#include <assert.h>
#include <libvm/block.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

static const char *const bad[] = {
    "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"raw\",\"file\":{\"driver\":\"nosuch\"}}}",
    "json:{\"driver\":\"overlay\",\"file\":{\"driver\":\"memory\",\"size\":\"1M\"},\"x\":1}",
    "json:{\"driver\":\"lvm\",\"file\":{\"driver\":\"memory\",\"size\":\"1M\"},\"lv\":\"a/b\"}",
    "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"memory\",\"size\":\"1M\",\"node-name\":\"1x\"}"
    "}",
    "json:{\"driver\":\"blkdebug\",\"image\":{\"driver\":\"memory\"},\"inject-error\":[{\"event\":"
    "1},{\"x\":2}]}",
    "json:{\"driver\":\"copy-on-read\"}",
    "json:{\"driver\":\"throttle\",\"file\":{\"driver\":\"memory\"},\"iops-total\":\"x\"}",
    "json:{\"driver\":\"write-log\",\"file\":{\"driver\":\"memory\"},\"log\":\"none\"}",
    "json:{\"driver\":\"memory\",\"size\":\"9E\"}",
    "json:{\"driver\":\"null-co\",\"size\":\"15E\"}",
    "json:{\"driver\":\"raw\",\"offset\":\"1T\",\"file\":{\"driver\":\"null-co\"}}",
    "json:{\"driver\":\"raw\",\"file\":[1,2,3]}",
    "json:{\"driver\":{\"driver\":1}}",
    "json:{\"\":1}",
    "json:{\"driver\":\"raw\",\"driver\":\"raw\"}",
    "json:json:",
    "json:",
    "blkdebug::json:{}",
    "nosuch:x",
    ":",
    "",
    "file:",
    "/",
    "/dev/tty",
};

/* One level deeper than any chain may be. */
static char *too_deep(void)
{
    enum { LEVELS = 31 }; /* as far as options nest; a chain of that length is fine */
    char *text = malloc(LEVELS * 32 + 128), *at = text;
    assert(text != NULL);
    at += sprintf(at, "json:");
    for (int i = 0; i < LEVELS + 3; i++)
        at += sprintf(at, "{\"driver\":\"raw\",\"file\":");
    at += sprintf(at, "{\"driver\":\"memory\"}");
    for (int i = 0; i < LEVELS + 3; i++)
        *at++ = '}';
    *at = '\0';
    return text;
}

int main(void)
{
    struct blk_place p;
    blk_init(&p);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        vm_blk *n = vm_blk_open(p.ctx, bad[i], NULL, VM_BLK_PROBE);
        if (n != NULL)
            fprintf(stderr, "%s was opened\n", bad[i]);
        assert(n == NULL);
        const char *why = vm_last_error()->message;
        assert(*why != '\0' && strchr(why, '\n') == NULL);
    }
    char *deep = too_deep();
    assert(vm_blk_open(p.ctx, deep, NULL, 0) == NULL);
    free(deep);

    /* A chain longer than allowed, one node after the other. */
    char name[32] = "n0", last[32];
    vm_blk *nodes[VM_BLK_MAX_CHAIN + 1];
    int n = 0;
    nodes[n++] = blk_memory(&p, 4096, name);
    while (n <= VM_BLK_MAX_CHAIN) {
        char options[128];
        memcpy(last, name, sizeof last);
        snprintf(name, sizeof name, "n%d", n);
        snprintf(options, sizeof options, "driver=raw,file=%s,node-name=%s", last, name);
        nodes[n] = blk_open(&p, NULL, NULL, options, 0);
        if (nodes[n] == NULL)
            break;
        n++;
    }
    assert(n == VM_BLK_MAX_CHAIN);
    assert(strstr(vm_last_error()->message, "longer than") != NULL);
    while (n != 0)
        vm_blk_close(nodes[--n]);
    blk_fini(&p);
    return 0;
}
