"""Names, links, pipes and manifests that a stranger may put into a landing zone: refused by name, and nothing waits."""

from __future__ import annotations

import os

import pytest

from sluice.core.errors import DeliveryMissingError, DeliveryUnreadableError, LimitExceededError
from sluice.ingest.deliveries import MANIFEST
from tests.ingest import strangers
from tests.ingest.hostile import HEADER, MIB

GOOD = HEADER + b"1,x\n"


@pytest.fixture
def pipeline(home, tmp_path, monkeypatch):
    return strangers.declare(tmp_path / "pipelines", monkeypatch, strangers.LIMITS)


@pytest.fixture
def delivered(pipeline):
    """The path of a good delivery."""
    return strangers.place(pipeline, "texts", GOOD)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link out", "linked folder"])
def test_stage_what_is_no_plain_file_is_refused(pipeline, delivered, proofs, tmp_path, kind):
    delivered.unlink()
    secret = tmp_path / "secret"
    secret.write_bytes(GOOD)
    if kind == "pipe":
        os.mkfifo(delivered)
    elif kind == "device":
        delivered.symlink_to("/dev/zero")
    elif kind == "folder":
        delivered.mkdir()
    elif kind == "link out":
        delivered.symlink_to(secret)
    else:
        (tmp_path / "elsewhere").mkdir()
        delivered.parent.rename(tmp_path / "elsewhere" / "day")
        delivered.parent.symlink_to(tmp_path / "elsewhere" / "day")
        delivered.write_bytes(GOOD)
    told = strangers.refused(pipeline, "texts", proofs, f"landing: {kind}")
    assert isinstance(told, DeliveryUnreadableError)
    named = {"pipe": "a named pipe", "device": "a device", "folder": "a folder"}
    assert named.get(kind, "a link that leaves the landing zone") in told.what


def test_stage_link_inside_the_zone_is_followed(pipeline, delivered):
    delivered.rename(delivered.with_name("made.tmp"))
    delivered.symlink_to("made.tmp")
    assert strangers.stage(pipeline, "texts").rows == 1


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_stage_manifest_that_is_no_file_announces_nothing(pipeline, delivered, kind):
    manifest = delivered.with_name(delivered.name + MANIFEST)
    manifest.unlink()
    if kind == "pipe":
        os.mkfifo(manifest)
    else:
        manifest.mkdir()
    with pytest.raises(DeliveryMissingError, match="No complete delivery of 'texts'"):
        strangers.stage(pipeline, "texts")


MANIFESTS = {
    "manifest of 1 GB": (lambda path: os.truncate(path, 1024 * MIB), "too large: 1,073,741,824 bytes"),
    "manifest of nested lists": (lambda path: path.write_text("[" * 60_000), "Invalid JSON: recursion limit"),
    "manifest of one long text": (
        lambda path: path.write_text('"' + "a" * 60_000 + '"'),
        "should be an object",
    ),
    "manifest with a long source": (
        lambda path: strangers.write_manifest(data(path), "t" * 60_000),
        "at most 200 characters",
    ),
    "manifest with a number of thousands of digits": (
        lambda path: strangers.write_manifest(data(path), "texts", rows=10**4_000),
        "rows: ",
    ),
    "manifest with a version of thousands of digits": (
        lambda path: strangers.write_manifest(data(path), "texts", contract_version=-(10**4_000)),
        "contract_version: ",
    ),
    "manifest of another source": (
        lambda path: strangers.write_manifest(data(path), "../lines\n\x1b[31m"),
        r"The manifest is of '../lines\n\x1b[31m'",
    ),
    "manifest that is a link out": (lambda path: linked_out(path), "a link that leaves the landing zone"),
}


def data(manifest):
    return manifest.with_name(manifest.name.removesuffix(MANIFEST))


def linked_out(path):
    outside = path.parents[3] / "outside.json"
    path.rename(outside)
    path.symlink_to(outside)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", MANIFESTS)
def test_stage_hostile_manifest_is_refused(pipeline, delivered, proofs, name):
    change, said = MANIFESTS[name]
    change(delivered.with_name(delivered.name + MANIFEST))
    told = strangers.refused(pipeline, "texts", proofs, name)
    assert isinstance(told, DeliveryUnreadableError)
    assert isinstance(told, LimitExceededError) == ("1 GB" in name)
    assert said in told.what


def test_stage_file_that_a_manifest_names_is_not_looked_at(pipeline, delivered):
    secret = strangers.place(pipeline, "lines", b'{"id": 2, "text": "secret"}')
    manifest = delivered.with_name(delivered.name + MANIFEST)
    told = manifest.read_text().replace("{", f'{{"name": "{secret}", "file": "../../../etc/passwd", ', 1)
    manifest.write_text(told)
    staged = strangers.stage(pipeline, "texts")
    assert staged.inputs[0]["uri"].endswith(delivered.name)
    assert staged.rows == 1


@pytest.mark.parametrize(
    "name",
    [
        "a\\..\\texts_2013-01-02.csv",
        "texts_2013-01-02.csv\n",
        "texts_2013-01-02\n.csv",
        "texts_2013-01-02_1\u0663.csv",  # an Arabic digit
        "texts_2013-01-0\uff12.csv",  # a fullwidth digit
        "t\u0435xts_2013-01-02.csv",  # a Cyrillic letter
        "texts_2013-01-02\u202e.csv",  # text from right to left
        "texts_2013-01-02.csv\x1b[31m",
        os.fsdecode(b"texts_2013-01-02\xff.csv"),
        "x" * 200 + ".csv",
    ],
    ids=ascii,
)
def test_stage_delivery_of_an_odd_name_is_refused_with_a_name_that_can_be_read(
    pipeline, delivered, proofs, name
):
    try:
        strangers.write_manifest(delivered.with_name(name), "texts")
    except OSError as error:  # macOS takes no name that is not UTF-8
        pytest.skip(str(error))
    told = strangers.refused(pipeline, "texts", proofs, f"name {ascii(name)[:40]}")
    assert "is not named as a delivery of 'texts'" in told.what


def test_stage_missing_delivery_lists_odd_names_readably(pipeline, delivered):
    delivered.with_name(delivered.name + MANIFEST).unlink()
    delivered.with_name("a\n\x1b[31m").touch()
    with pytest.raises(
        DeliveryMissingError, match=r"there is: a\\n\\x1b\[31m, texts_2013-01-02\.csv\."
    ) as caught:
        strangers.stage(pipeline, "texts")
    assert str(caught.value).isprintable()


def test_find_in_folders_without_end_does_not_end_the_search(pipeline, delivered):
    # Deeper than Python recurses.
    deep = [delivered.parent / "/".join(["d"] * depth) for depth in range(1, 1_100)]
    try:
        for folder in deep:
            folder.mkdir()
        assert strangers.stage(pipeline, "texts").rows == 1
    finally:  # or whoever clears up fails at it
        for folder in reversed(deep):
            folder.rmdir()
