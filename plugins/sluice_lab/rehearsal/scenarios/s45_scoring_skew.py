"""S45: scoring does something else than training did

A scoring path that divides by 100 what it has computed. The gate of the predictions computes them again, from the published
features and by the registered model, and holds the batch before a reader sees it: by name, every row, and by how much. MON-06.

The scoring path is the platform's own code, which no declaration can break. So the batch that it would have made is staged in its
place, from the rows, the model and the snapshots of the last day, and judged as the task `audit_predictions` judges it. As it was
made, it passes.
"""

from sluice import crossing
from sluice.core.runs import Run
from sluice.lake import batches, tables

RULE = "scores_are_reproduced"


def rehearse(world):
    whole, _ = _judged(world, divisor=1)
    world.expect("as it was made the batch passes", whole.publishes, whole.outcome)

    verdict, count = _judged(world, divisor=100)

    world.expect("divided by 100 it is held", verdict.outcome == "HOLD", verdict.outcome)
    told = {rule.rule: rule.observed for rule in verdict.failed}
    said = told.get(RULE, "")
    world.expect("by name, and every row", f"{count} of {count} scores" in said, told)
    world.expect("and by how much", "0.01 times what it should be" in said, said)


def _judged(world, *, divisor):
    """The verdict about the predictions of the last day, divided, and how many there are."""
    import pyarrow.compute as pc

    day, run = world.day(-1), Run.of_task("rehearsal", "healthy_state", "predictions")
    shown = tables.published("flights", "predictions", day, day)[day]
    made = batches.load("flights", "predictions", shown.batch_id)
    rows = batches.read(made, day)
    place = rows.column_names.index("score")
    staged = batches.stage(
        "flights",
        "predictions",
        rows.set_column(place, rows.schema.field(place), pc.divide(rows["score"], float(divisor))),
        partitions=[day],
        received=rows.num_rows,
        dropped={},
        inputs=made.inputs,
        run=run,
        sort_by=["flight_id"],
    )
    return crossing.audit(world.spec, "predictions", staged.batch_id, run), rows.num_rows
