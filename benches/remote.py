#!/usr/bin/env python3
"""Figures of buttersink through ssh, beside those of the plain tools through the same sshd.

Asserts nothing. An sshd of our own on loopback, with keys and files in the scratch directory,
serves both contenders, which take turns. Needs root, btrfs-progs, and release builds, and OpenSSH's server.
"""

import argparse
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
    """An sshd; yields the line to it as the host `far`."""
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
        f'IdentityFile "{scratch}/user"\nUserKnownHostsFile "{scratch}/known"\nHostKeyAlias far\nBatchMode yes\n'
    )
    (scratch / "known").write_text(f"far {(scratch / 'host.pub').read_text()}")
    os.makedirs("/run/sshd", exist_ok=True)
    sshd = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", scratch / "sshd_config"])
    try:
        wait_for(port)
        yield Line(f"ssh -F {scratch}/ssh_config", port, shlex.quote(str(program)))
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


def transfers(args, line):
    """Large and small files there, full and incremental."""
    bench.in_turns(args, "push through ssh", line.pushes)


def pull(args, line):
    """Large files back."""
    table = bench.Table(f"pull through ssh, {args.size} MiB")
    room = args.size * 2 + 1024
    with bench.Filesystem(args.scratch, "src", room) as source:
        bench.two_snapshots(source, bench.large(args.size))
        src, dst = shlex.quote(str(source)), shlex.quote(str(args.scratch / "dst"))
        ways = {
            PIPE: f"{line.ssh} far 'btrfs send -q {src}/1' | btrfs receive -q {dst} && sync -f {dst}",
            "buttersink": f"{line.ours} ssh://far{src}/1 {dst}/",
        }
        for _ in range(args.runs):
            for name, command in ways.items():
                with bench.Filesystem(args.scratch, "dst", room):
                    table.time(name, command)
    table.print()


def far(args, line):
    """A quarter of the bytes, and a tenth of the tiny increments, to a host that is far away. The plain pipe
    has a connection for each stream, as scripts have it."""
    args = argparse.Namespace(**{**vars(args), "size": args.size // 4, "small": args.small // 4})
    for delay in args.delays:
        with bench.delayed(line.port, delay) as port:
            away = Line(f"{line.ssh} -p {port}", port, line.program)
            bench.in_turns(args, f"push through ssh, {delay} ms", away.pushes)
            tiny(args, away, delay)


def tiny(args, line, delay):
    count = max(args.tiny // 10, 3)
    table = bench.Table(f"{count} tiny increments through ssh, {delay} ms")
    with bench.Filesystem(args.scratch, "src", 1024) as source:
        snaps = bench.tiny_snapshots(source, count)
        src, dst = shlex.quote(str(snaps)), shlex.quote(str(args.scratch / "dst"))
        each = f"btrfs send -q ${{p:+-p $p}} $i | {line.receive(dst)}; p=$i"
        ways = {PIPE: f"p=; for i in {src}/*; do {each}; done", "buttersink": f"{line.ours} {src}/ ssh://far{dst}/"}
        for _ in range(args.runs):
            for name, command in ways.items():
                with bench.Filesystem(args.scratch, "dst", 1024):
                    table.time(name, command)
    table.print()


PIPE = "plain pipe through ssh; sync -f"


class Line:
    """The words that reach `far`: of the plain tools, and of ours."""

    def __init__(self, ssh, port, program):
        self.ssh, self.port, self.program = ssh, port, program
        self.ours = f"BUTTERSINK_SSH='{ssh}' {program} -q --remote-sudo ''"

    def receive(self, dst):
        return f"{self.ssh} far 'btrfs receive -q {dst} && sync -f {dst}'"

    def pushes(self, source, dest):
        src, dst = shlex.quote(str(source)), shlex.quote(str(dest))
        there = self.receive(dst)
        ours = {
            "buttersink": self.ours,
            "buttersink --full-speed": f"{self.ours} --full-speed",
            "buttersink --receive-with btrfs": f"{self.ours} --receive-with btrfs",
        }
        return {
            PIPE: (f"btrfs send -q {src}/1 | {there}", f"btrfs send -q -p {src}/1 {src}/2 | {there}"),
            **{n: (f"{words} {src}/1 ssh://far{dst}/", f"{words} {src}/2 ssh://far{dst}/") for n, words in ours.items()},
        }


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
        with server(args.scratch, program) as line:
            for name, measure in {"transfers": transfers, "pull": pull, "far": far}.items():
                if not args.only or name in args.only:
                    measure(args, line)
    finally:
        bench.clean(args.scratch)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
