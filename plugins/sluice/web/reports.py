"""The evidence pages over HTTP: each reader sees those of the pipelines that the caller's `reader` dependency lets him read.

Three kinds of answers, kept apart by their Content-Security-Policy:

- Reports (/-/...) are documents made from data by other people's libraries. They are sandboxed into an origin of
  their own: their scripts run, but cannot reach the network or act as the logged-in reader.
- The index and the frame around a report are ours and keep Airflow's origin, which is what makes links work: a browser
  sends the login cookie only with requests that come from Airflow's own origin, so a link followed inside a sandboxed
  report would end at 401. Navigation therefore lives in the frame. A report can ask it, by the name of a file, to follow
  one of the frame's own links. That script and the one that follows Airflow's theme are all that these pages run, and the
  policy knows them by their hashes.
- What is computed when it is asked for, under /_/, is in `held`, `partition`, `ledger_page` and `model_page` beside this: only its forms
  may send anything, and only here.

Whose a file is, its name says: through links and `..` nobody reads another pipeline's. What a reader may not read is answered like what is not
there. A pipeline whose declaration, clock or ledger cannot be read keeps its pages, and its row says so.
"""

from __future__ import annotations

import logging
import lzma
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from sluice.core.errors import SluiceError
from sluice.core.links import MONITOR
from sluice.declare import spec
from sluice.lake import evidence
from sluice.web import card_page, held, index, ledger_page, model_page, partition, released
from sluice.web.rendering import HEADERS, MayRead, own, read_or_explain, script
from sluice_ml import snapshots

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Card:
    """How a pipeline stands now."""

    # Outcome of a verdict that has its colour: PASS, WARN or HOLD.
    outcome: str
    sentence: str
    reasons: Sequence[str]
    # By name.
    facts: Sequence[tuple[str, str]]
    # Run days, oldest first, each with the outcome that has its colour, and in words.
    strip: Sequence[tuple[str, str, str]]


DAYS_ON_INDEX = 7
DAYS_ON_PIPELINE = 31

TYPES = {".html": "text/html; charset=utf-8", ".json": "application/json"}

FRAME_SCRIPT = script("frame")
# 'unsafe-eval': the bundles of Evidently and dbt docs compile templates with `new Function`.
REPORT_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; connect-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)


