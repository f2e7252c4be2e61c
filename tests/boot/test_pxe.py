# SPDX-License-Identifier: MIT
"""Starting from the network: the cards' boot ROMs, DHCP and TFTP of the user network."""
import os
import shutil

import pytest

from conftest import PATIENCE, Firmware, medium

ROMS = {"rtl8139": "pxe-rtl8139.rom", "e1000": "pxe-e1000.rom", "virtio-net-pci": "pxe-virtio.rom"}


def pxe(card, folder, file, **options):
    return Firmware(**{"netdev.0": "user,id=n0,tftp=%s,bootfile=%s" % (folder, file),
                       "nic.0": card + ",netdev=n0", "boot.order": "n", **options})


@pytest.mark.parametrize("card", ROMS)
def test_a_script_comes_over_tftp(tmp_path, card):
    (tmp_path / "hello.ipxe").write_text("#!ipxe\necho it says ${net0/ip} from ${net0/mac}\nshell\n")
    with pxe(card, tmp_path, "hello.ipxe") as m:
        m.serial.expect("it says 10.0.2.15 from 52:54:00:12:34:56", PATIENCE)


@pytest.mark.long
@pytest.mark.parametrize("card", ROMS)
def test_a_kernel_comes_over_tftp(tmp_path, card):
    """The kernel and an initramfs, whole: it comes up with a shell."""
    kernel, initrd = medium("cloud", "initrd-amd64")
    shutil.copy(kernel, tmp_path / "linux")
    shutil.copy(initrd, tmp_path / "initrd")
    (tmp_path / "boot.ipxe").write_text(
        "#!ipxe\nkernel linux console=ttyS0 quiet initrd=initrd\ninitrd initrd\nboot\n")
    with pxe(card, tmp_path, "boot.ipxe", **{"memory.size": "512M"}) as m:
        m.serial.expect("libvm guest:", 4 * PATIENCE)


def test_a_missing_rom_matters_only_when_it_is_asked_for(tmp_path):
    import libvm
    keys = {"netdev.0": "callback,id=n0", "nic.0": "rtl8139,netdev=n0",
            "firmware.path": str(tmp_path), "firmware.bios": "none", "pc.vga": "none"}
    libvm.Machine(keys).close()
    with pytest.raises(libvm.Error, match="install the package ipxe-qemu"):
        libvm.Machine({**keys, "boot.order": "cn"})
    with pytest.raises(libvm.Error, match="install the package ipxe-qemu"):
        libvm.Machine({**keys, "nic.0": "rtl8139,netdev=n0,bootindex=1"})
    assert os.listdir(tmp_path) == []
