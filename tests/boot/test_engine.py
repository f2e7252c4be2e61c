# SPDX-License-Identifier: MIT
"""One machine, several engines: changed while it runs, and between saving and loading."""
import itertools
import os
import re
import time

import pytest

import libvm
from conftest import Guest, medium

ENGINES = "interp,jit"


def linux(**options):
    kernel, initrd = medium("cloud", "initrd-amd64")
    return Guest(kernel, initrd, "quiet", engine=ENGINES, **options)


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_boot_survives_a_change_every_50_ms(cpus):
    with linux(**{"cpu.count": cpus}) as g:
        names = itertools.cycle(["jit", "interp"])
        changes, end = 0, time.monotonic() + 240
        while b"/ # " not in g.serial.log and time.monotonic() < end:
            time.sleep(0.05)
            g.machine.engine = next(names)
            changes += 1
        g.shell()
        assert changes > 5
        assert g.run("nproc")[0].strip() == str(cpus)
        for name in ("jit", "interp"):
            g.machine.engine = name
            assert g.machine.engine == name
            text, status = g.run("cat /proc/cpuinfo | md5sum; echo $((6 * 7))")
            assert status == 0 and "42" in text


def test_saved_under_one_loaded_under_the_other():
    keys = {"clock.mode": "icount", "rng.seed": "1"}
    for first, second in (("interp", "jit"), ("jit", "interp")):
        with linux(**keys) as g:
            g.machine.engine = first
            g.shell()
            g.run("x=17; echo before > /tmp/x")
            g.machine.pause()
            state = g.machine.save()
        with linux(**keys) as g:
            g.machine.pause()
            g.machine.engine = second
            g.machine.load(state)
            g.machine.resume()
            text, status = g.run("cat /tmp/x; echo $x")
            assert status == 0 and text.split() == ["before", "17"]
            assert g.machine.engine == second


def test_a_machine_changes_only_to_what_it_was_built_for():
    kernel, = medium("cloud")
    keys = {"memory.size": "128M", "boot.kernel": kernel}
    with libvm.Machine({**keys, "engine": "interp"}) as m:
        assert m.engine == "interp"
        with pytest.raises(libvm.Error, match="not built for engine jit"):
            m.engine = "jit"
        with pytest.raises(libvm.Error, match="no engine 'fast'; there are"):
            m.engine = "fast"
        assert m.engine == "interp"
    with libvm.Machine({**keys, "engine": "jit,interp"}) as m:
        assert m.engine == "jit"
        assert m.monitor("engine") == "jit\n"
        m.monitor("engine interp")
        assert m.engine == "interp"
    with pytest.raises(libvm.Error, match="no engine 'warp'"):
        libvm.Machine({**keys, "engine": "jit,warp"})


def test_perf_finds_names_for_translated_code():
    path = "/tmp/perf-%d.map" % os.getpid()
    before = os.path.getsize(path) if os.path.exists(path) else 0
    try:
        with linux(**{"jit.perf_map": "on"}) as g:
            g.machine.engine = "jit"
            g.shell()
            told = g.machine.monitor("info jit")
        with open(path) as f:
            f.seek(before)
            lines = f.read().splitlines()
    finally:
        if before == 0:
            os.unlink(path)
    names = [line.split()[2] for line in lines]
    assert all(int(line.split()[0], 16) and int(line.split()[1], 16) for line in lines)
    assert names[0] == "libvm_jit_stubs"
    assert sum(n.startswith("guest_kernel_ffff") for n in names) > 1000
    assert sum(n.startswith("guest_user_") for n in names) > 100
    assert re.search(r"translating took: [\d.]+ ms, \d+ ns an instruction", told)
    assert re.search(r"soft TLB misses: \d+, of them \d+ for devices", told)
    assert re.search(r"handlers called: \d+; most often\n  \w+ \(", told)
