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
    in_turns,
    large,
    run,
    snapshot,
    timed,
    tiny_snapshots,
    two_snapshots,
    write_file,
)


def transfers(args, program):
    """Large and small files, full and incremental streams: the bare pipe made durable, btrbk if it is
    installed, and the ways that we have."""

    def ways(source, dest):
        src, dst = shlex.quote(str(source)), shlex.quote(str(dest))
        ours = {
            "buttersink": f"{program} -q",
            "buttersink --full-speed": f"{program} -q --full-speed",
            "buttersink --receive-with btrfs": f"{program} -q --receive-with btrfs",
        }
        ours = {n: (f"{words} {src}/1 {dst}/", f"{words} {src}/2 {dst}/") for n, words in ours.items()}
        return {**pipe(src, dst), **ours, **btrbk(args, source, dest, "send-receive")}

    in_turns(args, "local", ways)


def pipe(src, dst):
    """The reference: what everybody has, made durable."""
    durable = f"btrfs receive -q {dst} && sync -f {dst}"
    pair = f"btrfs send -q {src}/1 | {durable}", f"btrfs send -q -p {src}/1 {src}/2 | {durable}"
    return {"btrfs send | receive; sync -f": pair}


def btrbk(args, source, dest, kind):
    """It makes its snapshots itself, so that only the full stream is like ours."""
    if not shutil.which("btrbk"):
        return {}
    config = args.scratch / "btrbk.conf"
    config.write_text(
        f"lockfile {args.scratch}/btrbk.lock\nincremental no\nsnapshot_create always\n"
        f"volume {source}\n subvolume live\n  snapshot_dir .\n  target {kind} {dest}\n"
    )
    src, dst = shlex.quote(str(source)), shlex.quote(str(dest))
    forget = f"btrfs -q subvolume delete {src}/live.*"
    words = f"btrbk -q -c {shlex.quote(str(config))} run && sync -f {dst}; done=$?; {forget}; (exit $done)"
    return {f"btrbk, {kind}; sync -f": (words, None)}


def comparing(args, program):
    """What rehearsing and mending streams costs, and --compare on top of that: full transfers of
    large and of small files, and incremental ones with 5 % of the files rewritten."""
    in_turns(args, "compare", lambda source, dest: compared_ways(source, dest, program))


def compared_ways(source, dest, program):
    """For each contender, the commands that send the first snapshot and the second."""
    src, dst = shlex.quote(str(source)), shlex.quote(str(dest))
    ours = {
        "buttersink without mending": f"BUTTERSINK_TEST_NO_MENDING=1 {program} -q",
        "buttersink": f"{program} -q",
        "buttersink --compare": f"{program} -q --compare",
    }
    ours = {n: (f"{words} {src}/1 {dst}/", f"{words} {src}/2 {dst}/") for n, words in ours.items()}
    return {**pipe(src, dst), **ours}


def raw(args, program):
    """Streams in files of an ext4: beside `btrfs send` into one, and beside the raw targets of btrbk."""

    def ways(source, dest):
        src, dst = shlex.quote(str(source)), shlex.quote(str(dest))
        durable = f"sync -f {dst}"
        return {
            "btrfs send > file; sync -f": (
                f"btrfs send -q {src}/1 >{dst}/1 && {durable}",
                f"btrfs send -q -p {src}/1 {src}/2 >{dst}/2 && {durable}",
            ),
            "buttersink raw:": tuple(f"{program} -q {src}/{n} raw:{dst}/" for n in (1, 2)),
            **btrbk(args, source, dest, "raw"),
        }

    in_turns(args, "raw", ways, EXT4)


