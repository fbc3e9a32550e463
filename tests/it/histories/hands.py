"""System calls that Rust's library does not offer, for the test that makes histories.

A line of JSON on standard input is one call: [name, argument, ...], bytes as hexadecimal text. The answer is
a line of JSON: [true, result] or [false, what the system said].
"""
import ctypes
import fcntl
import json
import mmap
import os
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)


def done(answer):
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Opened:
    def __init__(self, path, flags=os.O_RDWR):
        self.file = os.open(path, flags)

    def __enter__(self):
        return self.file

    def __exit__(self, *_):
        os.close(self.file)


def set_xattr(path, name, value):
    os.setxattr(path, name, bytes.fromhex(value), follow_symlinks=False)


def remove_xattr(path, name):
    os.removexattr(path, name, follow_symlinks=False)


def fallocate(path, mode, offset, length):
    with Opened(path) as file:
        done(libc.fallocate(file, mode, ctypes.c_long(offset), ctypes.c_long(length)))


def mapped(path, offset, value):
    """Writes through a mapping of the whole file."""
    value = bytes.fromhex(value)
    with Opened(path) as file, mmap.mmap(file, 0) as memory:
        memory[offset:offset + len(value)] = value


def direct(path, offset, value):
    """Writes past the cache; offset and length are multiples of the block."""
    value = bytes.fromhex(value)
    with Opened(path, os.O_RDWR | os.O_DIRECT) as file, mmap.mmap(-1, len(value)) as memory:
        memory[:] = value
        os.pwritev(file, [memory], offset)


def clone(source, target, source_offset, target_offset, length):
    with Opened(source, os.O_RDONLY) as origin, Opened(target) as file:
        request = struct.pack("qQQQ", origin, source_offset, length, target_offset)
        fcntl.ioctl(file, 0x4020940D, request)


def flags(path, add):
    with Opened(path, os.O_RDONLY) as file:
        now, = struct.unpack("i", fcntl.ioctl(file, 0x80086601, bytes(4)))
        fcntl.ioctl(file, 0x40086602, struct.pack("i", now | add))


def exchange(one, other):
    done(libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2))


def make_node(path, mode, major, minor):
    os.mknod(path, mode, os.makedev(major, minor))


def set_mtime(path, nanoseconds):
    os.utime(path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)


def sync(path):
    with Opened(path, os.O_RDONLY) as file:
        done(libc.syncfs(file))


def use_up(path, count):
    """Makes and deletes subvolumes, so that the next one gets a higher number."""
    with Opened(path, os.O_RDONLY) as file:
        request = bytearray(struct.pack("q4088s", 0, b"used"))
        for _ in range(count):
            fcntl.ioctl(file, 0x5000940E, request)
            fcntl.ioctl(file, 0x5000940F, request)


def xattrs(top):
    """Of everything below a directory: {path: {name: value}}."""
    found, left = {}, [""]
    while left:
        path = left.pop()
        whole = os.path.join(top, path) if path else top
        names = os.listxattr(whole, follow_symlinks=False)
        if names:
            found[path] = {n: os.getxattr(whole, n, follow_symlinks=False).hex() for n in names}
        if not os.path.islink(whole) and os.path.isdir(whole):
            left += [os.path.join(path, name) for name in os.listdir(whole)]
    return found


calls = {f.__name__: f for f in (set_xattr, remove_xattr, fallocate, mapped, direct, clone, flags,
                                 exchange, make_node, set_mtime, sync, use_up,
                                 xattrs)}
for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        answer = [True, calls[name](*arguments)]
    except OSError as error:
        answer = [False, str(error)]
    print(json.dumps(answer), flush=True)