def create_app(
    *,
    reader: Callable[..., MayRead],
    runs: Callable[..., held.Runs] = held.NobodysRuns,
    undelivered: Callable[[MayRead], Sequence[str]] = lambda _: (),
    today: Callable[[str], Card | None] = lambda _: None,
) -> FastAPI:
    """The application that serves the evidence.

    Args:
        reader: a FastAPI dependency that raises unless the request is of somebody who is logged in, and returns which
            pipelines he may read. Every route depends on it.
        runs: a FastAPI dependency that gives the runs of Airflow, with the rights of whoever is logged in.
        undelivered: gives the mails that could not be delivered, as sentences; the index shows them.
        today: gives how a pipeline stands now, by its name; the index shows it above the pipeline's pages.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    readable = Depends(reader)
    # Before the forms, whose routes have as many parts.
    partition.add_routes(app, readable)
    ledger_page.add_routes(app, readable)
    model_page.add_routes(app, readable)
    card_page.add_routes(app, readable)
    held.add_routes(app, readable, Depends(runs))

    @app.get("/")
    def all_pipelines(request: Request, may_read: MayRead = readable) -> Response:
        broken = {each.pipeline for each in spec.broken_pipelines()}
        names = [name for name in sorted({*index.pipelines(), *broken}) if may_read(name)]
        releases = {name: _released(name) for name in names}
        cards = {name: read_or_explain(partial(_card, today, name)) for name in names}
        lines, problem = read_or_explain(lambda: tuple(undelivered(may_read)))
        return own(
            request,
            "index.html.j2",
            evidence=[index.read(name, days=DAYS_ON_INDEX) or index.empty(name) for name in names],
            released={name: found for name, (found, _) in releases.items()},
            cards={name: found[0] for name, (found, _) in cards.items() if found},
            problems={name: said or cards[name][1] for name, (_, said) in releases.items()},
            unsent=[*lines, *([problem] if problem else [])],
            with_model=[name for name in names if model_page.is_there(name)],
            pipeline=None,
        )

    @app.get("/-/{path:path}")
    def report(path: str, may_read: MayRead = readable) -> Response:
        name, content = find(path, may_read)
        headers = {**HEADERS, "Content-Security-Policy": REPORT_POLICY}
        if name.endswith(snapshots.ENDING):
            return HTMLResponse(_rendered(name, content), headers=headers)
        return Response(content, media_type=TYPES[PurePosixPath(name).suffix], headers=headers)

    @app.get("/{path:path}")
    def page(
        request: Request, path: str, before: str | None = None, may_read: MayRead = readable
    ) -> Response:
        pipeline = path.strip("/")
        evidence = index.read(pipeline, days=DAYS_ON_PIPELINE, before=before)
        if evidence and may_read(pipeline):
            releases, problem = _released(pipeline)
            return own(
                request,
                "index.html.j2",
                evidence=[evidence],
                released={pipeline: releases},
                cards={},
                problems={pipeline: problem},
                unsent=(),
                with_model=[pipeline] if model_page.is_there(pipeline) else [],
                pipeline=pipeline,
            )
        name, _ = find(path, may_read)
        siblings = index.siblings(name)
        # Of several pages about one partition each is listed with its own.
        data = "" if siblings else next(_served([index.data_of(name)]), ("", b""))[0]
        releases, problem = read_or_explain(lambda: released.of_page(path))
        return own(
            request,
            "frame.html.j2",
            path=path,
            parts=path.split("/"),
            data=data or None,
            siblings=siblings,
            partition=index.partition_of(path),
            monitored=path.split("/")[1] == MONITOR,
            frame_script=FRAME_SCRIPT,
            released=releases,
            problem=problem,
        )

    @app.exception_handler(SluiceError)
    def unreadable(request: Request, error: Exception) -> Response:
        return own(request, "unreadable.html.j2", status=503, name="The evidence", problem=str(error))

    @app.exception_handler(404)
    def missing(request: Request, _error: Exception) -> Response:
        return own(request, "missing.html.j2", status=404)

    return app


def find(path: str, may_read: MayRead) -> tuple[str, bytes]:
    """The name and the content of what is shown as `path`: of a page that is kept as a snapshot, the snapshot.

    Raises:
        HTTPException: 404, if there is none, it is of a kind that is not served, it is outside of the evidence, by its name
            or through a link, or it is of a pipeline that the reader may not read.
    """
    pipeline, _, below = path.partition("/")
    found = next(_served([path, index.snapshot_of(path)]), None) if below and may_read(pipeline) else None
    if found is None:
        raise HTTPException(status_code=404)
    return found


def _served(names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Those of some files that are there and of a kind that is served."""
    for name in names:
        if PurePosixPath(name).suffix in TYPES or name.endswith(snapshots.ENDING):
            try:
                yield name, evidence.read(name)
            except (OSError, ValueError):
                # Also a name that no file can have: too long, or with a NUL in it.
                continue


def _rendered(name: str, snapshot: bytes) -> str:
    try:
        return snapshots.render(snapshot)
    except (ValueError, EOFError, LookupError, TypeError, AttributeError, lzma.LZMAError) as error:
        # Damaged, or of a version of Evidently that the present one cannot read.
        log.warning("%s cannot be rendered: %s", name, error)
        raise HTTPException(status_code=404) from error


def _card(today: Callable[[str], Card | None], pipeline: str) -> tuple[Card, ...]:
    found = today(pipeline)
    return (found,) if found else ()


def _released(pipeline: str) -> tuple[tuple[released.Released, ...], str]:
    """What of a pipeline rests on a waiver, and the problem where that, or its declaration, cannot be read."""

    def read() -> tuple[released.Released, ...]:
        if pipeline in spec.pipeline_names():
            spec.load(pipeline)
        return released.read(pipeline)

    return read_or_explain(read)
