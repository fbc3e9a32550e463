#!/usr/bin/env python3
"""Figures of buttersink between local filesystems, beside those of the plain tools.

Asserts nothing. Contenders take turns, so that whatever else the machine does meets all of them;
the figures are medians. Filesystems live in files in the scratch directory, and go away at the
end. Needs root, Python's standard library, btrfs-progs, and release builds.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True  # no __pycache__ beside the sources

from bench import (  # noqa: E402
    EXT4,
    MIB,
    Filesystem,
    Table,
    arguments,
    clean,
    cold,
    in_hundreds,
    in_turns,
    large,
    run,
    snapshot,
    timed,
    two_snapshots,
    write_file,
)


def transfers(args, program):
    """Large files: one full and one incremental stream, against the bare pipe made durable."""
    compare(args, program, f"{args.size} MiB", args.size * 2 + 1024, large(args.size))


def small(args, program):
    """The same for many small files."""
    room = args.small // 50 + 1024
    compare(args, program, f"{args.small} small files", room, in_hundreds(args.small, lambda i: i * 997 % 8192))


def compare(args, program, what, room, files):
    full = Table(f"full, {what}")
    incremental = Table(f"incremental, 5 % of {what} rewritten")
    with Filesystem(args.scratch, "src", room) as source:
        two_snapshots(source, files)
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


def receive(args, program):
    """Our own receive, beside `btrfs receive` by ourselves and in a plain pipe."""

    def ways(source, dest):
        src, dst = shlex.quote(str(source)), shlex.quote(str(dest))
        durable = f"btrfs receive -q {dst} && sync -f {dst}"
        pipe = f"btrfs send -q {src}/1 | {durable}", f"btrfs send -q -p {src}/1 {src}/2 | {durable}"
        ours = {
            "buttersink": f"{program} -q",
            "buttersink --receive-with btrfs": f"{program} -q --receive-with btrfs",
            "buttersink --full-speed": f"{program} -q --full-speed",
        }
        ours = {n: (f"{words} {src}/1 {dst}/", f"{words} {src}/2 {dst}/") for n, words in ours.items()}
        return {"plain pipe; sync -f": pipe, **ours}

    in_turns(args, "receive locally", ways)


def comparing(args, program):
    """What rehearsing and mending streams costs, and --compare on top of that: full transfers of
    large and of small files, and incremental ones with 5 % of the files rewritten."""
    in_turns(args, "compare", lambda source, dest: compared_ways(source, dest, program))


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


def raw(args, program):
    """Streams in files of an ext4: beside `btrfs send` into one, and beside the raw targets of btrbk, if that
    is installed. It makes its snapshots itself, and what it wrote is made durable as the first is."""

    def ways(source, dest):
        src, dst = shlex.quote(str(source)), shlex.quote(str(dest))
        durable = f"sync -f {dst}"
        found = {
            "btrfs send > file; sync -f": (
                f"btrfs send -q {src}/1 >{dst}/1 && {durable}",
                f"btrfs send -q -p {src}/1 {src}/2 >{dst}/2 && {durable}",
            ),
            "buttersink raw:": tuple(f"{program} -q {src}/{n} raw:{dst}/" for n in (1, 2)),
        }
        if shutil.which("btrbk"):
            config = args.scratch / "btrbk.conf"
            config.write_text(
                f"lockfile {args.scratch}/btrbk.lock\nincremental no\nsnapshot_create always\n"
                f"volume {source}\n subvolume live\n  snapshot_dir .\n  target raw {dest}\n"
            )
            forget = f"btrfs -q subvolume delete {src}/live.*"
            words = f"btrbk -q -c {shlex.quote(str(config))} run && {durable}; done=$?; {forget}; (exit $done)"
            found["btrbk, target raw; sync -f"] = (words, None)
        return found

    in_turns(args, "raw", ways, EXT4)


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


def tiny(args, program):
    """Many increments with next to nothing in them, and ten times as many."""
    for count, turns in (args.tiny, args.runs), (args.tiny * 10, 1):
        table = Table(f"{count} tiny increments")
        with Filesystem(args.scratch, "src", 3072) as source:
            live, snaps = source / "live", source / "snaps"
            run("btrfs", "subvolume", "create", live)
            snaps.mkdir()
            for number in range(count):
                (live / f"file{number % 20}").write_text(f"{number}\n")
                snapshot(live, snaps / f"{number:05}")
            os.sync()
            src, dst = shlex.quote(str(snaps)), shlex.quote(str(args.scratch / "dst"))
            each = f"btrfs send -q ${{p:+-p $p}} $i | btrfs receive -q {dst} && sync -f {dst}; p=$i"
            ways = {
                "btrfs send | receive; sync -f, each": f"p=; for i in {src}/*; do {each}; done",
                "buttersink": f"{program} -q {src}/ {dst}/",
            }
            for _ in range(turns):
                for name, command in ways.items():
                    with Filesystem(args.scratch, "dst", 3072):
                        cold()
                        table.add(name, timed(command))
        table.print()


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


def main():
    args = arguments(__doc__)
    if os.geteuid():
        sys.exit("bench: mounting scratch filesystems needs root: sudo make bench")
    benches = {
        "transfers": transfers,
        "small": small,
        "receiving": receive,
        "comparing": comparing,
        "raw": raw,
        "planning": planning,
        "tiny": tiny,
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


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
