"""A reverse proxy in front of a real S3 server that does to a share of the requests what networks and servers do.

What happens to a request is drawn from a seed and the request's number, so that a run has the same faults in the same
order as long as its requests come one after the other. Nothing in here waits for a clock: a request that is to take
too long is held until the client has given up, and the server is gone until the test lets it come back.
"""

from __future__ import annotations

import os
import random
import socket
import struct
import sys
import threading
from collections import Counter
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What may happen to a request, and what a client sees of it.
FAULTS = {
    "slowdown": "503 SlowDown; nothing was done",
    "reset_request": "the connection is reset when half of the request has arrived; nothing was done",
    "lost": "it was done, and the connection is reset before any answer",
    "reset_answer": "it was done, and the connection is reset in the middle of the answer",
    "truncated": "it was done, and the answer, or its head where it has no body, ends early, as if complete",
    "slow": "no answer until the client gives up; nothing was done",
    "late": "no answer until the client gives up, and then it is done",
}
# A client that never gives up fails the test by this, in seconds; it is not what is waited for.
_PATIENCE = 60

_SLOWDOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class FaultyS3:
    """The proxy; `url` stays the same while the server is gone and after. It ends with `close`."""

    def __init__(self, upstream: tuple[str, int], *, seed: int = 0) -> None:
        self.upstream, self.seed = upstream, seed
        self.share = 0.0
        self.faults: tuple[str, ...] = tuple(FAULTS)
        self.seen: Counter[str] = Counter()
        self._number, self._lock = 0, threading.Lock()
        self._open: set[socket.socket] = set()
        self._gone = False
        self._server = self._listen(0)
        self.port = self._server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def failed(self) -> int:
        """How many requests a fault happened to."""
        return sum(count for name, count in self.seen.items() if name in FAULTS)

    def close(self) -> None:
        """Be gone for good."""
        if not self._gone:
            self.go()

    def fail(self, share: float, *faults: str, seed: int | None = None) -> None:
        """From now on let `share` of the requests fail, in all ways or in the named ones."""
        with self._lock:
            self.share, self.faults = share, faults or tuple(FAULTS)
            self._number, self.seed = 0, self.seed if seed is None else seed

    def go(self) -> None:
        """Be gone: open connections are ended, new ones are refused."""
        self._gone = True
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            left, self._open = self._open, set()
        for connection in left:
            with suppress(OSError):  # it has just ended by itself
                connection.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        """Listen again, at the same address."""
        self._server = self._listen(self.port)
        self._gone = False

    def draw(self) -> str:
        """What happens to the next request: a fault, or "passed"."""
        with self._lock:
            self._number += 1
            number = random.Random(f"{self.seed}:{self._number}")
            drawn = number.choice(self.faults) if number.random() < self.share else "passed"
            self.seen[drawn] += 1
        return drawn

    def keep(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def _listen(self, port: int) -> ThreadingHTTPServer:
        server = _Server(("127.0.0.1", port), _Handler)
        server.proxy = self
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    proxy: FaultyS3

    def handle_error(self, request, client_address) -> None:
        """A client that left, or was reset, is what this is for; anything else is a defect of the proxy."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError | ValueError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.proxy.keep(self.connection)

    def finish(self) -> None:
        self.server.proxy.forget(self.connection)
        with suppress(OSError):  # it was reset
            super().finish()

    def log_message(self, *_: object) -> None:
        return None

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        asked = self.raw_requestline and self.parse_request()
        # One request a connection, so that each meets its fault on its own.
        self.close_connection = True
        if not asked:
            return
        drawn = self.server.proxy.draw()
        length = int(self.headers.get("Content-Length") or 0)
        if drawn == "reset_request":
            self.rfile.read(length // 2)
            _reset(self.connection)
            return
        body = self._body(length)
        if drawn == "slowdown":
            self._answer(503, "Slow Down", [("Content-Type", "application/xml")], _SLOWDOWN)
            return
        if drawn in ("slow", "late"):
            self._wait_until_the_client_gives_up()
            if drawn == "slow":
                return
        status, reason, headers, content = self._forward(body)
        if drawn in ("lost", "late"):
            _reset(self.connection)
        elif drawn in ("reset_answer", "truncated"):
            self._answer(status, reason, headers, content, cut=True)
            if drawn == "reset_answer":
                _reset(self.connection)
        else:
            self._answer(status, reason, headers, content)

    def _body(self, length: int) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(length)
        content = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return content

    def _forward(self, body: bytes) -> tuple[int, str, list[tuple[str, str]], bytes]:
        upstream = HTTPConnection(*self.server.proxy.upstream, timeout=_PATIENCE)
        hop = ("connection", "transfer-encoding", "content-length", "expect")
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in hop:
                upstream.putheader(name, value)
        upstream.putheader("Content-Length", str(len(body)))
        upstream.endheaders(body)
        answer = upstream.getresponse()
        content = answer.read()
        headers = [(n, v) for n, v in answer.getheaders() if n.lower() not in hop or n == "Content-Length"]
        upstream.close()
        return answer.status, answer.reason, headers, content

    def _answer(
        self, status: int, reason: str, headers: list[tuple[str, str]], content: bytes, *, cut: bool = False
    ) -> None:
        lines = [f"HTTP/1.1 {status} {reason}"]
        lines += [f"{name}: {value}" for name, value in headers if name.lower() != "content-length"]
        length = next((value for name, value in headers if name.lower() == "content-length"), None)
        # The answer to HEAD has the length of a body that does not come.
        lines.append(f"Content-Length: {length if self.command == 'HEAD' and length else len(content)}")
        head = "\r\n".join([*lines, "Connection: close", "", ""]).encode()
        if cut and (self.command == "HEAD" or not content):
            head, content = head[: len(head) // 2], b""
        self.wfile.write(head + (content[: len(content) // 2] if cut else content))
        self.wfile.flush()

    def _wait_until_the_client_gives_up(self) -> None:
        self.connection.settimeout(_PATIENCE)
        while self.connection.recv(65536):
            pass


def _reset(connection: socket.socket) -> None:
    """Close so that the other side gets a reset, not an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # The handler's own close would send an orderly end first.
    os.close(connection.detach())
