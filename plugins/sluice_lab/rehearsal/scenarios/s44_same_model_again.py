"""S44: the same rows give the same model, whatever their order

The champion is trained again from the snapshots that it was trained on, after the rows of every day were stored in another order and
another seed was declared: the same bytes come out, because the recorded seed counts, and the difference is named. Then the flights of a
day change their labels in the very file of the pinned snapshot: another model comes out, and it is said that a published batch was
changed. MOD-13.
"""

import json

from sluice.lake import connection


def rehearse(world):
    import pyarrow.parquet as pq

    for path in _files("features"):
        rows = pq.read_table(path, partitioning=None)
        pq.write_table(rows.take(list(range(rows.num_rows))[::-1]), path)
    world.say("the rows of each day of features are stored in another order")
    world.rewrite("pipelines/flights.yml", "seed: 20130101", "seed: 7")

    made = _rebuilt(world)
    world.expect("the same bytes come out", made["is_same"], made["sha256"])
    world.expect(
        "the seed that is declared today is named", made["differs"].get("seed") == [20130101, 7], made
    )

    path = _files("outcomes")[-3]
    rows = pq.read_table(path, partitioning=None)
    backwards = list(range(rows.num_rows))[::-1]
    place = rows.column_names.index("is_late")
    labels = rows["is_late"].take(backwards)
    pq.write_table(rows.set_column(place, rows.schema.field(place), labels), path)
    world.say("the flights of one day change their labels")

    said = world.sluice("model", "rebuild", "flights", "1")
    world.expect(
        "another model comes out, and it is said why",
        said.returncode == 1 and "A published batch was changed." in said.stdout,
        said.stdout,
    )


def _rebuilt(world):
    printed = world.sluice("model", "rebuild", "flights", "1", "--json").stdout
    return json.loads(printed[printed.index("{") :])


def _files(table):
    """Paths of the data files of a published table, oldest day first."""
    with connection.opened() as lake:
        tasks = list(lake.load_table(("flights", table)).scan().plan_files())
    return sorted(task.file.file_path.removeprefix("file://") for task in tasks)
