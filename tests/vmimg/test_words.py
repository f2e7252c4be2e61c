# SPDX-License-Identifier: MIT
"""Word for word what qemu-img and qemu-io say: output, errors, exit codes."""
import pytest

FORMATS = ("raw", "qcow2", "qcow", "qed", "vdi", "vmdk", "vpc", "vhdx", "parallels")


@pytest.mark.parametrize("fmt", FORMATS)
def test_create_and_info(both, fmt):
    both("qemu-img create -f %s -o size=10M a" % fmt)
    both("qemu-img create -q -f %s b 10M" % fmt)
    if fmt != "parallels":  # ours tells its cluster size, too
        both("qemu-img info a")
        both("qemu-img info --output=json a")
    if fmt in ("qcow2", "qcow", "qed", "vmdk"):
        both("qemu-img map --output=json a")


MISTAKES = (
    ("", 1), ("bogus", 1), ("info", 1), ("info --bogus", 1), ("info -f", 1), ("info nope", 1),
    ("info -f nope r", 1), ("info -f qcow2 r", 1), ("info --output=xml r", 1),
    ("info -f raw --image-opts x", 1), ("create", 1), ("create -f nope x 1M", 1),
    ("create -f qcow2 x", 1), ("create -f qcow2 x 1Z", 1), ("create -f qcow2 x -- -1", 1),
    ("create -f qcow2 -o foo=bar x 1M", 1), ("create x 1M more", 1), ("create -f qcow2 -o , x 1M", 1),
    ("create -f qcow2 -b r x", 1), ("create -f qcow2 -b nope -F raw x 1M", 1),
    ("create -f qcow2 -b x -F qcow2 x", 1), ("create -f qcow2 -o size=1M x 2M", 1),
    ("check r", 63), ("check -r foo r", 1), ("compare r", 1), ("compare r nope", 2),
    ("convert r", 1), ("convert -O nope r x", 1), ("convert -c r x", 1), ("convert -m 99 r x", 1),
    ("convert -S 1000 r x", 1), ("convert --target-is-zero r x", 1), ("convert -l zz q x", 1),
    ("commit r", 1), ("commit -t foo q", 1), ("measure", 1), ("measure --size 1M r", 1),
    ("measure -f raw", 1), ("measure -O vmdk --size 1M", 1), ("resize r", 1), ("resize r foo", 1),
    ("resize -f raw r 512k", 1), ("resize -f raw --preallocation=full r 512k", 1), ("rebase q", 1),
    ("rebase -F raw -b nope q", 1), ("rebase -b r q", 1), ("snapshot -a x -c y q", 1),
    ("snapshot -d nope q", 1), ("snapshot -c x r", 1), ("amend q", 1), ("amend -f raw -o a=b r", 1),
    ("bitmap", 1), ("bitmap q b", 1), ("bitmap --add -b x q b", 1), ("dd if=r", 1),
    ("dd if=r of=x zz=1", 1), ("dd if=r of=x bs=foo", 1), ("bench --flush-interval 9 r", 1),
)


def test_mistakes(both):
    both("qemu-img create -q -f raw r 1M; qemu-img create -q -f qcow2 q 1M")
    for line, code in MISTAKES:
        both("qemu-img " + line, code)


def test_work(both):
    both("qemu-img create -f qcow2 base 4M")
    both("qemu-io -c 'write -P 5 0 1M' -c 'write -z 2M 64k' base")
    both("qemu-img create -f qcow2 -b base -F qcow2 top")
    both("qemu-io -c 'write -P 6 64k 64k' -c 'read -P 5 0 64k' top")
    for line in ("info --backing-chain", "info --backing-chain --output=json", "check",
                 "check --output=json"):
        both("qemu-img %s top" % line)
    both("qemu-img convert -O raw top flat")
    both("qemu-img compare top flat", 0)
    both("qemu-io -f raw -c 'write -P 9 3M 512' flat")
    both("qemu-img compare -f raw flat top", 1)
    both("qemu-img commit top")
    both("qemu-img compare base flat", 1)
    both("qemu-img snapshot -c one base && qemu-img snapshot -l base && qemu-img snapshot -d one base")
    both("qemu-img resize base +1M && qemu-img info base | grep virtual")
    both("qemu-img rebase -b '' top && qemu-img info top | grep -c backing", 1)
    both("qemu-img dd if=flat of=part bs=64k count=3 skip=1 && cksum part")


SHELL = ("read 0 512", "read -v 0 33", "read -P 1 0 512", "read", "read 0", "read x 512", "read 0 3G",
         "read -P 300 0 512", "read -s 1 0 512", "read 100M 512", "write 100M 512", "write -q 0 64k",
         "write -zu 0 64k", "write -u 0 512", "write -b -z 0 512", "writev 0 512 1k", "readv -v 510 2 2",
         "readv 100M 512", "aio_write 0 64k", "aio_flush", "aio_read -P 3 0 512", "alloc 0 1M",
         "alloc 10M", "map", "discard 0 64k", "discard x 1", "length", "truncate 2M", "truncate x",
         "truncate -m foo 2M", "bogus", "flush", "flush x", "sleep x", "close", "read 0 1", "open",
         "open nope", "open a", "open a", "reopen -r", "write 0 512", "reopen -w -r")


def test_shell(both):
    both("qemu-img create -q -f qcow2 a 1M")
    for n in range(0, len(SHELL), 5):
        both("qemu-io a " + " ".join("-c '%s'" % c for c in SHELL[n:n + 5]))
    both("printf 'read 0 512\\nquit\\n' | qemu-io -f qcow2 a")
    both("qemu-io -r -c 'write 0 512' a", 1)
    both("qemu-io nope", 1)
    both("qemu-io --image-opts driver=qcow2,file.filename=a -c length", 0)
