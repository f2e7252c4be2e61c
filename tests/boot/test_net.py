# SPDX-License-Identifier: MIT
"""Debian's own drivers on every network card: data both ways, and what drivers do besides."""
import hashlib
import os
import random

import pytest

from conftest import PATIENCE
from net_guest import CARDS, ROUTER, Sink, Source, net_guest, up

SHORT, LONG = 2 << 20, 100 << 20


def both_ways(guest, size):
    """`size` bytes to the guest and as many from it, the same by their hashes."""
    data = random.Random(size).randbytes(1 << 20) * (size >> 20)
    source = Source(data)
    out, status = guest.run("nc %s %d | md5sum" % (ROUTER, source.port), 4 * PATIENCE)
    assert out.split()[0] == hashlib.md5(data).hexdigest(), out
    # The guest cannot keep so much: it sends a pattern.
    sink = Sink(hashlib.md5)
    guest.serial.send_line("seq 1 100000000 | head -c %d | nc %s %d" % (size, ROUTER, sink.port))
    digest, n = sink.digest(4 * PATIENCE)
    guest.expect(guest.prompt)
    h, left, i = hashlib.md5(), size, 1
    while left:
        piece = "".join("%d\n" % k for k in range(i, i + 100000)).encode()[:left]
        h.update(piece)
        left -= len(piece)
        i += 100000
    assert (n, digest) == (size, h.hexdigest())


@pytest.mark.long
@pytest.mark.parametrize("engine", ["interp", "jit"])
@pytest.mark.parametrize("cpus", ["1", "2"])
@pytest.mark.parametrize("card", CARDS)
def test_100_mb_both_ways(tmp_path, card, cpus, engine):
    with net_guest(tmp_path, card, **{"cpu.count": cpus, "engine": engine}) as g:
        up(g)
        both_ways(g, LONG)


@pytest.mark.parametrize("card", [pytest.param(c, marks=[pytest.mark.long] if c in ("rtl8139c", "e1000") else [])
                                  for c in CARDS])
def test_what_drivers_do(tmp_path, card):
    """Data both ways, DHCP, interface down and up, the cable out and in, MTU, promiscuous, multicast, a reset in
    the middle of traffic."""
    with net_guest(tmp_path, card, **{"engine": "jit"}) as g:
        up(g)
        both_ways(g, SHORT)
        out, status = g.run("udhcpc -i eth0 -n -q -f -s /bin/true")
        assert status == 0 and "10.0.2.15" in out, out
        assert g.run("ping -c 2 -W 5 " + ROUTER)[1] == 0
        assert g.run("ip link set eth0 down; ip link set eth0 up; route add default gw %s" % ROUTER)[1] == 0
        assert g.run("ping -c 2 -W 5 " + ROUTER)[1] == 0
        for command in ("ip link set eth0 promisc on", "ip link set eth0 promisc off",
                        "ifconfig eth0 allmulti", "ifconfig eth0 -allmulti"):
            out, status = g.run(command)
            assert status == 0, out
        assert g.run("ping -c 1 -W 5 " + ROUTER)[1] == 0
        if card != "rtl8139c":  # its driver asks a bit that this card does not have yet
            g.machine.monitor("set_link n0 off")
            g.run("sleep 3")
            assert g.run("cat /sys/class/net/eth0/carrier")[0].strip() == "0"
            assert g.run("ping -c 1 -W 2 " + ROUTER)[1] != 0
            g.machine.monitor("set_link n0 on")
            g.run("for i in 1 2 3 4 5 6 7 8 9; do [ $(cat /sys/class/net/eth0/carrier) = 1 ] && break; sleep 1; done")
            assert g.run("ping -c 2 -W 5 " + ROUTER)[1] == 0
        assert g.run("ip link set eth0 mtu 1000")[1] == 0
        out, status = g.run("ping -c 1 -W 5 -s 900 " + ROUTER)
        assert status == 0, out
        # down and up again while data flows; then it must flow anew
        source = Source(os.urandom(1 << 20) * 16)
        g.run("nc %s %d > /dev/null & sleep 1; ip link set eth0 down; ip link set eth0 up; "
              "ip route add default via %s; kill %%1" % (ROUTER, source.port, ROUTER))
        both_ways(g, 1 << 20)
