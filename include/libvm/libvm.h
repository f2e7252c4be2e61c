/* SPDX-License-Identifier: MIT */
/**
 * @file libvm.h
 * Everything.
 */
#ifndef LIBVM_LIBVM_H
#define LIBVM_LIBVM_H

#include <libvm/version.h>
#include <libvm/error.h>
#include <libvm/log.h>
#include <libvm/block.h>
#include <libvm/config.h>
#include <libvm/machine.h>
#include <libvm/cpu.h>
#include <libvm/debug.h>
#include <libvm/hook.h>
#include <libvm/lockstep.h>
#include <libvm/memory.h>
#include <libvm/irq.h>
#include <libvm/device.h>
#include <libvm/io.h>
#include <libvm/display.h>
#include <libvm/export.h>
#include <libvm/monitor.h>
#include <libvm/net.h>
#include <libvm/snapshot.h>

#endif
