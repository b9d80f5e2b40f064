from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sluice.cli import main
from sluice_lab.supply_chain import LOCK, advisories, bom
from sluice_lab.supply_chain.lock import read

KNOWN = dict.fromkeys(advisories.CONTROLS.items(), "PYSEC-2025-0")
SOME = ("click", "moto", "pywin32", "tqdm")


@pytest.fixture(scope="module")
def rendered() -> str:
    return bom.render(read(LOCK))


def test_render_lists_every_locked_version_with_hashes_licence_and_edges(rendered):
    bill = json.loads(rendered)
    packages = {str(package): package for package in read(LOCK)}
    listed = {f"{part['name']} {part['version']}": part for part in bill["components"]}
    assert set(listed) == set(packages)
    for name, part in listed.items():
        hashes = sorted(one["content"] for one in part["externalReferences"][0]["hashes"])
        assert tuple(hashes) == packages[name].hashes
        assert part["licenses"], f"{name} has no licence"
    edges = {each["ref"]: set(each.get("dependsOn", [])) for each in bill["dependencies"]}
    of = {part["name"]: part["bom-ref"] for part in bill["components"]}
    assert of["apache-airflow"] in edges["root"]
    assert of["apache-airflow-core"] in edges[of["apache-airflow"]]
    assert of["aws-xray-sdk"] not in edges["root"], "nobody asked for it directly"
    reached, left = set(), ["root"]
    while left:
        for ref in edges[left.pop()] - reached:
            reached.add(ref)
            left.append(ref)
    lost = {
        name
        for name, part in listed.items()
        if part["bom-ref"] not in reached and packages[name].installed_here
    }
    assert lost == set(), "locked and installed, and nothing needs it"


def test_render_is_the_same_for_the_same_lock_and_another_for_another(rendered):
    packages = read(LOCK)
    assert bom.render(packages) == rendered
    other = json.loads(bom.render(packages[1:]))
    assert other["serialNumber"] != json.loads(rendered)["serialNumber"]


def test_check_writes_what_the_validator_accepts(tmp_path):
    packages = [package for package in read(LOCK) if package.name in SOME]
    findings = bom.check(packages, tmp_path / "bill.json")
    assert [finding.kind for finding in findings] == ["checked", "checked"]
    text = (tmp_path / "bill.json").read_text()
    assert bom.validate(text) is None
    assert bom.validate(text.replace('"SHA-256"', '"SHA-257"'))


@pytest.mark.long
def test_audit_command_of_the_project_finds_nothing(home, osv, proofs):
    """As `make supply-chain` is run, with a database that knows the controls and nothing else."""
    *_, url = osv(KNOWN)
    result = CliRunner().invoke(main, ["supply-chain", "--osv-url", url])
    assert (result.exit_code, "FOUND" in result.output) == (0, False), result.output
    assert bom.validate((home / "supply-chain" / "sluice.cdx.json").read_text()) is None
    proofs("supply-chain", "the whole lock", locked=len(read(LOCK)))


@pytest.mark.long
def test_audit_command_without_a_database_ends_with_its_own_code(home):
    result = CliRunner().invoke(main, ["supply-chain", "--osv-url", "http://127.0.0.1:9/v1/query"])
    assert result.exit_code == 3
    assert "NOT CHECKED" in result.output
