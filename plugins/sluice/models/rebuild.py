"""A registered version, trained again from what the ledger recorded of its training: the same bytes, or what is no longer the same.

The rule kept here: rows come from the snapshots that the training had pinned, and the recipe is the recorded one, whatever the YAML
declares today. Nothing is registered, and nothing else is recorded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from sluice import ledger
from sluice.core.errors import ModelNotRecordedError
from sluice.core.version import code_version
from sluice.ledger import Entry, model_records
from sluice.models import trainset
from sluice.models.config import model_config, registry

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice_ml.config import ModelConfig
    from sluice_ml.model import ModelMeta

# Of the recorded settings: what decides which rows are read, by its name in the YAML's `model`.
_READ = ("key", "label", "baseline", "training_days", "known_at", "happens_at")
# What does not change what is learned: what must hold of a candidate besides, and how many cores trained it.
_NOT_LEARNED = ("gate", "threads", "outlier_share")
_UNRECORDED = "not recorded"


@dataclass(frozen=True)
class Rebuilt:
    """What came out, beside what was recorded."""

    pipeline: str
    model: str
    version: int
    # The run day (YYYY-MM-DD) of the training and its entry in the ledger.
    day: str
    entry: int
    snapshots: Mapping[str, int]
    # Rows that were read, and sha256 of the numbers that the serving model was fitted on.
    rows: tuple[int, int]
    rows_sha256: tuple[str, str]
    # sha256 of the model's file. Each pair is (recorded, now).
    sha256: tuple[str, str]
    # What else is not the same, by name: settings, `code`, libraries, and `splits`, the days that were learned and judged.
    differs: Mapping[str, tuple[Any, Any]]
    # Names of the settings that were used as they were recorded, or as it was before there was a choice.
    settings: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Whether the file is the same to the last bit."""
        return self.sha256[0] == self.sha256[1]


def rebuild(spec: Pipeline, version: int, say: Callable[[str], None]) -> Rebuilt:
    """Train a version again.

    Args:
        say: takes lines that tell what goes on.

    Raises:
        ModelNotRecordedError: the ledger knows no training of it, or one on tables that are not declared any more.
        ModelDamagedError, ModelUnknownError: the registry has no description of it.
        TableMissingError: a snapshot that it was trained on is gone.
        MlError: the rows cannot be trained on.
    """
    from sluice_ml.recipe import AS_BEFORE, LIBRARIES
    from sluice_ml.training import fit

    entry = training_of(spec, version)
    _require_declared(spec, entry)
    record, day = entry.record, str(entry.partition)
    meta = registry().description(spec.model.name, version)
    declared = model_config(spec)
    config = _recorded(meta, declared)
    say(f"Reading the rows of version {version}, trained by the run of {day}")
    rows = trainset.read(_reading(spec, meta), day, dict(record.snapshots)).rows
    say(f"Training on {rows.num_rows:,} rows")
    made = fit(rows, config)
    # As the registry gives them back.
    now = {
        **to_jsonable_python(declared.as_dict()),
        "code": code_version(),
        **LIBRARIES,
        "splits": to_jsonable_python(made.meta.splits),
    }
    settings = {**to_jsonable_python(AS_BEFORE), **meta.config}
    then = {**settings, "code": record.code, **meta.libraries, "splits": meta.splits}
    return Rebuilt(
        pipeline=spec.pipeline,
        model=spec.model.name,
        version=version,
        day=day,
        entry=entry.seq,
        snapshots=record.snapshots,
        rows=(record.rows, rows.num_rows),
        rows_sha256=(meta.rows_sha256, made.meta.rows_sha256),
        sha256=(record.sha256, made.sha256),
        settings=tuple(name for name in settings if name in now),
        differs={
            name: (then.get(name, _UNRECORDED), now.get(name, "no setting any more"))
            for name in sorted({*then, *now} - set(_NOT_LEARNED))
            if (name in then, then.get(name)) != (name in now, now.get(name))
        },
    )


