"""A held day, its correction, and the mail that says that it is over

The arrivals come with their minutes as seconds. They are held; the corrected file completes the day; whoever got the
mail about the hold gets one that closes it, in the same thread. TRU-03, PRO-10.
"""


def rehearse(world):
    day = world.day()
    partition = world.spec.data_day("arrivals", day)
    world.deliver(day, corrupt="seconds")
    run = world.run("ingest", day)

    world.expect("the arrivals are held", run.failed == ["arrivals.audit_arrivals"], run)
    world.expect("readers see nothing of them", not world.published("arrivals", partition))
    opened = world.mails()
    world.expect("one mail says so", len(opened) == 1 and partition in opened[0].subject, _subjects(opened))

    world.deliver(day, sources=["arrivals"], number=2)
    run = world.run("ingest", day)

    world.expect("the corrected file completes the day", run.state == "success", run)
    world.expect("readers see it", world.published("arrivals", partition))
    closing = [mail for mail in world.mails() if mail.path not in {each.path for each in opened}]
    world.expect(
        "one mail says that it is resolved",
        len(closing) == 1 and "RESOLVED" in closing[0].subject,
        _subjects(closing),
    )
    world.expect(
        "it answers the first one, so that a reader sees them together",
        closing and opened and closing[0].headers.get("In-Reply-To") == opened[0].headers["Message-ID"],
        [mail.headers.get("In-Reply-To") for mail in closing],
    )


def _subjects(mails):
    return [mail.subject for mail in mails]
