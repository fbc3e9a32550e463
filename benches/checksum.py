#!/usr/bin/env python3
"""checksumdir against the GNU tools it replaces: alternating runs, medians, ratios; no verdict.

usage: benches/checksum.py CHECKSUMDIR SCRATCH-DIRECTORY [small|large|million]...
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time

RUNS = 3
GNU = r"""cd "$1"; export TZ=UTC LC_ALL=C
find . -mindepth 1 -printf '%M %n %4U %4G %TY-%Tm-%Td %TT %P\n' | sort -k 7 > "$2/gnu.ls"
find . -type f -exec sha256sum '{}' ';' | sort -k 2 > "$2/gnu.files"
"""


def timed(command, **more):
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **more)
    return time.monotonic() - start


def drop_caches():
    """True if the caches could be emptied, which takes root."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")
    except OSError:
        return False
    return True


def alternate(name, theirs, ours, runs=RUNS, size=None):
    for state in ["warm", "cold"]:
        times = ([], [])
        for _ in range(runs):
            for side, command in enumerate([theirs, ours]):
                if state == "cold" and not drop_caches():
                    print(f"{name}, cold: not measured, needs root")
                    return
                if state == "warm":
                    subprocess.run(["sh", "-c", f"find '{TREE}' -type f -exec cat '{{}}' + >/dev/null"])
                times[side].append(timed(command))
        a, b = map(statistics.median, times)
        rate = f" ({size / a / 1e6:.0f} and {size / b / 1e6:.0f} MB/s)" if size else ""
        print(f"{name}, {state}: {a:.2f} s and {b:.2f} s{rate}: {a / b:.1f} times as fast", flush=True)


def small():
    for i in range(500):
        os.makedirs(f"{TREE}/d{i:03}")
        for j in range(100):
            with open(f"{TREE}/d{i:03}/file {j:03}", "wb") as f:
                f.write(os.urandom(64 + 37 * j))
    gnu = ["sh", "-c", GNU, "sh", TREE, OUT]
    alternate("50,000 small files", gnu, [PROGRAM, "-o", OUT, TREE], runs=2)
    for suffix in ["ls", "files"]:
        same = open(f"{OUT}/gnu.{suffix}", "rb").read() == open(f"{OUT}/tree.{suffix}", "rb").read()
        print(f".{suffix}: {'the same' if same else 'DIFFERENT'}")


def large():
    os.makedirs(TREE)
    block = os.urandom(1 << 20)
    for i in range(8):
        with open(f"{TREE}/{i}", "wb") as f:
            for _ in range(256):
                f.write(block)
    openssl = ["sh", "-c", f"openssl dgst -sha256 '{TREE}'/*"]
    alternate("2 GiB in 8 files, openssl on one processor", openssl, [PROGRAM, "-o", OUT, TREE], size=2 << 30)
    alternate("the same, one thread", openssl, [PROGRAM, "-j1", "-o", OUT, TREE], size=2 << 30)


def million():
    for i in range(1000):
        os.makedirs(f"{TREE}/directory number {i}")
        for j in range(1000):
            os.mknod(f"{TREE}/directory number {i}/file with a name {j}", 0o644)
    seconds = timed([PROGRAM, "-o", OUT, TREE])
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"1,000,000 empty files: {seconds:.1f} s, {peak} MiB of memory at most")


PROGRAM, SCRATCH = map(os.path.abspath, sys.argv[1:3])
TREE, OUT = f"{SCRATCH}/tree", f"{SCRATCH}/out"
for wanted in sys.argv[3:] or ["million", "small", "large"]:
    os.makedirs(OUT, exist_ok=True)
    try:
        globals()[wanted]()
    finally:
        shutil.rmtree(SCRATCH, ignore_errors=True)
