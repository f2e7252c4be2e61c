# SPDX-License-Identifier: MIT
"""The monitor's commands, each on a small guest that really runs."""
import pathlib
import re
import struct
import sys
import threading
import time

import pytest

import libvm

BASE = 0x100020  # where the guest's code begins


def multiboot(code):
    """A flat Multiboot kernel at 1 MiB that runs `code` in 32-bit protected mode."""
    magic, flags, base = 0x1BADB002, 1 << 16, 0x100000
    return struct.pack("<8I", magic, flags, -(magic + flags) & 0xFFFFFFFF, base, base, 0, 0,
                       base + 32) + code


# 4 MiB pages: 0 to itself, supervisor; 4 MiB to 0, user and read-only. Then known registers, HLT.
PAGED = bytes.fromhex("c7050000200083000000 c7050400200085000000 b800002000 0f22d8 0f20e0 83c810"
                      "0f22e0 0f20c0 0d00000080 0f22c0 b878563412 be44332211 fa f4 ebfc")
# Keyboard controller to COM1, byte for byte.
ECHO_KEYS = bytes.fromhex("e464 a801 74fa e460 66baf803 ee ebf1")
HALT = b"\xfa\xf4\xeb\xfc"


@pytest.fixture
def machine(tmp_path):
    made = []

    def make(code, **keys):
        kernel = tmp_path / "kernel"
        kernel.write_bytes(multiboot(code))
        made.append(libvm.Machine({"memory.size": "32M", "boot.kernel": kernel, **keys}))
        return made[-1]
    yield make
    for m in made:
        m.close()


@pytest.fixture
def paged(machine):
    m = machine(PAGED, name="little")
    m.run(10000, 0.2)
    return m


