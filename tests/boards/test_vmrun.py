# SPDX-License-Identifier: MIT
"""vmrun from outside: bad input gives one clear line and exit status 1."""
import os
import pathlib
import signal
import struct
import subprocess
import sys
import time

import pytest

VMRUN = os.environ["VMRUN"]
for name in ("DISPLAY", "WAYLAND_DISPLAY"):  # no windows on a developer's screen
    os.environ.pop(name, None)


def run(*args, **kw):
    return subprocess.run([VMRUN, *map(str, args)], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, **kw)


def multiboot(code: bytes) -> bytes:
    """A flat Multiboot kernel at 1 MiB that runs `code` in 32-bit protected mode."""
    magic, flags, base = 0x1BADB002, 1 << 16, 0x100000
    header = struct.pack("<8I", magic, flags, -(magic + flags) & 0xFFFFFFFF, base, base, 0, 0,
                         base + 32)
    return header + code


def out8(port: int, value: int) -> bytes:
    return b"\x66\xba" + struct.pack("<H", port) + b"\xb0" + bytes([value]) + b"\xee"


HALT = b"\xfa\xf4\xeb\xfc"


@pytest.fixture
def kernel(tmp_path):
    def make(code):
        path = tmp_path / "kernel"
        path.write_bytes(multiboot(code))
        return path
    return make


def refused(*args, words):
    done = run(*args)
    lines = done.stderr.splitlines()
    assert done.returncode == 1, done
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("vmrun: ")
    for word in words:
        assert word in lines[0], lines[0]


@pytest.mark.parametrize("args, words", [
    (["-kernel", "/nonexistent/vmlinuz"], ["/nonexistent/vmlinuz", "No such file"]),
    (["-kernel", "/tmp"], ["/tmp", "Is a directory"]),
    (["-kernel", "/dev/null"], ["/dev/null", "empty"]),
    (["-kernel", "/etc/passwd"], ["/etc/passwd", "not a kernel"]),
    (["-device", "isa-debug-exitt"], ["isa-debug-exitt", "isa-debug-exit"]),
    (["-device", "isa-debug-exit,iobas=1"], ["iobas", "iobase"]),
    (["-device", "isa-debug-exit,iobase=zz"], ["iobase", "zz"]),
    (["-cpu", "pentiun3"], ["pentiun3"]),
    (["-cpu", "max,+nosuchfeature"], ["nosuchfeature"]),
    (["-accel", "warp"], ["warp"]),
    (["-m", "100T"], ["100T"]),
    (["-m", "12Q"], ["12Q"]),
    (["-m", "0"], ["-m"]),
    (["-m", "-5"], ["-5"]),
    (["-m", ""], ["-m"]),
    (["-smp", "0"], ["0"]),
    (["-smp", "x"], ["x"]),
    (["-smp", "1000"], ["1000"]),
    (["-smp", "8,sockets=1,cores=2"], ["8"]),
    (["-kernal", "x"], ["-kernal", "-kernel"]),
    (["-serial", "tape"], ["tape"]),
    (["-serial", "stdio", "-serial", "stdio"], ["terminal"]),
    (["-serial", "file:/nonexistent/log"], ["/nonexistent/log"]),
    (["-d", "in_asn"], ["in_asn", "in_asm"]),
    (["-D", "/nonexistent/log", "-d", "int"], ["/nonexistent/log"]),
    (["-append", "quiet"], ["no kernel"]),
    (["-initrd", "/dev/null"], ["no kernel"]),
    (["-kernel"], ["-kernel"]),
    (["-rtc", "base=yesterday"], ["yesterday"]),
    (["-icount", "shift=99"], ["99"]),
    (["-machine", "isapc"], ["isapc"]),
    (["disk.img"], ["disk.img"]),
])
def test_bad_input(args, words):
    refused(*args, words=words)


def test_missing_initrd(kernel):
    refused("-kernel", kernel(HALT), "-initrd", "/nonexistent/initrd",
            words=["/nonexistent/initrd", "No such file"])


