"""What is held of all pipelines that a reader may see, and the forms that bring it back.

The rule kept here: nothing is decided here. The list is that of `sluice held`; a form is refused by what refuses the command
and the DAG's first task; and it starts the very DAG that Airflow's own form starts, through Airflow's API, as the user who is
logged in: his rights, the DAG's approval and its records hold as ever.

A form counts only if one of these pages sent it: Airflow's login cookie is not sent along with another site's form
(SameSite=Lax), and the browser's own word about where a form comes from is asked for besides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from sluice import holds, ledger
from sluice.core.errors import DeliveryMissingError, SluiceError
from sluice.core.links import COMPUTED
from sluice.declare import pipeline_clock, spec
from sluice.holds import Hold
from sluice.watch import held
from sluice.web.rendering import MayRead, own, read_or_explain

# What a hold can be brought back by, each with the DAG of its name.
ACTIONS = ("replay", "release")

# Of a form that is sent; a reason is a sentence.
_MAX_BYTES = 20_000


class Runs(Protocol):
    """Runs of Airflow, with the rights of a user."""

    @property
    def user(self) -> str:
        """His name, as Airflow records it with what he starts."""

    def may_start(self, dag_id: str) -> bool: ...

    async def start(
        self, dag_id: str, conf: Mapping[str, str], *, run_id: str, again: str | None
    ) -> tuple[str, bool]:
        """Start a run, once for one `run_id`; it is tried again only where it failed.

        Args:
            run_id: what its id begins with.
            again: the DAG whose run it is to run again; None where it runs none.

        Returns:
            Its id, and whether it was started now, not by an earlier click.

        Raises:
            RunRefusedError: Airflow refuses it, in its own words.
        """


class NobodysRuns:
    """Of an application without an Airflow: nobody may start anything."""

    user = ""

    def may_start(self, dag_id: str) -> bool:
        return False

    async def start(
        self, dag_id: str, conf: Mapping[str, str], *, run_id: str, again: str | None
    ) -> tuple[str, bool]:
        raise HTTPException(403)


@dataclass(frozen=True)
class Line:
    """A line of the list, and what the reader of the page may do about it."""

    of: held.Line
    # Action -> why it cannot be asked for here; "" where it can.
    actions: Mapping[str, str]


def add_routes(app: FastAPI, readable: Any, startable: Any) -> None:
    """Add the page of what is held and its forms; the two are dependencies that give a `MayRead` and the `Runs`."""

    @app.get(f"/{COMPUTED}/held")
    def all_held(request: Request, may_read: MayRead = readable, runs: Runs = startable) -> Response:
        found: list[held.Held] = []
        lines: list[Line] = []
        problems: dict[str, str] = {}
        for name in filter(may_read, spec.pipeline_names()):
            read, problem = read_or_explain(lambda name=name: _read(name, runs))  # type: ignore[misc]
            if read:
                listed, its_lines = read
                problem = listed.problem
                found.append(listed)
                lines += its_lines
            if problem:
                problems[name] = problem
        return own(
            request,
            "held.html.j2",
            lines=sorted(lines, key=lambda line: (line.of.hold.since, line.of.hold.table)),
            found=found,
            problems=problems,
        )

    path = f"/{COMPUTED}/{{action}}/{{pipeline}}/{{table}}/{{day}}"

    @app.get(path)
    def form(
        request: Request,
        action: str,
        pipeline: str,
        table: str,
        day: str,
        batch: str | None = None,
        may_read: MayRead = readable,
        runs: Runs = startable,
    ) -> Response:
        seen = {} if batch is None else {"batch": batch}
        return _form(request, action, _declared(action, pipeline, may_read), table, day, runs, seen=seen)

    @app.post(path)
    async def start(
        request: Request,
        action: str,
        pipeline: str,
        table: str,
        day: str,
        may_read: MayRead = readable,
        runs: Runs = startable,
    ) -> Response:
        _require_own_form(request)
        declared = await run_in_threadpool(_declared, action, pipeline, may_read)
        dag_id = _dag_id(pipeline, action)
        if not await run_in_threadpool(runs.may_start, dag_id):
            raise HTTPException(403, _no_right(dag_id))
        given = await _fields(request)
        try:
            asked, hold = await run_in_threadpool(_asked, declared, action, table, day, given)
            run_id, is_new = await runs.start(
                dag_id,
                asked,
                run_id=f"page__{table}__{hold.partition}__{given['number']}",
                again=None if _gives_up(action, hold) else hold.dag_id,
            )
        except SluiceError as error:
            return await run_in_threadpool(
                _form, request, action, declared, table, day, runs, given=given, refused=str(error)
            )
        return own(
            request,
            "started.html.j2",
            status=200 if is_new else 409,
            action=action,
            asked=asked,
            dag_id=dag_id,
            run_id=run_id,
            is_new=is_new,
            by=runs.user,
        )


def _declared(action: str, pipeline: str, may_read: MayRead) -> spec.Pipeline:
    """The pipeline of a form.

    Raises:
        HTTPException: 404, where there is no such form, or none that the reader may see.
    """
    if action not in ACTIONS or pipeline not in spec.pipeline_names() or not may_read(pipeline):
        raise HTTPException(404)
    try:
        return spec.load(pipeline)
    except SluiceError as error:  # the page of what is held says what is wrong with it
        raise HTTPException(404) from error


def _read(name: str, runs: Runs) -> tuple[held.Held, list[Line]]:
    declared = spec.load(name)
    listed = held.read(declared)
    rights = {action: runs.may_start(_dag_id(name, action)) for action in ACTIONS}
    lines = [
        Line(
            line,
            {
                action: _cannot(declared, line.hold, action, has_right=right)
                for action, right in rights.items()
                if action == "replay" or line.hold.is_releasable
            },
        )
        for line in listed.lines
    ]
    return listed, lines


def _cannot(declared: spec.Pipeline, hold: Hold, action: str, *, has_right: bool) -> str:
    """Why an action cannot be asked for on a page; "" where it can."""
    if not has_right:
        return _no_right(_dag_id(hold.pipeline, action))
    try:
        if not _gives_up(action, hold):
            holds.require_run(declared, hold)
    except SluiceError as error:
        return str(error)
    return ""


def _gives_up(action: str, hold: Hold) -> bool:
    """Whether there is no run to run again, because a replay of it only gives it up."""
    return action == "replay" and hold.overdue


def _no_right(dag_id: str) -> str:
    return (
        f"Your user may read this, and may not start runs of {dag_id}: ask whoever gives rights in Airflow."
    )


def _dag_id(pipeline: str, action: str) -> str:
    return f"{pipeline}_{action}"


def _asked(
    declared: spec.Pipeline, action: str, table: str, day: str, given: Mapping[str, str]
) -> tuple[dict[str, str], Hold]:
    """What the DAG is to be started with, and what it is about, after the checks that its first task makes again.

    Raises:
        SluiceError: as `holds.require_held`, `holds.require_as_seen`, `holds.request` and `holds.require_run`.
        HTTPException: 400, where it was not sent by one of these forms.
    """
    if not re.fullmatch("[0-9]{1,20}", given.get("number", "")):
        raise HTTPException(400)
    # Whether it is too old changes what a replay does, and nothing about a release.
    seen = {name: given.get(name, "") for name in ("batch", *(["overdue"] if action == "replay" else []))}
    hold = holds.require_held(declared, table, day)
    holds.require_as_seen(declared, hold, seen)
    asked = {"table": table, "day": day, **seen}
    if action == "release":
        asked |= {name: given.get(name, "").strip() for name in ("why", "until")}
        hold = holds.request(declared, table, day, why=asked["why"], until=asked["until"])
    if not _gives_up(action, hold):
        holds.require_run(declared, hold)
    return asked, hold


def _form(
    request: Request,
    action: str,
    declared: spec.Pipeline,
    table: str,
    day: str,
    runs: Runs,
    *,
    seen: Mapping[str, str] = {},
    given: Mapping[str, str] | None = None,
    refused: str = "",
) -> Response:
    """The form with what it is about; only the reason, where nothing is there that it could be about, or not what was `seen`."""
    hold, today = None, None
    try:
        hold = holds.require_held(declared, table, day)
        holds.require_as_seen(declared, hold, seen)
        if action == "release":
            holds.require_releasable(declared, hold)
        today = _today(declared)
    except SluiceError as error:
        hold, refused = None, refused or str(error)
    dag_id = _dag_id(declared.pipeline, action)
    cannot = _cannot(declared, hold, action, has_right=runs.may_start(dag_id)) if hold else ""
    return own(
        request,
        "form.html.j2",
        status=400 if refused else 200,
        may_send=True,
        action=action,
        pipeline=declared.pipeline,
        table=table,
        day=day,
        hold=hold,
        number=_number(declared, hold) if hold else 0,
        hold_days=declared.hold_days,
        two_people=declared.releases.self_approval == "refuse",
        cannot=cannot,
        today=today,
        given=given or {},
        refused=refused,
        dag_id=dag_id,
        by=runs.user,
    )


def _number(declared: spec.Pipeline, hold: Hold) -> int:
    """The ledger's newest number about the days of a hold, without mails: a decision about it has a new one."""
    entries = ledger.entries(pipeline=declared.pipeline, subject=hold.table, days=hold.days)
    return next((entry.seq for entry in entries if entry.kind != "mail"), 0)


def _today(declared: spec.Pipeline) -> date | None:
    try:
        return pipeline_clock.today(declared)
    except DeliveryMissingError:  # its files came without a feed
        return None


def _require_own_form(request: Request) -> None:
    """Refuse what was not sent by a page of this very site.

    `Sec-Fetch-Site` is set by the browser alone, on https and on localhost; elsewhere `Origin` names the page's host.

    Raises:
        HTTPException: 403.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin", "")
    named = bool(origin) and urlsplit(origin).netloc == request.headers.get("host")
    same = named if site is None else site == "same-origin"
    if not same:
        raise HTTPException(403, "This form was not sent by a page of Airflow's.")


async def _fields(request: Request) -> dict[str, str]:
    """What a form has sent.

    Raises:
        HTTPException: 413 for more than a person types, 400 for what is no text.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise HTTPException(413)
    try:
        return dict(parse_qsl(body.decode("ascii"), errors="strict"))
    except UnicodeDecodeError as error:
        raise HTTPException(400) from error