def refused(m, line, *words):
    with pytest.raises(libvm.Error) as e:
        m.monitor(line)
    text = str(e.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text
    return e.value


def test_registers(paged):
    text = paged.monitor("info registers")
    assert "EAX=12345678 " in text and "ESI=11223344 " in text
    assert "CR3=00200000 CR4=00000010" in text
    assert re.search(r"^CS =\w{4} 00000000 ffffffff 00cf9\w00 DPL=0 CS32 \[-R[A-]\]$", text, re.M)
    assert re.search(r"^EIP=0010005. EFL=0000\w{4} \[[-DOSZAPC]{7}\] CPL=0 II=0 A20=1 SMM=0 HLT=1$",
                     text, re.M), text
    assert "XMM07=" in text and "XMM08=" not in text


def test_all_registers(machine):
    m = machine(HALT, **{"cpu.count": 2})
    assert m.monitor("info registers").count("CPU#") == 1
    assert re.findall(r"CPU#(\d)", m.monitor("info registers -a")) == ["0", "1"]
    refused(m, "info registers -b", "-b")


def test_cpus_and_cpu(machine):
    m = machine(HALT, **{"cpu.count": 2})
    assert re.findall(r"^(.) CPU #(\d): pc=0x\w{16}", m.monitor("info cpus"), re.M) == [
        ("*", "0"), (" ", "1")]
    assert m.monitor("cpu 1") == ""
    assert "* CPU #1" in m.monitor("info cpus")
    assert "CPU#1" in m.monitor("info registers")
    refused(m, "cpu 2", "no processor 2")
    refused(m, "cpu", "number")


def test_paging(paged):
    assert paged.monitor("info mem") == ("00000000-00400000 00400000 -rw\n"
                                         "00400000-00800000 00400000 ur-\n")
    assert paged.monitor("info tlb") == ("00000000: 0000000000000000 --P-A---W\n"
                                         "00400000: 0000000000000000 --P----U-\n")
    assert paged.monitor("gva2gpa 0x500123") == "gpa: 0x100123\n"
    assert paged.monitor("gva2gpa 0x900000") == "Unmapped\n"


def test_no_paging(machine):
    assert machine(HALT).monitor("info mem") == "PG disabled\n"


def test_examine(paged):
    paged.write(0x1000, b"hello\n\"\0" + struct.pack("<4I", 1, 0xFFFFFFFE, 3, 4) + b"\0")
    assert paged.monitor("x/3xb 0x1000") == "0000000000001000: 0x68 0x65 0x6c\n"
    assert paged.monitor("x/9cb 0x1000").splitlines() == [
        "0000000000001000: 'h' 'e' 'l' 'l' 'o' '\\n' '\"' '\\x00'", "0000000000001008: '\\x01'"]
    assert paged.monitor("xp/5dw 0x1008").splitlines() == [
        "0000000000001008: 1 -2 3 4", "0000000000001018: 0"]
    assert paged.monitor("xp/1ug 0x1008") == "0000000000001008: 18446744065119617025\n"
    assert paged.monitor("xp/2oh 0x1008") == "0000000000001008: 01 00\n"
    assert paged.monitor("x/s 0x401000") == '0000000000401000: "hello\\x0a\\""\n'
    refused(paged, "x/4xw 0x900000", "Cannot access memory at address 0x900000")
    assert "Cannot access" in paged.monitor("x/4xw 0x7ffff8")  # the first two are there
    refused(paged, "x/2zz 0", "z")
    refused(paged, "x/99999999x 0", "count")


def test_disassembly(paged):
    lines = paged.monitor("x/4i 0x%x" % BASE).splitlines()
    assert re.match(r"0x00100020: {2}c7 05 00 00 20 00 83 00 00 00 +mov ", lines[0])
    assert lines[2].endswith("mov eax, 0x200000")
    assert lines[3].startswith("0x00100039:  0f 22 d8 ")
    assert "jmp" in paged.monitor("x/2i $pc") or "hlt" in paged.monitor("x/2i $pc")


@pytest.mark.parametrize("expression, value", [
    ("1+2*3", "0x7"), ("(1+2)*3", "0x9"), ("-1", "0xffffffffffffffff"), ("~0&0xff", "0xff"),
    ("$eax", "0x12345678"), ("$ax + 1", "0x5679"), ("$rsi-$esi", "0"), ("'A'", "0x41"),
    ("017", "0xf"), ("7/2", "0x3"), ("7 % 4", "0x3"), ("6 ^ 3", "0x5"), ("4|3", "0x7"),
])
def test_expressions(paged, expression, value):
    assert paged.monitor("print " + expression) == value + "\n"


@pytest.mark.parametrize("expression, word", [
    ("1/0", "zero"), ("$raxx", "raxx"), ("(1", "')'"), ("0x", "number"), ("", "number"),
    ("99999999999999999999", "64 bits"), ("(" * 100 + "1", "deeper"), ("1 2", "nothing more"),
    ("1a", "number"), ("08", "number"),
])
def test_bad_expressions(paged, expression, word):
    refused(paged, "p " + expression, word)


def test_print_formats(paged):
    assert paged.monitor("p/d -5") == "-5\n"
    assert paged.monitor("p/u 5") == "5\n"
    assert paged.monitor("p/c 0x41") == "'A'\n"
    assert paged.monitor("p/xb 0x1ff") == "0xff\n"


def test_saving_memory(paged, tmp_path):
    paged.write(0x3000, bytes(range(200)))
    out = tmp_path / "with blank"
    assert paged.monitor(f'pmemsave 0x3000 200 "{out}"') == ""
    assert out.read_bytes() == bytes(range(200))
    paged.monitor(f'memsave 0x403000 100 "{out}"')
    assert out.read_bytes() == bytes(range(100))
    missing = tmp_path / "not there"
    refused(paged, f'pmemsave 0x10000000000 4 "{missing}"', "0x10000000000")
    assert not missing.exists()
    refused(paged, "pmemsave 0 4 /nonexistent/x", "/nonexistent/x", "No such file")


def test_ports(machine):
    m = machine(HALT)
    assert m.monitor("o/b 0x70 0x50") == "" and m.monitor("o 0x71 0xa5") == ""
    assert m.monitor("i/b 0x70 0x50") == "portb[0x0071] = 0xa5\n"
    assert m.monitor("i /h 0x2ff0") == "portw[0x2ff0] = 0xffff\n"
    refused(m, "i 0x10000", "0xffff")
    refused(m, "o/g 0x70 0", "bytes")


def test_state(machine):
    m = machine(HALT)
    assert m.monitor("info status") == "VM status: paused (prelaunch)\n"
    assert m.monitor("cont") == "" and m.state == "running"
    assert m.monitor("info status") == "VM status: running\n"
    assert m.monitor("stop") == "" and m.state == "paused"
    assert m.monitor("s") == "" and m.monitor("info status") == "VM status: paused\n"
    assert m.monitor("c") == "" and m.monitor("system_reset") == ""
    m.wait_event("reset", 10)


def test_looking_is_no_pause(machine):
    """Processors stand still for a moment; nobody hears of it, and the guest goes on."""
    m = machine(b"\xff\x05\x00\x10\x00\x00\xeb\xf8")  # inc dword [0x1000] for ever
    m.start()
    counts = []
    for _ in range(50):
        text = m.monitor("xp/wu 0x1000")
        counts.append(int(text.split(": ")[1]))
        assert m.state == "running"
    time.sleep(0.05)
    assert counts == sorted(counts) and int(m.monitor("xp/wu 0x1000").split(": ")[1]) > counts[0]
    assert {e[0] for e in m.events} <= {"started"}


def test_looking_while_others_stop_and_go(machine):
    m = machine(b"\xff\x05\x00\x10\x00\x00\xeb\xf8", **{"cpu.count": 2})
    m.start()
    over = threading.Event()

    def look():
        while not over.is_set():
            m.monitor("info registers -a")
    threads = [threading.Thread(target=look) for _ in range(2)]
    for t in threads:
        t.start()
    for _ in range(40):
        m.pause()
        m.resume()
        m.reset()
    over.set()
    for t in threads:
        t.join()
    assert m.state == "running"


def test_inside_a_callback(machine):
    m = machine(bytes.fromhex("66baf803 b041 ee fa f4 ebfc"))
    answers = []

    class Tap(libvm.stream.Stream):
        def _from_guest(self, ud, buf, n):
            try:
                answers.append(self._machine.monitor("info status"))
                answers.append(self._machine.monitor("info registers"))
            except libvm.Error as e:
                answers.append(e.code)
            return n
    tap = Tap(m, "serial0")
    m.start()
    end = time.monotonic() + 20
    while len(answers) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert answers == ["VM status: running\n", libvm._abi.VM_E_STATE] and tap


def test_names(paged):
    assert paged.monitor("info name") == "little\n"
    assert paged.monitor("info version").startswith("0.")
    assert re.fullmatch(r"[0-9a-f-]{36}\n", paged.monitor("info uuid"))
    assert "engine: interp" in paged.monitor("info jit")


def test_uuid(machine):
    uuid = "12345678-9abc-def0-1234-56789abcdef0"
    assert machine(HALT, **{"pc.uuid": uuid}).monitor("info uuid") == uuid + "\n"


def test_interrupt_controllers(machine):
    m = machine(HALT)
    text = m.monitor("info pic")
    assert re.search(r"^pic1: irr=\w\w imr=\w\w isr=00 hprio=0 irq_base=", text, re.M)
    assert text.count("  pin ") == 24 and m.monitor("info irq") == text
    text = m.monitor("info lapic")
    assert "LVT0\t 0x" in text and "IRR\t (none)" in text and "SPIV\t 0x" in text
    refused(m, "info lapic 7", "no processor 7")


def test_pci(machine):
    text = machine(HALT, **{"device.0": "pci-testdev"}).monitor("info pci")
    assert "  Bus  0, device   0, function 0:\n    Host bridge: PCI device 8086:1237\n" in text
    assert "Bridge: PCI device 8086:7113\n" in text
    assert re.search(r"BAR\d: (I/O|32 bit memory) at ", text), text


def test_map(machine):
    m = machine(HALT)
    text = m.monitor("info mtree")
    assert text.startswith("address-space: I/O\n") and "\naddress-space: memory\n" in text
    assert re.search(r"^ +00000000000003f8-00000000000003ff \(prio \d+, i/o\): ", text, re.M)
    assert re.search(r"^ +0000000000100000-0000000001ffffff \(prio 0, ram\): alias ram-low @ram",
                     text, re.M), text
    flat = m.monitor("info mtree -f")
    assert "  0000000000000000-000000000009ffff ram\n" in flat
    refused(m, "info mtree -x", "-x")


def test_devices(machine):
    m = machine(HALT, **{"device.0": "isa-debug-exit,iobase=0x501,id=out"})
    text = m.monitor("info qtree")
    assert '  dev: isa-debug-exit, id "out"\n    iobase = 1281 (0x501)\n' in text
    assert '    dev: piix3, id "piix3"' in text  # under the host bridge
    assert text.count("dev: ") == len(m.devices()) and m.monitor("info devices") == text
    one = m.monitor("info device pic")
    assert "chip[0].imr = 0x" in one and "pic0: irr=" in one
    refused(m, "info device nosuch", "nosuch")


def test_global_defaults(machine):
    m = machine(HALT, **{"global.isa-debug-exit.iobase": "0x777", "device.0": "isa-debug-exit"})
    assert "iobase = 1911 (0x777)" in m.monitor("info qtree")


def keys_of(m, serial, count):
    end = time.monotonic() + 20
    got = b""
    while len(got) < count and time.monotonic() < end:
        got += serial.read()
        time.sleep(0.01)
    return got


def test_sendkey(machine):
    m = machine(ECHO_KEYS)
    serial = m.serial()
    m.start()
    m.monitor("sendkey ctrl-alt-delete 20")
    # Set 1: down in order, up in the opposite one.
    assert keys_of(m, serial, 8) == bytes.fromhex("1d 38 e053 e0d3 b8 9d")
    for key in ("a", "shift-b", "ret"):
        m.monitor(f"sendkey {key} 10")
    assert keys_of(m, serial, 8) == bytes.fromhex("1e9e 2a30b0aa 1c9c")


def test_sendkey_refuses(machine):
    m = machine(HALT)
    refused(m, "sendkey ctrl-alt-delet", "delet", "delete")
    refused(m, "sendkey", "missing")
    refused(m, "sendkey a 999999", "60000")
    refused(m, "sendkey " + "-".join("abcdefghijklmnopq"), "16")
    with pytest.raises(libvm.Error, match="waiting"):
        for _ in range(600):
            m.monitor("sendkey a")


def test_mouse(machine):
    m = machine(HALT)
    assert m.monitor("mouse_move 5 -7") == "" and m.monitor("mouse_move 1 1 -1") == ""
    assert m.monitor("mouse_button 1") == ""
    refused(m, "mouse_move 5", "number")
    refused(m, "mouse_move 100000 0", "32767")
    refused(m, "mouse_button 9", "sum")


def test_log(tmp_path):
    lines = []
    context = libvm.Context(log=lambda *a: lines.append(a))
    kernel = tmp_path / "kernel"
    kernel.write_bytes(multiboot(HALT))
    with libvm.Machine({"boot.kernel": kernel, "memory.size": "32M"}, context=context) as m:
        assert "in_asm" in m.monitor("log")
        assert m.monitor("log exec,int") == ""
        m.run(100, 0.5)
        assert any("exec 0x" in text for *_, text in lines)
        lines.clear()
        m.monitor("log none")
        m.monitor("system_reset")
        m.run(100, 0.5)
        assert not lines
        refused(m, "log exek", "exek", "exec")
    with libvm.Machine({"boot.kernel": kernel, "memory.size": "32M"}) as m:
        refused(m, "log int", "nobody")


def test_what_cannot_be_done_says_so(machine, tmp_path):
    m = machine(HALT)
    refused(m, "device_add isa-debug-exit", "before the machine is built")
    refused(m, "device_add i440fx", "part of a board")
    refused(m, "device_add nosuch", "nosuch")
    refused(m, "device_add pci-testdev,addr=1", "board itself")
    refused(m, "device_add pci-testdev,addr=20", "1f.7")
    refused(m, "device_add pci-testdev,addr=8.1", "function 0")
    refused(m, "device_add pci-testdev,bus=pci.1", "one PCI bus")
    refused(m, "device_del com1", "com1", "hot-plug")
    refused(m, "device_del nosuch", "nosuch")


def test_boot_order(machine):
    """CMOS 3Dh tells the firmware: a floppy is 1, a CD 3."""
    m = machine(HALT)
    assert m.monitor("boot_set da") == "" and m.monitor("system_reset") == ""
    assert m.monitor("i/b 0x70 0x3d") == "portb[0x0071] = 0x13\n"
    refused(m, "boot_set dx", "x", "d (CD)")


def test_power_button(machine):
    assert machine(HALT).monitor("system_powerdown") == ""


def test_nmi(machine):
    # Local APIC on, LINT1 is NMI; there is no IDT: a triple fault.
    unmask = bytes.fromhex("c705f000e0feff010000 c7056003e0fe00040000")
    m = machine(unmask + HALT, **{"cpu.triple_fault": "stop"})
    m.start()
    while "(halted)" not in m.monitor("info cpus"):
        time.sleep(0.01)
    assert m.monitor("nmi") == ""
    m.wait(("shutdown", "crashed"), 20)


@pytest.fixture
def disks(machine, tmp_path):
    for name, fill in (("disk", b"d"), ("cd", b"c"), ("other", b"o")):
        (tmp_path / name).write_bytes(fill * 65536)
    m = machine(HALT, **{"drive.0": f"file={tmp_path}/disk,if=ide,index=0,format=raw",
                         "drive.1": f"file={tmp_path}/cd,if=ide,index=2,media=cdrom,format=raw"})
    m.folder = tmp_path
    return m


def test_info_block(disks):
    text = disks.monitor("info block")
    assert re.search(r"^ide0-hd0 \(#\w+\): %s/disk \(raw\)$" % disks.folder, text, re.M), text
    assert re.search(r"^ide1-cd0 \(#\w+\): %s/cd \(raw, read-only\)$" % disks.folder, text, re.M), text
    assert "    Size:             65536 bytes\n" in text
    assert "    Removable device: not locked, tray closed\n" in text
    assert disks.monitor("info block ide0-hd0") in text
    refused(disks, "info block ide0-hd", "no drive ide0-hd", "ide0-hd0")


def test_media(disks):
    assert disks.monitor("eject ide1-cd0") == ""
    assert disks.monitor("info block ide1-cd0").startswith("ide1-cd0: [not inserted]\n")
    refused(disks, f"change ide1-cd0 {disks.folder}/nosuch", "nosuch", "No such file")
    assert disks.monitor(f"change ide1-cd0 {disks.folder}/other raw") == ""
    assert f"{disks.folder}/other (raw, read-only)" in disks.monitor("info block ide1-cd0")
    refused(disks, "eject ide0-hd0", "hard disk")
    refused(disks, f"change ide0-hd0 {disks.folder}/other", "hard disk")
    refused(disks, f"change ide1-cd0 {disks.folder}/other raw sideways", "sideways")
    refused(disks, "eject", "missing")
    refused(disks, "eject floppy7", "floppy7")


def test_commit(disks):
    assert disks.monitor("commit all") == ""
    refused(disks, "commit nosuch", "nosuch")


def test_help(machine):
    m = machine(HALT)
    text = m.monitor("help")
    assert all(" -- " in line for line in text.splitlines())
    assert m.monitor("help x").startswith("x /FMT ADDR -- ")
    assert m.monitor("help p").startswith("print|p ")
    assert m.monitor("?") == text
    assert m.monitor("help info pci") == "info pci -- PCI functions\n"
    assert m.monitor("info") == m.monitor("help info")
    refused(m, "help nosuchthing", "nosuchthing")


def test_unknown_commands(machine):
    m = machine(HALT)
    refused(m, "system_rest", "system_reset")
    refused(m, "info statu", "info status")
    refused(m, "xyzzyplugh", "help")
    assert m.monitor("") == "" and m.monitor("   \t ") == ""
    refused(m, "x" * 70000, "65536")


def test_added_commands(machine):
    m = machine(HALT)
    m.monitor_add("greet", lambda a: f"hello {a}\n", "NAME", "greets")
    m.monitor_add("info weather", lambda a: "sunny\n", help="the weather")
    assert m.monitor("greet  you two") == "hello you two\n"
    assert m.monitor("info weather") == "sunny\n"
    assert "greet NAME -- greets\n" in m.monitor("help")
    assert "info weather -- the weather\n" in m.monitor("info")
    refused(m, "gret", "greet")
    refused(m, "info wether", "info weather")

    def fail(_):
        raise RuntimeError("not today\nnor tomorrow")
    m.monitor_add("greet", fail)
    refused(m, "greet", "not today nor tomorrow")


def test_completion(machine):
    m = machine(HALT)
    assert m.monitor_complete("system_r") == ["system_reset"]
    assert m.monitor_complete("info mt") == ["mtree"]
    assert m.monitor_complete("help sen") == ["sendkey"]
    assert m.monitor_complete("sendkey ctrl-alt-del") == ["ctrl-alt-delete"]
    assert "info" in m.monitor_complete("") and m.monitor_complete("zz") == []


if __name__ == "__main__":
    sys.exit(pytest.main([str(pathlib.Path(__file__)), "-q", *sys.argv[1:]]))


def test_a_device_comes_and_goes_without_a_guest_that_listens(machine):
    """The registers of lib/devices/pci/pci_hotplug.c by hand, then by a reset."""
    m = machine(HALT)
    present = int(m.monitor("i/w 0xae0c").split()[-1], 16)
    assert present & 3 == 3, "bridges"
    assert m.monitor("device_add pci-testdev,id=t9,addr=9") == ""
    assert m.monitor("i/w 0xae00").split()[-1] == "0x%08x" % (1 << 9)
    assert m.monitor("i/w 0xae0c").split()[-1] == "0x%08x" % (present | 1 << 9)
    assert "t9" in m.monitor("info pci")
    refused(m, "device_add pci-testdev,addr=9", "taken by t9")
    refused(m, "device_add pci-testdev,id=t9", "t9")
    assert m.monitor("device_del t9") == ""
    assert m.monitor("i/w 0xae04").split()[-1] == "0x%08x" % (1 << 9)
    assert "t9" in m.monitor("info pci"), "the guest was asked, and has not answered"
    assert m.monitor("o/w 0xae08 0x200") == ""
    assert "t9" not in m.monitor("info pci")
    refused(m, "device_del t9", "t9")
    assert m.monitor("device_add pci-testdev,id=t9") == "", "its name is free again"
    assert m.monitor("o/w 0xae08 0xffffffff") == ""
    assert m.monitor("i/w 0xae0c").split()[-1] == "0x%08x" % present, "the board's own slots stay"
    m.run(100, 0.5)
    assert [e[3] for e in m.events if e[0] == "unplugged"] == ["t9", "t9"]
    m.plug("pci-testdev,id=t10")
    m.unplug("t10")
    m.reset()
    assert "t10" not in m.monitor("info pci"), "a reset ends what was asked for"
    assert m.wait_event("unplugged", 5)


def test_a_slot_takes_several_functions_before_the_machine_is_built(machine):
    m = machine(HALT, **{"device.0": "pci-testdev,addr=0x7.3,id=b", "device.1": "pci-testdev,addr=7,id=a"})
    text = m.monitor("info pci")
    assert re.search(r"device +7, function +0.*device +7, function +3", text, re.S), text
