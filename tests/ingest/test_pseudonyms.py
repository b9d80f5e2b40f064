"""Personal data: made-up people go in, and nothing under the home folder knows their names afterwards."""

from __future__ import annotations

import email
import email.policy
import hashlib
import hmac
import json
import shutil
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice import crossing
from sluice.core.errors import ContractBrokenError, PseudonymKeyMissingError
from sluice.core.runs import Run
from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice.declare.contracts import Contract
from sluice.declare.limits import Limits
from sluice.ingest import deliveries, parse, pseudonyms
from sluice.ingest.budget import Budget
from sluice.ingest.layout import Layout
from sluice.lake import quarantine, tables
from sluice.lake.landing import Landing
from sluice.notify import compose, report

KEY = b"only for this test: forty characters!!!!"
RUN = Run(dag_id="flights_ingest", run_id="test")
NAMES = ("Zebedee Quillfeather", "Oriana Thistlewood", "Ümit Überzahl")
NUMBERS = ("PN-4711-0815", "PN-4711-0816", "PN-4711-0817")
SOURCE = """
  crew:
    owner: flight-operations
    description: Hours on duty.
    grain: one row a person
    key: [personnel_number]
    format: csv
    cadence: daily
    pii: direct
    licence: internal
    purpose: testing
    contract:
      version: 1
      columns:
        personnel_number: {type: string, pii: true}
        full_name: {type: string, nullable: true, pii: true}
        hours: {type: integer, unit: hours}
"""
RULE = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "hours", "min_value": 0, "max_value": 24},
    "meta": {
        "rule": "hours_possible",
        "severity": "quarantine",
        "limit": 0.5,
        "owner": "x",
        "why": "A day has 24.",
    },
}
CONTRACT = Contract.model_validate(
    {
        "version": 1,
        "columns": {"name": {"type": "string", "pii": True, "nullable": True}, "n": {"type": "integer"}},
    }
)


