"""S06: data of a source that nobody declared, and an entity that is nowhere

Somebody drops a log of another system into the landing zone; and a weather station that the pipeline needs has stopped
reporting. Twitter's fail whale logs; DAT-01.
"""


def rehearse(world):
    day = world.day()
    world.deliver(day)
    world.drop_file(f"click_log/{day}/click_log_{day}.jsonl", b'{"user": 7, "page": "/"}\n')

    run = world.run("ingest", day)
    world.expect("the declared sources are ingested", run.state == "success", run)
    world.expect("nobody is told in vain", not world.mails(), _said(world.mails()))

    world.run("watch")
    mails = world.mails()
    world.expect("one mail names the folder", len(mails) == 1 and "click_log" in mails[0].text, _said(mails))
    world.run("watch")
    world.expect("and names it once", len(world.mails()) == 1, _said(world.mails()))

    day = world.day(1)
    world.deliver(day, edits={"weather": "select * from rows where origin <> 'LGA'"})
    run = world.run("ingest", day)

    partition = world.spec.data_day("weather", day)
    held = world.entries("held", subject="weather", partition=partition)
    world.expect("weather without one of the airports is held", run.failed == ["weather.audit_weather"], run)
    said = " ".join(entry.record.reasons[0] for entry in held)
    world.expect("the verdict says which counts are too few", "lga" in said.lower(), said)


def _said(mails):
    return [mail.subject for mail in mails]
