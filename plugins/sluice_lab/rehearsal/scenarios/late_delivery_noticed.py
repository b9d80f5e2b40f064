"""A delivery that does not come is noticed although no run failed

The deadline passes without the arrivals, and no run was started that could have failed. The watcher says so; when
readers see what came late, one mail says that too. DAT-05.
"""


def rehearse(world):
    day = world.day()
    world.deliver(day, sources=["schedule", "weather"])

    world.run("watch")

    mails = world.mails()
    named = len(mails) == 1 and "arrivals" in mails[0].subject
    world.expect("one mail names the source", named, [mail.subject for mail in mails])
    missed = world.entries("deadline_missed")
    world.expect("the ledger has it", [entry.subject for entry in missed] == ["arrivals"], len(missed))

    world.deliver(day, sources=["arrivals"])
    world.run("watch")

    later = world.mails()[len(mails) :]
    world.expect("that the file is there ends nothing: readers see it not yet", not later, _subjects(later))

    run = world.run("ingest", day)

    later = world.mails()[len(mails) :]
    world.expect("its run succeeds", run.state == "success", run)
    resolved = len(later) == 1 and "RESOLVED" in later[0].subject
    world.expect("when readers see it, one mail says that it is resolved", resolved, _subjects(later))


def _subjects(mails):
    return [mail.subject for mail in mails]
