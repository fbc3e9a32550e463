#!/usr/bin/env python3
"""Figures of buttersink through ssh, beside those of the plain tools through the same sshd.

Asserts nothing. An sshd of our own on loopback, with keys and files in the scratch directory,
serves both contenders, which take turns. Needs root, btrfs-progs, and release builds, and OpenSSH's server.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ beside the sources

import bench  # noqa: E402


@contextmanager
def server(scratch, program):
    """An sshd; yields the words of an ssh that reaches it as the host `far`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for key in "host", "user":
        bench.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", scratch / key)
    bin_dir = scratch / "bin"
    bin_dir.mkdir()
    (bin_dir / "buttersink").symlink_to(program)
    path = f"{bin_dir}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    (scratch / "sshd_config").write_text(
        f'ListenAddress 127.0.0.1:{port}\nHostKey "{scratch}/host"\nPidFile none\n'
        f'AuthorizedKeysFile "{scratch}/user.pub"\nStrictModes no\nUsePAM no\n'
        f'PermitRootLogin yes\nLogLevel ERROR\nSetEnv "PATH={path}"\n'
    )
    (scratch / "ssh_config").write_text(
        f"Host far\nHostName 127.0.0.1\nPort {port}\nUser root\nIdentitiesOnly yes\n"
        f'IdentityFile "{scratch}/user"\nUserKnownHostsFile "{scratch}/known"\nBatchMode yes\n'
    )
    (scratch / "known").write_text(f"[127.0.0.1]:{port} {(scratch / 'host.pub').read_text()}")
    os.makedirs("/run/sshd", exist_ok=True)
    sshd = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", scratch / "sshd_config"])
    try:
        wait_for(port)
        yield f"ssh -F {scratch}/ssh_config"
    finally:
        sshd.terminate()
        sshd.wait()


def wait_for(port):
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit("bench: sshd does not answer")


def transfers(args, ssh, program):
    """One full and one incremental stream there, and the full one back."""
    push = bench.Table(f"push through ssh, {args.size} MiB")
    more = bench.Table(f"push through ssh, 5 % of {args.size} MiB rewritten")
    pull = bench.Table(f"pull through ssh, {args.size} MiB")
    room = args.size * 2 + 1024
    with bench.Filesystem(args.scratch, "src", room) as source:
        bench.two_snapshots(source, bench.large(args.size))
        src, dst = shlex.quote(str(source)), shlex.quote(str(args.scratch / "dst"))
        there = f"{ssh} far 'btrfs receive -q {dst} && sync -f {dst}'"
        ours = f"BUTTERSINK_SSH='{ssh}' {program} -q --remote-sudo ''"
        ways = {
            "btrfs send | ssh receive; sync -f": (
                f"btrfs send -q {src}/1 | {there}",
                f"btrfs send -q -p {src}/1 {src}/2 | {there}",
                f"{ssh} far 'btrfs send -q {src}/1' | btrfs receive -q {dst} && sync -f {dst}",
            ),
        }
        for name, option in ("buttersink", ""), ("buttersink --full-speed", " --full-speed"):
            ways[name] = (
                f"{ours}{option} {src}/1 ssh://far{dst}/",
                f"{ours}{option} {src}/2 ssh://far{dst}/",
                f"{ours}{option} ssh://far{src}/1 {dst}/",
            )
        for _ in range(args.runs):
            for name, (first, second, back) in ways.items():
                with bench.Filesystem(args.scratch, "dst", room):
                    bench.cold()
                    push.add(name, bench.timed(first))
                    bench.cold()
                    more.add(name, bench.timed(second))
                with bench.Filesystem(args.scratch, "dst", room):
                    bench.cold()
                    pull.add(name, bench.timed(back))
    for table in push, more, pull:
        table.print()


def receive(args, ssh, program):
    """Our own receive at the far side, beside `btrfs receive` by ourselves and in a plain pipe."""

    def ways(source, dest):
        src, dst = shlex.quote(str(source)), shlex.quote(str(dest))
        there = f"{ssh} far 'btrfs receive -q {dst} && sync -f {dst}'"
        pipe = f"btrfs send -q {src}/1 | {there}", f"btrfs send -q -p {src}/1 {src}/2 | {there}"
        ours = f"BUTTERSINK_SSH='{ssh}' {program} -q --remote-sudo ''"
        ours = {"buttersink": ours, "buttersink --receive-with btrfs": f"{ours} --receive-with btrfs"}
        ours = {n: (f"{words} {src}/1 ssh://far{dst}/", f"{words} {src}/2 ssh://far{dst}/") for n, words in ours.items()}
        return {"plain pipe through ssh; sync -f": pipe, **ours}

    bench.receiving(args, "through ssh", ways)


def main():
    args = bench.arguments(__doc__)
    if os.geteuid():
        sys.exit("bench: mounting scratch filesystems needs root: sudo make bench")
    if not Path("/usr/sbin/sshd").exists():
        sys.exit("bench: needs /usr/sbin/sshd")
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, lambda *_: sys.exit(130))
    program = args.programs / "buttersink"
    bench.clean(args.scratch)
    args.scratch.mkdir(parents=True)
    try:
        with server(args.scratch, program) as ssh:
            for name, measure in {"transfers": transfers, "receiving": receive}.items():
                if not args.only or name in args.only:
                    measure(args, ssh, shlex.quote(str(program)))
    finally:
        bench.clean(args.scratch)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
