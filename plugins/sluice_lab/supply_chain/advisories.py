"""Known vulnerabilities of the locked packages, asked of public databases by pip-audit.

A database is believed only after it has reported versions that are known to be vulnerable: a mirror that answers every
question with an empty list would otherwise look like a clean bill. pip-audit itself ends with success where no package
could be looked up, so its answer is read package by package.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sluice.core import clock
from sluice_lab.supply_chain import Finding, named
from sluice_lab.supply_chain.lock import Package
from sluice_lab.supply_chain.policy import FILE, load

# The arguments that name each database to pip-audit, in the order of asking.
SERVICES: tuple[tuple[str, ...], ...] = (("pypi",), ("osv",))

# Versions with advisories: jinja2 2.10 has PYSEC-2019-217 (CVE-2019-10906), urllib3 2.4.0 has CVE-2025-50181. The second
# shows that a database is not one of years ago.
CONTROLS = {"jinja2": "2.10", "urllib3": "2.4.0"}
# Seconds for an answer about one package, and for all of them together.
_ANSWER, _ALL = 10, 1800

# Name and version of a package -> ids and fixed versions of its advisories, or why it could not be looked up.
_Answers = Mapping[tuple[str, str], list[dict[str, Any]] | str]


def check(packages: Sequence[Package], services: Sequence[tuple[str, ...]] = SERVICES) -> list[Finding]:
    """Ask the first database that can be believed about every locked version.

    Args:
        services: arguments of pip-audit's `--vulnerability-service`, such as ("osv", "--osv-url", "https://...").
    """
    refused = []
    for service in services:
        reason = _distrust(service)
        if reason is None:
            return _ask_all(packages, service)
        refused.append(f"{service[0]}: {reason}")
    return [
        Finding(
            "not checked",
            f"No known vulnerability was looked for in any of the {len(packages)} locked versions "
            f"({named([str(package) for package in packages], 4)}). {'; '.join(refused)}. Next: run this where PyPI or "
            "OSV answers, or name a mirror of OSV with --osv-url.",
        )
    ]


def _distrust(service: Sequence[str]) -> str | None:
    """Why a database is not believed; None where it reports what it must know."""
    try:
        answers = _ask(list(CONTROLS.items()), service)
    except _NoAnswerError as error:
        return f"it does not answer ({error})"
    for name, version in CONTROLS.items():
        told = answers.get((name, version), "no answer")
        if isinstance(told, str):
            return f"it cannot look up {name} {version}, which is known to be vulnerable ({told})"
        if not told:
            return f"it reports nothing about {name} {version}, which is known to be vulnerable"
    return None


def _ask_all(packages: Sequence[Package], service: Sequence[str]) -> list[Finding]:
    answers: dict[tuple[str, str], list[dict[str, Any]] | str] = {}
    why = "no answer"
    try:
        for names in _rounds(packages):
            answers |= _ask(names, service)
    except _NoAnswerError as error:
        why = str(error)
    findings, silent, reasons, clean = [], [], set(), 0
    for package in packages:
        told = answers.get((package.name, package.version), why)
        if isinstance(told, str):
            silent.append(str(package))
            reasons.add(told)
            continue
        problems = [one for one in map(_problem, told) if one]
        clean += not problems
        findings += [Finding("found", f"{package} has {problem}") for problem in problems]
    if silent:
        findings.append(
            Finding(
                "not checked",
                f"{service[0]} could not look up {len(silent)} of {len(packages)} locked versions: {named(silent)} "
                f"({named(sorted(reasons), 3)}). Next: run it again; if it stays so, look them up by hand.",
            )
        )
    summary = f"{service[0]} knows nothing against {clean} of {len(packages)} locked versions, and does know the controls."
    return [Finding("checked", summary), *findings]


def _problem(advisory: Mapping[str, Any]) -> str | None:
    """An advisory as a sentence; None where it was accepted, and that is not over."""
    ids = [advisory["id"], *advisory.get("aliases", [])]
    accepted = [load().advisories[each] for each in ids if each in load().advisories]
    today = clock.utc_now().date()
    if any(each.until >= today for each in accepted):
        return None
    fixed = advisory.get("fix_versions") or []
    todo = (
        f"raise it to {' or '.join(fixed)} and run `make lock`"
        if fixed
        else "no version is fixed: replace it"
    )
    over = " (accepted before, until a day that has passed)" if accepted else ""
    return f"{', '.join(ids)}{over}. Next: {todo}; or write why it does no harm under [advisories] in {FILE.name}."


def _rounds(packages: Sequence[Package]) -> list[list[tuple[str, str]]]:
    """Versions to ask about at once: a requirements file may name a package only once."""
    rounds: list[dict[str, str]] = []
    for package in packages:
        free = next((each for each in rounds if package.name not in each), None)
        if free is None:
            rounds.append(free := {})
        free[package.name] = package.version
    return [list(each.items()) for each in rounds]


class _NoAnswerError(Exception):
    """pip-audit ended without a report; the message is the last thing it said."""


def _ask(versions: Sequence[tuple[str, str]], service: Sequence[str]) -> _Answers:
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "asked.txt"
        asked.write_text("".join(f"{name}=={version}\n" for name, version in versions))
        command = [
            sys.executable,
            "-m",
            "pip_audit",
            "--requirement",
            str(asked),
            "--no-deps",
            "--disable-pip",
        ]
        command += ["--vulnerability-service", *service, "--format", "json", "--progress-spinner", "off"]
        # A cache of its own: what was answered yesterday is not what is known today.
        command += ["--timeout", str(_ANSWER), "--cache-dir", str(Path(folder) / "cache")]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_ALL, check=False)
        except subprocess.TimeoutExpired as error:
            raise _NoAnswerError(f"not done after {_ALL} s") from error
    try:
        told = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError) as error:
        raise _NoAnswerError((done.stderr.strip().splitlines() or ["it said nothing"])[-1][:200]) from error
    return {
        (one["name"], version): one["vulns"] if "vulns" in one else one.get("skip_reason", "skipped")
        for one in told
        for version in [one.get("version") or dict(versions).get(one["name"], "")]
    }
