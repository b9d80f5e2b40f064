"""The mail server is down, and the mail comes later

A delivery is held while the mail server does not answer. The hold is recorded all the same, the undelivered mail too;
the watcher sends it when the server is back. TRU-03, PRO-10.
"""


def rehearse(world):
    day = world.day()
    world.deliver(day, corrupt="seconds")
    world.stop_mail_server()
    try:
        run = world.run("ingest", day)
    finally:
        world.start_mail_server()

    failed = [entry for entry in world.entries("mail") if entry.record.status == "failed"]
    world.expect("the arrivals are held as ever", run.failed == ["arrivals.audit_arrivals"], run)
    world.expect("the undelivered mail is recorded", failed, [entry.record.error for entry in failed])
    world.expect("nothing was caught", not world.mails())

    world.run("watch")

    mails = world.mails()
    world.expect("the watcher sends it, once", len(mails) == 1, [mail.subject for mail in mails])
