/* SPDX-License-Identifier: MIT */
/**
 * @file commands.c
 * The tables of commands, in the order help shows them.
 */
#include "monitor/monitor.h"

extern const struct mon_command vm__mon_help[], vm__mon_control[], vm__mon_memory[],
    vm__mon_input[], vm__mon_drive[], vm__mon_net[], vm__mon_screen[];
extern const struct mon_command vm__mon_info_cpu[], vm__mon_info_paging[], vm__mon_info_machine[],
    vm__mon_info_map[], vm__mon_info_pci[], vm__mon_info_drive[], vm__mon_info_net[];

const struct mon_command *const vm__mon_commands[] = {
    vm__mon_help,  vm__mon_control, vm__mon_memory, vm__mon_input,
    vm__mon_drive, vm__mon_net,     vm__mon_screen, NULL,
};

const struct mon_command *const vm__mon_infos[] = {
    vm__mon_info_machine, vm__mon_info_cpu,   vm__mon_info_paging, vm__mon_info_map,
    vm__mon_info_pci,     vm__mon_info_drive, vm__mon_info_net,    NULL,
};
