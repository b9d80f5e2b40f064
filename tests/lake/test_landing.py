"""The landing zone behaves alike on a local folder and on S3, the latter over HTTP against moto's server."""

from __future__ import annotations

import shutil
import socket
import time

import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from sluice.core.errors import DeliveryMissingError, LandingUnreachableError, RetryableError, SpecInvalidError
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.ingest import deliveries
from sluice.ingest.stage import stage_source
from sluice.lake.landing import Landing
from sluice_lab import feed


@pytest.fixture(params=["folder", "file-url", "bucket", "bucket-prefix"])
def zone(request, tmp_path):
    """An empty landing zone of each kind."""
    if request.param == "folder":
        url = str(tmp_path / "zone")
    elif request.param == "file-url":
        url = f"file://{tmp_path}/a%20zone"
    else:
        bucket = request.getfixturevalue("bucket")
        url = f"s3://{bucket}/in/bound/" if request.param == "bucket-prefix" else f"s3://{bucket}"
    landing = Landing(url)
    landing.create()
    return landing


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_landing_written_file_is_read_back(zone):
    zone.write("arrivals/2013-01-02/a.csv", b"one")
    zone.write("arrivals/2013-01-02/a.csv", b"\x00two")
    assert zone.read("arrivals/2013-01-02/a.csv") == b"\x00two"
    assert zone.exists("arrivals/2013-01-02/a.csv")
    assert not zone.exists("arrivals/2013-01-02/a.cs")
    assert not zone.exists("arrivals/2013-01-02")


def test_landing_list_names_only_the_folder(zone):
    for name in ("b/2013-01-02/2", "b/2013-01-02/1", "b/2013-01-02x/3", "ab/2013-01-02/4", "top"):
        zone.write(name, b"x")
    assert zone.list("b/2013-01-02") == ["b/2013-01-02/1", "b/2013-01-02/2"]
    assert zone.list("b") == ["b/2013-01-02/1", "b/2013-01-02/2", "b/2013-01-02x/3"]
    assert zone.list("c") == []


def test_folder_that_vanishes_while_the_zone_is_walked_has_nothing_and_ends_no_walk(tmp_path):
    for name in ("a/1", "b/x/1", "c/1", "lost+found/1", "top"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    def is_known(name: str) -> bool:
        if name in ("a", "b/x"):
            shutil.rmtree(tmp_path / name)
        return name in ("a", "b")

    assert sorted(Landing(str(tmp_path)).walk(is_known)) == ["c/", "top"]
    with pytest.raises(LandingUnreachableError):
        list(Landing(str(tmp_path / "gone")).walk(is_known))


def test_landing_walk_looks_into_known_folders_only(zone):
    for name in (
        "b/2013-01-02/2",
        "b/x/1",
        "b/x/2",
        "b/y",
        "ab/deep/er/4",
        "b/.part",
        ".hidden/9",
        "top",
        "b.csv",
    ):
        zone.write(name, b"x")
    known = {"b", "b/2013-01-02"}
    assert sorted(zone.walk(known.__contains__)) == ["ab/", "b.csv", "b/2013-01-02/2", "b/x/", "b/y", "top"]


def test_landing_missing_file_is_named(zone):
    with pytest.raises(DeliveryMissingError, match=r"arrivals/nothing\.csv"):
        zone.read("arrivals/nothing.csv")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "", "a//b", "./a"])
def test_landing_name_outside_the_zone_is_refused(zone, name):
    for act in (zone.read, zone.list, zone.exists, lambda each: zone.write(each, b"x")):
        with pytest.raises(SpecInvalidError, match="landing zone"):
            act(name)


@pytest.mark.parametrize("url", ["gs://bucket/x", "s3://", "file://host/x", "http://x/y"])
def test_landing_unknown_url_is_refused(url):
    with pytest.raises(SpecInvalidError, match="s3://bucket/prefix"):
        Landing(url)


