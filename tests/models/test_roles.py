"""A decision acts once, on the champion that it was compared with, and no alias moves without an entry of the ledger."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal

import pytest

from sluice import ledger
from sluice.core.errors import PromotionRefusedError
from sluice.core.runs import Run
from sluice.core.settings import ROOT, settings
from sluice.ledger import model_records
from sluice.models import history, roles, training
from sluice.models.config import registry
from sluice_ml.errors import ModelDamagedError
from tests.models.conftest import DAY, RUN, aliases

pytestmark = pytest.mark.slow


@pytest.fixture
def two(flights, trained, audited):
    """Two versions; the first is champion, and the second was found better than it. Returns both decisions."""
    first, second = trained(), trained()
    decision = audited(first, None)
    roles.promote(flights, decision, RUN)
    return decision, audited(second, first)


def moves():
    return [
        (e.kind, e.data["version"])
        for e in reversed(ledger.entries())
        if e.kind in ("promoted", "rolled_back")
    ]


def test_promotion_repeated_while_it_stands_changes_nothing(flights, two):
    entries = [roles.promote(flights, two[1], RUN) for _ in range(3)]
    assert len({entry.seq for entry in entries}) == 1
    assert moves() == [("promoted", 1), ("promoted", 2)]
    assert aliases(flights) == {"champion": 2, "previous": 1}


def test_old_run_repeated_moves_nothing_back_and_says_so(flights, two):
    roles.promote(flights, two[1], RUN)
    before = len(ledger.entries())
    with pytest.raises(PromotionRefusedError, match=r"acted in entry .* already; now version 2 is champion"):
        roles.promote(flights, two[0], RUN)
    assert len(ledger.entries()) == before
    assert aliases(flights) == {"champion": 2, "previous": 1}


def test_candidate_that_was_compared_with_an_earlier_champion_is_refused(flights, two, trained, audited):
    late = audited(trained(), 1)
    roles.promote(flights, two[1], RUN)
    with pytest.raises(PromotionRefusedError, match="Version 3 was compared with version 1; now version 2"):
        roles.promote(flights, late, RUN)
    assert aliases(flights) == {"champion": 2, "previous": 1, "challenger": 3}


def test_promote_candidate_acts_on_the_newest_decision_of_its_version(flights, two, audited):
    training.promote_candidate(flights, 2, DAY, RUN)
    audited(1, 2, kind="refused")
    with pytest.raises(Exception, match="no decision that allows"):
        training.promote_candidate(flights, 1, DAY, RUN)
    assert aliases(flights) == {"champion": 2, "previous": 1}


def _promote_together(version, start):
    flights = training_spec()
    decided = next(e for e in ledger.entries(kind="audited") if e.data["version"] == version)
    start.wait()
    try:
        roles.promote(flights, decided, RUN)
    except PromotionRefusedError:
        os._exit(3)
    os._exit(0)


def training_spec():
    from sluice.declare import spec

    return spec.load("flights")


def test_of_promotions_at_once_one_acts_and_the_others_are_refused(flights, two, trained, audited):
    versions = [2, *(audited(trained(), 1).data["version"] for _ in range(3))]
    fork = multiprocessing.get_context("fork")
    start = fork.Event()
    processes = [fork.Process(target=_promote_together, args=(version, start)) for version in versions]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(120)
    assert sorted(process.exitcode for process in processes) == [0, 3, 3, 3]
    (_, champion) = moves()[-1]
    assert len(moves()) == 2
    assert aliases(flights)["champion"] == champion
    assert versions[[process.exitcode for process in processes].index(0)] == champion


def _die_after_the_entry(decision_seq):
    os.environ["SLUICE_FAILPOINT"] = "ledger.appended=kill"
    settings.cache_clear()
    decided = next(e for e in ledger.entries(kind="audited") if e.seq == decision_seq)
    roles.promote(training_spec(), decided, RUN)


@pytest.mark.parametrize("way", ["repetition", "next_decision"])
def test_kill_between_entry_and_alias_is_repaired_in_the_same_direction(flights, two, trained, audited, way):
    killed = multiprocessing.get_context("fork").Process(target=_die_after_the_entry, args=(two[1].seq,))
    killed.start()
    killed.join(120)
    assert killed.exitcode == -signal.SIGKILL
    assert (moves()[-1], aliases(flights)["champion"]) == (("promoted", 2), 1), "decided, and not shown yet"
    assert roles.current(flights).champion == 2, "who scores is decided already"
    if way == "repetition":
        roles.promote(flights, two[1], RUN)
    else:
        roles.promote(flights, audited(trained(), 2), RUN)
    assert aliases(flights) == (
        {"champion": 2, "previous": 1} if way == "repetition" else {"champion": 3, "previous": 2}
    )
    assert len(moves()) == (2 if way == "repetition" else 3)


def test_alias_that_was_moved_in_mlflow_counts_for_nothing(flights, two):
    roles.promote(flights, two[1], RUN)
    registry()._client.set_registered_model_alias(flights.model.name, "champion", "1")
    assert roles.current(flights).champion == 2
    roles.set_aliases(flights)
    assert aliases(flights) == {"champion": 2, "previous": 1}


def test_nothing_else_moves_an_alias():
    moving = ("set_roles(", "registered_model_alias(")
    places = [
        path for folder in ("plugins", "ml", "dags", "benchmarks") for path in (ROOT / folder).rglob("*.py")
    ]
    assert len(places) > 100
    found = {
        path.relative_to(ROOT).as_posix()
        for path in places
        if any(word in path.read_text() for word in moving)
    }
    assert found == {"ml/sluice_ml/registry.py", "plugins/sluice/models/roles.py"}


def test_challenger_is_the_newest_candidate_and_a_repeated_training_does_not_bring_back_an_older_one(
    flights, two, trained
):
    assert aliases(flights) == {"champion": 1, "challenger": 2}
    trained()
    assert aliases(flights)["challenger"] == 3
    assert trained(copy=1) == 2, "an old run again: the same model, the same version"
    assert aliases(flights)["challenger"] == 3


def test_roll_back_is_recorded_with_name_and_reason_and_a_repetition_is_refused(flights, two):
    roles.promote(flights, two[1], RUN)
    word = {"by": "operator", "why": "The new one is late."}
    entry = roles.roll_back(flights, "1", run=RUN, **word)
    assert (entry.data["version"], entry.data["previous"], entry.data["by"]) == (1, 2, "operator")
    assert aliases(flights) == {"champion": 1, "previous": 2}
    assert roles.roll_back(flights, "1", run=RUN, **word) == entry, "a task that is tried again"
    with pytest.raises(PromotionRefusedError, match="Version 1 scores already"):
        roles.roll_back(flights, "1", run=Run(run_id="another"), **word)
    with pytest.raises(PromotionRefusedError, match="acted in entry"):
        roles.promote(flights, two[1], RUN)
    roles.roll_back(flights, "baseline", run=Run(run_id="another"), **word)
    with pytest.raises(PromotionRefusedError, match="This run rolled back in entry"):
        roles.roll_back(flights, "1", run=RUN, **word)
    assert aliases(flights) == {"previous": 1}
    assert moves() == [("promoted", 1), ("promoted", 2), ("rolled_back", 1), ("rolled_back", None)]
    assert ledger.verify()


def test_roll_back_to_who_scores_names_only_others_as_allowed(flights, two):
    for to, allowed in (("1", "baseline"), ("baseline", "1")):
        with pytest.raises(PromotionRefusedError, match="scores already") as refused:
            roles.roll_back(flights, to, by="operator", why="x", run=RUN)
        assert refused.value.allowed == allowed
        if to == "1":
            roles.roll_back(flights, "baseline", by="operator", why="x", run=Run(run_id="another"))


def test_roll_back_before_any_champion_has_nothing_that_is_allowed(flights):
    with pytest.raises(PromotionRefusedError, match="The baseline scores already") as refused:
        roles.roll_back(flights, "baseline", by="operator", why="x", run=RUN)
    assert refused.value.allowed == "none: no version has been champion"


def test_versions_are_listed_with_the_decision_about_each(flights, two, trained, audited):
    for decision in two:
        roles.show_decision(flights, decision)
    roles.show_decision(flights, audited(trained(), 1, kind="refused"))
    trained()
    found = {one.version: one.decision for one in roles.read(flights).versions}
    assert found == {1: "promoted", 2: "passed", 3: "refused", 4: "not decided"}


def test_history_tells_who_was_champion_since_when_who_moved_it_and_why(flights, two):
    roles.promote(flights, two[1], RUN)
    roles.roll_back(flights, "1", by="operator", why="The new one is late.", run=Run(run_id="by hand"))
    lines = list(history.lines(history.read(flights)))
    moved = [line for line in lines if line.startswith("since ")]
    assert ["version 1, in place of version 2, by a person" in line for line in moved] == [True, False, False]
    assert "version 2, in place of version 1, by the gate" in moved[1]
    assert "version 1, in place of the baseline, by the gate" in moved[2]
    assert all(
        re.match(r"since \S+ \d\d:\d\d UTC \(recorded\)( until \S+ \d\d:\d\d UTC)?: ", line) for line in moved
    )
    assert lines[1] == "    Version 2 gives way to version 1, says operator: The new one is late."


def test_history_without_a_champion_says_what_scores(flights):
    assert list(history.lines(history.read(flights))) == [
        "flights_late_arrival: no version has ever been champion; the baseline scores"
    ]


@pytest.mark.parametrize(
    ("to", "by", "why", "says"),
    [
        ("2", "operator", "x", "'2' has never been champion"),
        ("one", "operator", "x", "'one' has never been champion"),
        ("01", "operator", "x", "'01' has never been champion"),
        ("\uff11", "operator", "x", "'\uff11' has never been champion"),
        ("baseline", " ", "x", "has to answer"),
        ("baseline", "operator", "", "has to answer"),
    ],
)
def test_roll_back_without_person_reason_or_former_champion_is_refused(flights, two, to, by, why, says):
    with pytest.raises(PromotionRefusedError, match=says):
        roles.roll_back(flights, to, by=by, why=why, run=RUN)
    assert aliases(flights) == {"champion": 1, "challenger": 2}


def test_roll_back_to_a_damaged_version_is_refused(flights, two, home):
    roles.promote(flights, two[1], RUN)
    registered = registry()._version(flights.model.name, 1)
    (home / "models" / flights.model.name / registered.run_id / "artifacts/model/model.ubj").unlink()
    with pytest.raises(ModelDamagedError, match="version 1 cannot be read"):
        roles.roll_back(flights, "1", by="operator", why="x", run=RUN)
    assert aliases(flights) == {"champion": 2, "previous": 1}


def test_ledger_of_an_earlier_version_is_read(flights, trained, audited):
    """Its promotions say neither who was champion before nor which decision they follow."""
    trained(), trained()
    about = {"pipeline": "flights", "subject": flights.model.name, "partition": DAY}
    decided = [audited(1, None), audited(2, 1)]
    for entry in decided:
        ledger.append(model_records.Promoted(**entry.data), **about, once=f"promoted:x:{entry.seq}")
    assert roles.set_aliases(flights) == roles.Roles(2, 1, None, ledger.entries(kind="promoted")[0].seq)
    with pytest.raises(PromotionRefusedError, match="acted in entry"):
        roles.promote(flights, decided[0], RUN)
