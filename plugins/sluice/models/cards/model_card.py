"""The model card of a version, with the sections of Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sluice import ledger
from sluice.ledger import model_records
from sluice.models import realised, roles
from sluice.models.cards.document import Document, Fact, Section, Table, days, estimate, listed
from sluice.models.cards.facts import UNRECORDED, Known, read
from sluice.models.evidence import Check

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline

# Name of a measure -> its heading. All but the first draw whole days for their intervals; see `sluice_ml.metrics`.
_METRICS = {
    "daily_auc": "AUC within a day",
    "auc": "AUC of all rows",
    "pr_auc": "area under precision and recall",
    "log_loss": "log loss",
    "brier": "Brier score",
}

# Criticality -> who lets a candidate that passed become champion.
_LETS_IN = {
    "experiment": "no candidate becomes champion",
    "normal": "a candidate that passes the gate becomes champion by itself",
    "critical": "a candidate becomes champion when a person approves it, after its shadow",
}


def write(spec: Pipeline, version: int | None = None) -> Document:
    """Write the card of a version; of the champion or, without one, of the newest candidate, where none is given.

    Raises:
        ModelNotRecordedError: there is no such version, or nothing was trained yet.
    """
    known = read(spec, version)
    return Document(
        f"Model card: {spec.model.name}, version {known.version}",
        known.version,
        list(_lead(known)),
        [
            Section("Model details", list(_details(known))),
            Section("Intended use", list(_use(known))),
            Section("Factors", list(_factors(known))),
            Section("Metrics", list(_metrics(known))),
            Section("Evaluation data", list(_evaluation(known))),
            Section("Training data", list(_training(known))),
            Section("Quantitative analyses", list(_realised(known)), list(_measured(known))),
            Section(
                "Ethical considerations",
                [
                    known.stated("considerations", "ethical_considerations"),
                    known.personal_data(),
                    Fact("fairness", _fairness(known)),
                ],
            ),
            Section("Caveats and recommendations", list(_caveats(known))),
        ],
    )


def _lead(known: Known) -> Iterator[str]:
    yield f"Version {known.version} {known.role}."
    measured = known.training.record.metrics
    test = known.training.record.splits.get("test")
    if test and "daily_auc" in measured.get("candidate", {}):
        rival = estimate(measured["baseline"].get("daily_auc"))
        yield (
            f"On {test['rows']:,} rows of {test['days']} days that it was judged on, its AUC within a day is "
            f"{estimate(measured['candidate']['daily_auc'])} on average over those with both outcomes, and the baseline's {rival}."
        )
    yield from known.unstated()


def _details(known: Known) -> Iterator[Fact]:
    spec, record, meta = known.spec, known.training.record, known.meta
    yield Fact("question", spec.model.question)
    yield Fact("owner", f"{spec.owner}; questions to {', '.join(spec.mail_to)}")
    yield Fact("criticality", f"{spec.model.criticality}: {_LETS_IN[spec.model.criticality]}")
    kind = record.algorithm or UNRECORDED
    yield Fact("kind", f"{kind}, {meta.rounds} rounds" if meta and meta.rounds else kind)
    trained = f"for the run of {known.training.partition} (entry {known.training.seq} of the ledger, run {known.training.run})"
    yield Fact(
        "trained", f"{trained}, on days up to {known.learned.get('last', 'a day that is not recorded')}"
    )
    decided = [f"{one.sentence} (entry {one.entry})" for one in known.decisions]
    yield Fact("decision", " Before: ".join(decided) or "not decided on yet")
    for change in known.reigns:
        until = f" until {change.ended}" if change.until else ""
        yield Fact(
            "champion",
            f"from {change.began}{until}, in place of {roles.named(change.previous)}, by {change.moved_by}",
        )
    if meta:
        yield Fact(
            "features",
            f"{len(meta.numeric)} numbers and {len(meta.categorical)} categories; the datasheet has them",
        )
        yield Fact(
            "parameters", listed([f"{name} {one}" for name, one in known.config["params"].items()], "none")
        )
        # Models of before these could be declared recorded none of them.
        for key, said in (("increasing", "never falls with"), ("decreasing", "never rises with")):
            if names := known.config.get(key):
                yield Fact(f"its score {said}", f"{listed(names, '')}, while all else stays the same")
        without, positive = known.config.get("class_weights", (1, 1))
        if (without, positive) != (1, 1):
            yield Fact(
                "class weights",
                f"a row whose label is true weighs {positive:g} in training, another {without:g}; scores are probabilities all the same",
            )
        yield Fact("libraries", listed([f"{name} {one}" for name, one in meta.libraries.items()], UNRECORDED))
    else:
        yield Fact("registry", f"its description cannot be read: {known.problem}")
    yield Fact("code", record.code or UNRECORDED)
    yield Fact("recipe", record.recipe_sha256 or UNRECORDED)
    yield Fact("file (SHA-256)", record.sha256 or UNRECORDED)


def _use(known: Known) -> Iterator[Fact]:
    spec, model = known.spec, known.spec.model
    yield known.stated("intended use", "intended_use")
    yield known.stated("out of scope", "out_of_scope_uses")
    yield Fact("what is scored", spec.derived[model.features_table].grain)
    yield Fact("in time", f"by {model.deadline} of its day" if model.deadline else "by the end of its day")
    names = {"previous": "the champion before", "baseline": f"the rule {model.baseline}", "abstain": "nobody"}
    ladder = ", then ".join(names[one] for one in model.fallback)
    yield Fact("where it cannot score", ladder or "the day is not predicted")
    yield Fact("purposes of its sources", "; ".join(known.purposes()))


def _factors(known: Known) -> Iterator[Fact]:
    model = known.spec.model
    yield Fact("groups that the gate compares", _compared(known))
    segments = known.setting(
        "segments", model.coverage.segments, lambda found: listed(found, "none (model.coverage)")
    )
    yield Fact("groups whose training rows are counted", segments)
    fewer = known.setting("segment_min_rows", model.coverage.min_rows, "fewer than {} rows".format)
    found = known.values(known.training.record.unsupported, "none")
    yield Fact(f"groups with too little training ({fewer}, or one outcome)", found)


def _compared(known: Known) -> str:
    """The columns by which the gate compared it, the last time that it was asked."""
    none = "none (model.gate.slices)"
    for one in known.checks:
        if one.name == "slices" and (one.state == "NOT_CHECKED" or "columns" in one.limits):
            return listed(one.limits.get("columns", ()), none)
    declared = known.spec.model.gate.slices
    return f"{listed(declared.columns if declared else (), none)}, as declared today"


def _fairness(known: Known) -> str:
    """How far groups of the declared column were apart, the last time that the gate was asked."""
    for one in known.checks:
        if one.name == "fairness" and one.state != "NOT_CHECKED":
            return f"{one.state}: {known.sentence(one)}"
    return "no groups were compared: the gate that judged it had no sensitive column (model.gate.fairness)"


def _metrics(known: Known) -> Iterator[Fact]:
    model = known.spec.model
    yield Fact("decides", "the mean of the AUCs within each day, because the question is asked within a day")
    yield Fact("beside it", ", ".join(list(_METRICS.values())[1:]))
    resamples = known.setting("resamples", model.promotion.resamples, "{} draws of whole days".format)
    confidence = known.setting("confidence", model.promotion.confidence, "{:.0%}".format)
    yield Fact(
        "intervals",
        f"{confidence}: Student's t over the days for the AUC within a day, {resamples} for the others",
    )
    point, value = model.gate.operating_point, model.gate.value
    yield Fact(
        "somebody acts from a score of",
        "not declared (model.gate.operating_point)" if point is None else f"{point:g}, as declared today",
    )
    if value:
        costs = (
            f"{name.replace('_', ' ')} {one:g}" for name, one in value.model_dump(exclude={"margin"}).items()
        )
        yield Fact("costs, as declared today", ", ".join(costs))


def _evaluation(known: Known) -> Iterator[Fact]:
    splits = known.training.record.splits
    yield Fact("held-out days", days(splits.get("test", {})))
    yield Fact("days that the judged model learned", days(splits.get("train", {})))
    if "refit" in splits:
        yield Fact(
            "which model serves",
            f"the same recipe fitted once more up to {splits['refit']['last']}: it has learned the held-out days too, and the numbers "
            "below are those of the judged model",
        )


def _training(known: Known) -> Iterator[Fact]:
    yield Fact("days", days(known.learned))
    yield known.label()
    yield Fact("more", "the datasheet of the training set")


def _realised(known: Known) -> Iterator[Fact]:
    found = [day for day in known.history.realised.days if day.version == str(known.version)]
    counting = [day for day in found if day.counts]
    auc, lead = realised.means(counting, known.spec)
    name = f"realised, of {realised.DAYS} days to the newest that was monitored"
    if auc and lead:
        yield Fact(
            name,
            f"the AUC within a day is {estimate(vars(auc))} on average, {estimate(vars(lead), '+.3f')} beside the baseline's, over "
            f"{len(counting)} days that count ({sum(day.labelled for day in counting):,} outcomes)",
        )
    elif not found:
        yield Fact(name, "it scored none of these days")
    else:
        needed = known.spec.model.promotion.comparison_days
        yield Fact(
            name,
            f"insufficient data: it scored {len(found)}, of which {len(counting)} count; {needed} are needed",
        )


def _measured(known: Known) -> Iterator[Table]:
    record = known.training.record
    test = record.splits.get("test")
    if test and record.metrics:
        rule = f"the rule {known.setting('baseline', known.spec.model.baseline)}"
        names = {"candidate": f"version {known.version}", "baseline": rule}
        others = {name: f"{name} model" for name in record.metrics if name not in (*names, record.algorithm)}
        yield Table(
            f"On the {test['rows']:,} rows of the {test['days']} held-out days",
            ("model", *_METRICS.values()),
            [
                (said, *(estimate(record.metrics.get(name, {}).get(one)) for one in _METRICS))
                for name, said in {**names, **others}.items()
            ],
        )
    if known.checks:
        yield _said(known, "Checks of the gate", known.checks)
    if ended := next((one for one in known.decisions if one.in_shadow), None):
        yield _said(known, f"In shadow, decided by the run of {ended.day}", ended.checks)
    for check in known.checks if known.spec.may_quote(None) else ():
        if found := check.numbers.get("slices"):
            yield Table(
                f"By group, beside {check.numbers.get('peer', 'the champion')}; intervals of AUCs are as wide as so many groups ask for (Bonferroni)",
                (
                    "group",
                    "rows",
                    "level in log-odds, beside all rows",
                    "AUC within a day, beside the other's",
                ),
                [
                    (
                        one["slice"],
                        f"{one['rows']:,}",
                        estimate(one["level"], "+.2f"),
                        estimate(one["auc"], "+.3f") if one["auc"] else "too few days",
                    )
                    for one in found
                ],
            )


def _said(known: Known, caption: str, checks: Sequence[Check]) -> Table:
    return Table(
        caption,
        ("check", "state", "found"),
        [(one.name.replace("_", " "), one.state.replace("_", " "), known.sentence(one)) for one in checks],
    )


def _caveats(known: Known) -> Iterator[Fact]:
    yield known.stated("caveats", "caveats")
    checks = known.checks
    for state, name in (("NOT_CHECKED", "not checked"), ("INSUFFICIENT", "too little data to check")):
        yield Fact(name, listed([one.name.replace("_", " ") for one in checks if one.state == state], "none"))
    too_small = [
        f"{name} ({rows} rows)"
        for check in checks
        for name, rows in check.numbers.get("too_small", {}).items()
    ]
    yield Fact("groups too small to be judged", known.values(too_small, "none"))
    yield known.waivers()
    if known.is_champion:
        yield _monitored(known)


def _monitored(known: Known) -> Fact:
    """What monitoring said of the newest day that the champion scored; what it said before was about another one."""
    scored = {day.ds for day in known.history.realised.days if day.version == str(known.version)}
    decided = ledger.entries(
        model_records.Decided,
        pipeline=known.spec.pipeline,
        subject=known.spec.model.name,
        after=known.reigns[-1].entry,
    )
    for entry in decided:
        if entry.partition in scored:
            said = " ".join(entry.record.reasons) or entry.record.action
            return Fact(f"monitoring of {entry.partition} says", said)
    return Fact("monitoring", "it has not looked at a day that this champion scored")
