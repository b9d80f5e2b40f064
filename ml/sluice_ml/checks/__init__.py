"""The checks of the model gate: each is one function from the held-out scores of a candidate to one finding.

A check is declared by one entry under the YAML's `model.gate`. It says PASS or FAIL, INSUFFICIENT where days or rows are too few to
say either, NOT_APPLICABLE where it compares with a champion and there is none that can score, and ERROR where it could
not be computed. FAIL, INSUFFICIENT and ERROR do not promote. What is not declared is not checked, and the decision says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sluice_ml.checks import calibration, constant, fairness, flips, learned_gap, resources, slices, value
from sluice_ml.checks.judged import Finding, Judged, insufficient
from sluice_ml.config import GateConfig

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "CHECKS",
    "Finding",
    "Judged",
    "no_probabilities",
    "run",
    "sentences",
    "undeclared",
    "without_enough_of_the_rival",
]

# Entry of `model.gate` to what it declares; each is given what is judged, and its limits.
CHECKS: Mapping[str, Callable[[Judged, Any], Finding]] = {
    "constant": constant.check,
    "calibration": calibration.check,
    "learned_gap": learned_gap.check,
    "slices": slices.check,
    "flips": flips.check,
    "value": value.check,
    "resources": resources.check,
    "fairness": fairness.check,
}
# Those that are made on the rows which the rival may be compared on (`Judged.may_compare`), and need enough of them.
_BESIDE_THE_RIVAL = ("flips", "value")


def run(judged: Judged, gate: GateConfig) -> list[Finding]:
    """The findings of all declared checks, in the order of CHECKS."""
    found = []
    for name, check in CHECKS.items():
        if (limits := getattr(gate, name)) is None:
            continue
        try:
            finding = insufficient(judged, name) or check(judged, limits)
            # As they are recorded; what is not a number is no evidence.
            finding = replace(finding, numbers=json.loads(json.dumps(finding.numbers, allow_nan=False)))
        except Exception as error:  # noqa: BLE001 whatever it was, the decision has to record it, and must not promote
            quoted = f": {error}" if judged.shows_values else ""
            finding = Finding(name, "ERROR", f"{name} could not be computed: {type(error).__name__}{quoted}")
        found.append(finding)
    return found


def no_probabilities(score: np.ndarray) -> Finding | None:
    """The ERROR that some of a candidate's held-out scores, (rows,), are no number in [0, 1]: nothing can be judged by them. None where all are."""
    # What is not a number is in no interval.
    if not (wrong := int((~((score >= 0) & (score <= 1))).sum())):
        return None
    return Finding(
        "scores",
        "ERROR",
        f"{wrong:,} of the {len(score):,} held-out scores are no number from 0 to 1, so that nothing was compared or checked: look for "
        "what makes them in the features of these rows or the parameters of the model, and train again.",
        {"rows": len(score), "wrong": wrong},
    )


def without_enough_of_the_rival(judged: Judged, gate: GateConfig) -> list[str]:
    """Names of declared checks that are INSUFFICIENT beside this rival, and are not without one."""
    if insufficient(judged, "rows") or not insufficient(judged, "rows", judged.may_compare):
        return []
    return [name for name in _BESIDE_THE_RIVAL if getattr(gate, name) is not None]


def undeclared(gate: GateConfig) -> list[str]:
    """Names of the checks that the pipeline does not declare, or has switched off."""
    return [name for name in CHECKS if getattr(gate, name) is None]


def sentences(findings: Sequence[Finding], not_checked: Sequence[str]) -> Iterator[str]:
    """What a decision says of its findings: each that says anything but PASS, then which passed, and what was not checked."""
    yield from (
        f"{finding.state} {finding.check}: {finding.sentence}"
        for finding in findings
        if finding.state != "PASS"
    )
    if passed := [finding.check for finding in findings if finding.state == "PASS"]:
        yield f"Passed: {', '.join(passed)}."
    if not_checked:
        yield f"Not checked: {', '.join(not_checked)}."