@pytest.fixture
def crew(home, tmp_path, monkeypatch):
    """The default pipeline with a source of people; its landing zone is the producer's, outside of the home folder."""
    shutil.copytree(ROOT / "dags" / "pipelines", tmp_path / "pipelines")
    path = tmp_path / "pipelines" / "flights.yml"
    path.write_text(path.read_text().replace("\nderived:\n", f"{SOURCE}\nderived:\n", 1))
    (tmp_path / "suites" / "flights").mkdir(parents=True)
    suite = {"name": "flights.crew", "expectations": [RULE]}
    (tmp_path / "suites" / "flights" / "crew.json").write_text(json.dumps(suite))
    monkeypatch.setenv("SLUICE_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(tmp_path / "suites"))
    monkeypatch.setenv("SLUICE_LANDING", str(tmp_path / "landing"))
    settings.cache_clear()
    return spec.load("flights")


def deliver(crew, day, hours, extra=""):
    rows = [f"{number},{name},{each}" for number, name, each in zip(NUMBERS, NAMES, hours, strict=True)]
    data = "\n".join(["personnel_number,full_name,hours", *rows, extra]).encode()
    landing = Landing(crew.landing_url)
    landing.create()
    deliveries.write(landing, crew, "crew", day, data, rows=3, number=1, delivered_at=datetime.now(UTC))


def cross(crew, day):
    manifest = crossing.stage(crew, "crew", [day], RUN, pseudonym_key=KEY)
    verdict = crossing.audit(crew, "crew", manifest.batch_id, RUN)
    if verdict.publishes:
        crossing.publish(crew, "crew", verdict.publish_batch_id, RUN)
    return verdict


def mail(event, name):
    """What would be sent, where the local sink would keep it."""
    settings().mail.mkdir(parents=True, exist_ok=True)
    message = compose.compose(event, sender="sluice@localhost", to=["someone@example.com"])
    (settings().mail / f"{name}.eml").write_bytes(message.as_bytes())


def contents(folder):
    """Everything in every file: as it is, and as its format reads it."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path, path.read_bytes()
        if path.suffix == ".parquet":
            yield path, str(pq.read_table(path, partitioning=None).to_pylist()).encode()
        if path.suffix == ".eml":
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            for part in message.walk():
                yield path, (part.get_content() if part.get_content_maintype() == "text" else "").encode()


def test_nothing_under_home_knows_the_people(crew, home, caplog):
    deliver(crew, "2013-04-01", (8, 8, 25))
    assert cross(crew, "2013-04-01").quarantined == {"hours_possible": 1}
    deliver(crew, "2013-04-02", (25, 25, 8))
    held = cross(crew, "2013-04-02")
    assert held.outcome == "HOLD"
    mail(report.of_verdict(crew, held, task_url="http://airflow"), "held")
    deliver(crew, "2013-04-03", ("eight", 8, 8), extra=f"{NAMES[0]},{NAMES[1]},{NAMES[2]}")
    with pytest.raises(ContractBrokenError) as caught:
        cross(crew, "2013-04-03")
    mail(
        report.of_exception(
            crew,
            caught.value,
            task_id="stage_crew",
            run_id="test",
            partition="2013-04-03",
            task_url="http://airflow",
        ),
        "refused",
    )

    assert tables.scan("flights", "crew", "2013-04-01", "2013-04-01").num_rows == 2
    assert quarantine.rows("flights", "crew", "2013-04-01", "2013-04-01").num_rows == 1
    found = list(contents(home))
    kinds = {path.suffix for path, _ in found}
    assert {".parquet", ".db", ".html", ".json", ".eml"} <= kinds
    for person in (*NAMES, *NUMBERS, KEY.decode()):
        for told in {person, person.split()[-1], json.dumps(person)[1:-1]}:
            assert [str(path) for path, content in found if told.encode() in content] == []
            assert told not in caplog.text + str(caught.value)


def test_read_pseudonym_is_the_keyed_hash_and_the_same_for_the_same_person():
    layout, data = Layout.of(CONTRACT), b"name,n\nAda,1\n,2\nAda,3\nBob,4\n"
    table = parse.read(data, "csv", layout, Budget.of(Limits()), where="f", pii="direct", key=KEY).table
    ada = hmac.new(KEY, b"Ada", hashlib.sha256).hexdigest()[:32]
    assert table["name"].to_pylist()[:3] == [ada, None, ada]
    other = pseudonyms.replace(pa.table({"name": ["Ada"]}), ["name"], KEY[::-1])
    assert other["name"].to_pylist() != [ada]


@pytest.mark.parametrize("key", [None, b"", b"short"])
def test_stage_without_a_key_says_what_to_do_before_anything_is_read(crew, key):
    with pytest.raises(PseudonymKeyMissingError, match="personnel_number, full_name") as caught:
        crossing.stage(crew, "crew", ["2013-04-01"], RUN, pseudonym_key=key)
    assert "sluice_pseudonym" in caught.value.allowed
    assert "secrets.token_urlsafe" in caught.value.todo
    assert "short" not in str(caught.value).replace("shorter", "")


def test_stage_under_another_key_is_another_batch(crew):
    deliver(crew, "2013-04-01", (8, 8, 8))
    first = crossing.stage(crew, "crew", ["2013-04-01"], RUN, pseudonym_key=KEY)
    again = crossing.stage(crew, "crew", ["2013-04-01"], RUN, pseudonym_key=KEY)
    other = crossing.stage(crew, "crew", ["2013-04-01"], RUN, pseudonym_key=KEY[::-1])
    assert first.batch_id == again.batch_id != other.batch_id


def test_stage_names_of_undeclared_columns_of_people_are_not_told(crew):
    deliver(crew, "2013-04-01", (8, 8, 8))
    (path,) = (crew.landing_url and __import__("pathlib").Path(crew.landing_url)).rglob("*.csv")
    lines = path.read_text().splitlines()
    data = "\n".join([f"{lines[0]},Jane Doe", *(f"{line},1" for line in lines[1:] if line)]).encode()
    deliveries.write(
        Landing(crew.landing_url),
        crew,
        "crew",
        "2013-04-01",
        data,
        rows=3,
        number=2,
        delivered_at=datetime.now(UTC),
    )
    manifest = crossing.stage(crew, "crew", ["2013-04-01"], RUN, pseudonym_key=KEY)
    assert manifest.inputs[0]["extra_columns"] == ["1 whose names are not shown"]
