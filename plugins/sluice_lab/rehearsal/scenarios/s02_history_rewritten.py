"""S02: history is rewritten

Somebody changes 200 rows of a partition that was published 30 days ago, straight in the lake. The watcher's alarm names
the partition and what differs, and nothing is trained on it. Ackermann et al.; DAT-06.
"""

CHANGED = """
    select * replace (case when row_number() over (order by flight_id) <= 200 then not is_late else is_late end as is_late)
    from rows
"""


def rehearse(world):
    partition = world.day(-31)
    world.tamper("outcomes", partition, CHANGED)

    watched = world.run("watch")

    alarms = [mail for mail in world.mails() if partition in mail.subject]
    world.expect("the watcher looks", watched.state == "success", watched)
    world.expect("its alarm names the partition", len(alarms) == 1, [mail.subject for mail in world.mails()])
    text = alarms[0].text if alarms else ""
    differing = [line.strip() for line in text.splitlines() if "changed" in line]
    world.expect(
        "and how many rows differ", any(char.isdigit() for char in "".join(differing)), differing[:3]
    )

    trained = world.run("train", world.day(-1))
    promoted = world.entries("trained")
    world.expect("training refuses", trained.failed == ["stage_candidate"] and not promoted, trained)
    refusal = [mail for mail in world.mails() if mail not in alarms]
    named = bool(refusal) and all(partition in mail.text for mail in refusal)
    world.expect("its mail names the partition", named, [mail.subject for mail in refusal])
