"""The schema of `dags/pipelines/*.yml`: everything that is particular to a pipeline, in one file.

The schema is strict and frozen: an unknown key is an error that lists the keys that exist. Importing this module is
cheap, because every DAG file does it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from sluice.core import dag_ids, strict_yaml
from sluice.core.errors import ModelNotDeclaredError, SourceUnknownError, SpecInvalidError
from sluice.core.partitions import days_later
from sluice.core.settings import settings
from sluice.declare import consistency
from sluice.declare.broken import BrokenPipeline as BrokenPipeline
from sluice.declare.broken import describe_broken as describe_broken
from sluice.declare.calendars import Expected
from sluice.declare.consistency import MONITORING as MONITORING
from sluice.declare.consistency import PREDICTIONS as PREDICTIONS
from sluice.declare.consistency import QUARANTINE as QUARANTINE
from sluice.declare.contracts import Column as Column
from sluice.declare.contracts import ColumnType as ColumnType
from sluice.declare.contracts import Contract as Contract
from sluice.declare.contracts import Strict as _Strict
from sluice.declare.derived import Derived as Derived
from sluice.declare.derived import History as History
from sluice.declare.field_types import Address, ConnectionId, Cron, Name, NonEmptyStr, TimeZone
from sluice.declare.model import Model as Model
from sluice.declare.monitoring import Monitoring
from sluice.declare.retention import Retention
from sluice.declare.sources import Format as Format
from sluice.declare.sources import Source as Source


class Releases(_Strict):
    """Who may release what is held."""

    # `refuse`: whoever asks for a release may not approve it (the four-eyes principle); a command is one person.
    self_approval: Literal["allow", "refuse"] = "allow"


class Pipeline(_Strict):
    """One data product, with or without a model."""

    model_config = ConfigDict(serialize_by_alias=True)

    pipeline: Name
    title: NonEmptyStr
    owner: NonEmptyStr
    mail_to: tuple[Address, ...] = Field(min_length=1)
    # Airflow connection of a webhook (Slack's format) that is told what `mail_to` is mailed; its password is the URL.
    webhook_connection: ConnectionId | None = None
    # Who is mailed once a day whether yesterday's predictions were fit for use; nobody, by default.
    stakeholders: tuple[Address, ...] = ()
    # `feed`: a replayed pipeline, whose today is the last delivered day; its runs are started by whoever delivers.
    # `wall`: a live pipeline; `schedule` starts its runs.
    clock: Literal["feed", "wall"]
    timezone: TimeZone
    schedule: Cron
    # First run day that anything is expected of; where none is given, the first day that was ever published. What was missed
    # since is made up for, oldest first.
    starts: date | None = None
    # Days of data that there are: no others are waited for, nor missing.
    expected: Expected = Expected()
    # How often a live pipeline looks for what is due and not done, and starts it.
    reconcile_schedule: Cron = "*/5 * * * *"
    # How often the watcher of a live pipeline looks for what did not happen.
    watch_schedule: Cron = "*/30 * * * *"
    # What becomes of a day whose lagging sources (`lag_days` above 0) are held or missing: it is not predicted, or it
    # is predicted from what is published, and every row says how old that is.
    stale_input: Literal["refuse", "mark"] = "refuse"
    # Days back from today that the watcher compares with the hashes recorded at publishing.
    integrity_days: int = Field(35, ge=1)
    # Days after which what is held or quarantined counts as expired.
    hold_days: int = Field(30, ge=1)
    releases: Releases = Releases()
    # How long what is no longer needed is kept: see `sluice.watch.maintenance`.
    retention: Retention = Retention()
    # When the maintenance of a live pipeline runs.
    maintain_schedule: Cron = "30 2 * * *"
    landing: NonEmptyStr
    # What runs the dbt models: DuckDB in the task's own process, or Spark on a cluster (see `sluice.transform.spark`).
    engine: Literal["duckdb", "spark"] = "duckdb"
    # Days of history that the derived tables of one day look back on; needed where there are any.
    history_days: int = Field(1, ge=1)
    # What becomes of a day where some of them are missing.
    history: History = History()
    sources: dict[Name, Source] = Field(min_length=1)
    # None where the published sources are all that is wanted.
    derived: dict[Name, Derived] = {}
    # Both or neither. What is about the model reads `model` and `monitoring`, which raise where there is none.
    declared_model: Model | None = Field(None, alias="model")
    declared_monitoring: Monitoring | None = Field(None, alias="monitoring")

    @model_validator(mode="after")
    def _parts_agree(self) -> Pipeline:
        consistency.check(self)
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Pipeline:
        """As pydantic's, with fields by the names that they have in the file."""
        names = {field.alias or name: name for name, field in type(self).model_fields.items()}
        return super().model_copy(
            update={names[key]: value for key, value in (update or {}).items()}, deep=deep
        )

    @property
    def has_model(self) -> bool:
        return self.declared_model is not None

    @property
    def is_critical(self) -> bool:
        """Whether a person has to approve a champion."""
        return self.declared_model is not None and self.declared_model.criticality == "critical"

    @property
    def is_tuned(self) -> bool:
        """Whether a search for other parameters is declared."""
        return self.declared_model is not None and self.declared_model.tuning is not None

    @property
    def model(self) -> Model:
        """The declared model.

        Raises:
            ModelNotDeclaredError: there is none.
        """
        if self.declared_model is None:
            raise self._without_model()
        return self.declared_model

    @property
    def monitoring(self) -> Monitoring:
        """How the model's predictions are monitored; raises as `model`."""
        if self.declared_monitoring is None:
            raise self._without_model()
        return self.declared_monitoring

    def _without_model(self) -> ModelNotDeclaredError:
        return ModelNotDeclaredError(
            f"Pipeline {self.pipeline!r} declares no model: nothing is scored, trained or monitored.",
            where=f"dags/pipelines/{self.pipeline}.yml",
            allowed="a pipeline with `model` and `monitoring`",
            todo="choose another pipeline, or declare both, as dags/pipelines/flights.yml does",
        )

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that there is a DAG of."""
        lacks = {
            *(() if self.derived else dag_ids.OF_DERIVED),
            *(() if self.has_model else dag_ids.OF_MODEL),
            *(() if self.is_critical else dag_ids.OF_CRITICAL_MODEL),
            *(() if self.is_tuned else dag_ids.OF_TUNED_MODEL),
        }
        return tuple(stage for stage in dag_ids.STAGES if stage not in lacks)

    @property
    def features_table(self) -> str | None:
        """The table that the model reads; None where there is no model."""
        return self.declared_model.features_table if self.declared_model else None

    @property
    def outcomes_table(self) -> str | None:
        """The table with what became of what was predicted; None where there is no model."""
        return self.declared_model.outcomes_table if self.declared_model else None

    @property
    def tables(self) -> list[str]:
        """All tables of the pipeline, each with a suite of its own."""
        return [*self.sources, *self.derived, *((PREDICTIONS,) if self.has_model else ())]

    def lag_days(self, table: str) -> int:
        """Days between a run's partition key and the day of the partition of `table` that the run writes."""
        declared = self.sources.get(table) or self.derived.get(table)
        return declared.lag_days if declared else 0

    def expected_of(self, table: str) -> Expected:
        """Which days of data of a table are expected."""
        declared = self.sources.get(table)
        return declared.expected or self.expected if declared else self.expected

    @property
    def prediction_hour(self) -> int | None:
        """Local hour of the day at which `schedule` fires; None where it is not a single one."""
        hour = self.schedule.split()[1]
        return int(hour) if hour.isdigit() else None

    def history_of(self, table: str) -> int:
        """Days before its own that a day of a derived table is made from."""
        declared = self.derived[table].history_days
        return self.history_days if declared is None else declared

    def engine_of(self, table: str) -> Literal["duckdb", "spark"]:
        """What a derived table is built by."""
        return self.derived[table].engine or self.engine

    def missing_history_of(self, table: str) -> History:
        """What becomes of a derived table where history is missing."""
        return self.derived[table].history or self.history

    def stage_of(self, table: str) -> str:
        """The stage whose DAG writes a table."""
        if table in self.sources:
            return "ingest"
        return "transform" if table in self.derived else "score"

    def may_be_empty(self, table: str) -> bool:
        """Whether a day of a table may be published without rows."""
        declared = self.sources.get(table) or self.derived.get(table)
        return declared.may_be_empty if declared else False

    def rows_from(self, table: str) -> str | None:
        """The table whose rows become those of a derived table or of the predictions; None where it is not declared."""
        return self.model.features_table if table == PREDICTIONS else self.derived[table].rows_from

    def owner_of(self, table: str) -> str:
        declared = self.sources.get(table) or self.derived.get(table)
        return declared.owner if declared else self.owner

    def max_changed_by_code(self, table: str) -> float:
        """Share of the rows of a derived table, or of the predictions, that a change of code may change without a release."""
        return (
            self.model.max_changed_by_code
            if table == PREDICTIONS
            else self.derived[table].max_changed_by_code
        )

    def key_of(self, table: str) -> tuple[str, ...]:
        """Columns of the business key of a table."""
        declared = self.sources.get(table) or self.derived.get(table)
        return declared.key if declared else (self.model.key,)

    def source(self, name: str) -> Source:
        """Return a declared source.

        Raises:
            SourceUnknownError: `name` is not declared.
        """
        if name not in self.sources:
            todo = "declare the source there, or correct the name of the delivery"
            raise self._unknown(f"declares no source {name!r}", self.sources, todo)
        return self.sources[name]

    def require_table(self, name: str) -> str:
        """Return the name of a declared table.

        Raises:
            SourceUnknownError: the pipeline has no table of this name.
        """
        if name not in self.tables:
            raise self._unknown(f"has no table {name!r}", self.tables, "correct the name of the table")
        return name

    def _unknown(self, what: str, known: Iterable[str], todo: str) -> SourceUnknownError:
        return SourceUnknownError(
            f"Pipeline {self.pipeline!r} {what}.",
            where=f"dags/pipelines/{self.pipeline}.yml",
            allowed=", ".join(known),
            todo=todo,
        )

    def may_quote(self, table: str | None) -> bool:
        """Whether nobody is meant by values of a table, or of any where it is derived or None, so that they can be shown."""
        sources = [self.sources[table]] if table in self.sources else self.sources.values()
        return all(source.pii == "none" for source in sources)

    def data_day(self, table: str, run_day: str) -> str:
        """The day (YYYY-MM-DD) of `table` that the run of `run_day` writes."""
        return days_later(run_day, -self.lag_days(table))

    def run_day(self, table: str, day: str) -> str:
        """The run day (YYYY-MM-DD, a partition key) whose run writes `day` of `table`."""
        return days_later(day, self.lag_days(table))

    @property
    def landing_url(self) -> str:
        """Folder or s3:// URL of the landing zone; a relative path is under the home folder."""
        url = settings().landing or self.landing
        return url if "://" in url or url.startswith("/") else str(settings().home / url)


