"""A model or a score that is not what it was when it was decided about is used by nobody, and somebody is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from aiosmtpd.controller import Controller

from sluice import notify, watch
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.lake import tables
from sluice.models.scoring import stage_predictions
from sluice.notify import report
from sluice.notify.send import Smtp
from sluice.notify.sink import Keeper
from sluice_lab.rehearsal import healthy
from sluice_lab.rehearsal.bench import free_ports
from sluice_ml.artifacts import CONTENT

# Both change the one healthy state that takes a minute to build, and put it back.
pytestmark = [pytest.mark.slow, pytest.mark.long]

DAY = healthy.HISTORY[1]
RUN = Run(dag_id="flights_score", run_id="test", task_id="stage_predictions")


@pytest.fixture(scope="module")
def state(tmp_path_factory) -> Iterator[Path]:
    """A home with five weeks of history, a champion and its predictions."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("integrity") / "home"
        patch.setenv("SLUICE_HOME", str(home))
        settings.cache_clear()
        healthy.build(lambda text: None)
        yield home
    settings.cache_clear()


@pytest.fixture
def flights(state, monkeypatch) -> spec.Pipeline:
    monkeypatch.setenv("SLUICE_HOME", str(state))
    settings.cache_clear()
    return spec.load("flights")


def test_score_with_one_byte_of_the_champion_flipped_is_made_by_the_baseline_with_one_mail(flights, state):
    port = free_ports(1)
    sink = Controller(Keeper(settings().mail), "127.0.0.1", port)
    (model,) = (path for name in CONTENT.values() for path in (state / "models").rglob(name))
    whole = model.read_bytes()
    model.write_bytes(
        whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :]
    )
    sink.start()
    try:
        for _ in range(2):
            made_by = stage_predictions(flights, [DAY], RUN).inputs[-1]
            assert (made_by["version"], made_by["stands_in_for"]) == (None, 1)
            event = report.of_damaged_model(
                flights, champion=1, version=None, problems=made_by["problems"], task_url="http://airflow"
            )
            smtp = Smtp("127.0.0.1", port)
            notify.deliver(event, smtp, sender="sluice@localhost", to=flights.mail_to)
    finally:
        sink.stop()
        model.write_bytes(whole)

    (mail,) = settings().mail.glob("*.eml")
    assert model.name in mail.read_text()
    again = stage_predictions(flights, [DAY], RUN).inputs[-1]
    assert again["version"] == 1, "the file that was registered is used again"


def test_watch_finds_published_scores_that_were_edited(flights, state):
    before = watch.findings(flights)
    shown = tables.published("flights", spec.PREDICTIONS, DAY, DAY)[DAY]
    (path,) = (
        path
        for path in (state / "lake" / "flights" / spec.PREDICTIONS).rglob("*.parquet")
        if shown.batch_id in str(path) and DAY in path.name
    )
    whole = path.read_bytes()
    table = pq.read_table(path, partitioning=None)
    scores = table["score"].to_pylist()
    edited = table.set_column(
        table.column_names.index("score"), table.schema.field("score"), [[1 - scores[0], *scores[1:]]]
    )
    pq.write_table(edited, path)
    try:
        found = [line for line in watch.findings(flights) if line not in before]
    finally:
        path.write_bytes(whole)
    assert any(spec.PREDICTIONS in line and DAY in line for line in found), found
    assert [line for line in watch.findings(flights) if line not in before] == []
