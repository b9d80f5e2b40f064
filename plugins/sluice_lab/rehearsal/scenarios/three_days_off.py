"""Three days off are caught up

The machine was off for three days, and the source systems went on delivering. One backfill loads what was missed, in
order; the next day then runs as any day. DAT-05.
"""


def rehearse(world):
    missed = [world.day(offset) for offset in range(3)]
    for day in missed:
        world.deliver(day)

    run = world.run("backfill", first_day=missed[0], last_day=missed[-1])

    world.expect("one run catches up", run.state == "success", world.log(run)[-300:] or run)
    for table in ("schedule", "arrivals", "features", "outcomes"):
        days = [world.spec.data_day(table, day) for day in missed]
        there = [day for day in days if world.published(table, day)]
        world.expect(f"{table} has all three days", there == days, there)
    same = all(
        world.rows("arrivals", world.spec.data_day("arrivals", day)).num_rows
        == world.original("arrivals", day).num_rows
        for day in missed
    )
    world.expect("no row is missing or doubled", same)
    scored = [day for day in missed if world.published("predictions", day)]
    world.expect("what was never predicted on its day is not predicted afterwards", not scored, scored)
    world.expect("nothing is mailed", not world.mails(), [mail.subject for mail in world.mails()])
