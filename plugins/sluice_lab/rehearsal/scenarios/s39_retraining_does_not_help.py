"""S39: retraining does not help, and says so

From one morning on it is drawn by lot which flights are late: of each carrier as many as before, and nothing that the model is given says
which. Nothing can be learned from that. Monitoring calls it concept change and asks for a model; it is refused, and so is the second one.
Then it asks for no third: a person is told that training does not help (STUCK). A person lets the declared rule score, and nothing
is found any more. MON-08.

The mornings are lived without Airflow but for the one whose mail must be seen. Days are short here, or it would take weeks: a champion has no usual lead of its own
(`lead_days: 0`) and 0.3 instead of 0.75 is an alarm, two new days are enough to compare models on, a refresh must be surely better (by a few days drawn by lot one
may pass for as good: in a trial one did), and a request may follow the one before on the next day.
"""

from sluice_lab.rehearsal import arrivals

YAML = "pipelines/flights.yml"
SHORT = {
    "performance: {slack: 0.05, limit: 0.75, lead_days: 28}": "performance: {slack: 0.05, limit: 0.3, lead_days: 0}",
    "comparison_days: 10": "comparison_days: 2",
    "refresh_margin: 0.02": "refresh_margin: 0",
    "  max_model_age_days: 60\n": "  max_model_age_days: 60\n  retraining: {per_week: 7, backoff_days: 1, backoff_max_days: 1}\n",
}
BY_LOT = {"arrivals": arrivals.exchanged("hash(flight_date, flight, origin, dest)")}
# Mornings within which two models must have been asked for.
MORNINGS = 9
# What comes before monitoring, which is let run in Airflow.
UNWATCHED = ("ingest", "transform", "score")


def rehearse(world):
    for old, new in SHORT.items():
        world.rewrite(YAML, old, new)
    for day in (world.day(), world.day(1)):
        world.deliver(day)
        before = world.pass_day(day)
        world.expect(f"{day} is calm", before.numbers["found"] == [], before.reasons)

    found, place = [], 1
    while len(_asked(world)) < 2 and place < MORNINGS:
        place += 1
        world.deliver(world.day(place), edits=BY_LOT)
        found.append(world.pass_day(world.day(place)).numbers["found"])
    world.expect("two models are asked for", len(_asked(world)) == 2, _asked(world))
    names = {name for day in found for name in day}
    world.expect("because of concept change, and nothing else", names == {"concept change"}, found)
    ends = [entry.record.outcome for kind in ("refused", "audited") for entry in world.entries(kind)]
    world.expect("both are compared, and refused", ends == ["refuse", "refuse"], ends)

    place += 1
    day = world.day(place)
    world.deliver(day, edits=BY_LOT)
    world.pass_day(day, UNWATCHED)
    run = world.run("monitor", day)
    world.expect("the day is monitored", run.state == "success", f"{run}\n{world.log(run)}")
    world.expect("no third is asked for", len(_asked(world)) == 2, _asked(world))
    mails = [mail for mail in world.mails() if "[STUCK]" in mail.subject]
    told = " ".join(mails[0].text.split()) if mails else ""
    world.expect("one mail says STUCK", len(mails) == 1, [mail.subject for mail in world.mails()])
    world.expect("and that training does not help", "2 new models did not end the drop" in told, told)

    rolled = world.sluice(
        "model", "rollback", "flights", "--to", "baseline", "--by", "R. Jones", "--why", "None helps."
    )
    world.expect("a person lets the rule score", rolled.returncode == 0, rolled.stdout)
    day = world.day(place + 1)
    world.deliver(day, edits=BY_LOT)
    after = world.pass_day(day)
    by_rule = all(world.rows("predictions", day)["is_baseline"].to_pylist())
    world.expect(
        "it scores the next day, of which nothing is found",
        by_rule and after.numbers["found"] == [],
        after.reasons,
    )


def _asked(world):
    return [entry.partition for entry in world.entries("retrain_requested")]
