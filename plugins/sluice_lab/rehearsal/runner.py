"""One rehearsal after another on one bench, and what is said of each."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sluice.core.errors import SluiceError
from sluice_lab.rehearsal.bench import Bench
from sluice_lab.rehearsal.scenario_list import Scenario
from sluice_lab.rehearsal.world import Expectation, Mail, World


@dataclass(frozen=True)
class Result:
    """What became of one rehearsal. `error` is what stopped it before its end."""

    scenario: Scenario
    expectations: tuple[Expectation, ...]
    mails: tuple[Mail, ...]
    error: str
    seconds: float

    @property
    def passed(self) -> bool:
        """A scenario that expected nothing has shown nothing."""
        return not self.error and bool(self.expectations) and all(each.ok for each in self.expectations)

    def report(self) -> str:
        """For a person: what was expected, what was seen, and the mails."""
        lines = [f"{self.scenario.name}: {self.scenario.title}"]
        for each in self.expectations:
            lines.append(f"  {'PASS' if each.ok else 'FAIL'}  {each.words}")
            seen = " ".join(each.seen.split())
            lines += [f"        seen: {seen}"] if seen else []
        if self.error:
            lines += ["  FAIL  it came to its end", *(f"        {line}" for line in self.error.splitlines())]
        elif not self.expectations:
            lines.append("  FAIL  it expected something")
        lines.append(f"  {len(self.mails)} mail(s) caught")
        for mail in self.mails:
            lines += [f"    {mail.subject}", f"      {mail.opening}", f"      {mail.path}"]
        lines.append(f"{'PASS' if self.passed else 'FAIL'}  {self.scenario.name}, {self.seconds:.0f} s")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario.name,
            "passed": self.passed,
            "seconds": round(self.seconds, 1),
            "error": self.error,
            "expectations": [asdict(each) for each in self.expectations],
            "mails": [
                {"subject": mail.subject, "opening": mail.opening, "path": str(mail.path)}
                for mail in self.mails
            ],
        }


def rehearse(bench: Bench, scenario: Scenario, *, say: Callable[[str], None], days: int = 30) -> Result:
    """Restore the healthy state, play one scenario, and keep the mails that it caused."""
    bench.reset()
    started = time.monotonic()
    bench.used()
    world = World(bench.api, say, days, earlier_runs=frozenset(bench.api.recent_runs()))
    error = ""
    try:
        scenario.function()(world)
    except SluiceError as problem:
        error = f"{type(problem).__name__}: {problem}"
    except Exception:  # noqa: BLE001 - whatever a scenario breaks with, it did not pass, and the next one is played
        error = traceback.format_exc().strip()
    mails = _kept(world.mails(), bench.base / "mails" / scenario.name)
    return Result(scenario, tuple(world.expectations), mails, error, time.monotonic() - started)


def _kept(mails: list[Mail], folder: Path) -> tuple[Mail, ...]:
    """Copies of the mails that outlive the next restore, instead of those of the last rehearsal."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return tuple(
        Mail(Path(shutil.copy2(mail.path, folder)), mail.subject, mail.text, mail.headers) for mail in mails
    )
