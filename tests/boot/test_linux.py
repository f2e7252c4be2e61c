# SPDX-License-Identifier: MIT
"""Debian's kernels with a busybox initramfs: shell, processors, power-off, reboot."""
import threading

import pytest

from conftest import PATIENCE, Guest, medium


def test_cloud_kernel_reaches_a_shell_and_powers_off(busybox_guest):
    with busybox_guest() as g:
        g.expect("libvm guest: Linux")
        g.shell()
        out, status = g.run("uname -m; cat /proc/version")
        assert status == 0
        assert "x86_64" in out and "Debian" in out
        out, _ = g.run("grep -c . /proc/interrupts; cat /sys/devices/system/clocksource/*/current_clocksource")
        assert out.strip()
        g.serial.send_line("exit")  # leaving the shell powers off by ACPI
        assert g.machine.wait(timeout=PATIENCE) == "shutdown"
        event = g.machine.wait_event("shutdown", 5)
        assert event[1] == 1, "the guest asked for it"


def test_reboot_comes_back_to_the_same_shell(busybox_guest):
    with busybox_guest() as g:
        g.shell()
        g.run("echo gone > /tmp/mark")
        g.serial.send_line("reboot -f")
        g.machine.wait_event("reset", PATIENCE)
        g.expect("libvm guest: Linux")
        g.shell()
        _, status = g.run("test -e /tmp/mark")
        assert status == 1


@pytest.mark.parametrize("cpus", [2, 4])
def test_smp_shows_and_uses_every_cpu(busybox_guest, cpus):
    with busybox_guest(**{"cpu.count": cpus}) as g:
        g.shell()
        out, _ = g.run("grep -c ^processor /proc/cpuinfo")
        assert int(out) == cpus
        # One busy process pinned to each; every one must have run there.
        script = ("for n in $(seq 0 %d); do taskset -c $n sh -c "
                  "'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; "
                  "cut -d\" \" -f39 /proc/self/stat > /tmp/on'$n & done; wait; cat /tmp/on*" % (cpus - 1))
        out, _ = g.run(script)
        assert sorted(int(x) for x in out.split()) == list(range(cpus))


def test_cpu_goes_offline_and_comes_back(busybox_guest):
    with busybox_guest(**{"cpu.count": 2}) as g:
        g.shell()
        g.run("echo 0 > /sys/devices/system/cpu/cpu1/online")
        out, _ = g.run("cat /sys/devices/system/cpu/online")
        assert out.strip() == "0"
        g.run("echo 1 > /sys/devices/system/cpu/cpu1/online")
        out, _ = g.run("cat /sys/devices/system/cpu/online")
        assert out.strip() == "0-1"


def test_pae_kernel_on_32_bits(busybox_guest):
    with busybox_guest("686-pae", "i386") as g:
        g.shell()
        out, _ = g.run("uname -m; grep -o -w pae /proc/cpuinfo")
        assert "i686" in out and "pae" in out


@pytest.mark.parametrize("name", ["installer-amd64", "installer-i386"])
def test_installer_reaches_its_shell(name):
    """amd64 in long mode; i386 (the 686 flavour) with 2-level paging."""
    kernel, initrd = medium(name)
    with Guest(kernel, initrd, "quiet DEBIAN_FRONTEND=text BOOT_DEBUG=3 TERM=dumb",
               **{"memory.size": "512M"}) as g:
        # BOOT_DEBUG=3 stops in a shell before the installer proper.
        g.expect(r"[/~] # ", PATIENCE * 2)
        g.prompt = r"[/~] # "
        out, status = g.run("uname -m && cat /etc/lsb-release")
        assert status == 0
        assert "Debian" in out
        assert ("x86_64" if "amd64" in name else "i686") in out


def test_installer_kernel_without_root_panics_and_says_so():
    kernel, _ = medium("installer-amd64")
    with Guest(kernel, cmdline="panic=0") as g:
        g.expect(r"Kernel panic - not syncing: (VFS|No working init)")


def test_four_machines_at_once_in_one_process(busybox_guest):
    guests = [busybox_guest(**{"memory.size": "128M"}) for _ in range(4)]
    for g in guests:
        g.machine.start()
    for n, g in enumerate(guests):
        g.shell()
        g.run("echo %d > /tmp/me" % n)
    for n, g in enumerate(guests):
        out, _ = g.run("cat /tmp/me")
        assert int(out) == n
    stoppers = [threading.Thread(target=g.machine.close) for g in guests]
    for t in stoppers:
        t.start()
    for t in stoppers:
        t.join(30)
        assert not t.is_alive()


def test_pause_stops_the_guests_clock(busybox_guest):
    with busybox_guest() as g:
        g.shell()
        g.machine.pause()
        before = g.machine.clock_ns
        assert g.machine.state == "paused"
        threading.Event().wait(0.3)
        assert g.machine.clock_ns == before
        assert g.machine.cpus[0].regs["rip"] != 0
        g.machine.resume()
        out, _ = g.run("echo alive")
        assert "alive" in out


def test_saved_state_goes_on_in_another_machine(busybox_guest):
    with busybox_guest() as g:
        g.shell()
        g.run("echo kept > /tmp/word")
        g.machine.pause()
        state = g.machine.save()
        assert g.machine.save() == state, "saving changes nothing"
    with busybox_guest() as h:
        h.machine.pause()
        h.machine.load(state)
        h.serial.clear()
        h.machine.resume()
        out, _ = h.run("cat /tmp/word")
        assert out.strip() == "kept"