def test_landing_file_being_written_is_not_listed(tmp_path, monkeypatch):
    zone = Landing(str(tmp_path))
    zone.write("a/whole", b"old")
    seen = []
    replace = type(tmp_path).replace

    def look_then_replace(part, target):
        seen.append((zone.list("a"), zone.read("a/whole"), part.read_bytes()))
        return replace(part, target)

    monkeypatch.setattr(type(tmp_path), "replace", look_then_replace)
    zone.write("a/whole", b"new")
    assert seen == [(["a/whole"], b"old", b"new")]
    assert zone.read("a/whole") == b"new"


def test_landing_absent_folder_is_unreachable_not_empty(tmp_path):
    zone = Landing(str(tmp_path / "unmounted"))
    for act in (lambda: zone.list("arrivals"), lambda: list(zone.walk(bool))):
        with pytest.raises(LandingUnreachableError, match="unmounted"):
            act()


def test_landing_folder_that_is_a_file_is_unreachable(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(LandingUnreachableError, match="file"):
        Landing(str(tmp_path / "file")).write("a/b", b"x")


def test_landing_absent_bucket_is_unreachable_not_empty(aws):
    zone = Landing("s3://no-such-bucket-here/in")
    for act in (
        lambda: zone.list("arrivals"),
        lambda: list(zone.walk(bool)),
        lambda: zone.read("arrivals/x"),
        lambda: zone.exists("arrivals/x"),
        lambda: zone.write("arrivals/x", b"x"),
    ):
        with pytest.raises(LandingUnreachableError, match="no-such-bucket-here"):
            act()


def test_landing_unreachable_endpoint_fails_promptly_and_names_the_bucket(aws, monkeypatch):
    endpoint = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    zone = Landing("s3://acme-landing/in")
    started = time.monotonic()
    with pytest.raises(LandingUnreachableError) as caught:
        zone.list("arrivals")
    assert time.monotonic() - started < 10
    assert isinstance(caught.value, RetryableError)
    assert "acme-landing" in str(caught.value)
    assert endpoint in str(caught.value)


def test_landing_absent_credentials_are_named(aws, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(LandingUnreachableError, match="credentials"):
        Landing("s3://acme-landing").list("arrivals")


def test_landing_list_pages_through_more_than_a_thousand_files(bucket):
    for number in range(1005):  # straight into the server, which runs in this process
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(bucket, f"a/{number:04}", b"")
    assert len(Landing(f"s3://{bucket}").list("a")) == 1005


def test_deliveries_on_a_bucket_are_staged_like_those_in_a_folder(home, bucket, monkeypatch):
    flights = spec.load("flights")
    feed.deliver(flights, "2013-01-02", sources=["weather"])
    local = stage_source(flights, "weather", ["2013-01-02"], Run(run_id="test"))
    monkeypatch.setenv("SLUICE_LANDING", f"s3://{bucket}/landing")
    settings.cache_clear()
    assert deliveries.find(flights, "weather", "2013-01-02") is None
    feed.deliver(flights, "2013-01-02", sources=["weather"])
    remote = stage_source(flights, "weather", ["2013-01-02"], Run(run_id="test"))
    assert remote.content_hash == local.content_hash
    assert remote.inputs[0]["uri"].startswith(f"s3://{bucket}/landing/weather/2013-01-02/")


def test_landing_new_file_is_written_once(zone):
    assert zone.write_new("b/2013-01-02/1", b"one")
    assert not zone.write_new("b/2013-01-02/1", b"two")
    assert zone.read("b/2013-01-02/1") == b"one"


def test_landing_new_file_of_many_at_once_has_one_writer(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    zone = Landing(str(tmp_path))
    with ThreadPoolExecutor(16) as pool:
        wrote = list(pool.map(lambda number: zone.write_new("b/name", b"%d" % number), range(16)))
    assert sum(wrote) == 1
    assert zone.read("b/name") == b"%d" % wrote.index(True)
