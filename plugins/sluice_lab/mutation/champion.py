"""The champion of the clean year: a first model, trained on the clean days before a morning."""

from __future__ import annotations

from sluice import ledger
from sluice.core.errors import StackError
from sluice.core.runs import Run
from sluice.declare.spec import Pipeline
from sluice.ledger import model_records
from sluice_lab.mutation import year

# The demo's: trained on what was known on this morning.
TRAINED = "2013-04-01"


def train(flights: Pipeline, day: str) -> int:
    """Train on what was known on the morning of `day` and make it champion in this home; returns its version.

    The same days give the same model, which is registered once. The clean year has no recorded hashes, so that nothing
    is asked of its history; all else is what `sluice.models.training` does.

    Raises:
        StackError: the model is not worth being a champion: there is nothing to measure.
    """
    from sluice.lake import tables
    from sluice.models import roles, trainset
    from sluice.models.config import model_config, registry
    from sluice_ml.promotion import decide
    from sluice_ml.training import fit

    declared, config, models = flights.model, model_config(flights), registry()
    run = Run.of_task(*year.RUN, "train")
    snapshots = {}
    for table in (declared.features_table, declared.outcomes_table):
        if (found := tables.snapshot_id(flights.pipeline, table)) is not None:
            snapshots[table] = found
    with year.undisturbed(), models.training(declared.name, {"as_of": day}) as mlflow_run:
        rows = trainset.read(flights, day, snapshots).rows
        trainset.require_sound(flights, rows, day, run, config)
        candidate = fit(rows, config)
        version = models.log(mlflow_run, candidate)
    decision = decide(candidate, None, config)
    if not decision.promote:
        raise StackError(
            f"The model of the clean year was refused: {' '.join(decision.reasons)}",
            where=f"{declared.name}, as of {day}",
            todo="look at what changed in training or promotion",
        )
    about = {"pipeline": flights.pipeline, "subject": declared.name, "partition": day}
    said = {
        "version": version,
        "champion": roles.current(flights).champion,
        "reasons": list(decision.reasons),
    }
    roles.promote(flights, ledger.append(model_records.Audited(**said), **about), run)
    return version
