# SPDX-License-Identifier: MIT
"""vmimg from outside: under its own name, and beside the tools it stands in for."""
import os
import re
import shutil
import subprocess

import pytest

VMIMG = os.environ["VMIMG"]


def run(*args, check=True, **kw):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=120,
                          stdin=kw.pop("stdin", subprocess.DEVNULL), **kw)
    assert not check or done.returncode == 0, (args, done.stdout, done.stderr)
    return done


def vmimg(*args, **kw):
    return run(VMIMG, *args, **kw)


@pytest.fixture(scope="session")
def names(tmp_path_factory):
    """A folder in which vmimg is called qemu-img and qemu-io."""
    folder = tmp_path_factory.mktemp("names")
    for name in ("qemu-img", "qemu-io"):
        (folder / name).symlink_to(VMIMG)
    return folder


# What differs from one run to the next, or is the host's business.
BLUR = ((r"disk size: .*", "disk size: X"), (r'"actual-size": \d+', '"actual-size": X'),
        (r"\d\d\.\d\d sec \(.*\)", "(X)"), (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE"),
        (r'("?(?:parent )?cid"?): \d+', r"\1: X"))


def blurred(text):
    for pattern, by in BLUR:
        text = re.sub(pattern, by, text)
    return text


@pytest.fixture
def both(names, tmp_path):
    """Run a line of shell with the real tools and with ours, each in a folder of its own."""
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is not installed")
    folders = [tmp_path / "theirs", tmp_path / "ours"]
    for folder in folders:
        folder.mkdir()

    def compare(line, code=None):
        said = []
        for folder, path in zip(folders, (os.environ["PATH"], "%s:%s" % (names, os.environ["PATH"]))):
            done = run("sh", "-c", line, check=False, cwd=folder, env={**os.environ, "PATH": path})
            said.append((done.returncode, blurred(done.stdout), blurred(done.stderr)))
        assert said[1] == said[0], line
        assert code is None or said[0][0] == code, (line, said[0])
    return compare
