"""Plain sentences as HTML, for pages and mails: escaped first, then what is code is shown as code."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_CODE = re.compile(r"`([^`\n]+)`")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def prose(text: object) -> Markup:
    """Turn a sentence into HTML: what stands between backticks is code, and no day is broken at its hyphens."""
    html = _CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup(_DAY.sub(r'<span style="white-space:nowrap;">\g<0></span>', html))  # noqa: S704 - escaped
