"""S05: spelling variants and duplicate keys in a register

The aircraft register comes from another office: 15% of its registrations in lower case with a blank, 2% of its aircraft
twice, with different seats. Twice is held, as every flight would be joined twice; the respelled keys find their flights all the same.
Firebird (twelve sources); DAT-02, DAT-09.
"""

RESPELLED = """
    select * replace (case when hash(tailnum) % 100 < 15 then lower(tailnum) || ' ' else tailnum end as tailnum)
    from rows
"""
# With another number of seats: copies that are equal in all are dropped and counted, and do no harm.
TWICE = """
    select * from rows
    union all
    (select * replace (seats + 1 as seats) from rows order by hash(tailnum) limit (select count(*) // 50 from rows))
"""
MATCHED = "select avg(cast(aircraft_seats_count is not null as int)) as share from rows"


def rehearse(world):
    day = world.day()
    daily = ["schedule", "arrivals", "weather"]
    world.deliver(day, sources=[*daily, "planes"], edits={"planes": TWICE})
    run = world.run("ingest", day)

    held = world.entries("held", subject="planes")
    world.expect("a register with aircraft twice is held", run.failed == ["planes.audit_planes"], run)
    reasons = "; ".join(held[0].record.reasons) if held else ""
    world.expect("the verdict says that keys are there twice", "one_row_an_aircraft" in reasons, reasons)

    world.run("transform", day)
    clean = _share(world, day)

    respelled = world.query(RESPELLED, rows=world.original("planes", day))
    world.deliver_rows("planes", day, respelled, number=2)
    run = world.run("ingest", day)
    world.expect("respelled keys alone pass", run.state == "success", run)

    run = world.run("transform", day)
    world.expect("features are built", run.state == "success", world.log(run)[-300:])
    now = _share(world, day)
    world.expect(
        "at least 98% as many flights find their aircraft as with the clean register of before",
        now >= 0.98 * clean > 0,
        f"{now:.3f}, with the clean one {clean:.3f}",
    )
    planned = world.rows("schedule", day).num_rows
    world.expect("no flight is there twice", world.rows("features", day).num_rows == planned, planned)


def _share(world, day):
    if not world.published("features", day):
        return 0.0
    return world.query(MATCHED, rows=world.rows("features", day))["share"][0].as_py()
