#!/usr/bin/env python3
"""How long the programs take to start and end, beside `btrfs`, and how much memory they touch.

Asserts nothing. Contenders take turns; the figures are medians. Memory is told by page faults,
most of which are the first touch of a page; starting a process costs some already, as `true` shows.
"""

import argparse
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ beside the sources

from bench import MIB, figure  # noqa: E402

def start(words):
    """Milliseconds, and page faults."""
    nothing = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    begin = time.perf_counter()
    child = os.posix_spawn(words[0], words, os.environ, file_actions=nothing)
    _, status, usage = os.wait4(child, 0)
    milliseconds = (time.perf_counter() - begin) * 1000
    if status:
        sys.exit(f"bench: {words} ended with {status}")
    return milliseconds, usage.ru_minflt


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=Path, required=True, help="release builds")
    parser.add_argument("--static", type=Path, help="static builds, if there are any")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    contenders = {}
    for tool in "btrfs", "true":
        path = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if path:
            contenders[f"{tool} --version"] = [path, "--version"]
    for name in "buttersink", "btrfslist", "checksumdir":
        for kind, folder in ("", args.programs), (" (static)", args.static):
            if folder and (folder / name).exists():
                contenders[f"{name} --version{kind}"] = [str(folder / name), "--version"]
    measured = {name: [] for name in contenders}
    for _ in range(50 if args.quick else 500):
        for name, words in contenders.items():
            measured[name].append(start(words))
    print("\nstart and end")
    print(f"  {'':34}{'median ms':>10}{'least':>10}{'most':>10}{'page faults':>13}")
    for name, runs in measured.items():
        times = [time for time, _ in runs]
        faults = statistics.median(faults for _, faults in runs)
        print(
            f"  {name:34}{statistics.median(times):10.2f}{min(times):10.2f}{max(times):10.2f}"
            f"{faults:13.0f}"
        )
        figure("start and end", name, f"{statistics.median(times):.2f} ms")
    for name, words in contenders.items():
        if name.startswith(("btrfslist", "buttersink", "checksumdir")):
            figure("size of programs", name.replace(" --version", ""), f"{os.stat(words[0]).st_size / MIB:.1f} MiB")


if __name__ == "__main__":
    main()
