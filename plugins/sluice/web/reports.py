"""The evidence pages over HTTP, for whoever the caller's `reader` dependency lets in.

Two kinds of answers, kept apart by their Content-Security-Policy:

- Reports (/-/...) are documents made from data by other people's libraries. They are sandboxed into an origin of
  their own: their scripts run, but cannot reach the network or act as the logged-in reader.
- The index and the frame around a report are ours and keep Airflow's origin, which is what makes links work: a browser
  sends the login cookie only with requests that come from Airflow's own origin, so a link followed inside a sandboxed
  report would end at 401. Navigation therefore lives in the frame. A report can ask it, by the name of a file, to follow
  one of the frame's own links; that script is all that these pages run, and the policy knows it by its hash.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sluice.web import index, released

DAYS_ON_INDEX = 7
DAYS_ON_PIPELINE = 31

TYPES = {".html": "text/html; charset=utf-8", ".json": "application/json"}

_TEMPLATES = Path(__file__).parent / "templates"

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_COMMON = "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
FRAME_SCRIPT = Markup((_TEMPLATES / "frame.js").read_text(encoding="utf-8"))  # noqa: S704 - a file of ours
_HASH = b64encode(hashlib.sha256(FRAME_SCRIPT.encode()).digest()).decode()
OWN_POLICY = (
    f"default-src 'none'; script-src 'sha256-{_HASH}'; style-src 'unsafe-inline'; frame-src 'self'; {_COMMON}"
)
# 'unsafe-eval': the bundles of Evidently and dbt docs compile templates with `new Function`.
REPORT_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    f"style-src 'unsafe-inline'; img-src data: blob:; font-src data:; connect-src 'none'; {_COMMON}"
)

_templates = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["path"] = quote


def create_app(
    reports: Path, *, reader: Callable[..., Any], untold: Callable[[], Sequence[str]] = tuple
) -> FastAPI:
    """The application that serves `reports`.

    Args:
        reports: the folder of evidence; it need not exist yet.
        reader: a FastAPI dependency that raises unless the request may read evidence. Every route depends on it.
        untold: gives the mails that could not be delivered, as sentences; the index shows them.
    """
    app = FastAPI(dependencies=[Depends(reader)], docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    def all_pipelines(request: Request) -> Response:
        found = [index.read(reports, name, days=DAYS_ON_INDEX) for name in index.pipelines(reports)]
        return _own(
            request,
            "index.html.j2",
            evidence=[one for one in found if one],
            released={name: released.read(name) for name in index.pipelines(reports)},
            untold=untold(),
            pipeline=None,
        )

    @app.get("/-/{path:path}")
    def report(path: str) -> Response:
        found = find(reports, path)
        return FileResponse(
            found,
            media_type=TYPES[found.suffix],
            headers={**_HEADERS, "Content-Security-Policy": REPORT_POLICY},
        )

    @app.get("/{path:path}")
    def page(request: Request, path: str, before: str | None = None) -> Response:
        pipeline = path.strip("/")
        evidence = index.read(reports, pipeline, days=DAYS_ON_PIPELINE, before=before)
        if evidence:
            return _own(
                request,
                "index.html.j2",
                evidence=[evidence],
                released={pipeline: released.read(pipeline)},
                untold=(),
                pipeline=pipeline,
            )
        found = find(reports, path)
        siblings = index.siblings(found)
        data = found.with_suffix(".json")
        return _own(
            request,
            "frame.html.j2",
            path=path,
            parts=path.split("/"),
            data=None if siblings or not data.is_file() else path.removesuffix(found.suffix) + ".json",
            siblings=siblings,
            script=FRAME_SCRIPT,
            released=released.of_page(path),
        )

    @app.exception_handler(404)
    def missing(request: Request, _error: Exception) -> Response:
        return _own(request, "missing.html.j2", status=404)

    return app


def find(reports: Path, path: str) -> Path:
    """The file at `path` under `reports`.

    Raises:
        HTTPException: 404, if there is none, it is of a kind that is not served, or it is outside the folder,
            by its name or through a link.
    """
    try:
        root, found = Path(os.path.realpath(reports)), Path(os.path.realpath(reports / path))
        if found.is_relative_to(root) and found.suffix in TYPES and found.is_file():
            return found
    except (OSError, ValueError):
        # A name that no file can have: too long, or with a NUL in it.
        pass
    raise HTTPException(status_code=404)


def _own(request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
    # Airflow's base path and the mount's prefix: links hold behind a proxy, whatever host it has.
    html = _templates.get_template(template).render(base=request.scope.get("root_path", ""), **context)
    return HTMLResponse(html, status, headers={**_HEADERS, "Content-Security-Policy": OWN_POLICY})
