"""The key of pseudonyms comes from an Airflow connection, and only where a source has personal data."""

from __future__ import annotations

import json

import pytest

from sluice.core.errors import PseudonymKeyMissingError
from sluice.declare import spec
from sluice.local import stack

KEY = "a key of more than thirty-two characters"


@pytest.fixture
def people(home):
    """The default pipeline, as if the tail number of an aircraft were somebody's name."""
    flights = spec.load("flights")
    planes = flights.source("planes")
    columns = {**planes.contract.columns, "tailnum": spec.Column(type="string", pii=True)}
    contract = planes.contract.model_copy(update={"columns": columns})
    private = planes.model_copy(update={"contract": contract, "pii": "direct"})
    return flights.model_copy(update={"sources": {**flights.sources, "planes": private}})


@pytest.mark.airflow
def test_pseudonym_key_is_the_password_of_the_connection(people, monkeypatch):
    from sluice.orchestration.secrets import pseudonym_key

    connection = {"conn_type": "generic", "password": KEY}
    monkeypatch.setenv(stack.PSEUDONYM_KEY, json.dumps(connection))
    assert pseudonym_key(people, "planes") == KEY.encode()
    assert pseudonym_key(people, "arrivals") is None
    assert pseudonym_key(people, "features") is None

    monkeypatch.setenv(stack.PSEUDONYM_KEY, json.dumps({**connection, "password": "short"}))
    with pytest.raises(PseudonymKeyMissingError, match=r"tailnum.*has only 5 bytes"):
        pseudonym_key(people, "planes")


def test_stack_makes_its_key_once_and_keeps_those_of_an_older_one(home, monkeypatch):
    monkeypatch.delenv(stack.PSEUDONYM_KEY, raising=False)
    keys = home / "airflow" / "keys.json"
    keys.parent.mkdir(parents=True)
    keys.write_text(json.dumps({"fernet": "f", "jwt": "j", "api": "a"}))
    first = json.loads(stack.environment()[stack.PSEUDONYM_KEY])["password"]
    assert len(first) >= 32
    assert json.loads(stack.environment()[stack.PSEUDONYM_KEY])["password"] == first
    assert json.loads(keys.read_text())["fernet"] == "f"
    assert keys.stat().st_mode & 0o077 == 0
