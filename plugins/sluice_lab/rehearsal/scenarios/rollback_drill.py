"""A roll-back drill: the version before scores again, the same day

A second version, of another recipe, is trained, becomes champion and scores the day. A person takes it back with the form.
What is still in time is made again by the first version; one mail opens and one closes; the history tells it. DEP-06; Infra 7.

The first champion has learned all held-out days, so nothing could be compared with it: it gives way to the baseline first.
"""

from sluice.core import clock

FORM = {"version": "1", "why": "A drill: the newer one is taken back."}


def rehearse(world):
    day = world.day()
    away = world.sluice(
        "model", "rollback", "flights", "--to", "baseline", "--by", "drill", "--why", "To make room."
    )
    world.expect("the baseline takes over", away.returncode == 0, away.stdout)
    world.rewrite("pipelines/flights.yml", "learning_rate: 0.1", "learning_rate: 0.05")
    trained = world.run("train", world.day(-1))
    world.expect("a second version is trained and promoted", trained.state == "success", trained)
    world.deliver(day)
    world.live(day)
    world.expect("it scores the day", _versions(world, day) == {"2"}, _versions(world, day))
    before = {mail.path for mail in world.mails()}

    since = clock.utc_now().isoformat()
    rolled = world.run("rollback", **FORM)

    world.expect("the form rolls back", rolled.state == "success", rolled)
    again = world.api.wait_for_partition("flights_score", day, since=since, seconds=300)
    world.expect("the day is scored again", again["state"] == "success", again["state"])
    world.expect("by the first version", _versions(world, day) == {"1"}, _versions(world, day))
    mails = [mail for mail in world.mails() if mail.path not in before]
    subjects = [mail.subject for mail in mails]
    opened = [mail for mail in mails if "[ROLLED BACK]" in mail.subject]
    closed = [
        mail
        for mail in mails
        if opened and mail.headers.get("In-Reply-To") == opened[0].headers["Message-ID"]
    ]
    world.expect("one mail opens it", len(opened) == 1, subjects)
    resolved = ["[RESOLVED]" in mail.subject for mail in closed]
    world.expect("and one, in answer to it, closes it", resolved == [True], subjects)
    world.expect(
        "the first names the day that is made again",
        opened and f"Those of {day} are made again by version 1" in " ".join(opened[0].text.split()),
        [mail.opening for mail in opened],
    )
    told = world.sluice("model", "history", "flights").stdout
    world.expect(
        "the history tells who scored, who moved it and why",
        "version 1, in place of version 2, by a person" in told
        and "version 2, in place of the baseline, by the gate" in told
        and FORM["why"] in told,
        told,
    )


def _versions(world, day):
    return set(world.rows("predictions", day)["model_version"].to_pylist())
