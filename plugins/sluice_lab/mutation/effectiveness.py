"""`sluice mutate PIPELINE`: what share of the damage to its published rows a pipeline's own rules see, and which rule would see the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from sluice.declare.spec import Pipeline
from sluice_lab.mutation import published
from sluice_lab.mutation.report import Report
from sluice_lab.mutation.suggestions import Suggestion, suggest

# Beside `report.md` and `cases.jsonl`.
SUGGESTIONS = "suggestions.json"


def run(
    spec: Pipeline, seed: int, mutations: int, clean: int, out: Path, say: Callable[[str], None]
) -> Report:
    """Damage published days of the sources, ask clean ones, and write the report and the suggested rules into `out`.

    Raises:
        TableMissingError: no source has a day with enough history.
    """
    known = published.sources(spec)
    tried, drawn = [], []
    with TemporaryDirectory(prefix="sluice-mutate-") as name:
        for number in range(mutations):
            try:
                one = published.mutate(known, seed, number, Path(name))
            except published.NotApplicableError as error:
                say(f"{number + 1:4d}/{mutations} {error}: no source has what this damages")
                continue
            case = one.case
            tried.append(one)
            found = f"{case.stage} {case.outcome} {', '.join(case.rules[:2])}"
            say(
                f"{number + 1:4d}/{mutations} {case.source} {case.run_day} {case.share:5.0%} {case.kind}: {case.did}: {found}"
            )
        for number in range(clean):
            case = published.clean(known, seed, number)
            drawn.append(case)
            say(
                f"clean {number + 1:4d}/{clean} {case.source} {case.run_day} {case.outcome} {', '.join(case.rules)}"
            )
        report = Report(
            seed, tuple(one.case for one in tried), tuple(drawn), f"published rows of {spec.pipeline}"
        )
        missed = [one for one in tried if one.case in report.missed]
        say(f"looking for rules that see the {len(missed)} that were missed")
        suggested = suggest(missed)
    report.write(out)
    (out / SUGGESTIONS).write_text(
        json.dumps([asdict(one) for one in suggested], indent=2) + "\n", encoding="utf-8"
    )
    with (out / "report.md").open("a", encoding="utf-8") as file:
        file.write("\n".join(lines(report, suggested)) + "\n")
    return report


def lines(report: Report, suggested: list[Suggestion]) -> list[str]:
    """The suggested rules for a person, as a Markdown table."""
    if not report.missed:
        return []
    seen = {number for one in suggested for number in one.sees}
    found = [
        "",
        f"Of the {len(report.missed)} that were missed, {len(seen)} would be seen by a rule that fails on none of the clean days asked "
        f"(`{SUGGESTIONS}` has them as suites want them; `warn` until a person has reviewed them).",
    ]
    if suggested:
        found += [
            "",
            "| table | rule that would see it | of | mutations seen | clean days passed |",
            "|---|---|---|---|---|",
        ]
        found += [
            f"| {one.table} | {one.expectation['type']} | {', '.join(one.expectation['kwargs'].get('column_list', [])) or 'rows'} "
            f"| {len(one.sees)} | {one.clean_days} |"
            for one in suggested
        ]
    return found
