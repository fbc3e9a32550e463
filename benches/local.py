#!/usr/bin/env python3
"""Figures of buttersink between local filesystems, beside those of the plain tools.

Asserts nothing. Contenders take turns, so that whatever else the machine does meets all of them;
the figures are medians. Filesystems live in files in the scratch directory, and go away at the
end. Needs root, Python's standard library, btrfs-progs, and release builds.
"""

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

MIB = 1 << 20


def run(*words):
    """A command of the set-up: must succeed, and is quiet."""
    subprocess.run([str(w) for w in words], check=True, stdout=subprocess.DEVNULL)


def run_beside_others(*words):
    """The same for what looks at all loop devices: one that somebody else takes away meanwhile makes
    it fail, with a clear word, and leaves nothing behind."""
    for _ in range(9):
        done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
        if done.returncode == 0:
            return
        print(f"bench: {words[0]}: {done.stderr.strip()}; once more", file=sys.stderr)
        time.sleep(0.5)
    run(*words)


class Filesystem:
    """A btrfs in a file, mounted while the `with` lasts."""

    def __init__(self, scratch, name, mib):
        self.image, self.at, self.mib = scratch / f"{name}.img", scratch / name, mib

    def __enter__(self):
        with open(self.image, "wb") as file:
            file.truncate(self.mib * MIB)
        run_beside_others("mkfs.btrfs", "-q", "-f", self.image)
        self.at.mkdir(exist_ok=True)
        run_beside_others("mount", "-o", "loop", self.image, self.at)
        return self.at

    def __exit__(self, *_):
        unmount(self.at)
        self.image.unlink()


def unmount(at):
    if os.path.ismount(at) and subprocess.run(["umount", at]).returncode:
        run("umount", "-l", at)


def write_file(path, size):
    with open(path, "wb") as file:
        while size > 0:
            size -= file.write(os.urandom(min(size, MIB)))


def snapshot(subvolume, to):
    run("btrfs", "subvolume", "snapshot", "-r", subvolume, to)


def cold():
    """What is cached belongs to nobody."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def timed(shell):
    """Seconds, and the peak memory of the largest process that the shell starts, in bytes."""
    start = time.monotonic()
    command = ["bash", "-o", "pipefail", "-c", f"{shell}; exit $?"]  # else bash turns into it
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = Peak(child.pid)
    said = child.stderr.read()
    status = child.wait()
    seconds = time.monotonic() - start
    if status:
        sys.exit(f"bench: {shell}\n{said.decode(errors='replace')}")
    return seconds, peak.bytes()


class Peak(threading.Thread):
    """Looks at the high-water marks of a process's descendants. What wait4 says is of no use: it
    never goes below the size of the process that forked, which is this script."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.done, self.most = pid, threading.Event(), 0
        self.start()

    def run(self):
        while not self.done.wait(0.02):
            for pid in list(self.descendants(self.pid)):
                with contextlib.suppress(OSError):  # it has just ended
                    status = Path(f"/proc/{pid}/status").read_text()
                    mark = re.search(r"VmHWM:\s+(\d+) kB", status)
                    self.most = max(self.most, int(mark[1]) * 1024 if mark else 0)

    def descendants(self, pid):
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                yield child
                yield from self.descendants(child)

    def bytes(self):
        self.done.set()
        self.join()
        return self.most


class Table:
    """Measurements by contender; the first contender is the reference."""

    def __init__(self, title):
        self.title, self.rows = title, {}

    def add(self, name, measured):
        self.rows.setdefault(name, []).append(measured)
        print(f"  {self.title}: {name}: {measured[0]:.3f} s", file=sys.stderr)

    def print(self):
        print(f"\n{self.title}")
        print(f"  {'':34}{'median s':>10}{'least':>10}{'most':>10}{'ratio':>8}{'peak MiB':>10}")
        reference = None
        for name, measured in self.rows.items():
            seconds = [s for s, _ in measured]
            median = statistics.median(seconds)
            reference = reference or median
            peak = max(p for _, p in measured)
            peak = f"{peak / MIB:.1f}" if peak else "-"
            print(
                f"  {name:34}{median:10.3f}{min(seconds):10.3f}{max(seconds):10.3f}"
                f"{median / reference:8.2f}{peak:>10}",
                flush=True,
            )


def transfers(args, program):
    """Large files: one full and one incremental stream, against the bare pipe made durable."""
    compare(args, program, f"{args.size} MiB", args.size * 2 + 1024, lambda at: fill(at, args.size))


def small(args, program):
    """The same for many small files."""
    room = args.small // 50 + 1024
    compare(args, program, f"{args.small} small files", room, lambda at: fill_small(at, args.small))


