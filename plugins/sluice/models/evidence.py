"""The evidence of a decision about a candidate: each comparison and each check with its state, as the ledger recorded them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

# What a comparison came to, as a check says it.
_STATES = {"passed": "PASS", "failed": "FAIL", "insufficient_data": "INSUFFICIENT"}


@dataclass(frozen=True)
class Check:
    """What one check said of a candidate."""

    name: str
    # That of a `sluice_ml.checks.Finding`, or NOT_CHECKED.
    state: str
    # With the measured value, its interval and the limit.
    sentence: str
    # The key of the YAML that declares its limits; "" where nothing is declared.
    declared: str = ""
    # The limits that it was held to then, and all numbers as they were recorded.
    limits: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)


def checks(numbers: Mapping[str, Any]) -> list[Check]:
    """Return what the `numbers` of a decision say; those of earlier versions of this project say less."""
    return [*_comparisons(numbers), *_refit(numbers), *_gate(numbers)]


def _comparisons(numbers: Mapping[str, Any]) -> Iterator[Check]:
    from sluice_ml.metrics import Estimate
    from sluice_ml.promotion import Comparison

    known = {each.name for each in fields(Comparison)}
    for raw in numbers.get("comparisons", ()):
        if known <= raw.keys():
            difference = Estimate(**raw["difference"]) if raw["difference"] else None
            found = Comparison(**{name: raw[name] for name in known - {"difference"}}, difference=difference)
            days = "shadow_days" if "entered_shadow" in numbers else "comparison_days"
            limits = {"margin": found.margin, days: found.needed}
            name = f"against the {found.against}"
            yield Check(name, _STATES[found.outcome], found.sentence, "model.promotion", limits, raw)
    if problem := numbers.get("not_compared"):
        said = f"The champion could not be compared: {problem}"
        yield Check("against the champion", "NOT_APPLICABLE", said)


def _refit(numbers: Mapping[str, Any]) -> Iterator[Check]:
    from sluice_ml.promotion import refit_holds

    if (change := numbers.get("refit_loss_change")) is not None:
        said = (
            f"The model that would serve was fitted again up to the last day: its log loss on the held-out days is {change:+.4f} "
            "against the judged model's, and must not be higher."
        )
        state = "PASS" if refit_holds(change) else "FAIL"
        yield Check("refit", state, said, numbers={"refit_loss_change": change})


def _gate(numbers: Mapping[str, Any]) -> Iterator[Check]:
    for raw in numbers.get("gate", ()):
        name, limits = raw["check"], raw["numbers"].get("limits", {})
        # What is null was held to no limit.
        limits = {key: limit for key, limit in limits.items() if limit is not None}
        yield Check(name, raw["state"], raw["sentence"], f"model.gate.{name}", limits, raw["numbers"])
    for name in numbers.get("not_checked", ()):
        yield Check(name, "NOT_CHECKED", "It was not made.", f"model.gate.{name}")
