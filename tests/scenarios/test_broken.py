"""A pipeline whose YAML is broken beside a healthy one: one red DAG that says why, one mail, and all is back once it is corrected."""

from __future__ import annotations

import pytest

from sluice.core import dag_ids
from sluice.declare import spec

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.long]

PIPELINE = "flights_s3"
BROKEN = dag_ids.of_broken(PIPELINE)


def known(live) -> set[str]:
    return {dag["dag_id"] for dag in live.api._get("/dags", limit=200)["dags"]}


def wait_until_known(live, here: str, *, gone: str) -> None:
    """Wait until the DAG processor has read the folder of pipelines again, and each DAG that is declared is there."""

    def is_read() -> bool | None:
        return True if here in known(live) and gone not in known(live) else None

    live.api.until(is_read, f"the DAGs of {PIPELINE}", 300)
    assert live.api.missing_dags() == []


def subjects(live, seen: set[str]) -> list[str]:
    found = [str(mail["Subject"]) for name, mail in live.mails().items() if name not in seen]
    return [subject for subject in found if "[DIGEST]" not in subject]


@pytest.fixture
def broken(live):
    """A key that nobody knows in the YAML of one of the two pipelines."""
    path = live.pipelines / f"{PIPELINE}.yml"
    text = path.read_text()
    path.write_text(f"{text}\nlandign: landing\n")
    wait_until_known(live, BROKEN, gone=f"{PIPELINE}_watch")
    yield lambda: path.write_text(text)
    path.write_text(text)
    wait_until_known(live, f"{PIPELINE}_watch", gone=BROKEN)


def test_broken_pipeline_is_one_red_dag_and_one_mail_and_the_other_pipeline_goes_on(live, broken):
    seen = set(live.mails())
    assert set(dag_ids.of_pipeline("flights", spec.load("flights").stages)) <= known(live)

    run = live.run(BROKEN)

    assert live.states(run) == {"check_declaration": "failed"}
    log = live.api.failures(BROKEN, run["dag_run_id"])
    assert "landign" in log
    assert f"{PIPELINE}.yml" in log
    assert "Next: " in log
    live.run(BROKEN)
    (subject,) = subjects(live, seen)
    assert subject.startswith(f"[sluice][BROKEN] {PIPELINE}")
    live.succeed("flights_watch")
    assert subjects(live, seen) == [subject], "the other pipeline is not concerned"

    broken()
    wait_until_known(live, f"{PIPELINE}_watch", gone=BROKEN)
    live.succeed(f"{PIPELINE}_watch")
    assert [subject for subject in subjects(live, seen) if "[RESOLVED]" in subject] == subjects(live, seen)[
        1:
    ]
    assert len(subjects(live, seen)) == 2