def test_truncated_kernel(tmp_path):
    image = bytearray(4096)
    image[0x1F1] = 4
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x201] = 0x6A
    image[0x202:0x206] = b"HdrS"
    image[0x206:0x208] = b"\x0f\x02"
    image[0x211] = 1
    image[0x1F4:0x1F8] = struct.pack("<I", 0x10000)
    path = tmp_path / "vmlinuz"
    path.write_bytes(image)
    refused("-kernel", path, words=["truncated kernel", "4096"])


def test_traces(kernel, tmp_path):
    # lidt of nothing, then #UD: a triple fault that -no-reboot makes the end.
    code = b"\x0f\x01\x1d\x00\x00\x00\x00" + out8(0x3F8, 0x41) + b"\x0f\x0b"
    log = tmp_path / "trace"
    args = ["-kernel", kernel(code), "-serial", "null", "-no-reboot", "-D", log, "-d"]
    assert run(*args, "in_asm").returncode == 0
    lines = log.read_text().splitlines()
    assert any("lidt" in line and "0f 01 1d" in line for line in lines), lines
    assert any(line.startswith("0x00100027:") and "mov dx" in line for line in lines), lines
    run(*args, "int,exec,io")
    text = log.read_text()
    assert "cpu0: exec 0x100020 cpl 0" in text
    assert "cpu0: exception 0x06 error 0x0" in text and "at 0x10:0x10002e" in text
    assert "com1: write" in text and "0x41" in text


def test_help_and_version():
    assert "-kernel FILE" in run("--help").stdout
    assert run("-version").stdout.startswith("vmrun (libvm ")
    assert "isa-debug-exit" in run("-device", "help").stdout
    assert "iobase" in run("-device", "isa-debug-exit,help").stdout
    assert "in_asm" in run("-d", "help").stdout


def test_debug_exit_code(kernel):
    done = run("-kernel", kernel(out8(0xF4, 0x15) + HALT), "-device",
               "isa-debug-exit,iobase=0xf4,iosize=1", "-serial", "null")
    assert done.returncode == 0x15 << 1 | 1, done


def test_power_off(kernel):
    # PM1a_CNT at 0x604: SLP_EN with SLP_TYP 0 is soft off.
    code = b"\x66\xba\x04\x06\x66\xb8\x00\x20\x66\xef"
    assert run("-kernel", kernel(code + HALT), "-serial", "null").returncode == 0


def test_no_reboot(kernel):
    assert run("-kernel", kernel(out8(0x64, 0xFE) + HALT), "-serial", "null",
               "-no-reboot").returncode == 0


def test_serial_output(kernel, tmp_path):
    code = b"".join(out8(0x3F8, c) for c in b"hi\n") + out8(0xF4, 0)
    args = ["-kernel", kernel(code + HALT), "-device", "isa-debug-exit,iobase=0xf4"]
    assert run(*args).stdout == "hi\n"
    log = tmp_path / "log"
    assert run(*args, "-serial", f"file:{log}").returncode == 1
    assert log.read_text() == "hi\n"


def test_reboot_starts_the_kernel_again(kernel):
    """The first time round a byte of CMOS is 0; a reboot keeps it, and the kernel is back."""
    read = b"\x66\xba\x70\x00\xb0\x50\xee\x66\xba\x71\x00\xec"  # al = CMOS[0x50]
    code = (out8(0x3F8, ord("a")) + read + b"\x3c\x5a\x74" + bytes([23]) +
            b"\x66\xba\x70\x00\xb0\x50\xee" + out8(0x71, 0x5A) + out8(0xCF9, 6) + HALT)
    jump = code.index(b"\x74") + 2
    code = code[:jump - 1] + bytes([len(code) - jump]) + code[jump:]
    code += out8(0xF4, 1) + HALT
    done = run("-kernel", kernel(code), "-device", "isa-debug-exit,iobase=0xf4")
    assert done.returncode == 3 and done.stdout == "aa", done


