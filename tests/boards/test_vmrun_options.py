# SPDX-License-Identifier: MIT
"""vmrun's disks, character backends and process options, from outside."""
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys
import time

import pytest
from test_vmrun import HALT, VMRUN, kernel, multiboot, out8, refused, run  # noqa: F401

# Serial port to itself, byte for byte: poll LSR, read RBR, write THR.
ECHO = bytes.fromhex("66bafd03 ec a801 74f7 66baf803 ec ee ebef")
SAY_A = out8(0x3F8, 0x41)


@pytest.fixture
def disk(tmp_path):
    def make(name="disk", size=65536, **at):
        data = bytearray(size)
        for offset, what in at.items():
            data[int(offset[1:]):int(offset[1:]) + len(what)] = what
        path = tmp_path / name
        path.write_bytes(data)
        return path
    return make


@pytest.fixture
def start():
    made = []

    def popen(*args, **kw):
        kw = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kw}
        made.append(subprocess.Popen([VMRUN, *map(str, args)], **kw))
        return made[-1]
    yield popen
    for child in made:
        child.kill()
        child.wait()
        for f in (child.stdout, child.stderr, child.stdin):
            if f:
                f.close()


# ---- bad input: one line, exit status 1 ----

@pytest.mark.parametrize("option", ["-hda", "-hdd", "-cdrom", "-fda", "-drive"])
def test_a_folder_is_no_disk(option, tmp_path):
    value = f"file={tmp_path}" if option == "-drive" else tmp_path
    refused(option, value, words=[option, str(tmp_path), "folder"])


@pytest.mark.parametrize("option", ["-hda", "-cdrom", "-fdb"])
def test_missing_disk(option):
    refused(option, "/nonexistent/disk", words=[option, "/nonexistent/disk", "No such file"])


