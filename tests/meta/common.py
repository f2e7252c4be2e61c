# SPDX-License-Identifier: MIT
"""What the house rules' tests share: listing files, reporting, and proving that a rule bites.

Every rule is a script with `check(root, …)` returning a list of violations ("file:line: what"), and
`PLANTS`, cases that must each be found by it. `script --self-test` runs the plants.
"""
import os
import subprocess
import sys
import tempfile

SOURCE_DIRS = ("lib", "include", "examples", "tests", "bindings", "tools", "doc")


def files(root, *suffixes, under=("",)):
    """Tracked files (all files when root is no git checkout), relative to root, sorted."""
    try:
        done = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z"],
                              capture_output=True, text=True)
        listed = [f for f in done.stdout.split("\0") if f] if done.returncode == 0 else None
    except OSError:
        listed = None
    if not listed:
        listed = []
        for folder, below, names in os.walk(root):
            below[:] = [d for d in below if not d.startswith((".git", ".cache", "build", "__pycache__"))]
            listed += [os.path.relpath(os.path.join(folder, n), root) for n in names]
    keep = [f for f in listed if any(f.startswith(u) for u in under) and os.path.isfile(os.path.join(root, f))]
    return sorted(f for f in keep if not suffixes or f.endswith(suffixes))


def read(root, name):
    with open(os.path.join(root, name), encoding="utf-8", errors="replace") as f:
        return f.read()


def plant(root, tree):
    """Write {name: text} below root."""
    for name, text in tree.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)


def self_test(check, plants):
    """Each plant is (tree, how many violations it must give)."""
    bad = 0
    for tree, want in plants:
        with tempfile.TemporaryDirectory() as root:
            plant(root, tree)
            got = check(root)
            if len(got) != want:
                bad += 1
                print("plant %s: %d violations wanted, found: %s" % (sorted(tree), want, got))
    print("%d plants, %d not judged as they should be" % (len(plants), bad))
    return 1 if bad else 0


def main(check, plants, hint):
    """Command line of a rule over sources: ROOT, or --self-test."""
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test(check, plants))
    found = check(sys.argv[1])
    for line in found:
        print(line)
    if found:
        print("%d violations. %s" % (len(found), hint))
    sys.exit(1 if found else 0)
