"""Types of the command line's arguments: a wrong one ends the command with what was allowed, before anything is done.

What a day, a table or a source may be is decided where the code that works with it is (`sluice.core.partitions`,
`sluice.declare.spec`), so that Airflow's forms refuse the same values in the same words.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NoReturn

import click

from sluice.core.errors import DayInvalidError, SluiceError, SourceUnknownError
from sluice.core.partitions import day_of, read_day, read_label
from sluice.declare import spec


class _Type(click.ParamType):
    """Has `read`, which returns the value or raises an error of ours; that becomes a usage error (exit code 2)."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name, self._read = name, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value  # click hands on what was converted already
        _check_printable(self, value, param, ctx)
        try:
            return self._read(value)
        except (DayInvalidError, SourceUnknownError) as error:
            _fail(self, error, param, ctx)


class _OfPipeline(click.ParamType):
    """A name that the pipeline of the same command declares. Its argument `pipeline` is eager, so that it is there."""

    def __init__(self, name: str, read: Callable[[spec.Pipeline, str], object]) -> None:
        self.name, self._read = name, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        assert ctx is not None
        _check_printable(self, value, param, ctx)
        try:
            self._read(ctx.params["pipeline"], value)
        except SourceUnknownError as error:
            _fail(self, error, param, ctx)
        return value


def _check_printable(
    kind: click.ParamType, value: str, param: click.Parameter | None, ctx: click.Context | None
) -> None:
    """Neither a database nor a mail can hold half a character, and a terminal must not be steered by a name."""
    if not value.isprintable():
        kind.fail(f"{value!r} has characters that cannot be printed. Allowed: one line of text.", param, ctx)


def _fail(
    kind: click.ParamType, error: SluiceError, param: click.Parameter | None, ctx: click.Context | None
) -> NoReturn:
    allowed = f" Allowed: {error.allowed}." if error.allowed else ""
    kind.fail(f"{error.what}{allowed}", param, ctx)


def _pipeline(name: str) -> spec.Pipeline:
    return spec.load(_declared_name(name))


def _declared_name(name: str) -> str:
    """The name of a pipeline whose declaration may be broken."""
    known = spec.pipeline_names()
    if name not in known:
        raise unknown("pipeline", name, known)
    return name


def _recorded_pipeline(name: str) -> str:
    """A pipeline that is declared, or was once: the ledger remembers."""
    from sluice import ledger

    if name not in spec.pipeline_names() and not ledger.entries(pipeline=name, limit=1):
        raise unknown("pipeline", name, spec.pipeline_names())
    return name


def _kind(name: str) -> str:
    """A kind that is written, or was by an earlier version."""
    from sluice import ledger
    from sluice.ledger.kinds import KINDS

    if name not in KINDS and not ledger.entries(kind=name, limit=1):
        raise unknown("kind of entry", name, sorted(KINDS))
    return name


def unknown(what: str, name: str, known: Collection[str]) -> SourceUnknownError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return SourceUnknownError(
        f"There is no {what} {name!r}.{hint}", allowed=", ".join(known) or "none is declared"
    )


class _Output(click.Path):
    """A file or folder to be written: what cannot be is found before hours of work, not after them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(os.fsdecode(super().convert(value, param, ctx))).resolve()
        folder = path
        while not folder.exists():
            folder = folder.parent
        if folder != path and not (folder.is_dir() and os.access(folder, os.W_OK)):
            self.fail(
                f"{str(path)!r} cannot be written. Allowed: a path in a folder that can be.", param, ctx
            )
        return path


OUTPUT_FILE = _Output(dir_okay=False, writable=True)
OUTPUT_FOLDER = _Output(file_okay=False, writable=True)
TEXT = _Type("text", str)
DAY = _Type("day", lambda text: day_of(read_day(text)))
LABEL = _Type("day", read_label)
PIPELINE = _Type("pipeline", _pipeline)
DECLARED_NAME = _Type("pipeline", _declared_name)
RECORDED_PIPELINE = _Type("pipeline", _recorded_pipeline)
KIND = _Type("kind", _kind)
TABLE = _OfPipeline("table", lambda pipeline, name: pipeline.require_table(name))
SOURCE = _OfPipeline("source", lambda pipeline, name: pipeline.source(name))

pipeline = click.argument("pipeline", type=PIPELINE, is_eager=True)
any_pipeline = click.argument("pipeline", type=PIPELINE, is_eager=True, required=False)
