#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Instruction handlers must end in a jump, never in a call to the next handler.

    tail_calls.py LIBRARY.a…    disassembles the interpreter
    tail_calls.py --self-test

A handler whose dispatch is a call costs host stack for every guest instruction of a chain, and a
long chain overflows it. The compiler makes a call where the address of a local variable escapes;
lib/cpu/interp/interp.h says what to do about it.
"""
import re
import subprocess
import sys

FUNCTION = re.compile(r"^[0-9a-f]+ <([^>]+)>:$")
# Dispatch is an indirect call or jump through x86_insn.fn; C calls inside handlers are direct, or
# go through a plain register or the global offset table.
DISPATCH = re.compile(r"\scall\s+\*(?:0x[0-9a-f]+)?\(%r(?!ip)\w+\)")
# Where a chain begins; and calls of the engine's functions.
ALLOWED = {"vm__interp_run", "run_chain", "run_invpcid", "vm__h_invlpg", "jit_run_code"}


def check(disassembly):
    """Names of functions that dispatch by a call."""
    bad, name = [], None
    for line in disassembly.splitlines():
        m = FUNCTION.match(line)
        if m:
            name = re.sub(r"\.(part|constprop|isra|cold)\.?\d*", "", m.group(1))
        elif DISPATCH.search(line) and name not in ALLOWED and name not in bad:
            bad.append(name)
    return bad


def self_test():
    plant = ("0000000000000000 <vm__h_good>:\n   0:\tjmp    *0x28(%rsi)\n"
             "0000000000000010 <vm__h_bad>:\n  10:\tcall   *0x28(%rbx)\n"
             "0000000000000020 <vm__interp_run>:\n  20:\tcall   *(%rax)\n"
             "0000000000000030 <vm__h_c>:\n  30:\tcall   *0x0(%rip)        # 36 <vm__h_c+0x6>\n")
    assert check(plant) == ["vm__h_bad"], check(plant)


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return 0
    bad = []
    for library in sys.argv[1:]:
        text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", library], check=True,
                              capture_output=True, text=True).stdout
        if "<vm__h_" not in text:
            print(f"{library} holds no handlers")
            return 1
        bad += check(text)
    for name in bad:
        print(f"{name} calls the next handler instead of jumping to it")
    return 1 if bad else 0


sys.exit(main())
