"""The SQL of dbt models that is changed: what is done to it, and that the build and the gates of its tables see it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from random import Random
from types import ModuleType

import pytest

from sluice.core.errors import StackError
from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice_lab.mutation import run, year
from sluice_lab.mutation.draft import NotApplicableError
from sluice_lab.mutation.mutators import choose
from sluice_lab.mutation.run import STOPPED
from tests.sluice_lab.mutation.conftest import DERIVED_WINDOW

pytestmark = pytest.mark.slow

SEED, DAY = 1, DERIVED_WINDOW[1]


@pytest.fixture
def transforms() -> ModuleType:
    """The module, with sqlglot, which takes a second to import."""
    from sluice_lab.mutation import transforms

    return transforms


@pytest.fixture
def flights(scored_home, tmp_path, monkeypatch) -> Iterator[spec.Pipeline]:
    """The pipeline, with a dbt project of its own."""
    shutil.copytree(ROOT / "dbt_project", tmp_path / "dbt", ignore=shutil.ignore_patterns("target", "logs"))
    monkeypatch.setenv("SLUICE_HOME", scored_home)
    monkeypatch.setenv("SLUICE_DBT_PROJECT", str(tmp_path / "dbt"))
    settings.cache_clear()
    yield spec.load(year.PIPELINE)
    settings.cache_clear()


def test_every_mutator_changes_some_model_and_its_seed_decides_how(flights, transforms):
    for name, mutator in transforms.SQL_MUTATORS.items():

        def changed(seed: int, mutator=mutator) -> tuple[str, str, bool]:
            query, made = transforms.draw(flights, DAY, Random(seed))
            before = query.sql()
            said = mutator.apply(query)
            made.differs(query.model, query.sql())
            return said, query.sql(), query.sql() != before

        for seed in range(200):
            try:
                said, sql, differs = changed(seed)
            except NotApplicableError:
                continue
            assert said, name
            assert differs, name
            assert changed(seed)[:2] == (said, sql), name
            break
        else:
            raise AssertionError(f"{name} applies to no model")


def test_sql_that_is_only_written_anew_gives_the_same_rows(flights, transforms):
    models = set()
    for seed in range(100):
        query, made = transforms.draw(flights, DAY, Random(seed))
        if query.model not in models:
            assert not made.differs(query.model, query.sql()), query.model
        models.add(query.model)
    assert {"stg_flights__arrivals", "ftr_flights__departure", "out_flights__arrival"} <= models


def test_changed_model_is_stopped_and_leaves_project_and_year_as_they_were(flights, transforms):
    number = next(n for n in range(100) if choose(transforms.SQL_MUTATORS, SEED, n).name == "rows_repeated")
    kept = [settings().home / pointer for pointer in ("catalog.db", "ledger.db")]
    kept += [path for path in settings().dbt_project.rglob("*") if path.is_file()]
    before = [path.read_bytes() for path in kept]
    case = transforms.mutate(flights, SEED, number, window=(DAY, DAY))
    assert case.mutator == "rows_repeated"
    assert case.stage in STOPPED, case
    assert [path.read_bytes() for path in kept] == before


def test_change_that_no_rule_sees_is_held_by_what_asks_the_changed_code_itself(flights, transforms):
    """A maker of aircraft that became another: dbt's unit tests and the rows of before are asked where code changed."""
    number = next(n for n in range(100) if choose(transforms.SQL_MUTATORS, SEED, n).name == "branch_lost")
    case = transforms.mutate(flights, SEED, number, window=(DAY, DAY))
    assert case.source == "stg_flights__planes"
    assert case.stage == "change of code", case
    assert "planes_spell_each_maker" in case.rules[0]
    query, made = next(
        drawn
        for seed in range(100)
        if (drawn := transforms.draw(flights, DAY, Random(seed)))[0].model == case.source
    )
    node = transforms._models(flights, made.table)[query.model]
    with year.undisturbed(), transforms._changed(flights, node, query):
        asked = run.derived_tables(flights, [made.table], DAY)
    assert asked[0] == "missed", "SQL that is only written anew passes the same unit tests"


def test_clean_day_passes_and_the_repository_is_not_changed(flights, transforms, monkeypatch):
    case = transforms.clean(flights, SEED, 0, window=(DAY, DAY))
    assert (case.stage, case.share) == ("harmless", 0.0)
    assert case.outcome in ("PASS", "WARN")
    monkeypatch.delenv("SLUICE_DBT_PROJECT")
    settings.cache_clear()
    with pytest.raises(StackError, match="of the repository is not changed"):
        transforms.clean(flights, SEED, 0, window=(DAY, DAY))
