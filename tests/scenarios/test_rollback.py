"""An earlier champion scores again because a person says so in the Airflow UI."""

from __future__ import annotations

import dataclasses

import pytest

from sluice import ledger
from sluice.core.runs import Run
from sluice.lake import tables
from sluice.ledger import model_records
from sluice.models import roles
from sluice.models.config import registry
from sluice.models.scoring import stage_predictions
from sluice_ml.training import fit
from tests.models.conftest import DAY, flights_rows, small_config

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

RUN = Run(dag_id="flights_train", run_id="scenario")


@pytest.fixture
def champions(live, flights):
    """Two versions that were really fitted: the first was champion, the second is; in the end none is."""
    candidate, name = fit(flights_rows(flights), small_config(flights)), flights.model.name
    about, versions = {"pipeline": "flights", "subject": name, "partition": DAY}, []
    for number in (1, 2):
        meta = dataclasses.replace(candidate.meta, unlabelled_rows=number)
        with registry().training(name, {"as_of": DAY}) as run_id:
            version = registry().log(run_id, dataclasses.replace(candidate, meta=meta))
        ledger.append(model_records.Trained(version=version), **about)
        decided = {"version": version, "champion": roles.current(flights).champion, "promote": True}
        roles.promote(flights, ledger.append(model_records.Audited(**decided), **about), RUN)
        versions.append(version)
    yield versions
    if roles.current(flights).champion is not None:
        roles.roll_back(flights, roles.BASELINE, by="scenario", why="It is over.", run=RUN)


def test_roll_back_moves_the_champion_once_on_a_persons_word(live, flights, champions):
    first, second = champions
    before = set(live.mails())
    form = {"version": str(first), "why": "The new one ranks charter flights too high."}

    run = live.succeed("flights_rollback", conf=form)

    entry = ledger.entries(kind="rolled_back", pipeline="flights", limit=1)[0]
    assert (entry.data["version"], entry.data["previous"]) == (first, second)
    assert (entry.data["by"], entry.data["why"], entry.run) == ("admin", form["why"], run["dag_run_id"])
    assert registry().roles(flights.model.name) == {"champion": first, "previous": second}

    refused = {
        str(first): f"Version {first} scores already",
        "7000": "'7000' has never been champion",
    }
    for version, said in refused.items():
        again = live.run("flights_rollback", conf={**form, "version": version})
        assert again["state"] == "failed"
        assert said in live.api.failures("flights_rollback", again["dag_run_id"])
    assert roles.current(flights).champion == first

    live.succeed("flights_rollback", conf={**form, "version": roles.BASELINE})
    assert registry().roles(flights.model.name) == {"previous": first}
    told = [mail for name, mail in live.mails().items() if name not in before]
    assert [str(mail["Subject"]).strip() for mail in told] == [
        f"[sluice][ROLLED BACK] flights flights_late_arrival: {who} scores again"
        for who in (f"version {first}", "the baseline")
    ], "who filled in the form is watching what was refused"
    assert "Nothing that is published was made by" in told[0].get_body(("plain",)).get_content()


@pytest.mark.long
def test_predictions_of_today_are_made_again_and_that_ends_what_was_mailed(live, flights, champions):
    _, second = champions
    day = "2013-05-12"
    live.deliver(flights, "2013-05-09", day)
    live.succeed("flights_backfill", conf={"first_day": "2013-05-09", "last_day": day})
    tables.publish(stage_predictions(flights, [day], RUN), verdict_id="scenario")
    assert _version_of(day) == {str(second)}
    before = set(live.mails())

    run = live.succeed("flights_rollback", conf={"version": roles.BASELINE, "why": "It ranks at random."})
    scored = live.api.wait_for_partition("flights_score", day, since=run["run_after"], seconds=300)
    live.wait_until_idle()

    assert scored["state"] == "success", live.api.failures("flights_score", scored["dag_run_id"])
    assert _version_of(day) == {"baseline"}
    told = [mail for name, mail in live.mails().items() if name not in before]
    assert len(told) == 2, [str(mail["Subject"]) for mail in told]
    assert ["[ROLLED BACK]" in told[0]["Subject"], "[RESOLVED]" in told[1]["Subject"]] == [True, True]
    said = " ".join(told[0].get_body(("plain",)).get_content().split())
    assert f"Those of {day} are made again by the baseline" in said


def _version_of(day: str) -> set[str]:
    return set(tables.scan("flights", "predictions", day, day)["model_version"].to_pylist())
