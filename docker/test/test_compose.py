"""What docs/deploy.md says of the image and of compose.yml, seen in the order of the tests: a day, a fault, a restart, a restore."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from sluice.core.settings import ROOT
from sluice.core.version import commit_of
from sluice_ml import snapshots

pytestmark = pytest.mark.timeout(1800)

DAY = "2013-06-03"
FAULTY_DAY = "2013-06-04"
TOOLS = ("git", "gcc", "cc", "g++", "c++", "clang", "tcc", "make")


def _locked(python: str) -> dict[str, str]:
    """The versions that docker/requirements.txt has for a version of Python."""
    lines = re.findall(
        r"^[a-z0-9].*==[^\\\n]+", (ROOT / "docker" / "requirements.txt").read_text(), re.MULTILINE
    )
    there = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    found = [Requirement(line) for line in lines]
    return {
        each.name: str(each.specifier).removeprefix("==")
        for each in found
        if each.marker is None or each.marker.evaluate(there)
    }


def _python(installation, code: str) -> str:
    return installation.do("python", "-c", code).strip()


@pytest.fixture(scope="module")
def published_day(installation) -> str:
    """A day that went from ingest to score, with the days before it that its features look back on."""
    installation.do("sluice", "feed", "flights", "2013-05-31", DAY)
    api = installation.api()
    ended = {}
    backfill = api.trigger("flights_backfill", conf={"first_day": "2013-05-31", "last_day": "2013-06-02"})
    ended["backfill"] = api.wait_for_run("flights_backfill", backfill["dag_run_id"], seconds=600)
    assert ended["backfill"] == "success", api.failures("flights_backfill", backfill["dag_run_id"])
    run = api.trigger("flights_ingest", partition=DAY)
    state = api.wait_for_run("flights_ingest", run["dag_run_id"], seconds=600)
    assert state == "success", api.failures("flights_ingest", run["dag_run_id"])
    for stage in ("transform", "score"):
        found = api.wait_for_partition(f"flights_{stage}", DAY, since=run["run_after"], seconds=600)
        assert found["state"] == "success", api.failures(f"flights_{stage}", found["dag_run_id"])
    return DAY


def test_image_holds_what_the_lock_says_and_nothing_that_builds(installation):
    installed = json.loads(
        _python(
            installation,
            "import importlib.metadata as m, json, re;"
            "print(json.dumps({re.sub(r'[-_.]+', '-', d.name).lower(): d.version for d in m.distributions()}))",
        )
    )
    assert installed.pop("sluice")
    locked = _locked(_python(installation, "import platform; print(platform.python_version())"))
    assert len(installed) > 150
    assert {name: version for name, version in installed.items() if locked.get(name) != version} == {}
    found = installation.do("sh", "-c", f"for tool in {' '.join(TOOLS)}; do command -v $tool || true; done")
    assert found == ""


def test_processes_are_not_root_and_cannot_write_the_image(installation):
    assert installation.do("id", "-u").strip() == "50000"
    written = installation.do("sh", "-c", "touch /opt/sluice/x 2>&1 || true; touch /opt/venv/x 2>&1 || true")
    assert written.count("Read-only file system") == 2
    assert "NoNewPrivs:\t1" in installation.do("cat", "/proc/1/status")


def test_code_version_is_the_commit_that_was_built(installation):
    version = _python(installation, "from sluice.core.version import code_version; print(code_version())")
    commit = commit_of(ROOT)
    assert commit
    assert version.endswith(f"+{commit}")


def test_everything_is_healthy_in_time_and_check_finds_nothing(installation, record_property):
    record_property("seconds_to_healthy", round(installation.seconds_to_healthy))
    print(f"healthy after {installation.seconds_to_healthy:.0f} s")
    assert "PROBLEM" not in installation.do("sluice", "check")
    api = installation.api()
    assert api.unhealthy() == []
    known = lambda: api.request("GET", "/dags/flights_score", accept=(200, 404)).status_code == 200 or None  # noqa: E731
    api.until(known, "the DAG processor", 180)


def test_day_goes_from_ingest_to_score_and_mails_nothing(installation, published_day):
    rows = _python(
        installation,
        "from sluice.lake import tables;"
        f"print(*(tables.scan('flights', t, '{DAY}', '{DAY}').num_rows for t in ('features', 'predictions')))",
    )
    features, predictions = map(int, rows.splitlines()[-1].split())
    assert features == predictions > 500
    assert installation.mails() == set()


def test_every_evidence_page_is_served_to_who_is_logged_in(installation, published_day):
    kept = installation.do("find", "/var/lib/sluice/reports/flights", "-type", "f").split()
    # A report is kept as a snapshot, and served as the page that it is rendered to.
    pages = [
        name.replace(snapshots.ENDING, ".html") for name in kept if name.endswith((".html", snapshots.ENDING))
    ]
    assert len(pages) > 10
    for page in (
        "",
        "flights",
        *(f"-/{Path(page).relative_to('/var/lib/sluice/reports')}" for page in pages),
    ):
        assert installation.get(f"/evidence/{page}").status_code == 200, page


def test_one_fault_is_one_mail(installation, published_day):
    installation.do("sluice", "feed", "flights", FAULTY_DAY, "--corrupt", "seconds")
    api = installation.api()
    run = api.trigger("flights_ingest", partition=FAULTY_DAY)
    assert api.wait_for_run("flights_ingest", run["dag_run_id"], seconds=600) == "failed"
    (mail,) = installation.mails()
    assert "hold" in Path(mail).name
    assert "2013-06-03" in installation.do("sluice", "held", "flights")


def test_restart_keeps_everything_and_prepares_nothing_twice(installation, published_day):
    before = installation.do("sluice", "ledger", "--json")
    login = installation.login()
    installation.down(volumes=False)
    installation.up()
    assert installation.do("sluice", "ledger", "--json") == before
    assert installation.login() == login


def test_image_is_exchanged_and_rolled_back(installation, published_day):
    """Of another commit, with the same Airflow: nothing is to be migrated. After `down`, as docs/deploy.md says."""
    engine = installation.engine
    before = installation.do("sluice", "ledger", "--json")
    newer = f"{installation.image}-newer"
    engine.run(str(ROOT / "docker" / "build"), newer, "--build-arg", "SLUICE_CODE_VERSION=0123456789ab")
    seen = []
    try:
        for name in (newer, installation.image):
            installation.down(volumes=False)
            engine.environment["IMAGE"] = name
            installation.up()
            seen.append(
                _python(installation, "from sluice.core.version import code_version; print(code_version())")
            )
            assert installation.do("sluice", "ledger", "--json") == before
            assert "Nothing to migrate" in installation.do("sluice", "migrate", "--dry-run")
    finally:
        engine.environment["IMAGE"] = installation.image
        engine.run(engine.name, "rmi", "--force", newer)
    assert seen[0].endswith("+0123456789ab")
    assert not seen[1].endswith("+0123456789ab")


def test_backup_is_restored_into_empty_volumes(installation, published_day, tmp_path):
    """The paragraphs of docs/deploy.md, with the databases while everything runs and the home after it was stopped."""
    before = installation.do("sluice", "ledger", "--json")
    login = installation.login()
    engine = installation.engine
    writers = [name for name in installation.services() if name not in ("postgres", "init")]
    installation.compose("stop", *writers)
    dump = installation.do("pg_dumpall", "--username=sluice", service="postgres")
    volume = f"{installation.project}_home"
    in_volume = (
        engine.name,
        "run",
        "--rm",
        "--interactive",
        "--volume",
        f"{volume}:/var/lib/sluice",
        installation.image,
    )
    archive = subprocess.run(
        [*in_volume, "tar", "-C", "/var/lib/sluice", "-c", "."],
        env=engine.environment,
        capture_output=True,
        check=True,
    ).stdout
    installation.down(volumes=True)

    installation.compose("up", "--detach", "postgres")
    installation.wait("postgres")
    installation.do(
        "psql", "--username=sluice", "--dbname=postgres", "--quiet", service="postgres", stdin=dump.encode()
    )
    engine.run(*in_volume, "tar", "-C", "/var/lib/sluice", "-x", stdin=archive)
    installation.up()

    assert installation.do("sluice", "ledger", "--json") == before
    assert "PROBLEM" not in installation.do("sluice", "check")
    assert installation.login() == login
    installation.do("sluice", "ledger", "--verify")
