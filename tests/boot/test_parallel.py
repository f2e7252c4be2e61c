# SPDX-License-Identifier: MIT
"""Linux finds the parallel port and prints through it."""
from isa_guest import isa_guest, load


MODULES = ["drivers/parport/parport", "drivers/parport/parport_pc", "drivers/char/lp"]


def printer(guest):
    return guest.machine.serial("parallel0")


def test_linux_prints_by_interrupts(tmp_path):
    with isa_guest(tmp_path, MODULES) as g:
        paper = printer(g)
        g.shell()
        load(g, "parport", "parport_pc", "lp")
        out, _ = g.run("dmesg | grep -E 'parport0|lp0'")
        # Debian's driver is built without its FIFO half, so ECP and DMA are not among these.
        assert "parport0: PC-style at 0x378 (0x778), irq 7 [PCSPP,TRISTATE,EPP]" in out
        assert "lp0: using parport0 (interrupt-driven)" in out
        out, status = g.run("echo 'hello, paper' > /dev/lp0")
        assert status == 0, out
        paper.expect("hello, paper\n")
        paper.clear()
        out, status = g.run("seq 1 5000 > /dev/lp0")
        assert status == 0, out
        paper.expect("\n5000\n")
        assert paper.text == "".join("%d\n" % i for i in range(1, 5001))


def test_linux_polls_when_told_to(tmp_path):
    with isa_guest(tmp_path, MODULES) as g:
        paper = printer(g)
        g.shell()
        g.run("insmod /parport.ko; insmod /parport_pc.ko io=0x378 irq=none; insmod /lp.ko")
        out, status = g.run("seq 1 300 > /dev/lp0")
        assert status == 0, out
        paper.expect("\n300\n")


def test_without_a_port_none_is_found(tmp_path):
    with isa_guest(tmp_path, MODULES, **{"parallel0": "off"}) as g:
        g.shell()
        g.run("insmod /parport.ko; insmod /parport_pc.ko")
        out, _ = g.run("dmesg | grep -c PC-style")
        assert out.strip() == "0"
