# SPDX-License-Identifier: MIT
"""A Linux guest with a network card and Debian's driver for it, and a host to talk to."""
import os
import socket
import threading

import media
from conftest import Guest, medium

# card: (device, modules in the order they are loaded, name of the driver)
CARDS = {
    "rtl8139": ("rtl8139", ["drivers/net/mii", "drivers/net/ethernet/realtek/8139cp"], "8139cp"),
    "rtl8139c": ("rtl8139,cplus=off", ["drivers/net/mii", "drivers/net/ethernet/realtek/8139too"],
                 "8139too"),
    "e1000": ("e1000", ["drivers/net/ethernet/intel/e1000/e1000"], "e1000"),
    "virtio": ("virtio-net-pci",
               ["drivers/virtio/virtio_ring", "drivers/virtio/virtio",
                "drivers/virtio/virtio_pci_legacy_dev", "drivers/virtio/virtio_pci_modern_dev",
                "drivers/virtio/virtio_pci", "net/core/failover", "drivers/net/net_failover",
                "drivers/net/virtio_net"], "virtio_net"),
}
ROUTER = "10.0.2.2"


def net_guest(tmp_path, card, net="user,id=n0", extra="", cmdline="quiet", **options):
    """The guest, its card at a network; up() brings the interface up."""
    device, modules, _ = CARDS[card]
    kernel, folder = medium("net-amd64")
    (initrd,) = medium("initrd-amd64")
    entries = []
    for name in modules:
        path = os.path.join(folder, name + ".ko")
        if os.path.exists(path):  # some are built in
            with open(path, "rb") as f:
                entries.append((os.path.basename(name) + ".ko", 0o100644, f.read(), 0, 0))
    whole = str(tmp_path / "initrd")
    with open(initrd, "rb") as base, open(whole, "wb") as f:
        f.write(base.read() + media.cpio_newc(entries))
    keys = {"netdev.0": net, "nic.0": "%s,netdev=n0%s" % (device, extra)}
    keys.update(options)
    guest = Guest(kernel, whole, cmdline, **keys)
    guest.modules = [e[0] for e in entries]
    return guest


def up(guest):
    """Load the driver and give the interface the address that DHCP would."""
    guest.shell()
    guest.run("stty columns 2000")  # long lines are not broken
    for module in guest.modules:
        out, status = guest.run("insmod /" + module)
        assert status == 0, out
    for command in ("ifconfig lo 127.0.0.1 up", "ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up",
                    "route add default gw " + ROUTER):
        out, status = guest.run(command)
        assert status == 0, out


class Source:
    """A TCP server on the host: gives what it was made with to whoever connects."""

    def __init__(self, data):
        self.data = data
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.server.accept()
                with peer:
                    peer.sendall(self.data)
            except OSError:
                return


class Sink:
    """A TCP server on the host: hands what each connection sent to `digest()`."""

    def __init__(self, hasher):
        self.hasher = hasher
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]

    def digest(self, timeout):
        self.server.settimeout(timeout)
        peer, _ = self.server.accept()
        peer.settimeout(timeout)
        h, n = self.hasher(), 0
        with peer:
            while True:
                piece = peer.recv(1 << 18)
                if not piece:
                    return h.hexdigest(), n
                h.update(piece)
                n += len(piece)
