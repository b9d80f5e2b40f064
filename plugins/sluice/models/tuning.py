"""A search for other parameters of a pipeline's model: recorded as a proposal, which a person writes into the YAML or leaves.

The rule kept here: parameters stand in the YAML and nowhere else. A search changes none: else the next refresh would
train by others than the ones that found the champion. Who commits the proposal makes a change of recipe, and that has to beat the
champion, by more than the noise, on held-out days.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import yaml

from sluice import ledger
from sluice.core.markup import page_environment
from sluice.core.runs import Run
from sluice.core.version import code_version
from sluice.lake import evidence
from sluice.ledger import Entry, model_records
from sluice.models import training, trainset
from sluice.models.config import check_model, model_config, tuning_config

if TYPE_CHECKING:
    from jinja2 import Template

    from sluice.declare.spec import Pipeline
    from sluice_ml.tuning import Tuned


# What ended a search, in words.
_ENDED = {"budget": "the budget was used up", "trials": "there were as many as declared"}


def tune(
    spec: Pipeline, run_day: str, run: Run, say: Callable[[str], None], *, asked_by: str = ""
) -> Entry[model_records.Tuned]:
    """Search on what a training of the morning of `run_day` would learn from; the ledger, a page and its JSON get all trials.

    Args:
        say: takes a line for each trial.

    Raises:
        SpecInvalidError: no search is declared, or one that `check_model` refuses.
        TableMissingError, HistoryRewrittenError, WaiverExpiredError: as of a training, nothing is searched.
        RowsUnusableError, RowsLeakError, FeaturesUnsoundError: the rows are not what a model should learn from.
    """
    from sluice_ml.recipe import LIBRARIES, digest
    from sluice_ml.tuning import tune as search

    config, tuning = model_config(spec), tuning_config(spec)
    check_model(spec)
    pinned = training.pin(spec, run_day, run.run_id)
    snapshots = dict(pinned.snapshots)
    training.require_sound(spec, run_day, pinned)
    rows = trainset.read(spec, run_day, snapshots).rows
    trainset.check(spec, rows, run_day, config)
    found = search(rows, config, tuning, say)
    record = model_records.Tuned(
        reasons=tuple(sentences(found)),
        present=found.present.as_dict(),
        trials=tuple(one.as_dict() for one in found.trials),
        best=found.best,
        gain=asdict(found.gain) if found.gain else None,
        confidence=found.confidence,
        linear=found.linear,
        proposed=dict(found.proposed),
        first=found.first,
        last=found.last,
        days=found.days,
        cpu_seconds=found.cpu_seconds,
        ended=found.ended,
        seed=config.seed,
        recipe_sha256=digest(config),
        snapshots=snapshots,
        libraries={**LIBRARIES, "optuna": version("optuna")},
        code=code_version(),
        asked_by=asked_by,
        report=f"{spec.pipeline}/tuning/{run_day}/search_{secrets.token_hex(4)}.html",
    )
    entry = ledger.append(
        record, pipeline=spec.pipeline, subject=spec.model.name, partition=run_day, run=run.run_id
    )
    _write(spec, entry)
    return entry


def sentences(found: Tuned) -> Iterator[str]:
    """What a search came to."""
    from sluice_ml.model import BOOSTED

    yield (
        f"{len(found.trials)} sets of parameters were tried in {found.cpu_seconds / 60:.1f} CPU minutes, on the {found.days} days that choose "
        f"the rounds ({found.first} to {found.last}), until {_ENDED[found.ended]}."
    )
    if found.best is None or found.gain is None:
        yield "Not one was measured within the budget: declare more minutes under model.tuning."
        return
    best, gain = found.trials[found.best], found.gain
    yield (
        f"The best, of trial {found.best + 1}, has a mean daily AUC of {best.daily_auc:.4f} ({best.rounds} rounds), the present ones "
        f"{found.present.daily_auc:.4f} ({found.present.rounds} rounds): {gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}, an interval "
        f"of {found.confidence:.3%}: stricter by the number of trials, of which it is the best)."
    )
    if found.proposed:
        yield (
            "These days chose it, which flatters it. It is proposed: put it into the YAML, and the next training is a change of recipe, "
            f"which must beat the champion on held-out days. Days after {found.last} are those that no trial has seen."
        )
    elif found.algorithm != BOOSTED:
        yield (
            f"The linear model, which has no parameters that are searched, has {found.linear:.4f}, and a training takes it all the same "
            "(promotion.simpler_margin): nothing is proposed."
        )
    else:
        yield "That is not more than the noise of these days: nothing is proposed."


def lines(spec: Pipeline, entry: Entry[model_records.Tuned]) -> Iterator[str]:
    """As text for a terminal."""
    yield from entry.record.reasons
    if entry.record.proposed:
        yield f"In place of `model.params` in dags/pipelines/{spec.pipeline}.yml:"
        yield from block(spec, entry.record.proposed)
    yield f"Recorded as entry {entry.seq}. All trials: {evidence.address(entry.record.report)}"


def block(spec: Pipeline, params: dict[str, Any]) -> list[str]:
    """The lines of parameters in the YAML, in the order in which they are declared."""
    ordered = {name: params[name] for name in dict.fromkeys([*spec.model.params, *params])}
    text = yaml.safe_dump({"params": ordered}, sort_keys=False)
    return [f"  {line}" for line in text.splitlines()]


def _write(spec: Pipeline, entry: Entry[model_records.Tuned]) -> None:
    """The page and its JSON."""
    record = entry.record
    ranked = sorted(enumerate(record.trials, start=1), key=lambda one: -one[1]["daily_auc"])
    page = _template().render(spec=spec, entry=entry, record=record, ranked=ranked, block=block)
    evidence.write(record.report, page.encode())
    data = json.dumps(record.model_dump(mode="json"), indent=2)
    evidence.write(evidence.data_of(record.report), data.encode())


@lru_cache(maxsize=1)
def _template() -> Template:
    return page_environment("sluice.models").get_template("tuning.html.j2")
