from __future__ import annotations

import pickle
import subprocess

import pytest

from sluice.core.errors import SpecInvalidError
from sluice.core.settings import ROOT
from sluice_lab.supply_chain import exit_code, repository

# In parts, so that this file is not found itself.
REAL = {
    "a private key": b"-----BEGIN " + b"RSA PRIVATE KEY-----",
    "an AWS access key": b"AKIA" + b"QWERTYUIOPASDFGH",
    "a GitHub token": b"ghp_" + b"a1B2" * 9,
    "a Slack token": b"xoxb-" + b"123456789012-abcdef",
    "a Google API key": b"AIza" + b"SyA1B2C3D4E5F6G7H8I9J0K1L2M3N4O5P6Q7",
    "a PyPI token": b"pypi-" + b"AgEIcHlwaS5vcmcCJDEyMzQ1Njc4OTAxMjM0",
    "a JSON web token": b"eyJ" + b"hbGciOiJIUzI1NiJ9.eyJ" + b"zdWIiOiIxMjM0In0.dBjftJeZ4CVP-mB92K27",
    "a password in a URL": b"postgresql://" + b"sluice:hunter22@db/ledger",
    "a value that is assigned to a secret's name": b"SMTP_PASS" + b'WORD = "tr0ub4dor-and-3"',
}


@pytest.fixture
def clone(tmp_path):
    """A small repository of its own."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "README.md").write_text("# Nothing to see\n")
    return tmp_path


def test_repository_of_the_project_holds_no_secret_pickle_or_open_door():
    found = [finding.says for finding in repository.check(ROOT) if finding.kind != "checked"]
    assert found == []


@pytest.mark.parametrize(
    "kind", sorted(repository.KEYS.keys() | {"a value that is assigned to a secret's name"})
)
def test_check_planted_key_is_told_by_its_place_and_not_by_its_value(clone, kind):
    (clone / "deploy.yml").write_bytes(b"# first line\nvalue: " + REAL[kind] + b"\n")
    findings = repository.check(clone)
    assert exit_code(findings) == 1
    told = " ".join(finding.says for finding in findings)
    assert f"deploy.yml:2 holds {kind}" in told
    assert REAL[kind][-8:].decode() not in told


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.pkl", b"x", "is a pickle"),
        ("model.bin", pickle.dumps({"a": 1}), "is a pickle"),
        ("ml/load.py", b"import " + b"pickle\n", "ml/load.py:1 imports a pickle library"),
        (
            "plugins/serve.py",
            b'x = 1\nrun(host="0.0.' + b'0.0")\n',
            "plugins/serve.py:2 listens on every address",
        ),
    ],
)
def test_check_pickle_or_open_door_is_found(clone, name, content, said):
    path = clone / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    assert any(said in finding.says for finding in repository.check(clone))


@pytest.mark.parametrize(
    "harmless",
    [
        b'password = login(user)["password"]',
        b'{"password": "testing"}',
        b"token = secrets.token_urlsafe(48)",
        b'PASSWORD = "only-for-this-test-1"',
        b"https://user@host/path and mailto:someone@example.com",
        b"postgresql://sluice@db/ledger, passwords are in PGPASSFILE",
    ],
)
def test_problems_what_is_no_secret_is_not_taken_for_one(harmless):
    assert list(repository.problems("docs/x.md", harmless)) == []


def test_check_untracked_new_file_is_looked_at_and_an_ignored_one_is_not(clone):
    (clone / ".gitignore").write_text("/var/\n")
    (clone / "var").mkdir()
    (clone / "var" / "keys.json").write_bytes(REAL["an AWS access key"])
    assert exit_code(repository.check(clone)) == 0
    (clone / "notes.txt").write_bytes(REAL["an AWS access key"])
    assert exit_code(repository.check(clone)) == 1


def test_check_outside_of_a_repository_is_an_error(tmp_path):
    with pytest.raises(SpecInvalidError, match="git does not list"):
        repository.check(tmp_path)


def test_exit_code_of_nothing_at_all_is_not_a_pass():
    assert exit_code([]) == 3
