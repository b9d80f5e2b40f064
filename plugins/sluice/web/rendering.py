"""Our own pages as answers: templates, headers, and what a browser lets them do."""

from __future__ import annotations

import hashlib
import logging
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from markupsafe import Markup

from sluice import waivers
from sluice.core.errors import SluiceError
from sluice.core.links import COMPUTED, PREFIX
from sluice.core.markup import page_environment

log = logging.getLogger(__name__)

# Whether a reader may see the evidence of a pipeline, by its name.
MayRead = Callable[[str], bool]

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # Other sites are told nothing; a form needs its own site's origin, which says that it was sent from here.
    "Referrer-Policy": "same-origin",
}

_templates = page_environment("sluice.web")
_templates.filters["path"] = lambda text: quote(str(text))
# One part of a path; and who released something, from its entry of the ledger.
_templates.filters["part"] = lambda text: quote(str(text), safe="")
_templates.filters["sentence"] = lambda entry: waivers.read(entry).sentence()


def script(name: str) -> Markup:
    """The text of one of our scripts, which are in the folder of the templates."""
    text = Path(__file__).with_name("templates").joinpath(f"{name}.js").read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704 - a file of ours


_UI_SCRIPT = script("ui")
_HASHES = " ".join(
    f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    for text in (_UI_SCRIPT, script("frame"))
)


def own(
    request: Request, template: str, *, status: int = 200, may_send: bool = False, **context: Any
) -> Response:
    """One of our own pages.

    Args:
        may_send: whether it has a form.
    """
    # Airflow's base path and the mount's prefix: links hold behind a proxy, whatever host it has.
    base = request.scope.get("root_path", "")
    html = _templates.get_template(template).render(
        base=base,
        computed=f"{base}/{COMPUTED}",
        ui=base.removesuffix(PREFIX),
        ui_script=_UI_SCRIPT,
        **context,
    )
    policy = (
        f"default-src 'none'; script-src {_HASHES}; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; "
        f"form-action '{'self' if may_send else 'none'}'; frame-ancestors 'self'"
    )
    return HTMLResponse(html, status, headers={**HEADERS, "Content-Security-Policy": policy})


def read_or_explain(read: Callable[[], tuple[Any, ...]]) -> tuple[tuple[Any, ...], str]:
    """What is read, or nothing and the problem in words: one pipeline's must not take the page from the others."""
    try:
        return read(), ""
    except SluiceError as error:
        return (), str(error)
    except Exception as error:
        # A file that is gone or damaged: the log has all of it, the page no path or row of whoever's it is.
        log.exception("What a page shows cannot be read")
        return (), f"It cannot be read: {type(error).__name__}. Airflow's log of the API server says more."
