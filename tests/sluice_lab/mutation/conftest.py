"""A short clean year: ten weeks of the spring, without features, in a home of the tests' own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sluice.core.partitions import days_between
from sluice.core.settings import settings
from sluice.declare import spec
from sluice_lab.mutation import scores, year

# Nine weeks behind the first run day that is drawn.
FIRST, WINDOW = "2013-02-04", ("2013-04-08", "2013-04-15")
# With derived tables: the first day, the first that is predicted, and those that are damaged.
DERIVED_FIRST, SCORED, DERIVED_WINDOW = "2013-03-01", "2013-03-13", ("2013-03-20", "2013-03-22")


@pytest.fixture(scope="session")
def new_home(feed_cache, tmp_path_factory):
    """Function: a context in which a new folder is home, which outlives it; gives the folder."""

    @contextmanager
    def made(name: str) -> Iterator[Path]:
        folder = tmp_path_factory.mktemp(name) / "home"
        folder.mkdir()
        (folder / "feed-cache").symlink_to(feed_cache)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLUICE_HOME", str(folder))
            settings.cache_clear()
            yield folder
        settings.cache_clear()

    return made


@pytest.fixture(scope="session")
def clean_home(new_home) -> Iterator[Path]:
    with new_home("mutation") as folder:
        year.ensure(print, first=FIRST, last=WINDOW[1], derived=False)
    yield folder
    shutil.rmtree(folder / "landing", ignore_errors=True)


@pytest.fixture
def flights(clean_home, monkeypatch) -> Iterator[spec.Pipeline]:
    """The pipeline, in the home of the clean weeks."""
    monkeypatch.setenv("SLUICE_HOME", str(clean_home))
    settings.cache_clear()
    yield spec.load(year.PIPELINE)
    settings.cache_clear()


@pytest.fixture
def weakened(tmp_path, monkeypatch):
    """Function: keep only some rules of a suite, or change the arguments of one."""
    folder = tmp_path / "expectations"
    shutil.copytree(settings().expectations, folder)
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(folder))
    settings.cache_clear()

    def change(table: str, *, keep: set[str] | None = None, **arguments: dict) -> None:
        path = folder / "flights" / f"{table}.json"
        suite = json.loads(path.read_text())
        rules = [rule for rule in suite["expectations"] if keep is None or rule["meta"]["rule"] in keep]
        for rule in rules:
            rule["kwargs"].update(arguments.get(rule["meta"]["rule"], {}))
        path.write_text(json.dumps({**suite, "expectations": rules}))

    return change


@pytest.fixture(scope="session")
def scored_home(new_home) -> str:
    """A home with three clean weeks and what is made of them, predicted by the baseline: there is no champion."""
    with new_home("scores") as folder:
        year.ensure(print, first=DERIVED_FIRST, last=DERIVED_WINDOW[1])
        scores.publish(spec.load(year.PIPELINE), days_between(SCORED, DERIVED_WINDOW[1]), print)
    return str(folder)
