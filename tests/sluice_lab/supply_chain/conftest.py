"""A database of advisories on this machine that speaks OSV's protocol, so that pip-audit itself is what is run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest


@pytest.fixture
def osv() -> Iterator[Callable[..., tuple[str, ...]]]:
    """Start a database that knows these (name, version) -> advisory id; returns how pip-audit is told to ask it.

    A version whose id is None is answered with HTTP 503.
    """
    with ExitStack() as cleanup:

        def start(known: dict[tuple[str, str], str | None]) -> tuple[str, ...]:
            server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(known))
            Thread(target=server.serve_forever, daemon=True).start()
            cleanup.callback(server.server_close)
            cleanup.callback(server.shutdown)
            return ("osv", "--osv-url", f"http://127.0.0.1:{server.server_port}/v1/query")

        yield start


def _handler(known: dict[tuple[str, str], str | None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name, version = asked["package"]["name"], asked["version"]
            found = known.get((name, version), "")
            body = json.dumps({"vulns": [_advisory(found, name)]} if found else {}).encode()
            self.send_response(503 if found is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing: the test's output is not an access log."""

    return Handler


def _advisory(id_: str, name: str) -> dict:
    events = [{"introduced": "0"}, {"fixed": "99.1"}]
    affected = [
        {"package": {"name": name, "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    ]
    return {"id": id_, "summary": "Made up for this test.", "affected": affected}
