"""The page of a pipeline's model: who scores, what each decision about a candidate rests on, and who was champion when; and its JSON.

The rule kept here: everything shown is what `sluice model history` reads (`sluice.models.history`), each time that it is asked for.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from pydantic_core import to_jsonable_python

from sluice.core.errors import SluiceError
from sluice.core.links import COMPUTED, MONITOR
from sluice.declare import spec
from sluice.lake import evidence
from sluice.models import history, roles
from sluice.web import performance_chart
from sluice.web.partition import STEP
from sluice.web.rendering import HEADERS, MayRead, own, read_or_explain
from sluice_ml import snapshots

# Champions and refusals that are shown: of at most one request to train a week a year. The JSON has all.
SHOWN = 52
# State of a check -> the outcome that has its colour, and its words.
STATES = {
    "PASS": ("PASS", "passes"),
    "FAIL": ("HOLD", "fails"),
    "ERROR": ("ERROR", "error"),
    "INSUFFICIENT": ("WARN", "insufficient data"),
    "NOT_APPLICABLE": ("", "not applicable"),
    "NOT_CHECKED": ("", "not checked"),
}
# The same of what was decided.
OUTCOMES = {
    "promote": ("PASS", "passed"),
    "refuse": ("HOLD", "refused"),
    "insufficient_data": ("WARN", "insufficient data"),
    "experiment": ("WARN", "experiment"),
}


def add_routes(app: FastAPI, readable: Any) -> None:
    """Add the page and its JSON; `readable` is a dependency that gives a `MayRead`."""

    # Before the page, whose pipeline could be called so.
    @app.get(f"/{COMPUTED}/model/{{pipeline}}.json")
    def facts(pipeline: str, may_read: MayRead = readable) -> Response:
        found, problem = _read(pipeline, may_read)
        if problem:
            raise HTTPException(503, problem)
        if not found:
            raise HTTPException(404)
        return JSONResponse(to_jsonable_python(found[0]), headers=HEADERS)

    @app.get(f"/{COMPUTED}/model/{{pipeline}}")
    def model(request: Request, pipeline: str, may_read: MayRead = readable) -> Response:
        found, problem = _read(pipeline, may_read)
        if problem:
            return own(
                request, "unreadable.html.j2", status=503, name=f"The model of {pipeline}", problem=problem
            )
        return own(
            request,
            "model.html.j2",
            pipeline=pipeline,
            history=found[0] if found else None,
            shown=SHOWN,
            states=STATES,
            outcomes=OUTCOMES,
            named=roles.named,
            charts=performance_chart.draw_all(found[0].realised) if found else (),
            height=performance_chart.HEIGHT,
            step=STEP,
            sentence=performance_chart.sentence,
            more=performance_chart.more,
            reports=_reports(pipeline) if found else {},
            words=performance_chart.words,
        )


def _reports(pipeline: str) -> dict[str, list[str]]:
    """The pages about each monitored day that are kept: its own, and Evidently's reports."""
    files: dict[str, list[str]] = {}
    for file in evidence.files(f"{pipeline}/{MONITOR}", below=True):
        day, _, name = file.name.removeprefix(f"{pipeline}/{MONITOR}/").partition("/")
        files.setdefault(day, []).append(name)
    return {
        day: [*(["index"] if "index.html" in names else []), *snapshots.kept(names)]
        for day, names in files.items()
    }


def is_there(pipeline: str) -> bool:
    """Whether a pipeline is declared, can be read and has a model."""
    try:
        return pipeline in spec.pipeline_names() and spec.load(pipeline).has_model
    except SluiceError:
        return False


def _read(pipeline: str, may_read: MayRead) -> tuple[tuple[history.History, ...], str]:
    """What is known of the model, nothing where none is declared; or the problem where it cannot be read."""
    if pipeline not in spec.pipeline_names() or not may_read(pipeline):
        raise HTTPException(404)

    def read() -> tuple[history.History, ...]:
        declared = spec.load(pipeline)
        return (history.read(declared),) if declared.has_model else ()

    return read_or_explain(read)
