"""S32: a candidate that is too sure of its scores

Its margins (log-odds) are a multiple of those of one that passed, so that the slope of its calibration is a third of what is right. Its order is the
same, and so is every metric of order; each score is nearer to 0 or 1 than what comes true. The gate refuses it by name, calibration, and the rule goes on
scoring. The one that it was made from passes. Klaise et al.; VER-09.

The champion of the healthy state is not sure enough (a slope of 1.7 on its 14 held-out days), so three times its own margins would be right within the limits: the
multiple is three times that slope. No declaration makes a model too sure, so its file and its scores of the held-out days are registered in the place of
those that a training makes, and judged as the task `audit_candidate` judges them; s04 has the mail. Rows that do not belong to their day are not
rehearsed: five weeks are too few for their detector (docs/monitoring.md has what it finds).
"""

import json
import math
from dataclasses import replace

from sluice.core.runs import Run

TIMES = 3


def rehearse(world):
    from sluice.models import training

    away = world.sluice(
        "model", "rollback", "flights", "--to", "baseline", "--by", "drill", "--why", "To make room."
    )
    world.expect("the champion of the healthy state makes room", away.returncode == 0, away.stdout)
    run = Run.of_task("rehearsal", "too_sure", "train")
    right = training.audit_candidate(world.spec, 1, world.day(-1), run)
    was = _calibration(right)
    world.expect("as it was trained it passes", right.promote and was["state"] == "PASS", right.reasons)

    factor = TIMES * was["numbers"]["slope"]["value"]
    version = _registered(world, factor, run)
    decided = training.audit_candidate(world.spec, version, world.day(-1), run)

    failed = [one["check"] for one in decided.numbers["gate"] if one["state"] == "FAIL"]
    world.expect(
        f"with {factor:.1f} times its margins it is refused", decided.outcome == "refuse", decided.reasons
    )
    world.expect("by name, calibration", "calibration" in failed, failed)
    said = _calibration(decided)
    slope = said["numbers"]["slope"]["value"]
    world.expect("which says the slope: a third", abs(slope - 1 / TIMES) < 0.02, said["sentence"])
    before, after = (one.numbers["daily_auc"]["value"] for one in (right, decided))
    world.expect(
        "its order is the same", abs(after - before) < 1e-6, f"mean daily AUC {before:.4f} and {after:.4f}"
    )
    refused = [entry.record.version for entry in world.entries("refused")]
    shown = world.sluice("model", "show", "flights").stdout
    world.expect("it never scores", refused == [version] and "the baseline scores" in shown, shown)


def _calibration(decided):
    return next(one for one in decided.numbers["gate"] if one["check"] == "calibration")


def _registered(world, factor, run):
    """Register version 1 with so many times its margins; returns the new version."""
    from sluice.models.config import registry

    models, name = registry(), world.spec.model.name
    right = models.candidate(name, 1)
    place = right.test.column_names.index("score_candidate")
    scores = [_surer(score, factor) for score in right.test["score_candidate"].to_pylist()]
    made = replace(
        right,
        content=_surer_trees(right.content, factor),
        test=right.test.set_column(place, right.test.schema.field(place), [scores]),
    )
    with models.training(name, {"as_of": world.day(-1), "dag_run": run.run_id}) as mlflow_run:
        version = models.log(mlflow_run, made)
    world.say(f"version {version} is version 1 with {factor:.1f} times its margins")
    return version


def _surer(score, factor):
    return 1 / (1 + math.exp(-factor * math.log(score / (1 - score))))


def _surer_trees(content, factor):
    """The bytes of boosted trees whose leaves, and what all rows have in common, say so many times as much."""
    import xgboost

    model = json.loads(bytes(xgboost.Booster(model_file=bytearray(content)).save_raw(raw_format="json")))
    common = model["learner"]["learner_model_param"]
    common["base_score"] = json.dumps([_surer(one, factor) for one in json.loads(common["base_score"])])
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        for node, left in enumerate(tree["left_children"]):
            if left == -1:
                tree["split_conditions"][node] *= factor
    booster = xgboost.Booster(model_file=bytearray(json.dumps(model).encode()))
    return bytes(booster.save_raw(raw_format="ubj"))
