"""The evidence of one gate run as a file: an HTML page for people, the verdict as JSON for everything else.

One self-contained page a run, made from the verdict alone: no index to update, so that its cost does not grow with
history, and nothing fetched from elsewhere, so that it can be read in any viewer, years later.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from jinja2 import Template

from sluice.core import failpoints
from sluice.core.markup import page_environment
from sluice.gates import policy
from sluice.gates.engine import LOOKED_AT
from sluice.lake import evidence, inputs, quarantine, storage

if TYPE_CHECKING:
    from sluice.gates.verdict import FailingRow, Verdict
    from sluice.lake.batches import Manifest

# Partitions that the page lists one by one.
_LISTED_PARTITIONS = 31


def write(verdict: Verdict, manifest: Manifest, profile: str = "") -> Verdict:
    """Write page and JSON of a verdict, each in one atomic step.

    Returns:
        The verdict; as ERROR if its evidence could not be written, because nothing is published without evidence.

    Raises:
        OSError: there is no space left for it.
    """
    try:
        evidence.write(verdict.report, render(verdict, manifest, profile).encode())
        failpoints.hit("audit.page_written")
        evidence.write(evidence.data_of(verdict.report), verdict.model_dump_json(indent=2).encode())
        failpoints.hit("audit.verdict_written")
    except OSError as error:
        if isinstance(error, ConnectionError) or storage.is_full(error):
            raise  # the gate is not broken: it is asked again when there is space, or an answer
        reasons = (f"The evidence could not be written: {error}.", *verdict.reasons)
        return verdict.model_copy(update={"outcome": "ERROR", "reasons": reasons})
    return verdict


def render(verdict: Verdict, manifest: Manifest, profile: str = "") -> str:
    """The page, as HTML; `profile` is its section on what the columns look like."""
    groups: dict[tuple[str, ...], list[FailingRow]] = {}
    for one in verdict.sample:
        groups.setdefault(tuple(one.row), []).append(one)
    return _template().render(
        verdict=verdict,
        manifest=manifest,
        profile=profile,
        groups=groups,
        quarantine_table=quarantine.table_of(verdict.table),
        percent=policy.percent,
        facts=inputs.facts,
        looked_at=LOOKED_AT,
        listed=dict(list(manifest.rows_by_partition.items())[:_LISTED_PARTITIONS]),
    )


@lru_cache(maxsize=1)
def _template() -> Template:
    return page_environment("sluice.gates").get_template("gate.html.j2")
