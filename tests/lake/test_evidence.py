"""Evidence at its address: in a folder and in a bucket alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice.core.errors import LakeUnreachableError
from sluice.core.settings import settings
from sluice.lake import evidence

PAGE = "flights/gates/arrivals/2013-04-01/20130402T080000-aa.html"


@pytest.fixture(params=["folder", "bucket"])
def place(request, home, monkeypatch):
    if request.param == "bucket":
        monkeypatch.setenv("SLUICE_EVIDENCE", f"s3://{request.getfixturevalue('bucket')}/pages/of/evidence/")
        settings.cache_clear()
    return request.param


def test_what_is_written_is_read_and_listed(place):
    evidence.write(PAGE, b"page")
    evidence.write(evidence.data_of(PAGE), b"{}")
    evidence.write("flights/dbt/index.html", "é".encode())
    assert evidence.read(PAGE) == b"page"
    assert list(evidence.read_all([evidence.data_of(PAGE), "flights/none.html"])) == [b"{}", None]
    assert evidence.folders() == ["flights"]
    assert evidence.folders("flights") == ["dbt", "gates"]
    folder = PAGE.rpartition("/")[0]
    assert [file.name for file in evidence.files(folder)] == [PAGE, evidence.data_of(PAGE)]
    found = evidence.files("flights", below=True)
    assert {file.name: file.size for file in found} == {
        PAGE: 4,
        evidence.data_of(PAGE): 2,
        "flights/dbt/index.html": 2,
    }
    assert all(file.modified.tzinfo for file in found)
    assert [len(files) for files in evidence.files_of([folder, "", "flights/none"])] == [2, 0, 0]


def test_removed_file_is_gone_with_the_folder_that_it_leaves_empty(place):
    evidence.write(PAGE, b"page")
    evidence.remove(PAGE)
    evidence.remove(PAGE)
    assert evidence.folders("flights/gates/arrivals") == []


def test_where_nothing_is_nothing_is_listed(place):
    assert (evidence.folders(), evidence.files(), evidence.files("flights", below=True)) == ([], [], [])
    with pytest.raises(FileNotFoundError):
        evidence.read(PAGE)


@pytest.mark.parametrize(
    "name", ["", "../secret.html", "flights/../../secret.html", "flights//x.html", "./x"]
)
def test_name_that_leaves_the_evidence_is_of_no_file(place, name):
    evidence.write(PAGE, b"page")
    with pytest.raises(FileNotFoundError):
        evidence.read(name)


@pytest.mark.parametrize("link", ["trains", "trains/linked.html", "trains/gates"])
def test_link_leads_to_no_other_pipeline(home, link):
    evidence.write(PAGE, b"page")
    evidence.write("trains/own.html", b"own")
    root = Path(evidence.address())
    if link == "trains":
        (root / "trains" / "own.html").unlink()
        (root / "trains").rmdir()
    target = {"trains": "flights", "trains/linked.html": PAGE, "trains/gates": "flights/gates"}[link]
    (root / link).symlink_to(root / target)
    wanted = "trains/linked.html" if link.endswith(".html") else PAGE.replace("flights", "trains")
    with pytest.raises(FileNotFoundError):
        evidence.read(wanted)


def test_folder_is_worked_on_like_one_of_this_machine(place):
    evidence.write("flights/monitor/2013-04-01/drift.json", b"old")
    evidence.write("flights/monitor/2013-04-01/gone.json", b"old")
    with evidence.folder("flights/monitor/2013-04-01") as folder:
        assert (folder / "drift.json").read_bytes() == b"old"
        (folder / "drift.json").write_bytes(b"new")
        (folder / "index.html").write_bytes(b"page")
        (folder / "gone.json").unlink()
    found = {Path(file.name).name: evidence.read(file.name) for file in evidence.files("flights", below=True)}
    assert found == {"drift.json": b"new", "index.html": b"page"}


def test_bucket_that_is_not_there_is_named(home, aws, monkeypatch):
    monkeypatch.setenv("SLUICE_EVIDENCE", "s3://no-such-bucket/pages")
    settings.cache_clear()
    for ask in (lambda: evidence.write(PAGE, b""), lambda: evidence.files("flights")):
        with pytest.raises(LakeUnreachableError, match="no-such-bucket"):
            ask()


def test_password_has_no_place_in_the_address(home, monkeypatch):
    from sluice.core.errors import SpecInvalidError

    monkeypatch.setenv("SLUICE_EVIDENCE", "s3://user:secret@bucket/pages")
    settings.cache_clear()
    with pytest.raises(SpecInvalidError, match="password"):
        evidence.address()
