"""What a mutation run says of itself: the share caught, by stage and by kind, and what was not caught."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sluice.gates.verdict import NOT_CLEAR
from sluice_lab.mutation.mutators import CAUSES
from sluice_lab.mutation.run import STOPPED, Case


@dataclass(frozen=True)
class Report:
    """All cases of one run. Shares are 0 to 1; of nothing, 1."""

    seed: int
    mutations: tuple[Case, ...]
    draws: tuple[Case, ...]
    stage: str = "files"

    @property
    def counted(self) -> list[Case]:
        """The mutations that are material."""
        return [case for case in self.mutations if case.material]

    @property
    def caught_share(self) -> float:
        return _share(self.counted)

    @property
    def readable_share(self) -> float:
        """As `caught_share`, without those that ended before a gate: what the rules alone catch."""
        return _share([case for case in self.counted if case.stage not in ("unreadable", "contract")])

    @property
    def rules_share(self) -> float:
        """As `caught_share`, of what is held without a comparison with the code before."""
        held = [case.stopped and case.stage != "change of code" for case in self.counted]
        return sum(held) / len(held) if held else 1.0

    @property
    def missed(self) -> list[Case]:
        return [case for case in self.counted if not case.stopped]

    @property
    def named(self) -> dict[str, list[Case]]:
        """The material mutations of deliveries that a gate held, by whether their probable cause was named: see `CAUSES`."""
        found: dict[str, list[Case]] = {"right": [], "wrong": [], NOT_CLEAR: []}
        for case in self.counted:
            if (
                self.stage == "files"
                and case.outcome == "HOLD"
                and case.stage in ("raw gate", "derived gate")
            ):
                unnamed = case.cause in ("", NOT_CLEAR)
                how = NOT_CLEAR if unnamed else "right" if case.cause in CAUSES[case.kind] else "wrong"
                found[how].append(case)
        return found

    @property
    def false_alarms(self) -> list[Case]:
        return [case for case in self.draws if case.outcome not in ("PASS", "WARN")]

    def lines(self) -> list[str]:
        """For a person, as Markdown tables."""
        counted, missed = self.counted, self.missed
        caught = len(counted) - len(missed)
        told = sum(case.told for case in missed)
        found = [
            f"Stage {self.stage}, seed {self.seed}: {len(self.mutations)} mutations, {len(counted)} of them material.",
            f"Caught: {caught} of {len(counted)} ({self.caught_share:.1%}); of those that reached a gate "
            f"{self.readable_share:.1%}. Missed: {len(missed)}, of which {told} were told as a warning.",
            *(
                [f"Without the comparison with the models before: {self.rules_share:.1%}."]
                if self.stage == "transform"
                else []
            ),
            "",
            "| stage | material mutations stopped |",
            "|---|---|",
        ]
        stages = Counter(_stage(case) for case in counted)
        found += [
            f"| {stage} | {count} |" for stage, count in sorted(stages.items(), key=lambda one: -one[1])
        ]
        ways = [*(stage for stage in STOPPED if any(case.stage == stage for case in counted)), "missed"]
        found += ["", "| kind | material | " + " | ".join(ways) + " |", "|---" * (len(ways) + 2) + "|"]
        for kind in sorted({case.kind for case in counted}):
            mine = [case for case in counted if case.kind == kind]
            cells = [sum(case.stage == stage for case in mine) or "" for stage in ways]
            found.append(f"| {kind} | {len(mine)} | " + " | ".join(map(str, cells)) + " |")
        if missed:
            found += [
                "",
                "| missed | source, run day | what was done | keys changed | warned by |",
                "|---|---|---|---|---|",
            ]
            found += [_row(case) for case in missed]
        found += _named(self.named)
        slight = [case for case in self.mutations if not case.material]
        harmless = [case for case in slight if not case.share]
        slight = [case for case in slight if case.share]
        found += [
            "",
            f"Not material: {len(harmless)} changed no value beyond its tolerance ({_held(harmless)}), {len(slight)} fewer "
            f"than 5% of the keys ({_held(slight)}).",
        ]
        if held := [case for case in harmless if case.stopped]:
            found += ["", "| harmless but held | source | what was done | by |", "|---|---|---|---|"]
            found += [
                f"| {case.mutator} | {case.source} | {case.did} | {', '.join(case.rules[:2]) or case.outcome} |"
                for case in held
            ]
        if self.draws:
            warned = sum(case.outcome == "WARN" for case in self.draws)
            found += [
                "",
                f"Clean draws: {len(self.draws)}, false alarms: {len(self.false_alarms)}, warned: {warned}.",
                *(f"- FALSE ALARM {c.source} {c.run_day}: {', '.join(c.rules)}" for c in self.false_alarms),
            ]
        return found

    def write(self, folder: Path) -> None:
        """`report.md` and every case as JSON, one a line."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.md").write_text("\n".join(self.lines()) + "\n", encoding="utf-8")
        cases = "".join(json.dumps(asdict(case)) + "\n" for case in (*self.mutations, *self.draws))
        (folder / "cases.jsonl").write_text(cases, encoding="utf-8")


def _named(named: Mapping[str, Sequence[Case]]) -> list[str]:
    """How often the probable cause was right, by kind, and what was named wrongly."""
    held = sum(map(len, named.values()))
    if not held:
        return []
    said = ", ".join(f"{how} {len(cases)} ({len(cases) / held:.1%})" for how, cases in named.items())
    found = [
        "",
        f"Probable cause of the {held} that a gate held: {said}.",
        "",
        f"| kind | held | {' | '.join(named)} |",
        "|---" * (len(named) + 2) + "|",
    ]
    for kind in sorted({case.kind for cases in named.values() for case in cases}):
        counts = [sum(case.kind == kind for case in cases) for cases in named.values()]
        found.append(f"| {kind} | {sum(counts)} | {' | '.join(str(count or '') for count in counts)} |")
    if named["wrong"]:
        found += ["", "| named wrongly | source, run day | what was done | named |", "|---|---|---|---|"]
        found += [
            f"| {case.kind}: {case.mutator} | {case.source} {case.run_day} | {case.did} | {case.cause} |"
            for case in named["wrong"]
        ]
    return found


def _share(cases: Sequence[Case]) -> float:
    return sum(case.stopped for case in cases) / len(cases) if cases else 1.0


def _stage(case: Case) -> str:
    return f"{case.stage}: {case.outcome}" if case.stage.endswith("gate") else case.stage


def _held(cases: Sequence[Case]) -> str:
    held = sum(case.stopped for case in cases)
    return f"{len(cases) - held} passed, {held} held or refused"


def _row(case: Case) -> str:
    share = "?" if case.share is None else f"{case.share:.0%}"
    return f"| {case.kind}: {case.mutator} | {case.source} {case.run_day} | {case.did} | {share} | {', '.join(case.rules)} |"
