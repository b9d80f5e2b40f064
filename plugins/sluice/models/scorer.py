"""What scores: the champion, or, where it cannot, what the pipeline declares in its place (`model.fallback`).

The rule kept here: a model that cannot be used stops nobody for ever. Who stands in, and why, is with every prediction and its
batch, in the ledger, in monitoring's decision and in one mail; the way back is a roll-back, a restored file, or a training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sluice import ledger
from sluice.core.runs import Run
from sluice.declare.spec import PREDICTIONS
from sluice.lake import batches, inputs, tables
from sluice.ledger import model_records
from sluice.models import roles
from sluice.models.config import load_version
from sluice_ml.errors import MlError, ModelDamagedError, ModelUnknownError, RowsUnusableError

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice_ml.registry import LoadedModel
    from sluice_ml.scoring import Step


@dataclass(frozen=True)
class Choice:
    """The model that scores, None for the baseline, or for nobody."""

    model: LoadedModel | None
    # The version that should score; None where there is no champion.
    champion: int | None
    # Number of the ledger's entry that decided on the champion; 0 before the first.
    since: int
    # Why it, and perhaps what should have stood in for it, cannot: a sentence each. Empty where the champion scores.
    problems: tuple[str, ...] = ()
    # The step of the ladder that was reached.
    scored_as: Step = "champion"

    @property
    def abstains(self) -> bool:
        return self.scored_as == "abstain"

    @property
    def version(self) -> int | None:
        return self.model.version if self.model else None

    @property
    def sentence(self) -> str:
        """Who scores instead of whom, and why; "" where the champion does."""
        if not self.problems:
            return ""
        if self.abstains:
            whom = (
                ", and there is no champion"
                if self.champion is None
                else f" in place of the champion, version {self.champion}"
            )
            return f"Nobody scores{whom}. {' '.join(self.problems)}"
        stands_in = f"Version {self.version}" if self.model else "The baseline"
        return f"{stands_in} stands in for the champion, version {self.champion}. {' '.join(self.problems)}"


def choose(
    spec: Pipeline,
    columns: Sequence[str] | None = None,
    *,
    then: datetime | None = None,
    may_abstain: bool = True,
) -> Choice:
    """The champion, or the baseline while there is none, or what stands in for it.

    Args:
        columns: of the rows that are to be scored; None where only the model's description is needed.
        then: who was champion at this instant of the pipeline's clock, instead of now.
        may_abstain: whether nobody may score, where that is declared; not where readers see predictions, which would be lost.

    Raises:
        ModelDamagedError, ModelUnknownError, RowsUnusableError: the champion cannot score, and what is declared in its
            place cannot either.
    """
    now = roles.current(spec, then)
    problems: list[MlError] = []
    steps: tuple[Step, ...] = ("champion", *spec.model.fallback)
    if now.champion is None:
        # Of the ladder the rule, whether declared in it or not, and perhaps nobody: no model has been chosen.
        steps = ("baseline", *(step for step in steps if step == "abstain"))
    kept = "abstain" in steps and not may_abstain
    for step in steps:
        if step == "abstain" and kept:
            continue
        version = {"champion": now.champion, "previous": now.previous}.get(step)
        if version is None and step == "previous":
            continue
        try:
            if step == "baseline":
                _require_baseline(spec, columns)
            model = usable(spec, version, columns) if version is not None else None
        except (ModelDamagedError, ModelUnknownError, RowsUnusableError) as error:
            problems.append(error)
            continue
        return Choice(model, now.champion, now.since, tuple(problem.what for problem in problems), step)
    said = "Nobody can score, and the predictions that readers see stay. " if kept else ""
    raise type(problems[0])(
        said + " ".join(problem.what for problem in problems), where=problems[0].where, todo=problems[0].todo
    )


def record(spec: Pipeline, choice: Choice, day: str, run: Run) -> None:
    """Record that the champion does not score, once for each champion and reason."""
    if choice.problems:
        ledger.append(
            model_records.StoodIn(
                version=choice.version,
                champion=choice.champion,
                problems=list(choice.problems),
                reasons=[choice.sentence],
            ),
            pipeline=spec.pipeline,
            subject=spec.model.name,
            partition=day,
            run=run.run_id,
            once=f"stood_in:{spec.pipeline}:{spec.model.name}:{choice.since}:{choice.version}"
            + (":abstain" if choice.abstains else ""),
        )


def can_score_again(spec: Pipeline, made_of: Iterable[Mapping[str, Any]]) -> str:
    """Why a day on which nobody scored is made again; "" where somebody did, or nobody can yet.

    Args:
        made_of: the inputs of its batch, as its manifest records them.
    """
    if not inputs.abstained(made_of):
        return ""
    newest = tables.last_publication(spec.pipeline, spec.model.features_table)
    try:
        choice = choose(spec, list(newest.columns) if newest else None)
    except (ModelDamagedError, ModelUnknownError, RowsUnusableError):
        return ""  # it is not declared any more that nobody may score
    except ConnectionError:
        return ""  # while the registry does not answer nobody can, and the status is read all the same
    if choice.abstains:
        return ""
    by = "the baseline" if choice.version is None else f"version {choice.version}"
    return f"nobody scored it, and {by} can now"


def has_abstained(spec: Pipeline, batch_id: str | None) -> bool:
    """Whether a batch of predictions has none because nobody could score."""
    return inputs.abstained(batches.made_of(spec.pipeline, PREDICTIONS, batch_id))


def why_nobody_scored(spec: Pipeline, batch_id: str) -> str:
    """Why a batch of predictions has none, in a sentence each; "" where somebody scored."""
    made = inputs.read(batches.made_of(spec.pipeline, PREDICTIONS, batch_id), inputs.Model)
    return next((" ".join((one.model_extra or {}).get("problems", ())) for one in made if one.abstained), "")


def _require_baseline(spec: Pipeline, columns: Sequence[str] | None) -> None:
    declared = spec.model
    if columns is not None and declared.baseline not in columns:
        raise RowsUnusableError(
            f"The baseline is {declared.baseline}, which the rows do not have.",
            where=f"model {declared.name}, table {spec.pipeline}.{declared.features_table}",
            todo="give the column back to the feature table, or declare another `model.baseline`",
        )


def usable(spec: Pipeline, version: int, columns: Sequence[str] | None) -> LoadedModel:
    """A version that can score rows with these columns.

    Raises:
        ModelDamagedError, ModelUnknownError, RowsUnusableError: it cannot.
    """
    model = load_version(spec.model.name, version)
    features = (*model.meta.numeric, *model.meta.categorical)
    missing = sorted(set(features) - set(columns)) if columns is not None else []
    if missing:
        raise RowsUnusableError(
            f"Version {version} needs {', '.join(missing)}, which the rows do not have.",
            where=f"model {spec.model.name}, table {spec.pipeline}.{spec.model.features_table}",
            todo="give the column back to the feature table, or train a model that does without it",
        )
    return model
