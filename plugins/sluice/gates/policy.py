"""From results to an outcome: the one place that decides, and a pure function.

A gate must not pass by accident. Whatever was not shown to hold is ERROR: no rows, no rules, a rule that could not be
evaluated, an exception on the way. Only then do the rules' own severities count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sluice.gates.emptiness import Emptiness
from sluice.gates.verdict import Outcome, RuleResult

# Days without rows that a reason names before it only counts them.
_NAMED_DAYS = 5


def decide(
    rows_by_partition: Mapping[str, int],
    results: Sequence[RuleResult],
    problems: Sequence[str] = (),
    emptied: Sequence[str] = (),
    noted: Sequence[str] = (),
    *,
    empty: Emptiness | None = None,
) -> tuple[Outcome, tuple[str, ...]]:
    """Decide the outcome of one gate run.

    Args:
        rows_by_partition: rows found in the staged files, for each partition that the batch claims to hold.
        results: one result for each rule of the suite.
        problems: what went wrong with the gate itself, in sentences.
        emptied: days of which nothing would be left if all rows were set aside that may be.
        noted: what a person should know of the inputs, in sentences; it warns.
        empty: the days without rows that may be published so, or under a waiver.

    Returns:
        The outcome, and the reasons for it in plain sentences; a PASS has none.
    """
    errors = list(problems)
    if not problems:
        errors += _absences(rows_by_partition, results, empty.days if empty else ())
    errors += [sentence(r) for r in results if r.broken]
    failed = [r for r in results if not r.passed and not r.broken]
    held = [*(empty.reasons if empty else ()), *(sentence(r) for r in failed if r.holds)]
    held += [
        f"No row would be left of {day}: each of them fails a rule that sets rows aside." for day in emptied
    ]
    quarantined = [sentence(r) for r in failed if r.severity == "quarantine" and not r.holds]
    warned = [*(sentence(r) for r in failed if r.severity == "warn"), *noted]
    outcome: Outcome = "ERROR" if errors else "HOLD" if held else "WARN" if quarantined or warned else "PASS"
    return outcome, tuple(errors + held + quarantined + warned)


def _absences(
    rows_by_partition: Mapping[str, int], results: Sequence[RuleResult], known: Sequence[str]
) -> list[str]:
    empty = [day for day, rows in rows_by_partition.items() if not rows and day not in known]
    if not sum(rows_by_partition.values()):
        # Without rows there is nothing that a rule could judge.
        return ["The batch has no rows."] if empty or not rows_by_partition else []
    found = []
    if empty:
        more = f" and {len(empty) - _NAMED_DAYS} more" if len(empty) > _NAMED_DAYS else ""
        found.append(f"No rows for {', '.join(empty[:_NAMED_DAYS])}{more}.")
    if not results:
        found.append("The suite has no rules.")
    return found


def sentence(result: RuleResult) -> str:
    """What a rule that did not pass is a reason for."""
    if result.broken:
        return f"Rule {result.rule} could not be evaluated: {result.observed}."
    if result.severity == "warn":
        return f"Rule {result.rule} warns: {result.observed}."
    if result.severity != "quarantine":
        return f"Rule {result.rule} failed: {result.observed}."
    share = f"{percent(result.worst_share)} of a day's rows, and {percent(result.limit)} may be set aside"
    if result.holds:
        return f"Rule {result.rule} failed for too many rows to set them aside: {result.observed}; that is {share}."
    return f"Rows that fail rule {result.rule} are set aside: {result.observed}; that is {share}."


def percent(share: float | None) -> str:
    """A share in words, never rounded to nothing."""
    if share is None:
        return "an unknown share"
    return "less than 0.1%" if 0 < share < 0.001 else f"{share:.1%}".replace(".0%", "%")
