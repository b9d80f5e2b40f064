"""A mail server for one machine that keeps every mail as a file: `python -m sluice.notify.sink --port 8025 --folder var/mail`.

A mail is answered with success only when its file is complete under its final name, so that whoever watches the folder
never sees half a mail, and nothing that was acknowledged is lost. It accepts mail for anybody and forwards none: it
listens on the loopback address, unless it is given another.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import sys
from email import message_from_bytes
from email.errors import MessageError
from email.policy import default
from pathlib import Path

import click
from aiosmtpd.smtp import SMTP, Envelope, Session

from sluice.core import clock
from sluice.core.errors import StackError

LOOPBACK = "127.0.0.1"
SLUG_CHARS = 80


class Keeper:
    """Handler that writes each mail to `<UTC microseconds>-<random>-<subject slug>.eml`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep one mail; 451 asks the sender to come again, because nothing was kept."""
        content = envelope.content or b""
        if isinstance(content, str):
            content = content.encode()
        try:
            path = keep(content, self.folder)
        except OSError as error:
            return f"451 Not kept: {error.strerror}"
        return f"250 Kept as {path.name}"


def keep(content: bytes, folder: Path) -> Path:
    """Write a mail under a name of its own, in one step, and return its path."""
    stamp = clock.system_now().strftime("%Y%m%dT%H%M%S%f")
    name = f"{stamp}-{secrets.token_hex(3)}-{slug(content)}"
    partial = folder / f".{name}.part"
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return partial.rename(folder / f"{name}.eml")
    finally:
        partial.unlink(missing_ok=True)


def slug(content: bytes) -> str:
    """The mail's subject in lower-case letters, digits and hyphens; `no-subject` where it has none to read."""
    try:
        subject = str(message_from_bytes(content, policy=default)["subject"] or "")
    except (MessageError, ValueError, IndexError, LookupError):
        # The standard library's header parser raises these on malformed headers; the mail is kept all the same.
        subject = ""
    return re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-")[:SLUG_CHARS].strip("-") or "no-subject"


async def serve(port: int, folder: Path, host: str = LOOPBACK) -> None:
    """Take mails until SIGTERM or SIGINT. Port 0 takes a free one; the first line printed names it.

    Raises:
        StackError: the port is taken.
    """
    loop = asyncio.get_running_loop()
    keeper = Keeper(folder)
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    try:
        server = await loop.create_server(
            lambda: SMTP(keeper, hostname="sluice-mail", enable_SMTPUTF8=True, loop=loop), host, port
        )
    except OSError as error:
        raise StackError(
            f"The mail sink cannot listen on {host}:{port}: {error.strerror}.",
            where="SLUICE_SMTP_PORT",
            todo="stop what uses the port, or set another one",
        ) from error
    async with server:
        bound = server.sockets[0].getsockname()[1]
        sys.stdout.write(f"Mail sink on {host}:{bound}, keeping mails in {folder}\n")
        sys.stdout.flush()
        await stopped.wait()


@click.command()
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on.")
@click.option("--port", type=int, required=True, help="Port; 0 takes a free one.")
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Where mails are kept.")
def main(host: str, port: int, folder: Path) -> None:
    """Keep every mail that is sent to this port as a file."""
    try:
        asyncio.run(serve(port, folder, host))
    except StackError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
