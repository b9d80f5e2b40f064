"""A home knows where it was made; what cannot be a home is refused before anything is written."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from sluice import ledger
from sluice.cli import main
from sluice.core import identity
from sluice.core.errors import AdoptionRefusedError, HomeMovedError, SpecInvalidError
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.lake import batches, connection, tables
from sluice.ledger import records
from sluice.local import sessions
from sluice.local.home.relocation import Relocation


def _publish(day: str = "2013-01-01") -> batches.Manifest:
    rows = pa.table({"ds": pa.array([date.fromisoformat(day)] * 2, pa.date32()), "flight": [1, 2]})
    manifest = batches.stage(
        "flights", "weather", rows, partitions=[day], received=2, dropped={}, inputs=[], run=Run(run_id="test"), sort_by=["flight"]
    )  # fmt: skip
    tables.publish(manifest, verdict_id="v")
    ledger.append(records.Published(batch_id="b"), pipeline="flights", subject="weather", partition=day)
    return manifest


def _moved(home: Path, to: Path) -> Path:
    home.rename(to)
    return to


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_home_is_its_owners_only_from_its_first_moment_on_whatever_the_umask(
    tmp_path, use, umask, monkeypatch
):
    home = use(tmp_path / "deep" / "home")
    made, protect = [], identity.protect
    monkeypatch.setattr(
        identity, "protect", lambda home: made.append(home.stat().st_mode & 0o777) or protect(home)
    )
    before = os.umask(umask)
    try:
        _publish()
        (settings().home / "landing").mkdir()
    finally:
        os.umask(before)
    assert made[0] == home.stat().st_mode & 0o777 == 0o700
    assert identity.read(home).path == str(home)


def test_home_of_an_earlier_version_is_taken_as_it_is_and_protected(tmp_path, use):
    home = use(tmp_path / "home")
    _publish()
    (home / identity.FILE).unlink()
    home.chmod(0o755)
    use(home)
    assert ledger.verify() == 1
    assert identity.read(home).path == str(home)
    assert home.stat().st_mode & 0o777 == 0o700


def test_copy_of_a_home_without_identity_is_known_by_its_stored_paths(tmp_path, use):
    home = use(tmp_path / "home")
    _publish()
    (home / identity.FILE).unlink()
    use(shutil.copytree(home, tmp_path / "copy"))
    with pytest.raises(HomeMovedError, match=f"made at {home}"):
        ledger.entries()
    list(_adopt())
    assert tables.scan("flights", "weather", "2013-01-01", "2013-01-01").num_rows == 2


def test_warehouse_elsewhere_says_nothing_of_a_home_without_identity(tmp_path, use, monkeypatch):
    monkeypatch.setenv("SLUICE_WAREHOUSE", f"file://{tmp_path}/elsewhere")
    home = use(tmp_path / "home")
    _publish()
    (home / identity.FILE).unlink()
    use(home)
    assert ledger.verify() == 1


def _adopt() -> list[str]:
    from sluice.local.home import adopt

    done = list(adopt())
    settings.cache_clear()
    return done


COMMANDS = [
    ["held", "flights"],
    ["ledger"],
    ["ledger", "--verify"],
    ["trace", "flights", "weather", "2013-01-01"],
    ["watch", "flights"],
    ["maintain", "flights"],
    ["feed", "flights", "2013-01-02"],
    ["check"],
    ["catalogue", "flights"],
    ["home", "backup", "{tmp}/backup"],
    ["replay", "flights", "weather", "2013-01-01"],
    ["release", "flights", "weather", "2013-01-01", "--by", "A", "--why", "B", "--until", "2013-02-01"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_moved_home_every_command_names_the_one_that_adopts_it(tmp_path, use, command):
    use(tmp_path / "home")
    _publish()
    moved = use(_moved(tmp_path / "home", tmp_path / "moved"))
    before = sorted(tmp_path.rglob("*"))
    result = CliRunner().invoke(main, [part.format(tmp=tmp_path) for part in command])
    assert result.exit_code == 1
    assert f"SLUICE_HOME='{moved}' sluice home adopt" in result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert sorted(tmp_path.rglob("*")) == before


def test_moved_home_is_adopted_with_its_id_and_a_copy_gets_a_new_one(tmp_path, use):
    first = identity.read(use(tmp_path / "home")) or (_publish() and identity.read(tmp_path / "home"))
    moved = use(_moved(tmp_path / "home", tmp_path / "moved"))
    assert CliRunner().invoke(main, ["home", "adopt"]).exit_code == 0
    assert identity.read(moved).id == first.id
    copy = use(shutil.copytree(moved, tmp_path / "copy"))
    assert CliRunner().invoke(main, ["home", "adopt"]).exit_code == 0
    adopted = identity.read(copy)
    assert (adopted.id != first.id, adopted.copied_from, adopted.path) == (True, first.id, str(copy))
    told = CliRunner().invoke(main, ["home", "status"]).output
    assert f"copied from     the home with the id {first.id}" in told


def test_half_written_iceberg_files_that_no_table_names_do_not_stop_an_adoption(tmp_path, use):
    home = use(tmp_path / "home")
    _publish()
    folder = home / "lake" / "flights" / "weather" / "metadata"
    for name in ("snap-1-0-half.avro", "half-m0.avro"):
        (folder / name).write_bytes(next(folder.glob("snap-*.avro")).read_bytes()[:20])
    (folder / "00009-half.metadata.json").write_text('{"format-version": 2, "loc')
    use(_moved(home, tmp_path / "moved"))
    _adopt()
    assert tables.scan("flights", "weather", "2013-01-01", "2013-01-01").num_rows == 2


@pytest.mark.parametrize("name", ["snap-*.avro", "*-m0.avro", "*.metadata.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damaged_iceberg_file_of_a_table_is_named_and_nothing_is_adopted(tmp_path, use, name, damage):
    home = use(tmp_path / "home")
    _publish()
    moved = use(_moved(home, tmp_path / "moved"))
    file = max((moved / "lake" / "flights" / "weather" / "metadata").glob(name))
    content = file.read_bytes()
    file.unlink() if damage == "gone" else file.write_bytes(content[:20])
    with pytest.raises(AdoptionRefusedError) as caught:
        _adopt()
    assert caught.value.where == str(file)
    with pytest.raises(HomeMovedError):
        ledger.entries()
    file.write_bytes(content)
    _adopt()
    assert tables.scan("flights", "weather", "2013-01-01", "2013-01-01").num_rows == 2


def test_process_ids_of_the_original_are_not_taken_over(tmp_path, use):
    home = use(tmp_path / "home")
    _publish()
    (home / "run").mkdir()
    (home / "run" / "scheduler.json").write_text("{}")
    copy = use(shutil.copytree(home, tmp_path / "copy"))
    _adopt()
    assert not (copy / "run").exists()
    assert (home / "run" / "scheduler.json").exists()


def test_home_moved_away_under_its_stack_is_adopted_once_that_is_stopped(tmp_path, use):
    home = use(tmp_path / "home")
    _publish()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (home / "run").mkdir()
    record = sessions.identify(process.pid)
    (home / "run" / "scheduler.json").write_text(json.dumps(record))
    use(_moved(home, tmp_path / "moved"))
    with pytest.raises(AdoptionRefusedError, match=f"kill {process.pid}"):
        _adopt()
    process.communicate(b"\n")
    _adopt()
    assert ledger.verify() == 1


def test_catalog_on_a_server_is_never_pointed_at_a_copy(tmp_path, use, monkeypatch):
    elsewhere = tmp_path / "server.db"
    monkeypatch.setenv("SLUICE_CATALOG_URI", f"sqlite:///{elsewhere}")
    home = use(tmp_path / "home")
    _publish()
    before = elsewhere.read_bytes()
    use(shutil.copytree(home, tmp_path / "copy"))
    with pytest.raises(AdoptionRefusedError, match="SLUICE_CATALOG_URI"):
        _adopt()
    assert elsewhere.read_bytes() == before


def test_adoption_rewrites_airflows_database_and_configuration(tmp_path, use):
    home = use(tmp_path / "home")
    _publish()
    (home / "airflow").mkdir()
    (home / "airflow" / "airflow.cfg").write_text(f"[core]\nfolder = {home}/airflow/logs\n")
    with closing(sqlite3.connect(home / "airflow" / "airflow.db")) as database:
        database.execute("create table t (id integer primary key, text, blob)")
        database.execute("insert into t values (1, ?, x'00')", (f'{{"file": "{home}/lake/x"}}',))
        database.commit()
    copy = use(shutil.copytree(home, tmp_path / "copy"))
    _adopt()
    assert (copy / "airflow" / "airflow.cfg").read_text() == f"[core]\nfolder = {copy}/airflow/logs\n"
    with closing(sqlite3.connect(copy / "airflow" / "airflow.db")) as database:
        assert database.execute("select text, blob from t").fetchall() == [
            (f'{{"file": "{copy}/lake/x"}}', b"\0")
        ]


REFUSED = ["a#b", "a?b", "a%b", "a%20b", "a'b", 'a"b', "a\nb", "a\tb", "a*b", "a[b]", "a{b}", "a$b", "a;b", "a&b",
           "a=b", "a\\b", "a:b", "a`b", "a|b", "a<b", "~a", "a‮b", "a\x1bb"]  # fmt: skip


@pytest.mark.parametrize("name", REFUSED, ids=ascii)
def test_path_that_an_address_cannot_hold_is_refused_before_anything_is_written(tmp_path, use, name):
    use(tmp_path / name)
    with pytest.raises(SpecInvalidError, match="has a character that addresses") as caught:
        settings()
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_warehouse_has_the_same_rule(tmp_path, use, monkeypatch):
    use(tmp_path)
    monkeypatch.setenv("SLUICE_WAREHOUSE", f"file://{tmp_path}/a#b")
    settings.cache_clear()
    with pytest.raises(SpecInvalidError, match="SLUICE_WAREHOUSE"):
        settings()


HANDLED = ["with space", "Übergröße", "日本", "e\u0301", "a+b,c", "a@b", "(a)", "-a", ".a", "a_b.c"]


@pytest.mark.parametrize("name", HANDLED, ids=ascii)
def test_home_with_an_unusual_name_publishes_pins_reads_and_moves(tmp_path, use, name):
    home = use(tmp_path / name)
    manifest = _publish()
    pinned = tables.pin("flights", "weather", "train-1")
    _publish("2013-01-02")
    with connection.opened() as lake:
        assert lake.load_table(("flights", "weather")).location() == f"file://{home}/lake/flights/weather"
    assert Path(manifest.files["2013-01-01"]).is_relative_to(home)
    read = tables.files("flights", "weather", "2013-01-01", "2013-01-02", into=home / "work")
    import duckdb

    with duckdb.connect() as database:
        assert (
            database.read_parquet(read).fetchall()
            == database.sql(f"select * from read_parquet({read!r})").fetchall()
        )
    assert {path.name for path in tmp_path.iterdir()} == {name}
    use(_moved(home, tmp_path / f"{name} 2"))
    _adopt()
    assert tables.scan("flights", "weather", "2013-01-01", "2013-01-02").num_rows == 4
    assert tables.scan("flights", "weather", "2013-01-01", "2013-01-02", snapshot_id=pinned).num_rows == 2


@pytest.mark.parametrize(
    ("old", "new", "text", "expected"),
    [
        ("/a/home", "/b", "file:///a/home/lake", "file:///b/lake"),
        ("/a/home", "/b", "/a/home", "/b"),
        ("/a/home", "/b", "/a/home2/lake", "/a/home2/lake"),
        ("/a/home", "/b", "/a/home.bak/lake", "/a/home.bak/lake"),
        ("/home", "/b", "/srv/home/lake", "/srv/home/lake"),
        ("/a", "/a/copy", "/a/lake", "/a/copy/lake"),
        ("/a", "/a/copy", "/a/copy/lake", "/a/copy/lake"),
        ("/a/copy", "/a", "/a/copy/lake", "/a/lake"),
        ("/a b/é", "/c d/ü", "file:///a%20b/%C3%A9/x", "file:///c%20d/%C3%BC/x"),
        ("/é", "/ü", r'{"file": "/\u00e9/x"}', r'{"file": "/\u00fc/x"}'),
        ("/a&b", "/c", "<code>/a&amp;b/x</code>", "<code>/c/x</code>"),
    ],
)
def test_relocation_replaces_whole_paths_in_every_spelling_and_once(old, new, text, expected):
    relocated = Relocation(old, new)
    assert relocated(text) == expected
    assert new.startswith(old) is False or relocated(relocated(text)) == expected
