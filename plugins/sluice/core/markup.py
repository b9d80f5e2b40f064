"""Text of ours, and of whoever delivers data, as HTML: escaped first, then what is code is shown as code."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from sluice.core.printable import printable_all

if TYPE_CHECKING:
    from jinja2 import Environment

Escaping = bool | Callable[[str | None], bool]

_CODE = re.compile(r"`([^`\n]+)`")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def prose(text: object) -> Markup:
    """Turn a sentence into HTML: what stands between backticks is code, and no day is broken at its hyphens."""
    html = _CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup(_DAY.sub(r'<span style="white-space:nowrap;">\g<0></span>', html))  # noqa: S704 - escaped


def page_environment(package: str) -> Environment:
    """Return what renders the templates of a package's evidence pages: everything that is printed is escaped and printable."""
    return template_environment(package, finalize=printable_all)


def template_environment(package: str, *, autoescape: Escaping = True, **options: Any) -> Environment:
    """Return what renders the templates of a package; a name that is not given to them is an error.

    Its filter `prose` turns a sentence into HTML.

    Args:
        autoescape: whether what is printed is escaped as HTML, or which templates do so, by their name.
        options: further ones of Jinja's environment.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package),
        autoescape=autoescape,  # noqa: S701 - on, but for the templates that are no HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    environment.filters["prose"] = prose
    return environment
