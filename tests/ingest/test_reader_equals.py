"""Whatever bytes are delivered: a refusal, or the very table that parsing in one process gives; never a part of it."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sluice.core.errors import ReaderDiedError, SluiceError
from sluice.core.settings import settings as sluice_settings
from sluice.declare.spec import Source
from sluice.ingest import parse
from sluice.ingest.budget import Budget
from sluice.ingest.layout import Layout
from sluice.ingest.reader import File, Reader
from sluice_lab.feed.formats import encode
from tests.ingest.reading import ALL, FORMATS, SCHEMA

ROWS = pa.Table.from_pylist(
    [
        {"id": at, "string": f"naïve {at}", "integer": at, "number": at / 3, "boolean": at % 2 == 0}
        for at in range(40)
    ],
    schema=SCHEMA,
)
VALID = {fmt: encode(ROWS, fmt) for fmt in FORMATS}


def source(fmt):
    told = dict.fromkeys(("owner", "description", "grain", "licence", "purpose"), "x")
    return Source.model_validate(
        {**told, "key": ["id"], "format": fmt, "cadence": "daily", "contract": ALL.model_dump()}
    )


SOURCES = {fmt: source(fmt) for fmt in FORMATS}


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    """One reader for all examples, as one reads all files of a stage call; another one where it died."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", str(tmp_path_factory.mktemp("home")))
        sluice_settings.cache_clear()
        active = [Reader().__enter__()]
        yield active
        active[0].__exit__()
    sluice_settings.cache_clear()


def check(readers, fmt, data):
    """Returns whether there was a table."""
    path = readers[0].scratch / "delivered"
    path.write_bytes(data)
    try:
        found = readers[0].read(File(path, "a file", SOURCES[fmt], 1))
    except ReaderDiedError:
        # Not to be repeated in this process.
        readers[0].__exit__()
        readers[0] = Reader().__enter__()
        return False
    except SluiceError as error:
        kind, told = type(error), str(error)
        with pytest.raises(kind) as caught:
            in_this_process(fmt, data)
        assert str(caught.value) == told
        return False
    here = in_this_process(fmt, data)
    assert found.table.equals(here.table)
    assert found.table.schema.equals(here.table.schema, check_metadata=True)
    assert found.left_out == here.left_out
    return True


def in_this_process(fmt, data):
    declared = SOURCES[fmt]
    layout, budget = Layout.of(declared.contract), Budget.of(declared.limits)
    return parse.read(data, fmt, layout, budget, where="a file")


bites = st.lists(
    st.tuples(
        st.integers(0, 10**6), st.sampled_from(["flip", "cut", "put", "repeat"]), st.binary(max_size=6)
    ),
    min_size=1,
    max_size=4,
)


def bitten(data, changes):
    for where, how, put in changes:
        at = where % (len(data) + 1)
        if how == "flip":
            data = data[:at] + put + data[at + len(put) :]
        elif how == "cut":
            data = data[:at]
        elif how == "put":
            data = data[:at] + put + data[at:]
        else:
            data = data + data[at:]
    return data


def mutated(fmt, changes):
    """Damage to the text of a compressed file, too: else its checksum finds it first."""
    if fmt == "csv.gz" and len(changes) % 2:
        return gzip.compress(bitten(VALID["csv"], changes))
    return bitten(VALID[fmt], changes)


@pytest.mark.parametrize("fmt", FORMATS)
@settings(max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))
@given(changes=bites)
@example(changes=[(0, "put", b"")])
def test_read_damaged_file_as_in_one_process(readers, fmt, changes):
    check(readers, fmt, mutated(fmt, changes))


@pytest.mark.parametrize("fmt", FORMATS)
@settings(max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=300))
def test_read_random_bytes_as_in_one_process(readers, fmt, data):
    check(readers, fmt, data)


@pytest.mark.parametrize("fmt", FORMATS)
def test_read_whole_file_as_in_one_process(readers, fmt):
    assert check(readers, fmt, VALID[fmt])


@pytest.mark.long
@pytest.mark.parametrize("fmt", FORMATS)
@settings(max_examples=3_000, suppress_health_check=list(HealthCheck))
@given(changes=bites)
def test_read_damaged_file_as_in_one_process_many_times(readers, fmt, changes):
    check(readers, fmt, mutated(fmt, changes))
