from __future__ import annotations

import pytest

from sluice.core.errors import SpecInvalidError
from sluice_lab.supply_chain import LOCK, exit_code, licences
from sluice_lab.supply_chain.lock import Package, read
from sluice_lab.supply_chain.policy import Declared, Policy, load

ONLY_MIT = Policy(allowed={"MIT": "permissive"}, spelled={})


def locked(*names: str) -> list[Package]:
    return [package for package in read(LOCK) if package.name in names]


def test_check_every_locked_package_has_an_allowed_licence(proofs):
    packages = read(LOCK)
    findings = licences.check(packages)
    assert [finding.says for finding in findings if finding.kind != "checked"] == []
    proofs("licence", "locked packages", names=len({package.name for package in packages}))


def test_check_licence_that_is_not_allowed_is_named_with_what_to_do():
    (_, found) = licences.check(locked("tqdm"), ONLY_MIT)
    assert found.kind == "found"
    assert "tqdm is under MPL-2.0 AND MIT, which is not allowed" in found.says
    assert "[excepted.tqdm]" in found.says
    assert exit_code([found]) == 1


def test_check_unknown_licence_is_no_pass():
    findings = licences.check(locked("huey"), ONLY_MIT)
    assert "The licence of huey is unknown" in findings[1].says
    assert "[declared.huey]" in findings[1].says


def test_licence_declared_by_hand_lapses_when_the_metadata_change():
    declared = {"huey": Declared(licence="MIT", found="BSD", why="It was looked up once.")}
    policy = ONLY_MIT.model_copy(update={"declared": declared})
    assert licences.licence_of("huey", policy) is None
    assert licences.licence_of("huey", load()) == "MIT"


def test_licence_declared_for_a_package_of_other_systems_does_not_cover_one_that_is_here():
    declared = {"click": Declared(licence="MIT", why="It was taken for a Windows package.")}
    assert licences.licence_of("click", ONLY_MIT.model_copy(update={"declared": declared})) is None


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND (GPL-3.0-only OR MIT)", True),
        ("MIT WITH Classpath-exception-2.0", False),
        ("GPL-3.0-only", False),
    ],
)
def test_is_allowed_reads_the_expression(expression, allowed):
    assert licences._is_allowed("x", expression, ONLY_MIT) is allowed


def test_check_policy_about_a_package_that_is_gone_is_found():
    findings = licences.check(locked("click"), load())
    assert any("not locked any more" in finding.says for finding in findings)


def test_lock_without_a_hash_is_refused(tmp_path):
    lock = tmp_path / "requirements.txt"
    lock.write_text("click==8.3.0\n")
    with pytest.raises(SpecInvalidError, match="'click' is not locked to one version with hashes"):
        read(lock)
    lock.write_text("# nothing\n")
    with pytest.raises(SpecInvalidError, match="locks no package"):
        read(lock)
