"""Text of ours, and of whoever delivers data, as HTML: escaped first, then what is code is shown as code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from sluice.core.printable import printable_all

if TYPE_CHECKING:
    from jinja2 import Environment

_CODE = re.compile(r"`([^`\n]+)`")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def prose(text: object) -> Markup:
    """Turn a sentence into HTML: what stands between backticks is code, and no day is broken at its hyphens."""
    html = _CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup(_DAY.sub(r'<span style="white-space:nowrap;">\g<0></span>', html))  # noqa: S704 - escaped


def page_environment(package: str) -> Environment:
    """Return what renders the templates of a package's evidence pages: everything that is printed is escaped and printable.

    Its filter `prose` turns a sentence into HTML.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=printable_all,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = prose
    return environment