def test_unreadable_disk(disk):
    """Root reads everything, unless it goes without the capabilities that let it."""
    path = disk()
    path.chmod(0)
    without = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    done = subprocess.run([*without, VMRUN, "-hda", path], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert re.fullmatch("vmrun: -hda .*%s.*Permission denied\n" % re.escape(str(path)), done.stderr), done.stderr


@pytest.mark.parametrize("args, words", [
    (["-hda", "D", "-hda", "D"], ["-hda", "ide unit 0", "-hda"]),
    (["-hdc", "D", "-cdrom", "D"], ["-cdrom", "ide unit 2", "-hdc"]),
    (["-hdb", "D", "-drive", "file=D,if=ide,index=1"], ["-drive", "unit 1", "-hdb"]),
    (["-drive", "file=D,bus=1,unit=1", "-hdd", "D"], ["-hdd", "unit 3", "-drive"]),
    (["-fda", "D", "-drive", "file=D,if=floppy,index=0"], ["floppy unit 0"]),
    (["-drive", "file=D,if=ide,index=4"], ["no such place", "4"]),
    (["-drive", "file=D,if=floppy,index=2"], ["no such place"]),
    (["-drive", "file=D,index=1,unit=1"], ["either"]),
    (["-drive", "file=D,if=idee"], ["idee", "ide"]),
    (["-drive", "file=D,media=tape"], ["tape", "cdrom"]),
    (["-drive", "file=D,snapshoot=on"], ["snapshoot", "did you mean snapshot"]),
    (["-drive", "file=D,snapshot=perhaps"], ["perhaps", "on or off"]),
    (["-drive", "file=D,index=x"], ["index", "x"]),
    (["-drive", "if=ide"], ["file="]),
    (["-hda", ""], ["-hda"]),
    (["-boot", "order=xyz"], ["-boot", "xyz"]),
    (["-boot", "cc"], ["twice"]),
    (["-boot", "mnu=on"], ["mnu", "menu"]),
    (["-boot", "menu=maybe"], ["menu", "maybe"]),
    (["-global", "nosuch.prop=1"], ["-global", "nosuch"]),
    (["-global", "ns16550.nosuch=1"], ["ns16550", "nosuch"]),
    (["-global", "rubbish"], ["CLASS.PROPERTY"]),
    (["-uuid", "12"], ["-uuid", "xxxxxxxx"]),
    (["-chardev", "null"], ["id="]),
    (["-chardev", "sockett,id=a"], ["sockett", "socket"]),
    (["-chardev", "socket,id=a"], ["path="]),
    (["-chardev", "socket,id=a,path=/tmp/x,pth=1"], ["pth", "path"]),
    (["-chardev", "socket,id=a,path=/nonexistent/s"], ["/nonexistent/s", "No such file"]),
    (["-chardev", "null,id=a", "-chardev", "null,id=a"], ["already"]),
    (["-chardev", "ringbuf,id=a,size=100"], ["power of two"]),
    (["-serial", "chardev:nosuch"], ["nosuch"]),
    (["-serial", "tcp:nowhere"], ["HOST:PORT"]),
    (["-mon", "mode=readline"], ["chardev="]),
    (["-mon", "chardev=a,mode=control", "-chardev", "null,id=a"], ["control", "readline"]),
    (["-serial", "stdio", "-monitor", "stdio"], ["terminal", "serial0"]),
    (["-pidfile", "/nonexistent/pid"], ["/nonexistent/pid", "No such file"]),
    (["-display", "holodeck"], ["-display", "holodeck"]),
    (["-bios", "/nonexistent/bios.bin"], ["/nonexistent/bios.bin"]),
    (["-hdaa", "x"], ["-hdaa", "-hda"]),
])
def test_bad_input(args, words, disk, kernel):
    path = str(disk())
    args = [a.replace("=D", "=" + path) if a != "D" else path for a in args]
    if "-bios" not in args:
        args += ["-kernel", kernel(HALT)]
    refused(*args, words=words)


def test_truncated_cd(disk):
    size = (5000).to_bytes(4, "little")
    path = disk("cd.iso", 70000, _32768=b"\1CD001\1", _32848=size)
    refused(path, words=["cut short", "70000", str(5000 * 2048)])
    refused("-cdrom", path, words=["-cdrom", "cut short"])


def test_floppy_of_odd_size(disk):
    refused("-fda", disk("odd", 100000), words=["floppy", "100000"])


# ---- FILE ----

@pytest.mark.parametrize("name, at, size, words", [
    ("cd.iso", {"_32769": b"CD001"}, 65536, "a CD-ROM"),
    ("a.qcow2", {"_0": b"QFI\xfb\0\0\0\3"}, 65536, "a qcow2 disk"),
    ("a.vdi", {"_64": b"\x7f\x10\xda\xbe"}, 65536, "a vdi disk"),
    ("a.vmdk", {"_0": b"KDMV"}, 65536, "a vmdk disk"),
    ("a.vhdx", {"_0": b"vhdxfile"}, 65536, "a vhdx disk"),
    ("a.vhd", {"_65024": b"conectix"}, 65536, "a vpc disk"),
    ("a.img", {"_510": b"\x55\xaa"}, 1474560, "a floppy disk"),
    ("hybrid.iso", {"_510": b"\x55\xaa", "_32769": b"CD001"}, 65536, "a CD-ROM"),
    ("a.raw", {"_510": b"\x55\xaa"}, 65536, "a raw disk"),
    ("bzImage", {"_510": b"\x55\xaa", "_514": b"HdrS"}, 65536, "a Linux kernel"),
    ("a.elf", {"_0": b"\x7fELF"}, 65536, "an ELF kernel"),
])
def test_file_is_recognised(disk, start, name, at, size, words):
    path = disk(name, size, **at)
    child = start(path, "-S", "-serial", "null", "-m", "16")
    ready, _, _ = select.select([child.stderr], [], [], 20)
    assert ready and child.stderr.readline().decode() == f"vmrun: {path}: {words}\n"


def test_file_that_is_a_kernel_starts(kernel):
    done = run(kernel(SAY_A + out8(0xF4, 0)), "-device", "isa-debug-exit,iobase=0xf4")
    assert done.stdout == "A" and done.returncode == 1
    assert done.stderr.endswith(": a Multiboot kernel\n")


def test_file_that_is_nothing(disk, tmp_path):
    path = disk(size=70000)
    refused(path, words=[str(path), "not recognised", "-hda"])
    refused(tmp_path, words=["folder"])
    refused(disk("empty", 0), words=["empty"])
    refused("/nonexistent/x", words=["No such file"])


# ---- backends ----

def connect(path):
    end = time.monotonic() + 20
    while True:
        s = socket.socket(socket.AF_UNIX if isinstance(path, str) else socket.AF_INET)
        try:
            s.connect(path)
            s.settimeout(20)
            return s
        except OSError:
            s.close()
            assert time.monotonic() < end
            time.sleep(0.05)


def receive(s, n):
    got = b""
    while len(got) < n:
        part = s.recv(n - len(got))
        assert part, got
        got += part
    return got


def until(s, what):
    got = b""
    while what not in got:
        part = s.recv(4096)
        assert part, got
        got += part
    return got


def test_unix_socket_client_comes_back(kernel, start, tmp_path):
    path = str(tmp_path / "s")
    child = start("-kernel", kernel(ECHO), "-serial", f"unix:{path},server=on,wait=off")
    for word in (b"one", b"two", b"three"):
        with connect(path) as s:
            s.sendall(word)
            assert receive(s, len(word)) == word
    child.terminate()
    child.wait(20)
    assert not os.path.exists(path)


def test_server_waits(kernel, start, tmp_path):
    path = str(tmp_path / "s")
    child = start("-kernel", kernel(SAY_A + HALT), "-serial", f"unix:{path},server")
    assert "waiting for connection on: unix:" in child.stderr.readline().decode()
    with connect(path) as s:
        assert receive(s, 1) == b"A"


def test_interrupted_while_waiting(kernel, start, tmp_path):
    child = start("-kernel", kernel(HALT), "-serial", f"unix:{tmp_path}/s,server=on")
    assert b"waiting" in child.stderr.readline()
    child.terminate()
    assert child.wait(20) == -signal.SIGTERM


def test_tcp_client_and_telnet(kernel, start):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        port = server.getsockname()[1]
        start("-kernel", kernel(ECHO), "-serial", f"tcp:127.0.0.1:{port}")
        peer, _ = server.accept()
        with peer:
            peer.settimeout(20)
            peer.sendall(b"over tcp")
            assert receive(peer, 8) == b"over tcp"
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    start("-kernel", kernel(ECHO), "-serial", f"telnet:127.0.0.1:{port},server,nowait")
    with connect(("127.0.0.1", port)) as s:
        assert receive(s, 9) == bytes([255, 251, 1, 255, 251, 3, 255, 253, 3])
        s.sendall(b"a\xff\xfd\x01b\xff\xffc\r\0d")  # a command in between, and a doubled 255
        assert receive(s, 6) == b"ab\xffc\rd"


def test_client_reconnects(kernel, start, tmp_path):
    path = str(tmp_path / "s")
    start("-kernel", kernel(ECHO), "-chardev", f"socket,id=c,path={path},reconnect=1", "-serial",
          "chardev:c")
    for word in (b"one", b"two"):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen(1)
            server.settimeout(20)
            peer, _ = server.accept()
            with peer:
                peer.settimeout(20)
                peer.sendall(word)
                assert receive(peer, len(word)) == word
        os.unlink(path)


def test_pty(kernel, start):
    child = start("-kernel", kernel(ECHO), "-serial", "pty")
    line = child.stdout.readline().decode()
    name = re.fullmatch(r"char device redirected to (/dev/pts/\d+) \(label serial0\)\n", line)[1]
    for word in (b"here", b"again"):
        fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
        os.write(fd, word)
        got = b""
        while len(got) < len(word):
            got += os.read(fd, 100)
        assert got == word
        os.close(fd)


def test_file_append_and_pipe(kernel, tmp_path, start):
    log = tmp_path / "log"
    log.write_text("before ")
    args = ["-kernel", kernel(SAY_A + out8(0xF4, 0)), "-device", "isa-debug-exit,iobase=0xf4"]
    run(*args, "-chardev", f"file,id=f,path={log},append=on", "-serial", "chardev:f")
    assert log.read_text() == "before A"
    fifo = str(tmp_path / "fifo")
    for end in (".in", ".out"):
        os.mkfifo(fifo + end)
    start("-kernel", kernel(ECHO), "-serial", f"pipe:{fifo}")
    with open(fifo + ".in", "wb", buffering=0) as i, open(fifo + ".out", "rb", buffering=0) as o:
        i.write(b"x")
        assert o.read(1) == b"x"


# ---- the monitor ----

def ask(*lines, args):
    done = subprocess.run([VMRUN, *map(str, args)], input="".join(l + "\n" for l in lines),
                          capture_output=True, text=True, timeout=60)
    return done, re.sub(r"\x1b\[K", "", done.stdout).replace("\r\n", "\n")


def test_monitor_on_stdio(kernel):
    done, text = ask("info status", "nonsense", "info chardev", "quit",
                     args=["-kernel", kernel(HALT), "-monitor", "stdio", "-serial", "null"])
    assert done.returncode == 0, done
    assert "(vmrun) info status\nVM status: running\n" in text
    assert "Error: no such command: nonsense" in text
    assert "serial0: filename=null\n" in text and "compat_monitor0: filename=stdio\n" in text


def test_paused_start_and_cont(kernel):
    done, text = ask("info status", "cont", args=["-kernel", kernel(SAY_A + out8(0xF4, 3)), "-S",
                                                  "-device", "isa-debug-exit,iobase=0xf4",
                                                  "-monitor", "stdio", "-serial", "null"])
    assert "VM status: paused (prelaunch)" in text and done.returncode == 7


def test_monitor_on_a_socket_comes_back(kernel, start, tmp_path):
    path = str(tmp_path / "s")
    child = start("-kernel", kernel(HALT), "-monitor", f"unix:{path},server,nowait", "-serial", "null")
    for _ in range(2):
        with connect(path) as s:
            assert b"monitor - type 'help'" in until(s, b"(vmrun) ")
            s.sendall(b"info version\r")
            assert b"\r\n0." in until(s, b"(vmrun) ")
    with connect(path) as s:
        until(s, b"(vmrun) ")
        s.sendall(b"quit\r")
        assert child.wait(20) == 0


def test_gdb_server_later(kernel, start, tmp_path):
    path, gdb = str(tmp_path / "s"), str(tmp_path / "gdb")
    start("-kernel", kernel(HALT), "-monitor", f"unix:{path},server,nowait", "-serial", "null")
    with connect(path) as s:
        until(s, b"(vmrun) ")
        s.sendall(f"gdbserver unix:{gdb}\r".encode())
        assert b"Waiting for gdb connection on unix:" in until(s, b"(vmrun) ")
        with connect(gdb) as g:
            g.sendall(b"$qSupported#37")
            assert receive(g, 2) == b"+$"
        s.sendall(b"gdbserver\r")
        assert b"already" in until(s, b"(vmrun) ")


def test_ringbuf(kernel, tmp_path):
    done, text = ask("ringbuf_read r", "ringbuf_read r", "ringbuf_read nosuch", "quit",
                     args=["-kernel", kernel(b"".join(out8(0x3F8, c) for c in b"kept") + HALT),
                           "-chardev", "ringbuf,id=r,size=64", "-serial", "chardev:r", "-monitor",
                           "stdio", "-icount", "0"])
    assert done.returncode == 0
    assert text.count("kept\n") <= 1 and "no ringbuf backend" in text


class Terminal:
    """vmrun on a pseudo-terminal."""

    def __init__(self, *args):
        import pty
        self.master, slave = pty.openpty()
        self.child = subprocess.Popen([VMRUN, *map(str, args)], stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.text = b""

    def send(self, data):
        os.write(self.master, data)

    def expect(self, what):
        end = time.monotonic() + 20
        while what not in self.text:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert ready, self.text
            self.text += os.read(self.master, 4096)
        before, self.text = self.text.split(what, 1)
        return before

    def close(self):
        self.child.kill()
        self.child.wait()
        os.close(self.master)


@pytest.fixture
def terminal():
    made = []

    def make(*args):
        made.append(Terminal(*args))
        return made[-1]
    yield make
    for t in made:
        t.close()


def test_monitor_behind_the_serial_port(kernel, terminal):
    t = terminal("-kernel", kernel(SAY_A + ECHO))
    t.expect(b"A")
    t.send(b"typed")
    t.expect(b"typed")
    t.send(b"\x01c")
    t.expect(b"(vmrun) ")
    t.send(b"info stat\t\r")  # completed
    t.expect(b"VM status: running")
    t.expect(b"(vmrun) ")
    t.send(b"stop\r\x01cheld\x01c\r")  # typed ahead, over the switch
    t.expect(b"(vmrun) ")
    t.send(b"\x1b[A\x1b[A\r")  # two lines back
    t.expect(b"VM status: paused")
    t.send(b"cont\r\x01c")
    t.expect(b"held")  # what the paused guest had not taken
    t.send(b"\x01\x01")
    t.expect(b"\x01")
    t.send(b"\x01x")
    assert t.child.wait(20) == 0


def test_line_editing(kernel, terminal):
    t = terminal("-kernel", kernel(HALT), "-monitor", "stdio", "-serial", "null")
    t.expect(b"(vmrun) ")
    t.send(b"p 12\x02\x023\x05\x7f4\r")  # cursor left twice, insert; end, erase, type
    t.expect(b"\n0x13a")  # 314
    t.send(b"rubbish\x15p 5\r")
    t.expect(b"\n0x5")
    t.send(b"p 7 rubbish\x17\r")
    t.expect(b"\n0x7")
    t.send(b"info m\t\t")
    t.expect(b"mem  mtree")
    t.send(b"\x15q\r")
    assert t.child.wait(20) == 0


# ---- the process ----

def test_no_shutdown(kernel, terminal):
    power_off = b"\x66\xba\x04\x06\x66\xb8\x00\x20\x66\xef"
    t = terminal("-kernel", kernel(power_off + HALT), "-no-shutdown", "-monitor", "stdio", "-serial",
                 "null")
    t.expect(b"(vmrun) ")
    time.sleep(0.3)
    t.send(b"info status\r")
    t.expect(b"paused (shutdown)")
    t.send(b"quit\r")
    assert t.child.wait(20) == 0


def test_pid_file(kernel, start, tmp_path):
    path = tmp_path / "pid"
    child = start("-kernel", kernel(SAY_A + HALT), "-pidfile", path)
    assert child.stdout.read(1) == b"A"
    assert int(path.read_text()) == child.pid
    refused("-kernel", kernel(HALT), "-pidfile", path, words=["another vmrun"])
    child.terminate()
    child.wait(20)
    assert not path.exists()


def test_daemonize(kernel, tmp_path):
    path, s = tmp_path / "pid", str(tmp_path / "s")
    args = ["-daemonize", "-pidfile", path, "-monitor", f"unix:{s},server,nowait", "-serial", "null"]
    assert run("-kernel", kernel(HALT), *args).returncode == 0
    assert int(path.read_text()) > 0
    with connect(s) as c:
        until(c, b"(vmrun) ")
        c.sendall(b"quit\r")
        end = time.monotonic() + 20
        while path.exists() and time.monotonic() < end:
            time.sleep(0.05)
    assert not path.exists()
    refused("-kernel", "/nonexistent/k", "-daemonize", "-serial", "null", words=["/nonexistent/k"])


def test_debugcon_and_parallel(kernel, tmp_path):
    log = tmp_path / "log"
    done = run("-kernel", kernel(out8(0xE9, 0x42) + out8(0xF4, 0)), "-device",
               "isa-debug-exit,iobase=0xf4", "-debugcon", f"file:{log}", "-serial", "null")
    assert done.returncode == 1 and log.read_text() == "B"
    code = out8(0x378, 0x50) + out8(0x37A, 0x0D) + out8(0x37A, 0x0C) + out8(0xF4, 0)
    run("-kernel", kernel(code), "-device", "isa-debug-exit,iobase=0xf4", "-parallel", f"file:{log}",
        "-serial", "null")
    assert log.read_text() == "P"


def test_listings():
    assert "path=" in run("-chardev", "help").stdout
    assert "memory.size" in run("-set", "help").stdout
    assert run("-machine", "help").stdout.lstrip().startswith("pc")
    assert "interp" in run("-accel", "help").stdout
    text = run("-help").stdout
    for group in ("Machine", "Disks and start", "Ports and monitor", "Screen", "Debugging",
                  "Start and end"):
        assert f"\n{group}\n" in text


if __name__ == "__main__":
    sys.exit(pytest.main([str(pathlib.Path(__file__)), "-q", *sys.argv[1:]]))