def lines(made: Rebuilt) -> Iterator[str]:
    """As text for a terminal."""
    yield f"version {made.version} of {made.model}, trained by the run of {made.day} (entry {made.entry})"
    yield f"  file       {_compared(made.sha256, 16)}"
    yield f"  numbers    {_compared(made.rows_sha256, 16)}"
    yield f"  rows       {_compared(made.rows)}, of snapshots {', '.join(f'{table} {one}' for table, one in made.snapshots.items())}"
    for name, pair in made.differs.items():
        yield f"  {name}  {_compared(pair)}"
    if not made.is_same:
        yield _cause(made)


def _cause(made: Rebuilt) -> str:
    """What is to blame, as far as that can be told."""
    if made.rows[0] != made.rows[1] or "splits" in made.differs:
        return "It is not the same: other rows, or other days, were read. See which of the above names them."
    # A setting that was recorded is used as it was.
    changed = [
        name for name, (then, _) in made.differs.items() if then == _UNRECORDED or name not in made.settings
    ]
    if changed:
        return f"It is not the same, and of what decides what is learned this has changed since: {', '.join(changed)}."
    if made.rows_sha256[0] != made.rows_sha256[1]:
        return "It is not the same: as many rows of the same days, by the same code, have other numbers. A published batch was changed."
    return "It is not the same although all of the above is: this is another machine, or the recorded file is not what was trained."


def _compared(pair: tuple[Any, Any], chars: int | None = None) -> str:
    then, now = (str(one)[:chars] for one in pair)
    return f"the same, {now}" if pair[0] == pair[1] else f"{then} then, {now} now"


def training_of(spec: Pipeline, version: int) -> Entry[model_records.Trained]:
    """The newest training that gave a version.

    Raises:
        ModelNotRecordedError: the ledger knows none.
    """
    found = ledger.entries(model_records.Trained, pipeline=spec.pipeline, subject=spec.model.name)
    known = sorted({entry.record.version for entry in found})
    if version not in known:
        raise ModelNotRecordedError(
            f"No training of version {version} of {spec.model.name} is recorded.",
            where=f"the ledger, {spec.pipeline}",
            allowed=", ".join(map(str, known)) or "none was trained yet",
            todo=f"look at what there is with `sluice model show {spec.pipeline}`",
        )
    return next(entry for entry in found if entry.record.version == version)


def _require_declared(spec: Pipeline, entry: Entry[model_records.Trained]) -> None:
    """Refuse a training on tables that are not declared any more."""
    version, tables = entry.record.version, {spec.model.features_table, spec.model.outcomes_table}
    if set(entry.record.snapshots) != tables:
        raise ModelNotRecordedError(
            f"Version {version} of {spec.model.name} was trained on snapshots of {', '.join(entry.record.snapshots) or 'no table'}.",
            where=f"the ledger, entry {entry.seq}",
            allowed=f"a training on {' and '.join(sorted(tables))}, which the pipeline declares",
            todo="rebuild it with the YAML of that time",
        )


def _recorded(meta: ModelMeta, declared: ModelConfig) -> ModelConfig:
    """The settings that a version was trained by; what came later as it was before, what else was not recorded as declared today."""
    from sluice_ml.recipe import AS_BEFORE

    known = {field.name for field in dataclasses.fields(declared)} - {"gate"}
    recorded: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in meta.config.items()
        if name in known
    }
    return dataclasses.replace(declared, **{**AS_BEFORE, **recorded})


def _reading(spec: Pipeline, meta: ModelMeta) -> Pipeline:
    """The pipeline as far as the reading of its rows goes, as it was declared then."""
    features = spec.model.features.model_copy(
        update={"numeric": meta.numeric, "categorical": meta.categorical}
    )
    recorded = {name: meta.config[name] for name in _READ if name in meta.config}
    model = spec.model.model_copy(update={**recorded, "features": features})
    return spec.model_copy(update={"model": model})
