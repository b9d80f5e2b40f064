"""What a scenario acts on and looks at: deliver, run DAGs, read what came of it, and say what was expected."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice import ledger, notify
from sluice.core import retry, runs
from sluice.core.errors import StackError
from sluice.core.partitions import date_of, days_later
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.ledger import model_records, records
from sluice.local import stack
from sluice.local.api import AirflowApi
from sluice_lab import feed
from sluice_lab.rehearsal import healthy, without_airflow
from sluice_lab.rehearsal.healthy import HISTORY, PIPELINE

if TYPE_CHECKING:
    import pyarrow as pa

# The stages that follow a complete day, in order; each is woken by the one before.
CHAIN = ("transform", "score", "monitor")
STAGES = ("ingest", *CHAIN)
# Seconds that one run may take. Airflow finds a task whose process is gone after 300 s without a heartbeat, and tries it again.
_PATIENCE = 600


@dataclass(frozen=True)
class Expectation:
    """One thing that a scenario expects, in words, and what was seen of it."""

    words: str
    ok: bool
    seen: str


@dataclass(frozen=True)
class Mail:
    """A mail that the sink caught."""

    path: Path
    subject: str
    text: str
    headers: Mapping[str, str]

    @property
    def opening(self) -> str:
        """The sentence that it opens with, after its headline."""
        paragraphs = [" ".join(part.split()) for part in self.text.split("\n\n") if part.strip()]
        return paragraphs[1] if len(paragraphs) > 1 else "".join(paragraphs)


@dataclass(frozen=True)
class Run:
    """A DAG run that has ended."""

    dag_id: str
    run_id: str
    state: str
    # Task id to state.
    tasks: Mapping[str, str]

    @property
    def failed(self) -> list[str]:
        """Ids of the tasks that failed themselves, not because of another."""
        return [task for task, state in self.tasks.items() if state == "failed"]

    def __str__(self) -> str:
        return f"{self.dag_id} {self.state}" + (f" at {', '.join(self.failed)}" if self.failed else "")


@dataclass
class World:
    """One rehearsal's Sluice. `days` is how many days a scenario that has no fixed length lives."""

    api: AirflowApi
    say: Callable[[str], None]
    days: int = 30
    # Runs that ended before: Airflow's DAG processor may tell of one that failed when the state is restored already.
    earlier_runs: frozenset[str] = frozenset()
    expectations: list[Expectation] = field(default_factory=list)

    @property
    def spec(self) -> spec.Pipeline:
        """The pipeline as its YAML says now."""
        return spec.load(PIPELINE)

    @property
    def home(self) -> Path:
        return settings().home

    def day(self, offset: int = 0) -> str:
        """The run day so many days after the first that is not in the healthy state."""
        return days_later(HISTORY[1], 1 + offset)

    def expect(self, words: str, condition: object, seen: object = "") -> bool:
        """Note what was expected, whether it is so, and what was seen. A rehearsal goes on after one that is not."""
        self.expectations.append(Expectation(words, bool(condition), str(seen)))
        self.say(f"  {'PASS' if condition else 'FAIL'}  {words}")
        return bool(condition)

    # Acting

    def empty(self) -> None:
        """Begin before the first delivery: no tables, no ledger, no models; declarations only."""
        healthy.empty()
        self.say("nothing has been delivered yet")

    def deliver(
        self,
        day: str,
        *,
        sources: Sequence[str] | None = None,
        corrupt: str | None = None,
        number: int = 1,
        edits: Mapping[str, str] | None = None,
    ) -> None:
        """Deliver what arrives on the morning of a run day.

        Args:
            sources, corrupt, number: as `sluice feed` takes them.
            edits: source to a DuckDB query over `rows`, what it would have delivered; its result is delivered instead.
        """
        feed.deliver(self.spec, day, sources=sources, corrupt=corrupt, number=number)
        for source, query in (edits or {}).items():
            self.deliver_rows(source, day, self.query(query, rows=self.original(source, day)), number=number)
        what = f", edited: {', '.join(edits)}" if edits else f", {corrupt}" if corrupt else ""
        self.say(f"{day}: delivered {', '.join(['what is due'] if sources is None else sources)}{what}")

    def original(self, source: str, day: str) -> pa.Table:
        """The rows of a source that the run of a day would receive."""
        from sluice_lab.feed import data

        return data.rows(source, date_of(self.spec.data_day(source, day)))

    def deliver_rows(
        self, source: str, day: str, rows: pa.Table, *, number: int = 1, **manifest: Any
    ) -> None:
        """Deliver any rows as the delivery of a source for the run of a day."""
        from sluice.ingest import deliveries
        from sluice.lake.landing import Landing
        from sluice_lab.feed.formats import encode

        flights = self.spec
        deliveries.write(
            Landing(flights.landing_url),
            flights,
            source,
            day,
            encode(rows, flights.source(source).format),
            rows=rows.num_rows,
            number=number,
            delivered_at=datetime.combine(date_of(day), time(7 + number), UTC),
            **manifest,
        )

    def query(self, sql: str, **relations: pa.Table) -> pa.Table:
        """Run a DuckDB query over Arrow tables given by name."""
        import duckdb

        with duckdb.connect() as con:
            for name, rows in relations.items():
                con.register(name, rows)
            return con.sql(sql).to_arrow_table()

    def drop_file(self, name: str, content: bytes) -> None:
        """Put a file into the landing zone, under a name relative to it."""
        from sluice.lake.landing import Landing

        Landing(self.spec.landing_url).write(name, content)

    def tamper(self, table: str, day: str, query: str) -> None:
        """Overwrite a published partition behind the pipeline's back, as somebody with access to the lake could.

        Args:
            query: a DuckDB query over `rows`, the partition as it is.
        """
        from sluice.lake import connection

        rows = self.rows(table, day)
        changed = self.query(query, rows=rows).cast(rows.schema)
        with connection.opened() as lake:
            lake.load_table((PIPELINE, table)).overwrite(changed, overwrite_filter=f"ds == '{day}'")
        self.say(f"{table} {day}: overwritten in the lake")

    def stop_mail_server(self) -> None:
        stack.stop(stack.MAIL_SINK)
        self.say("the mail server is down")

    def start_mail_server(self) -> None:
        """Start it and wait until it answers."""
        stack.start_mail_sink()
        address = ("127.0.0.1", settings().smtp_port)
        retry.until(
            lambda: _answers(address),
            seconds=30,
            otherwise=lambda: StackError(
                "The mail server was started and does not answer.",
                where=f"127.0.0.1:{settings().smtp_port}",
                todo="read the end of logs/mail-sink.log in the rehearsal's home",
            ),
        )
        self.say("the mail server is up again")

    def rewrite(self, name: str, old: str, new: str) -> None:
        """Edit a file of the rehearsal's copies, such as `pipelines/flights.yml` or `expectations/flights/planes.json`."""
        path = self.home / name
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise StackError(
                f"{old!r} is {text.count(old)} times in {name}, once was expected.",
                where=str(path),
                todo="correct the scenario: the file has changed since it was written",
            )
        path.write_text(text.replace(old, new), encoding="utf-8")

    def run(self, stage: str, day: str | None = None, **conf: Any) -> Run:
        """Trigger the DAG of a stage, for a run day or with a `conf`, and wait for its end. Nothing follows by itself."""
        return self._run_all(stage, [day], conf)[0]

    def run_together(self, stage: str, days: Sequence[str]) -> list[Run]:
        """As `run`, of several days at the same time."""
        return self._run_all(stage, days, {})

    def _run_all(self, stage: str, days: Sequence[str | None], conf: dict[str, Any]) -> list[Run]:
        dag_id = f"{PIPELINE}_{stage}"
        self.api.set_paused(dag_id, paused=False)
        started = [self.api.trigger(dag_id, partition=day, conf=conf)["dag_run_id"] for day in days]
        ended = [self._ended(dag_id, run_id, day) for run_id, day in zip(started, days, strict=True)]
        if stage in CHAIN:
            self.api.set_paused(dag_id, paused=True)
        return ended

    def live(self, day: str) -> list[Run]:
        """Run a delivered day as the scheduler would: ingest, and each stage woken by the one before, as far as it goes."""
        for stage in CHAIN:
            self.api.set_paused(f"{PIPELINE}_{stage}", paused=False)
        started = self.api.trigger(f"{PIPELINE}_ingest", partition=day)
        runs = [self._ended(f"{PIPELINE}_ingest", started["dag_run_id"], day)]
        for stage in CHAIN:
            if runs[-1].state != "success":
                break
            dag_id = f"{PIPELINE}_{stage}"
            ended = self.api.wait_for_partition(dag_id, day, since=started["run_after"], seconds=_PATIENCE)
            runs.append(self._ended(dag_id, ended["dag_run_id"], day))
        return runs

    def pass_day(self, day: str, stages: Sequence[str] = STAGES) -> model_records.Decided | None:
        """Live a delivered day without Airflow, for scenarios of many days; returns what monitoring decided, if it is among the stages.

        A training that it asks for is part of it. Nothing is mailed: see `without_airflow`.
        """
        run = runs.Run.of_task("rehearsal", f"passed_{day}", "pass_day")
        for stage in (one for one in STAGES[:-1] if one in stages):
            getattr(without_airflow, stage)(self.spec, [day], run)
        decided = without_airflow.monitor(self.spec, day, run) if STAGES[-1] in stages else None
        said = f": {decided.action}: {' '.join(decided.reasons)}" if decided else ""
        self.say(f"{day}: {', '.join(stages)} without Airflow{said}")
        return decided

    def sluice(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the `sluice` command, as a person would; returns what it printed and its exit code."""
        self.say(f"sluice {' '.join(arguments)}")
        return subprocess.run(
            [str(Path(sys.executable).parent / "sluice"), *arguments],
            env=stack.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    # Looking

    def rows(self, table: str, day: str) -> pa.Table:
        """Published rows of one partition (a data day); none where nothing is published."""
        from sluice.lake import tables

        return tables.scan(PIPELINE, table, day, day)

    def published(self, table: str, day: str) -> bool:
        from sluice.lake import tables

        return bool(tables.published(PIPELINE, table, day, day))

    def entries(self, kind: str | None = None, **match: Any) -> list[ledger.Entry]:
        """Entries of the ledger since the healthy state, newest first; `match` as `sluice.ledger.entries` takes it."""
        found = ledger.entries(kind=kind, pipeline=PIPELINE, **match)
        return [entry for entry in found if entry.run != "healthy_state"]

    def mails(self) -> list[Mail]:
        """All mails that were caught, oldest first, without those about runs of an earlier rehearsal, and answers to them.

        Airflow calls back about a failed run in its own time, which may be after the next rehearsal has begun.
        """
        of_earlier = self._of_earlier()
        mails = [_mail(path) for path in sorted(settings().mail.glob("*.eml"))]
        return [
            mail
            for mail in mails
            if of_earlier.isdisjoint(
                (_key(mail.headers["Message-ID"]), _key(mail.headers.get("In-Reply-To", "")))
            )
        ]

    def undelivered(self) -> list[str]:
        """Subjects of the mails that no server has taken yet, oldest first; of the same runs as `mails`."""
        of_earlier = self._of_earlier()
        return [
            entry.record.mail_subject
            for entry in notify.undelivered(PIPELINE)
            if of_earlier.isdisjoint((entry.record.message, entry.record.answers))
        ]

    def _of_earlier(self) -> set[str]:
        """The keys of mails about runs of an earlier rehearsal."""
        return {
            entry.record.message
            for entry in ledger.entries(records.Mail)
            if entry.run in self.earlier_runs and entry.record.message
        }

    def log(self, run: Run, lines: int = 15) -> str:
        """What the failed tasks of a run logged last."""
        return self.api.failures(run.dag_id, run.run_id, lines=lines)

    def _ended(self, dag_id: str, run_id: str, day: str | None) -> Run:
        state = self.api.wait_for_run(dag_id, run_id, seconds=_PATIENCE)
        tasks = {task["task_id"]: task["state"] for task in self.api.tasks(dag_id, run_id)}
        ended = Run(dag_id, run_id, state, tasks)
        self.say(f"{day + ': ' if day else ''}{ended}")
        return ended


def _key(message_id: str) -> str:
    return message_id.removeprefix("<").removesuffix("@sluice>")


def _mail(path: Path) -> Mail:
    message: Any = message_from_bytes(path.read_bytes(), policy=policy.default)
    body = message.get_body(("plain",))
    return Mail(
        path,
        str(message["Subject"]),
        body.get_content().replace("\r\n", "\n") if body else "",
        {name: str(value) for name, value in message.items()},
    )


def _answers(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=1):
            return True
    except OSError:
        return False
