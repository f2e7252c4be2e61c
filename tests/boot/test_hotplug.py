# SPDX-License-Identifier: MIT
"""PCI devices come and go while Debian's kernel runs (acpiphp)."""
import re

from conftest import PATIENCE

DEVICES = "for d in /sys/bus/pci/devices/*; do echo $(basename $d) $(cat $d/vendor $d/device); done"


def pci(g):
    return dict(line.split(" ", 1) for line in g.run(DEVICES)[0].split("\n") if "0000:" in line)


def wait_for(g, slot, there):
    out, status = g.run("i=0; while [ $i -lt 50 ]; do if [ %s -e /sys/bus/pci/devices/%s ]; then break; fi; "
                        "i=$((i+1)); sleep 0.1; done; [ $i -lt 50 ]" % ("" if there else "!", slot), PATIENCE)
    assert status == 0, g.run("dmesg | tail -5")


def test_linux_finds_a_device_uses_it_and_lets_it_go(busybox_guest):
    with busybox_guest() as g:
        g.shell()
        before = pci(g)
        for turn in range(3):
            g.machine.monitor("device_add pci-testdev,id=t%d,addr=0xb" % turn)
            wait_for(g, "0000:00:0b.0", True)
            assert pci(g)["0000:00:0b.0"] == "0x1b36 0x0005"
            out, _ = g.run("cat /sys/bus/pci/devices/0000:00:0b.0/resource | head -2")
            bars = [line.split() for line in out.strip().splitlines() if line.startswith("0x")]
            assert len(bars) == 2 and all(int(b[0], 16) != 0 for b in bars), "the guest gave it addresses"
            # Its ports answer where the guest put them.
            g.run("echo 1 > /sys/bus/pci/devices/0000:00:0b.0/enable")
            io = int(bars[1][0], 16)
            g.machine.monitor("o/b %#x 0" % io)
            assert g.machine.monitor("i/w %#x" % (io + 16)).split()[-1] == "0x%08x" % int.from_bytes(b"port", "little")
            g.machine.monitor("device_del t%d" % turn)
            wait_for(g, "0000:00:0b.0", False)
            assert g.machine.wait_event("unplugged", PATIENCE)[3] == "t%d" % turn
            assert not re.search(r"t%d\b" % turn, g.machine.monitor("info pci"))
            g.machine.events.clear()
        assert pci(g) == before


def test_linux_lets_go_by_itself_and_several_at_once(busybox_guest):
    """Through sysfs, as an administrator ejects; with two processors."""
    with busybox_guest(**{"cpu.count": 2}) as g:
        g.shell()
        before = pci(g)
        for slot in (0x10, 0x11, 0x1F):
            g.machine.plug("pci-testdev,addr=%x" % slot)
        for slot in ("10", "11", "1f"):
            wait_for(g, "0000:00:%s.0" % slot, True)
        out, status = g.run("ls /sys/bus/pci/slots")
        assert status == 0 and "17" in out.split(), "slots have names"
        g.run("echo 0 > /sys/bus/pci/slots/17/power")
        wait_for(g, "0000:00:11.0", False)
        g.machine.unplug("pci-testdev")
        wait_for(g, "0000:00:10.0", False)
        g.machine.unplug("pci-testdev.2")
        wait_for(g, "0000:00:1f.0", False)
        assert pci(g) == before
