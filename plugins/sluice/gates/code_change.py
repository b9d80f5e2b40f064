"""The rule that holds a derived batch, or predictions, whose code changes more of what readers see than is declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.gates.policy import percent
from sluice.gates.verdict import RuleResult
from sluice.lake import inputs, tables

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.lake.batches import Manifest

RULE = "change_of_code_is_small"
# Columns and rows that a sentence names.
_NAMED = 5, 3


def results(spec: Pipeline, manifest: Manifest) -> list[RuleResult]:
    """The rule's result; none where the last publication was made by the same code, or does not say by which.

    What another batch of the same code has been released, or has passed, for is accepted: this one passes, too.
    """
    made = next((one for one in inputs.of(manifest, inputs.Code) if one.change), None)
    if made is None or made.change is None:
        return []
    by = inputs.scored_by(manifest)
    last = tables.last_publication(spec.pipeline, manifest.table, lambda one: inputs.scored_by(one) == by)
    accepted = last is not None and any(
        one.fingerprint == made.fingerprint for one in inputs.of(last, inputs.Code)
    )
    limit = spec.max_changed_by_code(manifest.table)
    said = sentence(made.change, show=spec.may_quote(manifest.table))
    return [
        RuleResult(
            rule=RULE,
            kind="change_of_code",
            columns=(),
            # Where there is nothing left to compare with, that is told, and stops nobody: the other rules have judged the rows.
            severity="warn" if made.change.inputs_gone else "hold",
            owner=spec.owner_of(manifest.table),
            why=f"The code that made this batch is another than that of the last publication. More than {percent(limit)} of the rows that "
            "readers see would be others with it (`max_changed_by_code`): somebody has to have meant that.",
            passed=accepted or not (made.change.problem or made.change.share > limit),
            broken=False,
            observed=f"{said}; published by the same code since" if accepted else said,
        )
    ]


def sentence(change: inputs.CodeChange, *, show: bool) -> str:
    """What a change of code changes; with the size of changed numbers, and some rows, where values may be quoted (`show`)."""
    if change.problem:
        return f"{change.day} cannot be made again with today's code: {change.problem}"
    diff, (columns, rows) = change.diff, _NAMED
    counted = [f"{diff[name]:,} {name}" for name in ("changed", "added", "removed") if diff[name]]
    said = f"of {change.day}, made again from the same inputs, {', '.join(counted) or 'none'} of {change.rows:,} rows"
    names = [
        f"{name} in {count:,}{_size(diff, name) if show else ''}"
        for name, count in list(diff["columns"].items())[:columns]
    ]
    parts = [
        said,
        *([f"changed: {', '.join(names)}"] if names else []),
        *(f"{what}: {', '.join(found)}" for what, name in _COLUMNS.items() if (found := diff[name])),
        *(
            [f"such as {'; '.join(map(_example, diff['examples'][:rows]))}"]
            if show and diff["examples"]
            else []
        ),
    ]
    return ". ".join(parts)


_COLUMNS = {"new columns": "columns_added", "columns that are gone": "columns_removed"}


def _size(diff: dict[str, Any], name: str) -> str:
    size = diff["sizes"].get(name)
    return "" if size is None else f" (by {size:.4g} on average)"


def _example(one: dict[str, Any]) -> str:
    key = ", ".join(f"{name} {value}" for name, value in one["key"].items())
    if one["change"] != "changed":
        return f"{key} {one['change']}"
    values = (f"{name} {one['before'][name]} to {one['after'][name]}" for name in one["before"])
    return f"{key}: {', '.join(values)}"
