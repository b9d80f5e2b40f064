"""No password is a setting, and none of a URL is ever printed."""

from __future__ import annotations

import traceback

import pytest
from click.testing import CliRunner

from sluice.cli import main
from sluice.core.errors import SpecInvalidError
from sluice.core.settings import settings

WORD = "c4nary-w0rd"
ADDRESSES = {
    "LEDGER_URI": f"postgresql://sluice:{WORD}@db:5432/ledger",
    "CATALOG_URI": f"postgresql+psycopg2://sluice@db/catalog?sslmode=require&password={WORD}",
    "MLFLOW_URI": f"https://someone:{WORD}@mlflow.example.com",
    "WAREHOUSE": f"s3://AKIA:{WORD}/with/slash@bucket",
    "LANDING": f"s3://bucket/prefix?secret_access_key={WORD}",
    # Set by mistake where another type is expected.
    "API_PORT": f"postgresql://sluice:{WORD}@db/ledger",
}


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("command", [["check"], ["up"], ["held"], ["ledger", "--verify"]])
def test_settings_password_in_an_address_is_refused_and_not_told(home, monkeypatch, name, command):
    monkeypatch.setenv(f"SLUICE_{name}", ADDRESSES[name])
    settings.cache_clear()
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert f"SLUICE_{name}" in result.output
    assert WORD not in result.output


@pytest.mark.parametrize("name", ADDRESSES)
def test_settings_password_is_not_in_the_traceback_that_a_task_would_log(home, monkeypatch, name):
    monkeypatch.setenv(f"SLUICE_{name}", ADDRESSES[name])
    settings.cache_clear()
    with pytest.raises(SpecInvalidError) as caught:
        settings()
    assert WORD not in "".join(traceback.format_exception(caught.value))
    assert WORD not in repr(vars(caught.value))


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://sluice@db:5432/ledger",
        "sqlite:////var/lib/sluice/ledger.db",
        "http://127.0.0.1:8080",
        "https://mlflow.example.com:5000/path",
        "s3://bucket/deliveries",
        "postgresql:///ledger?host=/run/postgresql&passfile=/run/secrets/pgpass",
    ],
)
def test_settings_address_without_a_password_is_accepted(home, monkeypatch, address):
    monkeypatch.setenv("SLUICE_LEDGER_URI", address)
    settings.cache_clear()
    assert settings().ledger_uri == address
