"""S01: yesterday's file under today's name

The export job of the airport has hung: on the morning of the first day it delivers the arrivals of the day before once
more, under the new name. Twice: as they were, and with their dates moved so that only the content gives it away.
Ackermann et al.; DAT-05, MON-02.
"""

MOVED = "select * replace (flight_date + 1 as flight_date) from rows"


def rehearse(world):
    day = world.day()
    partition = world.spec.data_day("arrivals", day)
    yesterday = world.original("arrivals", world.day(-1))

    world.deliver(day)
    world.deliver_rows("arrivals", day, yesterday)
    run = world.run("ingest", day)

    held = world.entries("held", subject="arrivals", partition=partition)
    world.expect("the delivery is held", run.failed == ["arrivals.audit_arrivals"] and len(held) == 1, run)
    world.expect(
        "a rule says that it is about another day", "day_is_the_partition" in _rules(held), _rules(held)
    )
    world.expect("nothing of it is visible", not world.published("arrivals", partition))
    world.expect("the schedule has crossed all the same", world.published("schedule", day))
    mails = world.mails()
    world.expect("one mail says so", len(mails) == 1, [mail.subject for mail in mails])

    world.deliver_rows("arrivals", day, world.query(MOVED, rows=yesterday), number=2)
    run = world.run("ingest", day)

    held = world.entries("held", subject="arrivals", partition=partition)
    world.expect("with its dates moved it is held too", len(held) == 2, run)
    world.expect(
        "the dates say nothing now; the rule that compares with earlier days sees it",
        "differs_from_earlier_days" in _rules(held) and "day_is_the_partition" not in _rules(held),
        _rules(held),
    )


def _rules(held):
    return [rule["rule"] for entry in held[:1] for rule in entry.record.rules if not rule["passed"]]
