"""Secrets, pickles and open doors in the repository's own files.

The patterns are of keys whose shape gives them away, and of values assigned to names such as `password`. A line that
must hold something of that shape, as a test of this very check does, is built from parts.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from sluice.core.errors import SpecInvalidError
from sluice_lab.supply_chain import Finding

# What gives a key away; the shapes are those that the issuers document.
KEYS = {
    "a private key": re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY"),
    "an AWS access key": re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60})"),
    "a Slack token": re.compile(rb"\bxox[abprs]-[0-9A-Za-z-]{10}"),
    "a Google API key": re.compile(rb"\bAIza[0-9A-Za-z_-]{35}"),
    "a PyPI token": re.compile(rb"\bpypi-AgEIcHlwaS[A-Za-z0-9_-]{20}"),
    "a JSON web token": re.compile(rb"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10}"),
    "a password in a URL": re.compile(
        rb"\b[a-z][a-z0-9+]{2,}://[A-Za-z0-9_.-]+:[^\s@:/\"'{}<>*]{3,}@[A-Za-z0-9]"
    ),
}
ASSIGNED = re.compile(
    rb"""(?i)\b[a-z0-9_]*(?:password|passwd|secret|api_?key|access_?key|token)["']?\s*[:=]\s*["']([^"'\s{}$<>%]{8,})["']"""
)
# Formats that run code when they are read, by the name of a file and by its first bytes.
PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".npy", ".npz", ".pt", ".pth")
_PICKLE_BYTES = re.compile(rb"\A\x80[\x02-\x05]")
# Where code of ours would read or write one. Tests may, to see that an error survives it.
UNPICKLES = re.compile(rb"(?m)^\s*(?:import|from)\s+(?:pickle|dill|cloudpickle|joblib|shelve)\b")
# Listening on every address of the machine.
OPEN = re.compile(rb"""["'](?:0\.0\.0\.0|::|\[::\])["']|--host[= ]+0\.0\.0\.0""")

# Values that are no secret: they say themselves that they are for a test, or are told to everybody.
_HARMLESS = re.compile(rb"(?i)\A(?:testing|only-for-this-test|canary|placeholder)|example")


def check(root: Path) -> list[Finding]:
    """Look through every file that is tracked, or would be.

    Raises:
        SpecInvalidError: `root` is no git repository: nobody can say which files belong to it.
    """
    names = _tracked(root)
    findings, read = [], 0
    for name in names:
        path = root / name
        if path.is_symlink() or not path.is_file():
            continue  # deleted, and not yet committed; a link's target is looked at under its own name
        read += 1
        findings += [Finding("found", text) for text in problems(name, path.read_bytes())]
    if not read:
        return [Finding("not checked", f"No file of {root} is tracked. Next: run it in the repository.")]
    return [
        Finding(
            "checked", f"{read} tracked files: key-like strings, pickles, servers that listen everywhere."
        ),
        *findings,
    ]


def problems(name: str, content: bytes) -> Iterator[str]:
    """Sentences about what is wrong with a file; a secret is told by its place, never by its value."""
    for kind, pattern in KEYS.items():
        for match in pattern.finditer(content):
            yield _secret(name, content, match.start(), kind)
    for match in ASSIGNED.finditer(content):
        if not _HARMLESS.search(match[1]) and _is_random(match[1]):
            yield _secret(name, content, match.start(), "a value that is assigned to a secret's name")
    if name.lower().endswith(PICKLES) or _PICKLE_BYTES.match(content):
        yield f"{name} is a pickle, or may hold one: reading it runs its code. Next: keep it as Parquet, JSON or UBJSON."
    if name.endswith(".py") and not name.startswith("tests/"):
        for match in UNPICKLES.finditer(content):
            yield f"{_place(name, content, match.start())} imports a pickle library. Next: use a format without code."
        for match in OPEN.finditer(content):
            yield f"{_place(name, content, match.start())} listens on every address. Next: bind 127.0.0.1 by default."


def _secret(name: str, content: bytes, at: int, kind: str) -> str:
    return (
        f"{_place(name, content, at)} holds {kind}. Next: if it is real, revoke it, for the history keeps it; then read it "
        "from an Airflow connection (docs/security.md)."
    )


def _place(name: str, content: bytes, at: int) -> str:
    line = content.count(b"\n", 0, at) + 1
    return f"{name}:{line}"


def _is_random(value: bytes) -> bool:
    """Letters and digits mixed: a word, a name of a variable or a message is not taken for a key."""
    return bool(re.search(rb"[0-9]", value) and re.search(rb"[A-Za-z]", value))


def _tracked(root: Path) -> Sequence[str]:
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise SpecInvalidError(
            f"git does not list the files of {root}: {done.stderr.decode(errors='replace').strip()[:200]}",
            where=str(root),
            todo="run it in a clone of the repository",
        )
    return [name.decode(errors="surrogateescape") for name in done.stdout.split(b"\0") if name]
