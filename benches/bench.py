"""What the benchmarks share: scratch filesystems and what is in them, contenders that are timed, and tables."""

import argparse
import contextlib
import os
import re
import resource
import shutil
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


BTRFS = ("mkfs.btrfs", "-q", "-f")
EXT4 = ("mkfs.ext4", "-q", "-F")


class Filesystem:
    """A btrfs, or what else `make` makes, in a file, mounted while the `with` lasts."""

    def __init__(self, scratch, name, mib, make=BTRFS):
        self.image, self.at, self.mib, self.make = scratch / f"{name}.img", scratch / name, mib, make

    def __enter__(self):
        with open(self.image, "wb") as file:
            file.truncate(self.mib * MIB)
        run_beside_others(*self.make, self.image)
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
    """What is cached belongs to nobody; false if that needs root."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except PermissionError:
        return False
    return True


def timed(shell):
    """Seconds, the peak memory of the largest process that the shell starts, in bytes, and the seconds that
    processors spent in all of them."""
    start, spent = time.monotonic(), processors()
    command = ["bash", "-o", "pipefail", "-c", f"{shell}; exit $?"]  # else bash turns into it
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = Peak(child.pid)
    said = child.stderr.read()
    status = child.wait()
    seconds = time.monotonic() - start
    if status:
        sys.exit(f"bench: {shell}\n{said.decode(errors='replace')}")
    return seconds, peak.bytes(), processors() - spent


def processors():
    """Seconds of user and system time in all children that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


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
        """Seconds, peak memory in bytes (0 if it was over too soon), and seconds of processors, as `timed` has them."""
        self.rows.setdefault(name, []).append(measured)
        print(f"  {self.title}: {name}: {measured[0]:.3f} s", file=sys.stderr)

    def time(self, name, shell):
        """The same of a command that begins with nothing in caches."""
        cold()
        self.add(name, timed(shell))

    def print(self):
        print(f"\n{self.title}")
        print(f"  {'':34}{'median s':>10}{'least':>10}{'most':>10}{'ratio':>8}{'peak MiB':>10}{'CPU s':>9}")
        reference = None
        for name, measured in self.rows.items():
            seconds, peak, spent = zip(*measured)
            median, spent = statistics.median(seconds), statistics.median(spent)
            reference = reference or median
            mib = f"{max(peak) / MIB:.1f}" if max(peak) else "-"
            print(
                f"  {name:34}{median:10.3f}{min(seconds):10.3f}{max(seconds):10.3f}"
                f"{median / reference:8.2f}{mib:>10}{spent:>9.2f}",
                flush=True,
            )
            figure(self.title, name, f"{median:.3f} s", f"{median / reference:.2f}", f"{spent:.2f}", mib)


def figure(title, contender, median, ratio="", spent="", mib=""):
    """A row of the one table that `make bench` ends with: kept in the file that it names, until then."""
    if "BUTTERSINK_FIGURES" in os.environ:
        with open(os.environ["BUTTERSINK_FIGURES"], "a") as file:
            print(title, contender, median, ratio, spent, mib, sep="\t", file=file)


@contextlib.contextmanager
def delayed(port, milliseconds):
    """A port of loopback that leads to this one, so long a round trip away."""
    words = [sys.executable, Path(__file__).with_name("relay.py"), str(port), str(milliseconds)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as relay:
        try:
            yield int(relay.stdout.readline())
        finally:
            relay.terminate()


def two_snapshots(source, files):
    """Writes files, of these names and lengths; two snapshots, 5 % of the files apart."""
    live = source / "live"
    run("btrfs", "subvolume", "create", live)
    for name, length in files:
        (live / name).parent.mkdir(exist_ok=True)
        write_file(live / name, length)
    snapshot(live, source / "1")
    for name, length in files[::20]:
        write_file(live / name, length)
    snapshot(live, source / "2")
    os.sync()


def tiny_snapshots(filesystem, count):
    """A directory with so many snapshots, or so many more, next to nothing apart."""
    live, snaps = filesystem / "live", filesystem / "snaps"
    if not live.exists():
        run("btrfs", "subvolume", "create", live)
        snaps.mkdir()
    for number in range(len(list(snaps.iterdir())), count):
        (live / f"file{number % 20}").write_text(f"{number}\n")
        snapshot(live, snaps / f"{number:05}")
    os.sync()
    return snaps


def large(size):
    """So many MiB: half in files of 1 MiB, half in files of 64 KiB."""
    files = [(f"large{i}", MIB) for i in range(size // 2)]
    return files + [(f"small{i}", MIB // 16) for i in range(size * 8)]


def in_hundreds(count, length):
    """Names and lengths of so many files, a hundred to a directory."""
    return [(f"{number // 100}/{number}", length(number)) for number in range(count)]


def in_turns(args, title, ways_of, make=BTRFS):
    """Ways to do the same, each with the command for a full and for an incremental stream, in turns: large files,
    small ones, and 5 % of either rewritten. A way without a second command is in the first table only."""
    kinds = {
        f"{args.size} MiB in files of 64 MiB": (max(args.size // 64, 1), 64 * MIB),
        f"{args.small} files of 4 KiB": (args.small, 4096),
    }
    for what, (count, length) in kinds.items():
        full, incremental = Table(f"{title}: {what}"), Table(f"{title}: 5 % of {what}")
        room = count * length // MIB * 2 + 2048
        with Filesystem(args.scratch, "src", room) as source:
            two_snapshots(source, in_hundreds(count, lambda _: length))
            for _ in range(args.runs):
                for name, (first, second) in ways_of(source, args.scratch / "dst").items():
                    with Filesystem(args.scratch, "dst", room, make):
                        full.time(name, first)
                        if second:
                            incremental.time(name, second)
        full.print()
        incremental.print()


def arguments(about):
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    here = Path(__file__).resolve().parent.parent / "target"
    parser.add_argument("--programs", type=Path, default=here / "release", help="builds to run")
    parser.add_argument("--scratch", type=Path, default=here / "bench", help="is made and removed")
    parser.add_argument("--size", type=int, default=1024, help="MiB of the full transfer")
    parser.add_argument("--small", type=int, default=30000, help="files of the small transfer")
    parser.add_argument("--snapshots", type=int, default=200, help="snapshots to plan")
    parser.add_argument("--step", type=int, default=8, help="MiB that change between these")
    parser.add_argument("--tiny", type=int, default=300, help="tiny increments; and ten times as many")
    parser.add_argument("--listed", type=int, default=10000, help="snapshots to list; and a tenth, and a hundredth")
    parser.add_argument("--delays", type=int, nargs="*", default=[20, 100], help="ms of a round trip to a far host or bucket")
    parser.add_argument("--runs", type=int, default=5, help="turns of each contender")
    parser.add_argument("--quick", action="store_true", help="a quick look: small sizes, few turns")
    parser.add_argument(
        "only", nargs="*", help="names of benchmarks; all without"
    )
    args = parser.parse_args()
    if args.quick:
        args.size, args.snapshots, args.step, args.listed, args.runs = 64, 20, 2, 100, 1
        args.small, args.tiny, args.delays = 2000, 30, [20]
    args.programs, args.scratch = args.programs.resolve(), args.scratch.resolve()
    return args


def clean(scratch):
    """Also after a run that was killed."""
    for name in "src", "dst":
        unmount(scratch / name)
    shutil.rmtree(scratch, ignore_errors=True)