def test_x87_exception_without_a_handler(kernel):
    """CR0.NE is clear and nothing serves IRQ 13: 1 / 0 unmasked must stay the guest's affair."""
    code = (b"\xdb\xe3\xc7\x05\x00\x00\x20\x00\x40\x03\x00\x00\xd9\x2d\x00\x00\x20\x00"  # fldcw
            b"\xd9\xee\xd9\xe8\xd8\xf1\xd9\xe8\x9b")  # fldz, fld1, fdiv, fld1, fwait
    done = run("-kernel", kernel(code + out8(0xF4, 3) + HALT), "-device", "isa-debug-exit",
               "-serial", "null")
    assert done.returncode == 7, done


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it(kernel, sig):
    child = subprocess.Popen([VMRUN, "-kernel", kernel(out8(0x3F8, 0x41) + HALT)],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert child.stdout.read(1) == b"A"
    child.send_signal(sig)
    assert child.wait(30) == -sig


def test_terminal_is_restored(kernel):
    """Raw while it runs, as before once Ctrl-A x was typed."""
    import pty
    import termios
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    child = subprocess.Popen([VMRUN, "-kernel", kernel(out8(0x3F8, 0x41) + HALT)],
                             stdin=slave, stdout=slave, stderr=slave)
    assert os.read(master, 1) == b"A"
    assert not termios.tcgetattr(slave)[3] & termios.ICANON
    os.write(master, b"\x01h")
    time.sleep(0.2)
    assert b"Ctrl-A x" in os.read(master, 4096)
    os.write(master, b"\x01x")
    assert child.wait(30) == 0
    assert termios.tcgetattr(slave) == before


if __name__ == "__main__":
    sys.exit(pytest.main([str(pathlib.Path(__file__)), "-q", *sys.argv[1:]]))


# ---- the screen ----

@pytest.mark.parametrize("args, words", [
    (["-display", "window"], ["-display window", "there is"]),
    (["-display", "curse"], ["did you mean curses"]),
    (["-vga", "cirrus"], ["-vga cirrus", "there is"]),
])
def test_displays_that_are_not_there(args, words):
    refused(*args, words=words)


def test_curses_needs_a_terminal(kernel):
    done = run("-kernel", kernel(HALT), "-serial", "null", "-display", "curses")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "terminal" in done.stderr or "built without ncurses" in done.stderr


def monitor(kernel, *commands, **kw):
    """Run commands in the monitor of a machine that does nothing."""
    text = "".join(c + "\n" for c in (*commands, "quit"))
    return subprocess.run([VMRUN, "-kernel", str(kernel(HALT)), "-serial", "null", "-display", "none",
                           "-monitor", "stdio", *kw.get("args", ())], input=text,
                          capture_output=True, text=True, timeout=60)


def test_screendump_writes_ppm_and_png(kernel, tmp_path):
    ppm, png = tmp_path / "a.ppm", tmp_path / "a.png"
    done = monitor(kernel, f"screendump {ppm}", f"screendump {png}", f"screendump -f png {ppm}2")
    assert done.returncode == 0, done
    data = ppm.read_bytes()
    width, height = map(int, data.split(b"\n")[1].split())
    assert data.startswith(b"P6\n") and len(data) == len(f"P6\n{width} {height}\n255\n") + 3 * width * height
    if "built without libpng" not in done.stdout + done.stderr:
        assert png.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert (tmp_path / "a.ppm2").read_bytes().startswith(b"\x89PNG")


def test_screendump_without_a_screen_or_a_place_says_so(kernel, tmp_path):
    done = monitor(kernel, f"screendump {tmp_path}/a.ppm", args=["-vga", "none"])
    assert "no graphics adapter" in done.stdout
    done = monitor(kernel, "screendump /nonexistent/a.ppm")
    assert "No such file" in done.stdout + done.stderr
