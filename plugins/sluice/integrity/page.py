"""The evidence of a change to a published partition: one self-contained page, its data as JSON beside it."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from sluice.settings import settings


def write(path: str, **about: Any) -> str:
    """Write a page and its JSON, each in one atomic step; returns `path`, relative to `settings().reports`.

    Args:
        about: `kind` (correction or alarm), `title`, `sentence`, `facts` (label -> value) and `diff`, as
            `lake.diff.compare` returns it, or None where the old rows are gone.
    """
    html = settings().reports / path
    html.parent.mkdir(parents=True, exist_ok=True)
    _put(html, _template().render(**about))
    _put(html.with_suffix(".json"), json.dumps(about, indent=2))
    return path


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("sluice.integrity"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("change.html.j2")


def _put(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
