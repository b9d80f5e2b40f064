"""S25: the agreed purpose of a source has expired

The agreement under which the airports send their arrivals ended yesterday. The file comes all the same, and is not
read. DeepMind and the Royal Free; TRU-07.
"""

import re


def rehearse(world):
    day = world.day()
    path = world.home / "pipelines" / "flights.yml"
    before, owner, after = path.read_text().partition("    owner: airport-operations\n")
    ended = f"purpose_expires: {world.day(-1)}"
    path.write_text(before + owner + re.sub(r"purpose_expires: \S+", ended, after, count=1))
    world.deliver(day)

    run = world.run("ingest", day)

    partition = world.spec.data_day("arrivals", day)
    world.expect("the source is not staged", run.failed == ["arrivals.stage_arrivals"], run)
    world.expect("nothing of it is visible", not world.published("arrivals", partition))
    refused = world.entries("refused", subject="arrivals")
    world.expect("the refusal is recorded", len(refused) == 1, [entry.record.what for entry in refused])
    mails = world.mails()
    said = len(mails) == 1 and world.day(-1) in mails[0].text and "airport-operations" in mails[0].text
    world.expect(
        "one mail names the day that it ended and whom to ask", said, [mail.subject for mail in mails]
    )
    world.expect("the other sources cross", world.published("schedule", day))
