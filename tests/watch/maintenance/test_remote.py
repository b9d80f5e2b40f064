"""The same on S3: a real HTTP server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import boto3
import pytest

from sluice.lake import batches
from sluice.watch import maintenance
from tests.watch.maintenance.conftest import RUN, TABLE, World, retention

# Later than any grace period, and so is what was condemned before.
LATER = datetime.now(UTC) + timedelta(days=200)


@pytest.mark.long
def test_batches_and_snapshots_in_a_bucket_go_and_what_is_seen_stays(home, warehouse):
    world = World(home)
    replaced, shown = world.cross("2013-01-01", 10), world.cross("2013-01-01", 11)
    orphan = world.stage("2013-01-02", 20)
    seen = world.rows()
    few = retention(world, snapshots_count=1)

    first = maintenance.clear_tables(few, RUN, now=LATER)
    assert {one.kind for one in first} >= {"snapshots", "metadata_files", "condemned_batches"}
    assert batches.staged("flights", TABLE) == [shown.batch_id]
    second = maintenance.clear_tables(few, RUN, now=LATER)
    assert sum(one.kind == "batches" for one in second) == 2

    keys = [item["Key"] for item in boto3.client("s3").list_objects_v2(Bucket=warehouse)["Contents"]]
    assert not [key for key in keys if replaced.batch_id in key or orphan.batch_id in key]
    assert world.rows() == seen
    assert maintenance.check_published(world.flights, RUN).rewritten == ()
