#!/usr/bin/env python3
"""A line as long as an ocean is wide: passes connections on, and every byte so many milliseconds late.

relay.py PORT MILLISECONDS listens on a free port of loopback, prints it, and connects to PORT there. The
milliseconds are those of a round trip, half in each direction. It holds bytes, however many: what it limits is
time and not throughput. A process of its own, so that its work is in nobody's figures.
"""

import socket
import sys
import threading
import time
from collections import deque

PIECE = 1 << 18


class Direction:
    """Bytes from one end to the other, each `seconds` after it came."""

    def __init__(self, source, sink, seconds):
        self.source, self.sink, self.seconds = source, sink, seconds
        self.held, self.more = deque(), threading.Semaphore(0)
        for work in self.take, self.give:
            threading.Thread(target=work, daemon=True).start()

    def take(self):
        piece = b"-"
        while piece:
            try:
                piece = self.source.recv(PIECE)
            except OSError:
                piece = b""
            self.held.append((time.monotonic() + self.seconds, piece))
            self.more.release()

    def give(self):
        while True:
            self.more.acquire()
            due, piece = self.held.popleft()
            time.sleep(max(0, due - time.monotonic()))
            try:
                if not piece:
                    return self.sink.shutdown(socket.SHUT_WR)
                self.sink.sendall(piece)
            except OSError:
                return None


def main():
    port, seconds = int(sys.argv[1]), float(sys.argv[2]) / 2000
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", port))
            for end in near, far:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Direction(near, far, seconds)
            Direction(far, near, seconds)


if __name__ == "__main__":
    main()
