"""S26: who let this model score, and why

`sluice model history` and `sluice why` answer in one command: the decision with each of its numbers, and the person who took it
back. Then somebody edits an entry of the ledger in its database. Every reading of the chain names the entry, and the nightly
maintenance mails it before it clears anything away. Sepsis Watch; TRU-03.
"""

import sqlite3
from contextlib import closing

WHY = "It ranks charter flights too high."


def rehearse(world):
    rolled = world.sluice(
        "model", "rollback", "flights", "--to", "baseline", "--by", "R. Jones", "--why", WHY
    )
    world.expect("a person takes version 1 back", rolled.returncode == 0, rolled.stdout)

    told = world.sluice("model", "history", "flights").stdout
    world.expect("one command says who, and why", "by a person, R. Jones" in told and WHY in told, told)
    world.expect(
        "and what had let version 1 in, with its numbers",
        "version 1, in place of the baseline, by the gate" in told
        and "beats the baseline by more than the noise: mean daily AUC" in told,
        told,
    )
    key = world.rows("predictions", world.day(-1))["flight_id"][0].as_py()
    why = world.sluice("why", "flights", key).stdout
    world.expect("so does a single prediction", "let in" in why and "by the gate" in why, why)
    whole = world.sluice("ledger", "--verify")
    world.expect("the chain is intact", whole.returncode == 0, whole.stdout)

    number = world.entries("rolled_back")[0].seq
    _edit(world, number)

    broken = world.sluice("ledger", "--verify")
    named = f"Entry {number}" in broken.stdout and "was edited" in broken.stdout
    world.expect("the edited entry is named", broken.returncode == 1 and named, broken.stdout)
    maintained = world.run("maintain")
    world.expect("maintenance stops", maintained.failed == ["check_ledger"], maintained)
    mails = [mail for mail in world.mails() if "[ROLLED BACK]" not in mail.subject]
    world.expect(
        "one mail names the entry",
        len(mails) == 1 and str(number) in mails[0].text and "edited" in mails[0].text,
        [(mail.subject, mail.opening) for mail in mails],
    )


def _edit(world, number):
    """As somebody who may write the database file, and knows that a trigger is in his way."""
    with closing(sqlite3.connect(world.home / "ledger.db")) as db, db:
        db.execute("drop trigger sluice_ledger_no_update")
        db.execute(
            "update sluice_ledger set data = replace(data, 'R. Jones', 'A. Smith') where seq = ?", (number,)
        )
    world.say(f"entry {number} is edited: another name")
