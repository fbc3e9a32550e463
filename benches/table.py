#!/usr/bin/env python3
"""The one table that `make bench` ends with: what its benchmarks measured, with the date and the machine.

table.py FIGURES reads the rows that they left, and prints Markdown."""

import os
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path


def said(*words):
    """The first line that a program prints; nothing if there is no such program."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (done.stdout.splitlines() or [""])[0]


def machine():
    cpu = Path("/proc/cpuinfo").read_text()
    model = next((line.split(": ", 1)[1] for line in cpu.splitlines() if line.startswith("model name")), "unknown")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    sha = "with" if " sha_ni " in cpu else "without"
    return (
        f"{os.cpu_count()} processors ({model}, {sha} SHA instructions), {pages >> 30} GiB, "
        f"Linux {os.uname().release}, {said('btrfs', '--version')}"
    )


def main():
    rows = [line.split("\t") for line in Path(sys.argv[1]).read_text().splitlines()]
    commit = said("git", "describe", "--always", "--dirty") or "unknown"
    print(f"# Figures\n\n{time.strftime('%Y-%m-%d')}, commit {commit}: {machine()}.\n")
    print("Contenders took turns; seconds are medians, and a ratio is to the first line of its group. Below 1 is faster.")
    print("CPU is that of all processes that the contender started here, peak the memory of the largest one.")
    for title, group in groupby(rows, key=lambda row: row[0]):
        print(f"\n### {title}\n\n| | median | ratio | CPU s | peak MiB |\n|---|--:|--:|--:|--:|")
        for _, *cells in group:
            cells = (cell.replace("|", "\\|") for cell in cells)
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
