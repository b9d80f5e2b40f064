from __future__ import annotations

import dataclasses
from datetime import date

import pytest

from sluice_lab.supply_chain import LOCK, Finding, advisories, exit_code
from sluice_lab.supply_chain.lock import Package, read
from sluice_lab.supply_chain.policy import Accepted, load

KNOWN = dict.fromkeys(advisories.CONTROLS.items(), "PYSEC-2025-0")
LOCKED = (Package("boto3", "1.44.0", "", ("0" * 64,)), Package("click", "8.3.0", "", ("0" * 64,)))


def kinds(findings: list[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


def test_check_without_any_database_is_not_a_pass_and_names_what_was_not_checked():
    findings = advisories.check(LOCKED, [("osv", "--osv-url", "http://127.0.0.1:9/v1/query")])

    assert kinds(findings) == ["not checked"]
    assert "boto3 1.44.0, click 8.3.0" in findings[0].says
    assert "does not answer" in findings[0].says
    assert exit_code(findings) == 3


def test_check_database_that_never_reports_anything_is_not_believed(osv):
    findings = advisories.check(LOCKED, [osv({})])

    assert kinds(findings) == ["not checked"]
    assert "reports nothing about jinja2 2.10" in findings[0].says


@pytest.mark.long
def test_check_database_of_years_ago_is_not_believed(osv):
    findings = advisories.check(LOCKED, [osv({("jinja2", "2.10"): "PYSEC-2019-217"})])

    assert kinds(findings) == ["not checked"]
    assert "urllib3 2.4.0" in findings[0].says


def test_check_vulnerable_package_is_named_with_what_to_do(osv):
    findings = advisories.check(LOCKED, [osv({**KNOWN, ("click", "8.3.0"): "PYSEC-2026-1"})])

    assert kinds(findings) == ["checked", "found"]
    assert "click 8.3.0 has PYSEC-2026-1" in findings[1].says
    assert "raise it to 99.1" in findings[1].says
    assert exit_code(findings) == 1


@pytest.mark.long
def test_check_second_database_is_asked_where_the_first_is_not_believed(osv):
    findings = advisories.check(LOCKED, [osv({}), osv(KNOWN)])

    assert kinds(findings) == ["checked"]
    assert "knows nothing against 2 of 2" in findings[0].says
    assert exit_code(findings) == 0


@pytest.mark.long
def test_check_database_that_fails_half_way_is_not_a_pass(osv):
    findings = advisories.check(LOCKED, [osv({**KNOWN, ("click", "8.3.0"): None})])

    (silent,) = [finding.says for finding in findings if finding.kind == "not checked"]
    assert "click 8.3.0" in silent
    assert "ServiceError" in silent, "it says why"
    assert exit_code(findings) == 3


@pytest.mark.long
def test_check_both_versions_of_a_package_are_asked_about(osv):
    twice = (*LOCKED, dataclasses.replace(LOCKED[1], version="8.4.0", marker="python_version > '3.11'"))
    findings = advisories.check(twice, [osv({**KNOWN, ("click", "8.4.0"): "PYSEC-2026-2"})])

    assert [finding.says[:27] for finding in findings[1:]] == ["click 8.4.0 has PYSEC-2026-"]


def test_problem_accepted_advisory_is_silent_until_its_last_day(monkeypatch):
    def accepting(until: date):
        accepted = {"PYSEC-2026-1": Accepted(why="It is about a server that is not started.", until=until)}
        return load().model_copy(update={"advisories": accepted})

    advisory = {"id": "GHSA-x", "aliases": ["PYSEC-2026-1"], "fix_versions": []}
    decided = accepting(date(9999, 1, 1)), accepting(date(2020, 1, 1))
    monkeypatch.setattr(advisories, "load", lambda: decided[0])
    assert advisories._problem(advisory) is None
    monkeypatch.setattr(advisories, "load", lambda: decided[1])
    assert "a day that has passed" in advisories._problem(advisory)


def test_rounds_name_no_package_twice_and_lose_none():
    packages = read(LOCK)
    rounds = advisories._rounds(packages)
    assert all(len({name for name, _ in each}) == len(each) for each in rounds)
    assert sum(map(len, rounds)) == len(packages) == len({str(package) for package in packages})
    assert len(rounds) > 1, "the lock has packages in two versions"
