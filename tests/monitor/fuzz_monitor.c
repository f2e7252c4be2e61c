/* SPDX-License-Identifier: MIT */
/**
 * @file fuzz_monitor.c
 * libFuzzer target: lines typed at the monitor of a whole machine.
 *
 * Commands that write files are left out, as their names are the user's business; so is cont, which
 * would make findings hard to repeat.
 */
#include <libvm/libvm.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void count(void *ud, const char *text, size_t len)
{
    *(size_t *)ud += len;
    if (len != 0 && text[len - 1] == '\0')
        abort(); /* NULs are not text */
}

static int look(void *ud, const char *name, const char *summary)
{
    *(size_t *)ud += strlen(name) + strlen(summary);
    return 0;
}

static vm_machine *machine(void)
{
    vm_ctx *ctx = vm_ctx_create(VM_API_VERSION, NULL);
    vm_config *cfg = vm_config_new(ctx, "pc");
    if (cfg == NULL || vm_config_set_str(cfg, "memory.size", "4M") != VM_OK ||
        vm_config_set_str(cfg, "clock.mode", "icount") != VM_OK ||
        vm_config_set_str(cfg, "firmware.bios", "none") != VM_OK)
        abort();
    vm_machine *m = vm_machine_build(cfg);
    if (m == NULL)
        abort();
    vm_config_free(cfg);
    vm_ctx_unref(ctx);
    return m;
}

static int is_left_out(const char *line)
{
    static const char *const words[] = { "memsave", "screendump", "cont", "c", "change" };
    char word[16] = "";
    line += strspn(line, " \t\r");
    const size_t n = strcspn(line, " \t\r/");
    memcpy(word, line, n < sizeof word ? n : sizeof word - 1);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i]) == 0 || strcmp(word, "pmemsave") == 0)
            return 1;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    vm_machine *m = machine();
    char *text = malloc(len + 1);
    if (text == NULL)
        abort();
    memcpy(text, data, len);
    text[len] = '\0';
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        size_t n = 0;
        if (is_left_out(line))
            continue;
        if (vm_monitor(m, line, count, &n) < 0 && vm_last_error()->message[0] == '\0')
            abort(); /* a refusal says why */
        (void)vm_monitor_complete(m, line, look, &n);
    }
    free(text);
    vm_machine_destroy(m);
    return 0;
}
