"""Every mutator: it changes what it says, the same seed gives the same bytes, and the catalogue is wide enough."""

from __future__ import annotations

import gzip
from datetime import date
from functools import cache
from random import Random
from typing import get_args

import pytest

from sluice.core.settings import settings
from sluice.declare import spec
from sluice.gates.verdict import CauseKind
from sluice_lab.feed import data
from sluice_lab.mutation import material
from sluice_lab.mutation.draft import Draft, NotApplicableError
from sluice_lab.mutation.mutators import CAUSES, MUTATORS

DAY = date(2013, 4, 8)


@pytest.fixture(scope="module")
def draft(feed_cache, tmp_path_factory):
    """Function: a clean delivery of a source on its way."""
    home = tmp_path_factory.mktemp("mutators")
    (home / "feed-cache").symlink_to(feed_cache)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", str(home))
        settings.cache_clear()
        declared, rows = spec.load("flights").sources, cache(data.rows)

        def make(source: str, seed: int) -> Draft:
            def other(day: date):
                return rows(source, day)

            return Draft(source, declared[source], DAY, other(DAY), Random(seed), other)

        yield make
    settings.cache_clear()


def _applied(draft, name: str, source: str, first: int = 0) -> tuple[Draft, str]:
    """A mutator on the first of a few draws that it can do something with."""
    for seed in range(first, first + 50):
        made = draft(source, seed)
        try:
            return made, MUTATORS[name].apply(made)
        except NotApplicableError:
            continue
    raise NotApplicableError(f"{name} has nothing to damage in {source} of {DAY}")


def _plain(made: Draft) -> bytes:
    sent, _ = made.file()
    return gzip.decompress(sent) if made.declared.format == "csv.gz" else sent


@pytest.mark.parametrize("name", sorted(MUTATORS))
def test_mutator_changes_the_file_and_its_seed_decides_how(draft, name):
    """What is drawn can by chance be what is there already, such as the sign of a zero: one of three draws shows."""
    shown = 0
    for source in MUTATORS[name].sources:
        try:
            draws = [_applied(draft, name, source, 50 * n) for n in range(3)]
        except NotApplicableError:
            continue  # such as a group of carriers, of which there are none
        clean = draft(source, 0)
        sent = [_plain(made) for made, _ in draws]
        assert any(one != _plain(clean) for one in sent), (source, [said for _, said in draws])
        assert all(said for _, said in draws)
        assert _plain(_applied(draft, name, source)[0]) == sent[0]
        shown += 1
    assert shown, f"{name} applies to no source on {DAY}"


def test_catalogue_is_wide():
    assert len(MUTATORS) >= 80
    assert len({one.kind for one in MUTATORS.values()}) >= 25
    assert {source for one in MUTATORS.values() for source in one.sources} == set(
        spec.load("flights").sources
    )
    assert all(one.does for one in MUTATORS.values())


@pytest.mark.parametrize(
    ("name", "source", "least"),
    [
        ("another_unit", "schedule", 0.9),
        ("flights_reported_cancelled", "arrivals", 0.01),
        ("random_rows_are_missing", "arrivals", 0.05),
        ("near_duplicates", "planes", 0.03),
        ("made_up_rows", "schedule", 0.05),
        ("an_airport_is_late", "arrivals", 0.2),
        ("columns_swapped", "airports", 0.5),
        ("an_earlier_file", "schedule", 0.5),
    ],
)
def test_damage_is_measured(draft, name, source, least):
    made, said = _applied(draft, name, source)
    assert _share(made) >= least, said


@pytest.mark.parametrize("name", [one.name for one in MUTATORS.values() if one.meant_harmless])
def test_what_loses_no_value_is_no_damage(draft, name):
    shown = 0
    for source in MUTATORS[name].sources:
        try:
            made, said = _applied(draft, name, source)
        except NotApplicableError:
            continue  # such as whole numbers, of which there are none
        assert _share(made) == 0, (source, said)
        shown += 1
    assert shown


def _share(made: Draft) -> float:
    rows = [made.row(i) for i in range(made.size)]
    columns = list(made.declared.contract.columns)
    return material.changed_share(made.source, made.declared.key, columns, made.table.to_pylist(), rows)


def test_values_within_their_tolerance_are_the_same():
    clean = [{"carrier": "UA", "dep_time": 2358, "arr_delay": 10, "tailnum": None}]
    near = [{"carrier": " ua", "dep_time": 2, "arr_delay": 14, "tailnum": None}]
    far = [{"carrier": "UA", "dep_time": 4, "arr_delay": 10, "tailnum": None}]
    columns = list(clean[0])
    assert material.changed_share("arrivals", ["carrier"], columns, clean, near) == 0
    assert material.changed_share("arrivals", ["carrier"], columns, clean, far) == 1
    assert material.changed_share("arrivals", ["carrier"], columns, clean, []) == 1
    assert material.changed_share("arrivals", ["carrier"], columns, clean, [*clean, *far]) == 1
    assert material.changed_share("arrivals", ["carrier"], columns, clean, far, aside=far) == 0


def test_each_kind_says_which_probable_cause_is_right():
    assert set(CAUSES) == {one.kind for one in MUTATORS.values()}
    assert {cause for causes in CAUSES.values() for cause in causes} < set(get_args(CauseKind))
