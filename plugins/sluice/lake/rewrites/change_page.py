"""The evidence of a change to a published partition: one self-contained page, its data as JSON beside it."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from jinja2 import Template

from sluice.core import failpoints
from sluice.core.markup import page_environment
from sluice.lake import evidence


def write(path: str, **about: Any) -> str:
    """Write a page and its JSON, each in one atomic step; returns `path`, its name as evidence.

    Args:
        about: `kind` (correction or alarm), `title`, `sentence`, `facts` (label -> value) and `diff`, as
            `lake.diff.compare` returns it, or None where the old rows are gone.
    """
    evidence.write(path, _template().render(**about).encode())
    failpoints.hit("publish.change_page_written")
    evidence.write(evidence.data_of(path), json.dumps(about, indent=2).encode())
    failpoints.hit("publish.change_written")
    return path


@lru_cache(maxsize=1)
def _template() -> Template:
    return page_environment("sluice.lake.rewrites").get_template("change.html.j2")
