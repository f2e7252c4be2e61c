# SPDX-License-Identifier: MIT
"""The screen: firmware's text, a kernel's framebuffer console, what is typed on the keyboard."""
import time
import zlib

import pytest

import libvm

from conftest import PATIENCE, Guest, medium


def wait_for(what, patience=PATIENCE):
    """The first true value of what(), asked for again and again."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come within %d s" % patience)


def typed(guest):
    """Type a command whose answer comes by the serial line; the shell may not be there yet."""
    # Every row of the keyboard, with and without Shift.
    guest.machine.type_text("echo 'Qz1!~{}|\"<>?_+' typed > /dev/ttyS0\n")
    try:
        return guest.expect(r'Qz1!~\{\}\|"<>\?_\+ typed', 20)
    except libvm.Timeout:
        return None


def test_firmwares_messages_are_on_the_screen():
    with libvm.Machine({"memory.size": "64M"}) as m:
        m.start()
        text = wait_for(lambda: "No bootable device" in (m.screen_text() or "") and m.screen_text())
        shot = m.screenshot()
    assert text.startswith("SeaBIOS (version")
    assert (shot.width, shot.height) == (720, 400)
    grey = sum(shot.pixel(x, 3) == (170, 170, 170) for x in range(720))
    assert grey > 20, "the first line has letters in the usual grey"
    assert all(shot.pixel(x, 350) == (0, 0, 0) for x in range(720))
    png = shot.png()
    assert png.startswith(b"\x89PNG") and zlib.decompress(png[41:-16])


def test_without_an_adapter_there_is_no_screen():
    with libvm.Machine({"memory.size": "64M", "pc.vga": "none"}) as m:
        for look in (m.screenshot, m.screen_text):
            try:
                look()
            except libvm.Error as e:
                assert "no graphics adapter" in str(e)
            else:
                raise AssertionError("there was a screen")


@pytest.mark.long
def test_a_kernel_has_a_framebuffer_console_and_a_keyboard():
    kernel, initrd = medium("amd64", "initrd-amd64")
    # The last console is the one that init's shell is on.
    with Guest(kernel, initrd, "console=tty0") as g:  # kernel messages go to both
        m = g.machine
        wait_for(lambda: m.screen_text() is None and any(m.screenshot().rgb()))
        assert (m.screenshot().width, m.screenshot().height) == (1024, 768)
        g.expect("Run /init as init process")
        before = m.screenshot()
        assert wait_for(lambda: typed(g)), "what was typed reached the shell"
        assert m.screenshot().pixels != before.pixels
