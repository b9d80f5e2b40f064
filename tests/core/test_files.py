"""Files that appear whole or not at all."""

from __future__ import annotations

import os

import pytest

from sluice.core.files import replacing


def test_what_is_written_takes_the_files_place_only_at_the_end(tmp_path):
    path = tmp_path / "deep" / "page.html"
    with replacing(path) as part:
        part.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_block_that_fails_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), replacing(path) as part:
        part.write_text("half of it \udcff", encoding="utf-8")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_in_one_process_do_not_meet(tmp_path):
    path = tmp_path / "page.html"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first", "the outer block ends last"


def test_file_that_only_its_owner_may_read_was_never_readable_by_others(tmp_path):
    path = tmp_path / "keys.json"
    before = os.umask(0)
    try:
        with replacing(path, mode=0o600) as part:
            assert part.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_times_and_permissions_of_the_replaced_file_stay_where_they_are_asked_for(tmp_path):
    path = tmp_path / "snap-1.avro"
    path.write_text("old")
    path.chmod(0o640)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    with replacing(path, keep_stat=True) as part:
        part.write_text("new")
    assert (path.stat().st_mtime, path.stat().st_mode & 0o777) == (1_000_000_000, 0o640)
