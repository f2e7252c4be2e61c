# SPDX-License-Identifier: MIT
"""The real gdb against vmrun -gdb: Linux by address, two processors, 16-bit code of a boot."""
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest

from conftest import BUILD, PATIENCE, medium

VMRUN = os.environ.get("VMRUN", os.path.join(BUILD, "examples", "vmrun", "vmrun"))
GDB = shutil.which("gdb")

pytestmark = pytest.mark.skipif(not GDB, reason="package gdb is not installed")


class Vmrun:
    """vmrun with its first serial port on our pipes and gdb's server on a Unix socket."""

    def __init__(self, tmp_path, *options, gdb="", serial="stdio"):
        self.socket = str(tmp_path / "gdb")
        self.process = subprocess.Popen(
            [VMRUN, "-display", "none", "-serial", serial, "-monitor", "none",
             "-gdb", "unix:" + self.socket + gdb, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.text = b""
        self.at = 0
        self.news = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            data = os.read(self.process.stdout.fileno(), 65536)
            with self.news:
                self.text += data
                self.news.notify_all()
            if not data:
                return

    def __enter__(self):
        end = time.monotonic() + PATIENCE
        while not os.path.exists(self.socket):
            if self.process.poll() is not None:
                text = self.text.decode(errors="replace")
                if "package seabios" in text:
                    pytest.skip("package seabios is not installed")
                pytest.fail(text)
            assert time.monotonic() < end
            time.sleep(0.01)
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()

    def expect(self, pattern):
        end = time.monotonic() + PATIENCE
        with self.news:
            while True:
                m = re.compile(pattern.encode()).search(self.text, self.at)
                if m:
                    self.at = m.end()
                    return m
                assert time.monotonic() < end, "no %r in:\n%s" % (
                    pattern, self.text[-3000:].decode(errors="replace"))
                self.news.wait(1)

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def start_gdb(self, tmp_path, *commands):
        script = tmp_path / "commands"
        script.write_text("\n".join(
            ["set pagination off", "set confirm off", "set width 0",
             "set remotetimeout %d" % PATIENCE, "target remote " + self.socket, *commands, ""]))
        return subprocess.Popen([GDB, "-nx", "-batch", "-x", str(script)], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def gdb(self, tmp_path, *commands):
        return finish(self.start_gdb(tmp_path, *commands))


def finish(gdb):
    try:
        return gdb.communicate(timeout=PATIENCE)[0]
    except subprocess.TimeoutExpired:
        gdb.kill()
        pytest.fail("gdb hangs:\n" + gdb.communicate()[0])


SIGNAL = "shell touch %s/ready"


def await_signal(tmp_path):
    """gdb has set its breakpoints, the guest stands still: what is sent now is read behind them."""
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def in_order(text, *patterns):
    """Every pattern, one after the other. @return the matches."""
    at, found = 0, []
    for pattern in patterns:
        m = re.compile(pattern).search(text, at)
        assert m, "no %r after %d in:\n%s" % (pattern, at, text)
        at = m.end()
        found.append(m)
    return found


def linux(tmp_path, *options):
    kernel, initrd = medium("cloud", "initrd-amd64")
    return Vmrun(tmp_path, "-m", "256", "-kernel", kernel, "-initrd", initrd,
                 "-append", "console=ttyS0 quiet nokaslr", *options)


def symbols(vm, *names):
    """Addresses from the guest's /proc/kallsyms: Debian's kernels come without symbols."""
    vm.expect("/ # ")
    vm.send("grep -E ' (%s)$' /proc/kallsyms; echo do''ne\n" % "|".join(names))
    start = vm.at
    end = vm.expect("\ndone").end()
    vm.expect("/ # ")
    text = vm.text[start:end].decode()
    found = {n: int(a, 16) for a, n in re.findall(r"([0-9a-f]{16}) \w (\w+)", text)}
    assert set(found) == set(names)
    return found


@pytest.mark.parametrize("engine", ["interp", "jit"])
def test_linux_breakpoint_registers_steps_and_a_watched_variable(tmp_path, engine):
    with linux(tmp_path, "-accel", engine) as vm:
        sym = symbols(vm, "__x64_sys_sethostname", "jiffies_64", "linux_banner")
        gdb = vm.start_gdb(
            tmp_path,
            "x/s %#x" % sym["linux_banner"],
            "break *%#x" % sym["__x64_sys_sethostname"],
            SIGNAL % tmp_path,
            "continue",
            "info registers rip cs efer cr0",
            "x/2i $pc",
            "stepi", "stepi", "stepi",
            "delete",
            "watch *(unsigned long *)%#x" % sym["jiffies_64"],
            "continue", "continue",
            "delete",
            "monitor info version",
            "detach")
        await_signal(tmp_path)
        vm.send("hostname changed; hostname\n")
        out = finish(gdb)
        at = "0x%016x" % sym["__x64_sys_sethostname"]
        found = in_order(
            out, r'"Linux version 6\.', r"Breakpoint 1 at", r"Breakpoint 1, " + at,
            r"rip +" + at, r"cs +0x10 ", r"efer +0xd01 ", r"cr0 +0x8005003[3b]", "=> " + at,
            r"\n(0x[0-9a-f]{16}) in", r"\n(0x[0-9a-f]{16}) in", r"\n(0x[0-9a-f]{16}) in",
            r"Old value = (\d+)\nNew value = (\d+)", r"Old value = (\d+)\nNew value = (\d+)",
            r"detached")
        steps = [int(m.group(1), 16) for m in found[8:11]]
        assert sym["__x64_sys_sethostname"] < steps[0] < steps[1] < steps[2]
        ticks = [int(g) for m in found[11:13] for g in m.groups()]
        # A late tick may count for several.
        assert ticks[0] < ticks[1] == ticks[2] < ticks[3] < ticks[0] + 250, ticks
        vm.expect(r"\nchanged\r\n")  # and the guest went on as if nothing had been
        vm.expect("/ # ")
        vm.send("exit\n")
        assert vm.process.wait(PATIENCE) == 0


def test_two_processors_are_two_threads(tmp_path):
    with linux(tmp_path, "-smp", "2") as vm:
        sym = symbols(vm, "__x64_sys_sethostname", "__x64_sys_setdomainname")
        gdb = vm.start_gdb(
            tmp_path,
            "info threads",
            "break *%#x" % sym["__x64_sys_sethostname"],
            "break *%#x" % sym["__x64_sys_setdomainname"],
            SIGNAL % tmp_path,
            "continue", "continue",
            "thread 1", "p $gs_base", "thread 2", "p $gs_base",
            "set scheduler-locking step", "stepi", "stepi",
            "delete", "detach")
        await_signal(tmp_path)
        vm.send("taskset -c 0 hostname one; taskset -c 1 busybox hostname two; "
                "taskset -c 1 hostname three; hostname\n")
        out = finish(gdb)
        found = in_order(out, r"Thread 1 \(CPU 0", r"Thread 2 \(CPU 1",
                         r"Thread 1 hit Breakpoint|Breakpoint 1, ", r"Thread 2 hit Breakpoint",
                         r"\$1 = (-?\d+)", r"\$2 = (-?\d+)", r"detached")
        assert found[4].group(1) != found[5].group(1), "each has its own per-CPU data"
        vm.expect(r"\nthree\r\n")


def test_ctrl_c_and_kill(tmp_path):
    with linux(tmp_path) as vm:
        vm.expect("/ # ")
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(PATIENCE)
        s.connect(vm.socket)
        s.sendall(b"$vCont;c#a8")
        s.sendall(b"\x03")
        got = b""
        while b"$T02thread:1;#" not in got:
            data = s.recv(4096)
            assert data, got
            got += data
        s.sendall(b"$k#6b")
        assert vm.process.wait(PATIENCE) == 0


# ---- 16-bit code ----

CODE16 = bytes.fromhex("31c0 8ed8 ff060006 50 58 ebf8".replace(" ", ""))
"""XOR AX, AX; MOV DS, AX; again: INC WORD [600h]; PUSH AX; POP AX; JMP again"""


def old_kernel(path):
    """A kernel of boot protocol 2.00: firmware runs, then its setup code in real mode at 9020:0."""
    image = bytearray(5 * 512 + 64)
    image[0x1f1] = 4  # setup_sects
    struct.pack_into("<I", image, 0x1f4, 4)  # syssize, in paragraphs
    image[0x1fe:0x208] = b"\x55\xaa" + b"\xeb\x7e" + b"HdrS" + b"\x00\x02"  # JMP 280h
    image[0x280:0x280 + len(CODE16)] = CODE16
    path.write_bytes(image)
    return str(path)


def test_16_bit_code_from_reset_to_a_real_mode_program(tmp_path):
    with Vmrun(tmp_path, "-m", "64", "-S", "-kernel", old_kernel(tmp_path / "old"),
               serial="none") as vm:
        out = vm.gdb(
            tmp_path,
            "info registers rip cs raw_ip",
            "break *0xfe05b", "continue",     # where a PC's firmware begins after the reset jump
            "info registers raw_ip cs_base",
            "delete", "break *0x90200", "continue",
            "info registers cs raw_ip",
            "stepi", "stepi", "stepi", "delete", "watch *(short *)0x600", "continue", "continue",
            "delete", "stepi", "p/x $sp", "stepi", "p/x $sp",
            "monitor arch i8086", "disconnect",
            "target remote " + vm.socket,
            "x/5i 0x90280", "info registers eip", "kill")
        found = in_order(
            out, r"rip +0xfffffff0 ", r"cs +0xf000", r"raw_ip +0xfff0",
            r"Breakpoint 1, 0x0*fe05b", r"raw_ip +0xe05b", r"cs_base +0xf0000",
            r"Breakpoint 2, 0x0*90200", r"cs +0x9020", r"raw_ip +0x0 ",
            r"\n0x0*90280", r"\n0x0*90282", r"\n0x0*90284",
            r"Old value = (-?\d+)\nNew value = (-?\d+)\n0x0*90288", r"Old value", r"\n0x0*90289", r"\$1 = (\S+)", r"\$2 = (\S+)",
            r"0x90280:\s+xor +%ax,%ax", r"0x90282:\s+mov +%ax,%ds", r"0x90284:\s+incw +0x600",
            r"0x90288:\s+push +%ax", r"eip +0x902")
        assert int(found[12].group(2)) == int(found[12].group(1)) + 1
        assert int(found[16].group(1), 16) == int(found[15].group(1), 16) + 2