def compare(args, program, what, room, fill):
    full = Table(f"full, {what}")
    incremental = Table(f"incremental, 5 % of {what} rewritten")
    with Filesystem(args.scratch, "src", room) as source:
        fill(source)
        src = shlex.quote(str(source))
        dst = shlex.quote(str(args.scratch / "dst"))
        durable = f"btrfs receive -q {dst} && sync -f {dst}"
        ways = {
            "btrfs send | receive; sync -f": (
                f"btrfs send -q {src}/1 | {durable}",
                f"btrfs send -q -p {src}/1 {src}/2 | {durable}",
            ),
            "buttersink": (f"{program} -q {src}/1 {dst}/", f"{program} -q {src}/2 {dst}/"),
            "buttersink --full-speed": (
                f"{program} -q --full-speed {src}/1 {dst}/",
                f"{program} -q --full-speed {src}/2 {dst}/",
            ),
            "buttersink, builtin": (
                f"{program} -q --receive-with builtin {src}/1 {dst}/",
                f"{program} -q --receive-with builtin {src}/2 {dst}/",
            ),
        }
        for _ in range(args.runs):
            for name, (first, second) in ways.items():
                with Filesystem(args.scratch, "dst", room):
                    cold()
                    full.add(name, timed(first))
                    cold()
                    incremental.add(name, timed(second))
    full.print()
    incremental.print()