def pipeline_names() -> list[str]:
    """Names of all declared pipelines, sorted; also of those whose YAML cannot be used."""
    return sorted(path.stem for path in settings().pipelines.glob("*.yml") if not path.name.startswith("."))


def load_all() -> list[Pipeline]:
    """All pipelines whose YAML can be used, in the order of their names; `broken_pipelines` has the others."""
    return [each for each in _each() if isinstance(each, Pipeline)]


def load_with(stage: str) -> list[Pipeline]:
    """As `load_all`, those that have a DAG of a stage."""
    return [each for each in load_all() if stage in each.stages]


def broken_pipelines() -> list[BrokenPipeline]:
    """All pipelines whose YAML cannot be used, in the order of their names."""
    return [each for each in _each() if isinstance(each, BrokenPipeline)]


def _each() -> Iterator[Pipeline | BrokenPipeline]:
    for name in pipeline_names():
        try:
            yield load(name)
        except SpecInvalidError as error:
            yield describe_broken(name, error)


def load(name: str) -> Pipeline:
    """Read and check one pipeline's YAML.

    Raises:
        SpecInvalidError: the file is missing, is not YAML, or breaks the schema; lists every problem.
    """
    path = settings().pipelines / f"{name}.yml"
    # Looked up among the names that there are: a name from a command may be no name of a file at all.
    if name not in pipeline_names():
        raise SpecInvalidError(
            f"There is no pipeline {name!r}.",
            where=str(path),
            allowed=", ".join(pipeline_names()) or "none is declared",
            todo="correct the name or add the file",
        )
    return parse(path)


def parse(path: Path, *, name: str | None = None) -> Pipeline:
    """As `load`, for a path, of the pipeline of that name; without one, of that of the file."""
    return validate(strict_yaml.read(path), path, name=name)


def validate(raw: object, path: Path, *, name: str | None = None) -> Pipeline:
    """As `parse`, for what was read from a path."""
    try:
        pipeline = Pipeline.model_validate(raw)
    except ValidationError as error:
        problems = strict_yaml.problems(error, Pipeline, quotes=True)
        raise SpecInvalidError(
            f"{len(problems)} problem(s): {strict_yaml.in_a_line(problems)}",
            where=str(path),
            todo="correct the file and run `sluice check`",
        ) from error
    if pipeline.pipeline != (wanted := name or path.stem):
        raise SpecInvalidError(
            f"The pipeline is called {pipeline.pipeline!r} but {f'{wanted!r} is meant' if name else f'its file {path.name!r}'}.",
            where=str(path),
            allowed=f"pipeline: {wanted}",
            todo="give both the same name",
        )
    return pipeline
