# SPDX-License-Identifier: MIT
"""Hooks from Python, on a kernel that boots."""
import pytest

import libvm
from conftest import Guest, medium


@pytest.mark.parametrize("engine", ["interp", "jit"])
def test_a_boot_is_watched(engine):
    kernel, initrd = medium("cloud", "initrd-amd64")
    text, faults, calls = bytearray(), [], []
    with Guest(kernel, initrd, "quiet", engine=engine) as g:
        m = g.machine
        m.hook_add("port_write", lambda cpu, e: text.append(e.value & 0xff), 0x3f8, 0x3f8)
        number = m.hook_add("intr", lambda cpu, e: faults.append((e.aux, e.value)), 14, 14)
        g.shell()
        m.hook_del(number)
        assert b"/ # " in text
        assert len(faults) > 200
        assert {aux for aux, _ in faults} == {1}
        seen = len(faults)
        m.pause()
        entry = m.cpus[0].regs["msr:0xc0000082"]  # where SYSCALL goes
        m.resume()
        number = m.hook_add("insn", lambda cpu, e: calls.append((e.pc, cpu.regs["rax"])), entry, entry)
        assert g.run("echo hello")[0].split() == ["hello"]
        m.hook_del(number)
        assert len(faults) == seen
        assert {pc for pc, _ in calls} == {entry}
        assert 1 in {rax for _, rax in calls}  # write
        assert max(rax for _, rax in calls) < 500


def test_what_a_hook_raises_comes_out_of_run():
    kernel, = medium("cloud")
    with libvm.Machine({"memory.size": "128M", "boot.kernel": kernel}) as m:
        def fail(cpu, event):
            raise ZeroDivisionError(hex(event.addr))
        number = m.hook_add("port_write", fail)
        with pytest.raises(ZeroDivisionError, match="0x"):
            m.run(timeout=60)
        m.hook_del(number)
        assert m.run(max_insns=1000).reason == "budget"
        with pytest.raises(libvm.Error, match="no hook"):
            m.hook_del(number)