def reflinks(args, program):
    """A subvolume with files of two others, reflinked, sent from one of them: the other is a clone source."""
    table = Table(f"{args.size} MiB reflinked from two subvolumes")
    with Filesystem(args.scratch, "src", args.size * 2 + 1024) as source:
        snaps = source / "snaps"
        snaps.mkdir()
        for name in ("one", "two"):
            run("btrfs", "subvolume", "create", source / name)
            write_file(source / name / name, args.size * MIB // 2)
            snapshot(source / name, snaps / name)
        run("btrfs", "subvolume", "create", source / "live")
        for name in ("one", "two"):
            run("cp", "--reflink=always", source / name / name, source / "live")
        snapshot(source / "live", source / "both")
        os.sync()
        src, dst = shlex.quote(str(source)), shlex.quote(str(args.scratch / "dst"))
        plain = f"btrfs send -q -p {src}/snaps/one {src}/both | btrfs receive -q {dst} && sync -f {dst}"
        for _ in range(args.runs):
            for name, way in ("btrfs send -p | receive; sync -f", plain), ("buttersink", f"{program} -q {src}/ {dst}/"):
                with Filesystem(args.scratch, "dst", args.size * 2 + 1024):
                    run("bash", "-c", f"{program} -q {src}/snaps/ {dst}/")
                    table.time(name, way)
    table.print()


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
                table.time("btrfs send | wc -c, each chosen", "; ".join(sends))
                table.time("buttersink -n", plan)
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
            snaps = tiny_snapshots(source, count)
            src, dst = shlex.quote(str(snaps)), shlex.quote(str(args.scratch / "dst"))
            each = f"btrfs send -q ${{p:+-p $p}} $i | btrfs receive -q {dst} && sync -f {dst}; p=$i"
            ways = {
                "btrfs send | receive; sync -f, each": f"p=; for i in {src}/*; do {each}; done",
                "buttersink": f"{program} -q {src}/ {dst}/",
            }
            for _ in range(turns):
                for name, command in ways.items():
                    with Filesystem(args.scratch, "dst", 3072):
                        table.time(name, command)
        table.print()


def listing(args, program):
    """Listing many snapshots, and ten and a hundred times fewer; warm, since that is how one lists."""
    with Filesystem(args.scratch, "src", 4096) as source:
        for count in args.listed // 100, args.listed // 10, args.listed:
            list_of(count, tiny_snapshots(source, count), args, program).print()


def list_of(count, snaps, args, program):
    table = Table(f"list {count} snapshots")
    ways = {
        "btrfs subvolume list -puqR": f"btrfs subvolume list -puqR {snaps}",
        "buttersink DIR/": f"{program} {snaps}/",
        "btrfslist DIR": f"{shlex.quote(str(args.programs / 'btrfslist'))} {snaps}",
    }
    for _ in range(args.runs):
        for name, command in ways.items():
            table.add(name, timed(command))
    return table


def verifying(args, program):
    """Whether a copy is what it should be: beside what people use for that, which reads it as well."""
    table = Table(f"compare a copy with its source, {args.size} MiB")
    room = args.size * 2 + 1024
    with Filesystem(args.scratch, "src", room) as source, Filesystem(args.scratch, "dst", room) as dest:
        two_snapshots(source, large(args.size))
        run("btrfs", "-q", "subvolume", "delete", source / "2")
        run(args.programs / "buttersink", "-q", source / "1", f"{dest}/")
        ways = {
            "diff -r --no-dereference": f"diff -r --no-dereference {source}/1 {dest}/1",
            "buttersink verify --against --content": f"{program} verify -q --content --against {source}/ {dest}/",
        }
        if shutil.which("rsync"):
            ways["rsync -aHAXnc --delete"] = f"rsync -aHAXnc --delete {source}/1/ {dest}/1/"
        for _ in range(args.runs):
            for name, command in ways.items():
                table.time(name, command)
    table.print()


def main():
    args = arguments(__doc__)
    if os.geteuid():
        sys.exit("bench: mounting scratch filesystems needs root: sudo make bench")
    benches = {
        "transfers": transfers,
        "comparing": comparing,
        "raw": raw,
        "reflinks": reflinks,
        "planning": planning,
        "tiny": tiny,
        "listing": listing,
        "verifying": verifying,
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
