"""A burst of held partitions is one mail

A producer sends three days at once, all with their minutes as seconds. All three are held; one mail says so, and the
others are counted. TRU-03.
"""


def rehearse(world):
    days = [world.day(offset) for offset in range(3)]
    for day in days:
        world.deliver(day, corrupt="seconds")

    runs = world.run_together("ingest", days)

    held = {entry.partition for entry in world.entries("held", subject="arrivals")}
    world.expect("all three days are held", len(held) == 3, [str(run) for run in runs])
    mails = world.mails()
    world.expect("one mail is sent", len(mails) == 1, [mail.subject for mail in mails])
    counted = [e for e in world.entries("mail") if e.record.status == "counted"]
    world.expect("the others are counted, not lost", len(counted) == 2, [e.partition for e in counted])
