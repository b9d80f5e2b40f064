"""A day without rows is accepted, left to a person, or a mistake, by what its delivery and its inputs say."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from sluice.gates import emptiness
from sluice.gates.emptiness import Emptiness

DAY, NEXT, LAST = "2013-04-05", "2013-04-06", "2013-04-07"


def rows(*days: str) -> pa.Table:
    return pa.table({"ds": pa.array([date.fromisoformat(day) for day in days], pa.date32())})


def delivered(rows: int, day: str = DAY) -> dict:
    return {"kind": "delivery", "day": day, "rows": rows}


def declare_empty(pipeline, kind, name):
    tables = getattr(pipeline, kind)
    table = tables[name].model_copy(update={"may_be_empty": True})
    return pipeline.model_copy(update={kind: {**tables, name: table}})


def test_batch_with_rows_for_every_day_is_nobodys_matter(pipeline, stage):
    batch = stage("schedule", rows(DAY, NEXT), DAY, NEXT, inputs=[delivered(1), delivered(0, NEXT)])
    assert emptiness.judge(pipeline, batch) == Emptiness()


def test_days_that_their_delivery_announces_as_empty_are_held_and_others_are_not_known(pipeline, stage):
    given = [delivered(0), delivered(0, NEXT), delivered(4, LAST), {"kind": "model"}]
    one = emptiness.judge(pipeline, stage("schedule", rows(LAST), DAY, LAST, inputs=given))
    assert one == Emptiness(
        held=(DAY,),
        reasons=(f"No rows for {DAY}: its delivery announces none, and `may_be_empty` is not declared.",),
    )
    three = emptiness.judge(pipeline, stage("schedule", rows(), DAY, NEXT, LAST, inputs=given))
    assert (three.accepted, three.held, three.days) == ((), (DAY, NEXT), (DAY, NEXT))
    assert three.reasons[0].startswith(f"No rows for 2 days, {DAY}..{NEXT}: its delivery")


def test_day_that_was_lost_on_the_way_is_not_known_also_where_it_may_be_empty(pipeline, stage):
    batch = stage("schedule", rows(), DAY, NEXT, inputs=[delivered(0), delivered(4, NEXT)])
    found = emptiness.judge(declare_empty(pipeline, "sources", "schedule"), batch)
    assert found == Emptiness(accepted=(DAY,))


@pytest.mark.parametrize(
    ("read", "accepted"),
    [
        ([], False),
        (["arrivals"], False),
        (["schedule"], True),
        (["arrivals", "schedule"], True),
        # Rows that a join has lost: another table has none either.
        (["planes", "outcomes"], False),
    ],
)
def test_derived_day_is_empty_where_the_table_that_its_rows_come_from_is(pipeline, stage, read, accepted):
    empty = {table: stage(table, rows(), DAY) for table in ("schedule", "planes", "outcomes")}
    made = {**empty, "arrivals": stage("arrivals", rows(DAY), DAY)}
    batch = stage("features", rows(), DAY, inputs=[_read(table, made[table].batch_id) for table in read])
    why = f"No rows for {DAY}: its rows come from schedule, which has some, and one is awaited for each."
    expected = Emptiness(accepted=(DAY,)) if accepted else Emptiness(held=(DAY,), reasons=(why,))
    assert emptiness.judge(pipeline, batch) == expected
    declared = declare_empty(pipeline, "derived", "features")
    assert emptiness.judge(declared, batch) == expected, "a row that is awaited may not be missing"
    table = declared.derived["features"].model_copy(update={"key_from": None})
    declared = declared.model_copy(update={"derived": {**declared.derived, "features": table}})
    assert emptiness.judge(declared, batch) == Emptiness(accepted=(DAY,))


def test_derived_day_of_which_all_rows_were_left_out_for_a_reason_is_empty(pipeline, stage):
    made = stage("schedule", rows(DAY, DAY), DAY)
    read = [_read("schedule", made.batch_id)]
    for count, accepted in ((2, (DAY,)), (1, ())):
        batch = stage("features", rows(), DAY, inputs=read, received=count, dropped={"too late": count})
        assert emptiness.judge(pipeline, batch).accepted == accepted


def test_derived_day_was_read_of_another_day_or_with_rows(pipeline, stage):
    for day, data in ((NEXT, rows()), (DAY, rows(DAY))):
        read = _read("schedule", stage("schedule", data, day).batch_id, day)
        assert emptiness.judge(pipeline, stage("features", rows(), DAY, inputs=[read])).held == (DAY,)


def test_derived_day_without_a_declared_origin_is_a_persons_matter(pipeline, stage):
    features = pipeline.derived["features"].model_copy(update={"rows_from": None})
    undeclared = pipeline.model_copy(update={"derived": {**pipeline.derived, "features": features}})
    read = _read("schedule", stage("schedule", rows(), DAY).batch_id)
    found = emptiness.judge(undeclared, stage("features", rows(), DAY, inputs=[read]))
    assert found.reasons == (f"No rows for {DAY}: neither `rows_from` nor `may_be_empty` is declared.",)


def _read(table: str, batch_id: str, day: str = DAY) -> dict:
    return {
        "kind": "snapshot",
        "table": table,
        "snapshot_id": 1,
        "first": day,
        "last": day,
        "batches": {day: batch_id},
    }
