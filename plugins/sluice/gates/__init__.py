"""Gates: a suite applied to a staged batch, and the verdict about it; the only importer of great_expectations."""

from __future__ import annotations

import time
import traceback
from secrets import token_hex
from typing import TYPE_CHECKING

from sluice.core import clock, private
from sluice.core.errors import RetryableError, SluiceError
from sluice.core.settings import settings
from sluice.gates import (
    code_change,
    emptiness,
    engine,
    gate_page,
    history,
    origin,
    policy,
    profile,
    representable,
    sample,
    split,
    suites,
)
from sluice.gates.verdict import FailingRow, RuleResult, Verdict
from sluice.lake import storage

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.lake.batches import Manifest

__all__ = ["RuleResult", "Verdict", "run"]


def run(spec: Pipeline, manifest: Manifest, *, waiver: int | None = None) -> Verdict:
    """Audit a staged batch: evaluate its suite, set rows aside, decide, and write the evidence.

    The page and the verdict as JSON are written as evidence,
    `<pipeline>/gates/<table>/<first partition>/<batch_id>.html` and `.json`.

    Args:
        waiver: the ledger's number of the waiver by which this batch may be published though a rule holds it.

    Returns:
        The verdict. Whatever goes wrong in the gate itself is in the verdict, as ERROR: nothing is raised for it, so
        that a broken gate leaves evidence like any other.

    Raises:
        RetryableError, ConnectionError: the rows, or what is written, could not be reached, which may pass; nothing was
            judged.
        OSError: there is no space left for the evidence or the split; nothing was judged.
    """
    started, at = time.monotonic(), clock.utc_now()
    rows_by_partition: dict[str, int] = {}
    results: list[RuleResult] = []
    failing: tuple[FailingRow, ...] = ()
    problems: list[str] = []
    emptied: list[str] = []
    blind: list[str] = []
    empty = emptiness.Emptiness()
    suite_hash = seen = ""
    publishable, cause = manifest, None
    try:
        suite = suites.load(spec, manifest.table)
        suite_hash = suite.hash
        days = max(rule.history_days for rule in suite.rules)
        others = {
            rule.reference_table: suites.columns_of(spec, rule.reference_table)
            for rule in suite.rules
            if rule.reference_table
        }
        with (
            history.files(spec, manifest, days) as earlier,
            history.reference_files(spec, manifest, others) as published,
            origin.of(spec, manifest) as made_of,
            engine.opened(
                manifest.files, earlier, {**published, **made_of.files}, {**others, **made_of.columns}
            ) as staged,
        ):
            blind = history.uncompared(spec, manifest, suite.rules, earlier)
            rows_by_partition = staged.count(manifest.partitions)
            if rows_by_partition != manifest.rows_by_partition:
                problems.append("The staged files do not hold the rows that the manifest says.")
            else:
                empty = emptiness.judge(spec, manifest)
            if manifest.rows and not problems:
                suite = representable.add(spec, manifest.table, suite, staged.columns())
                evaluated = staged.evaluate(
                    (*suite.rules, *made_of.rules), show_rows=spec.may_quote(manifest.table)
                )
                results, failing = [one.result for one in evaluated], sample.choose(evaluated)
                seen = profile.section(staged.summary(), manifest, show_values=spec.may_quote(manifest.table))
                if not any(one.broken for one in results):
                    if manifest.table in spec.sources and any(one.holds for one in results):
                        source = spec.sources[manifest.table]
                        cause = staged.cause(source.contract.columns, source.key)
                    publishable, emptied = split.publishable(spec, manifest, staged.quarantined, results)
        if not problems:
            results += code_change.results(spec, manifest)
    except (RetryableError, ConnectionError):
        # Something could not be reached: nothing was judged, and nothing is to be held for it.
        raise
    except Exception as error:
        if storage.is_full(error):
            raise  # as above: the gate is not broken
        # Whatever breaks the gate must end as a verdict that publishes nothing.
        problems.append(_described(error, manifest, may_quote=spec.may_quote(manifest.table)))
    noted = [note.sentence() for note in manifest.noted]
    if blind:
        noted.append(
            f"Too many of the days before were published on a waiver, so that these rules compared nothing: {', '.join(blind)}."
        )
    outcome, reasons = policy.decide(rows_by_partition, results, problems, emptied, noted, empty=empty)
    folder = f"{manifest.pipeline}/gates/{manifest.table}/{manifest.partitions[0]}"
    verdict = Verdict(
        verdict_id=f"{manifest.batch_id}-{token_hex(3)}",
        outcome=outcome,
        pipeline=manifest.pipeline,
        table=manifest.table,
        partitions=manifest.partitions,
        batch_id=manifest.batch_id,
        rows=sum(rows_by_partition.values()),
        rules=tuple(results),
        sample=failing,
        reasons=reasons,
        report=f"{folder}/{manifest.batch_id}.html",
        evaluated_at=at,
        seconds=round(time.monotonic() - started, 3),
        suite_hash=suite_hash,
        quarantined=publishable.quarantined,
        publish_batch_id=publishable.batch_id,
        waiver=waiver if outcome == "HOLD" else None,
        cause=cause if outcome == "HOLD" else None,
        empty=empty.days,
    )
    return gate_page.write(verdict, manifest, seen)


def _described(error: Exception, manifest: Manifest, *, may_quote: bool) -> str:
    """An error as one sentence: other people's messages go on with traces and carets, and may quote values of people."""
    if isinstance(error, SluiceError):
        return str(error)
    if not may_quote:
        file = settings().work / "errors" / f"{manifest.batch_id}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        private.write(file, "".join(traceback.format_exception(error)))
        return (
            f"The gate broke with {type(error).__name__}. Its message may quote values of people: it is in {file}, "
            "which its owner alone can read."
        )
    lines = str(error).strip().splitlines()
    return f"The gate broke with {type(error).__name__}: {lines[0] if lines else 'no message'}"
