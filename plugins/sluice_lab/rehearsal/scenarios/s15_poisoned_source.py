"""S15, its data half: 8% crafted rows through one source

Somebody who may write one source makes the flights of one carrier late: 8% of the day's arrivals, each row in itself
possible, each type and range right. Jagielski et al.; SEC-01. What a candidate trained on such rows may do is not here.

What the gate does not see: the same flights only 90 minutes later pass, and so do 150 minutes on a day on which every
carrier is very late, such as 2013-07-01.
"""

CRAFTED = """
    select * exclude (crafted) replace (
        case when crafted then dep_delay + 150 else dep_delay end as dep_delay,
        case when crafted then arr_delay + 150 else arr_delay end as arr_delay
    )
    from (
        select *, carrier = 'UA' and arr_delay is not null
            and row_number() over (partition by carrier, arr_delay is null order by hash(flight))
                <= (select count(*) * 0.08 from rows) as crafted
        from rows
    )
    order by flight_date, carrier, flight, origin, dest
"""


def rehearse(world):
    day = world.day(1)
    partition = world.spec.data_day("arrivals", day)
    world.deliver(day, edits={"arrivals": CRAFTED})

    run = world.run("ingest", day)

    held = world.entries("held", subject="arrivals", partition=partition)
    world.expect("the source is held", run.failed == ["arrivals.audit_arrivals"], run)
    rules = [rule for entry in held for rule in entry.record.rules if not rule["passed"]]
    told = [f"{rule['rule']}: {rule['observed'][:120]}" for rule in rules]
    world.expect("a rule about one carrier alone says so", any("carrier" in line for line in told), told)
    world.expect("nothing of it is visible", not world.published("arrivals", partition))
    world.expect(
        "the other sources cross", world.published("schedule", day) and world.published("weather", partition)
    )