def fill(source, size):
    """Half of it in files of 1 MiB, half in files of 64 KiB; two snapshots, 5 % apart."""
    live = source / "live"
    run("btrfs", "subvolume", "create", live)
    files = [(live / f"large{i}", MIB) for i in range(size // 2)]
    files += [(live / f"small{i}", MIB // 16) for i in range(size * 8)]
    for path, length in files:
        write_file(path, length)
    snapshot(live, source / "1")
    for path, length in files[::20]:
        write_file(path, length)
    snapshot(live, source / "2")
    os.sync()


def fill_small(source, count):
    """Files of up to 8 KiB, 100 to a directory; two snapshots, 5 % apart."""
    live = source / "live"
    run("btrfs", "subvolume", "create", live)
    files = [live / str(i // 100) / str(i) for i in range(count)]
    for path in files[::100]:
        path.parent.mkdir()
    for number, path in enumerate(files):
        write_file(path, number * 997 % 8192)
    snapshot(live, source / "1")
    for number, path in enumerate(files[::20]):
        write_file(path, number * 499 % 8192)


def comparing(args, program):
    """What rehearsing and mending streams costs, and --compare on top of that: full transfers of
    large and of small files, and incremental ones with 5 % of the files rewritten."""
    kinds = {
        f"{args.size} MiB in files of 64 MiB": (max(args.size // 64, 1), 64 * MIB),
        f"{args.small} files of 4 KiB": (args.small, 4096),
    }
    for what, (count, length) in kinds.items():
        full, incremental = Table(f"compare: {what}"), Table(f"compare: 5 % of {what}")
        room = count * length // MIB * 2 + 2048
        with Filesystem(args.scratch, "src", room) as source:
            many(source, count, length)
            ways = compared_ways(source, args.scratch / "dst", program)
            for _ in range(args.runs):
                for name, (first, second) in ways.items():
                    with Filesystem(args.scratch, "dst", room):
                        cold()
                        full.add(name, timed(first))
                        cold()
                        incremental.add(name, timed(second))
        full.print()
        incremental.print()


def compared_ways(source, dest, program):
    """For each contender, the commands that send the first snapshot and the second."""
    src, dst = shlex.quote(str(source)), shlex.quote(str(dest))
    durable = f"btrfs receive -q {dst} && sync -f {dst}"
    ours = {
        "buttersink without mending": f"BUTTERSINK_TEST_NO_MENDING=1 {program} -q",
        "buttersink": f"{program} -q",
        "buttersink --compare": f"{program} -q --compare",
    }
    return {
        "plain pipe; sync -f": (
            f"btrfs send -q {src}/1 | {durable}",
            f"btrfs send -q -p {src}/1 {src}/2 | {durable}",
        ),
        **{n: (f"{words} {src}/1 {dst}/", f"{words} {src}/2 {dst}/") for n, words in ours.items()},
    }


def many(source, count, length):
    """So many files of one length, a hundred to a directory; two snapshots, 5 % apart."""
    live = source / "live"
    run("btrfs", "subvolume", "create", live)
    files = [live / str(number // 100) / str(number) for number in range(count)]
    for path in files:
        path.parent.mkdir(exist_ok=True)
        write_file(path, length)
    snapshot(live, source / "1")
    for path in files[::20]:
        write_file(path, length)
    snapshot(live, source / "2")
    os.sync()


def planning(args, program):
    """A plan with exact sizes, against sending each of its diffs into `wc -c`."""
    table = Table(f"plan of {args.snapshots} snapshots, {args.step} MiB apart, from 64 MiB")
    room = 64 + args.snapshots * args.step + 2048
    with Filesystem(args.scratch, "src", room) as source:
        with Filesystem(args.scratch, "dst", 512) as dest:
            live, snaps = source / "live", source / "snaps"
            run("btrfs", "subvolume", "create", live)
            snaps.mkdir()
            write_file(live / "base", 64 * MIB)
            for number in range(args.snapshots):
                write_file(live / f"file{number % 20}", args.step * MIB)
                snapshot(live, snaps / f"{number:03}")
            os.sync()
            plan = f"{program} -n {snaps}/ {dest}/"
            steps = json.loads(subprocess.check_output([*shlex.split(plan), "--json"]))
            sends = [send(snaps, steps["steps"], s) for s in steps["steps"]]
            for _ in range(args.runs):
                cold()
                table.add("btrfs send | wc -c, each chosen", timed("; ".join(sends)))
                cold()
                table.add("buttersink -n", timed(plan))
            sizes = subprocess.check_output(["bash", "-c", "; ".join(sends)], text=True)
            sent = sum(int(line) for line in sizes.split())
    table.print()
    print(f"  planned {steps['total_bytes']} bytes; the streams have {sent}")


def send(snaps, steps, step):
    paths = {s["to"]: s["path"] for s in steps}
    parent = f"-p {snaps}/{paths[step['from']]}" if step["from"] else ""
    return f"btrfs send -q {parent} {snaps}/{step['path']} | wc -c"


def listing(args, program):
    """Listing many snapshots; warm, since that is how one lists."""
    table = Table(f"list {args.listed} snapshots")
    with Filesystem(args.scratch, "src", 2048) as source:
        live, snaps = source / "live", source / "snaps"
        run("btrfs", "subvolume", "create", live)
        snaps.mkdir()
        for number in range(args.listed):
            (live / "file").write_text(f"{number}\n")
            snapshot(live, snaps / f"{number:05}")
        os.sync()
        ways = {
            "btrfs subvolume list -puqR": f"btrfs subvolume list -puqR {snaps}",
            "buttersink DIR/": f"{program} {snaps}/",
        }
        btrfslist = args.programs / "btrfslist"
        if btrfslist.exists():
            ways["btrfslist DIR"] = f"{btrfslist} {snaps}"
        for _ in range(args.runs * 3):
            for name, command in ways.items():
                table.add(name, timed(command))
    table.print()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parent.parent / "target"
    parser.add_argument("--programs", type=Path, default=here / "release", help="builds to run")
    parser.add_argument("--scratch", type=Path, default=here / "bench", help="is made and removed")
    parser.add_argument("--size", type=int, default=1024, help="MiB of the full transfer")
    parser.add_argument("--small", type=int, default=30000, help="files of the small transfer")
    parser.add_argument("--snapshots", type=int, default=200, help="snapshots to plan")
    parser.add_argument("--step", type=int, default=8, help="MiB that change between these")
    parser.add_argument("--listed", type=int, default=1000, help="snapshots to list")
    parser.add_argument("--runs", type=int, default=5, help="turns of each contender")
    parser.add_argument("--quick", action="store_true", help="a quick look: small sizes, few turns")
    parser.add_argument(
        "only", nargs="*", help="transfers, small, comparing, planning, listing"
    )
    args = parser.parse_args()
    if args.quick:
        args.size, args.snapshots, args.step, args.listed, args.runs = 64, 20, 2, 100, 1
        args.small = 2000
    args.programs, args.scratch = args.programs.resolve(), args.scratch.resolve()
    return args


def main():
    args = arguments()
    if os.geteuid():
        sys.exit("bench: mounting scratch filesystems needs root: sudo make bench")
    benches = {
        "transfers": transfers,
        "small": small,
        "comparing": comparing,
        "planning": planning,
        "listing": listing,
    }
    unknown = set(args.only) - set(benches)
    if unknown:
        sys.exit(f"bench: no such benchmark: {' '.join(sorted(unknown))}")
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, lambda *_: sys.exit(130))
    program = shlex.quote(str(args.programs / "buttersink"))
    clean(args.scratch)
    args.scratch.mkdir(parents=True)
    try:
        for name, bench in benches.items():
            if not args.only or name in args.only:
                bench(args, program)
    finally:
        clean(args.scratch)
    print("\nratio: to the first line; peak: of the largest process, - if it was over too soon")


def clean(scratch):
    """Also after a run that was killed."""
    for name in "src", "dst":
        unmount(scratch / name)
    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
