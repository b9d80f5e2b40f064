"""`sluice mutate PIPELINE`: what share of the damage to its published rows a pipeline's own rules see, and which rule would see the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from sluice.core.settings import settings
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
    tried, drawn, untried = [], [], set()
    settings().work.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="mutate-", dir=settings().work) as name:
        for number in range(mutations):
            try:
                one = published.mutate(known, seed, number, Path(name))
            except published.NotApplicableError as error:
                untried.add(str(error))
                say(f"{number + 1:4d}/{mutations} {error}: no day that was drawn has what this damages")
                continue
            case = one.case
            tried.append(one)
            found = f"{case.stage} {case.outcome} {', '.join(case.rules[:2])}"
            say(
                f"{number + 1:4d}/{mutations} {case.source} {case.run_day} {case.share:5.0%} {case.kind}: {case.did}: {found}"
            )
        for number in range(clean):
            case = published.clean(known, seed, number, Path(name))
            drawn.append(case)
            say(
                f"clean {number + 1:4d}/{clean} {case.source} {case.run_day} {case.outcome} {', '.join(case.rules)}"
            )
        report = Report(
            seed, tuple(one.case for one in tried), tuple(drawn), f"published rows of {spec.pipeline}"
        )
        report.write(out)
        missed = [one for one in tried if one.case in report.missed]
        say(f"looking for rules that see the {len(missed)} that were missed")
        suggested = suggest(missed, Path(name))
    (out / SUGGESTIONS).write_text(
        json.dumps([asdict(one) for one in suggested], indent=2) + "\n", encoding="utf-8"
    )
    with (out / "report.md").open("a", encoding="utf-8") as file:
        file.write("\n".join(lines(report, suggested, sorted(untried))) + "\n")
    return report


def lines(report: Report, suggested: list[Suggestion], untried: list[str]) -> list[str]:
    """What could not be tried, and the suggested rules, for a person: a Markdown table."""
    found = (
        ["", f"Not tried, for no day that was drawn has what it damages: {', '.join(untried)}."]
        if untried
        else []
    )
    if not report.missed:
        return found
    seen = {number for one in suggested for number in one.sees}
    if warned := sorted({rule for case in report.missed if case.told for rule in case.rules}):
        found += [
            "",
            f"Rules that warned of what was missed, and would hold it with another severity: {', '.join(warned)}.",
        ]
    found += [
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
