"""The pages on a real server, requested as a browser does."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from html.parser import HTMLParser

import uvicorn
from fastapi import FastAPI, HTTPException, Request


def reader(request: Request):
    """Stands for Airflow's login, which `test_airflow.py` uses: the cookie says which pipelines may be read."""
    token = request.cookies.get("_token", "")
    if token != "valid" and not token.startswith("only-"):
        raise HTTPException(401)
    return lambda pipeline: token in ("valid", f"only-{pipeline}")


@contextmanager
def serving(app: FastAPI):
    """The application on a real server; yields a function that requests a path exactly as written, with its `address`.

    With a `form` it sends that, as the page of another site does unless `headers` say otherwise.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()

    def get(
        path: str, *, cookie: str = "_token=valid", form: str | None = None, headers: Mapping[str, str] = {}
    ) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection(*listener.getsockname(), timeout=60)
        try:
            method = "GET" if form is None else "POST"
            connection.request(method, path, form, {"Cookie": cookie, **headers})
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()

    get.address = "{}:{}".format(*listener.getsockname())  # type: ignore[attr-defined]
    try:
        yield get
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


class Links(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("href", "src")]
