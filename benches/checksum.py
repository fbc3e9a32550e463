#!/usr/bin/env python3
"""Figures of checksumdir beside those of the GNU tools that it replaces, and of openssl.

Asserts nothing. Contenders take turns, so that whatever else the machine does meets both of them;
the figures are medians, and ratios are those of the medians. Cold means that the page cache was
emptied before, which needs root. The tree is in the scratch directory, and goes away at the end.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ beside the sources

from bench import MIB, cold, figure  # noqa: E402


GNU = r"""cd "$1"; export TZ=UTC LC_ALL=C
find . -mindepth 1 -printf '%M %n %4U %4G %TY-%Tm-%Td %TT %P\n' | sort -k 7 > "$2/gnu.ls"
find . -type f -exec sha256sum '{}' ';' | sort -k 2 > "$2/gnu.files"
"""


def say(text):
    print(text, flush=True)


def timed(words):
    start = time.monotonic()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def warm(tree):
    subprocess.run(["find", tree, "-type", "f", "-exec", "cat", "{}", "+"], check=True, stdout=subprocess.DEVNULL)


def alternate(args, what, runs, contenders, size=None):
    """A line for each contender (name, command) in each state; ratios are to the first."""
    say(what)
    for state in "warm", "cold":
        times = [[] for _ in contenders]
        for _ in range(runs):
            for own, (_, command) in zip(times, contenders):
                if state == "warm":
                    warm(args.tree)
                elif not cold():
                    return say("  cold: not measured, needs root")
                own.append(timed(command))
        medians = list(map(statistics.median, times))
        for median, (name, _) in zip(medians, contenders):
            speed = f"{size / MIB / median:6.0f} MiB/s" if size else ""
            ratio = f"{median / medians[0]:.2f}"
            say(f"  {state}  {name:20} {median:7.2f} s {speed}  ratio {ratio}")
            figure(f"checksums of {what}, {state}", name, f"{median:.2f} s", ratio)


def small(args):
    """Many files of up to 4 KiB, as the old script read them: one process for each."""
    directories = 50 if args.quick else 200
    for i in range(directories):
        (args.tree / f"d{i:03}").mkdir(parents=True)
        for j in range(100):
            (args.tree / f"d{i:03}/file {j:03}").write_bytes(os.urandom(64 + 37 * j))
    gnu = ["sh", "-c", GNU, "sh", args.tree, args.out]
    ours = [args.program, "-o", args.out, args.tree]
    # A turn of the GNU tools takes minutes on a busy machine, and differs little from the next.
    alternate(args, f"{directories * 100} small files", (args.runs + 1) // 2, [("find and sha256sum", gnu), ("checksumdir", ours)])
    for suffix in "ls", "files":
        same = (args.out / f"gnu.{suffix}").read_bytes() == (args.out / f"tree.{suffix}").read_bytes()
        say(f"  .{suffix}: {'the same' if same else 'DIFFERENT'}")


def large(args):
    """Few large files; openssl reads them one after the other."""
    args.tree.mkdir(parents=True)
    mib = 32 if args.quick else 256
    block = os.urandom(MIB)
    for i in range(8):
        with open(args.tree / str(i), "wb") as file:
            for _ in range(mib):
                file.write(block)
    openssl = ["openssl", "dgst", "-sha256", *sorted(args.tree.iterdir())]
    ours = [args.program, "-o", args.out, args.tree]
    contenders = [("openssl dgst -sha256", openssl), ("checksumdir", ours), ("checksumdir -j1", [*ours, "-j1"])]
    alternate(args, f"{8 * mib} MiB in 8 files", args.runs, contenders, 8 * mib * MIB)


def names(args):
    """What memory goes to: names."""
    directories = 50 if args.quick else 1000
    for i in range(directories):
        (args.tree / f"directory number {i}").mkdir(parents=True)
        for j in range(1000):
            os.mknod(args.tree / f"directory number {i}/file with a name {j}", 0o644)
    pid = os.posix_spawn(args.program, [str(args.program), "-o", str(args.out), str(args.tree)], os.environ)
    start = time.monotonic()
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit("bench: checksumdir failed")
    seconds = time.monotonic() - start
    say(f"{directories * 1000} empty files\n  {seconds:.1f} s, {usage.ru_maxrss // 1024} MiB of memory at most")


def main():
    here = Path(__file__).resolve().parent.parent / "target"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=Path, default=here / "release", help="builds to run")
    parser.add_argument("--scratch", type=Path, default=here / "bench", help="is made and removed")
    parser.add_argument("--runs", type=int, default=3, help="turns of each contender")
    parser.add_argument("--quick", action="store_true", help="a quick look: a tenth of the work")
    parser.add_argument("only", nargs="*", help="large, small, names")
    args = parser.parse_args()
    args.runs = 1 if args.quick else args.runs
    args.program, args.scratch = args.programs.resolve() / "checksumdir", args.scratch.resolve()
    args.tree, args.out = args.scratch / "tree", args.scratch / "out"
    benches = {"large": large, "small": small, "names": names}
    unknown = set(args.only) - set(benches)
    if unknown:
        sys.exit(f"bench: no such benchmark: {' '.join(sorted(unknown))}")
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, lambda *_: sys.exit(130))
    for name, bench in benches.items():
        if args.only and name not in args.only:
            continue
        shutil.rmtree(args.scratch, ignore_errors=True)
        args.out.mkdir(parents=True)
        try:
            bench(args)
        finally:
            shutil.rmtree(args.scratch, ignore_errors=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
