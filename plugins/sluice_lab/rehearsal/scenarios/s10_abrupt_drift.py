"""S10: what is late changes from one day to the next, and nothing else does

From one morning on each carrier's flights change their delays, the earliest with the latest. As many are late, of each carrier too, and
the features are as they were; only what follows from them is another thing. No gate of the data can see that. Monitoring does as soon as
two such days have outcomes: concept change, by name, with the lead that the model has lost, and a new model is asked for because of
performance. The crisis of 2008; MON-05, MON-07.

A champion that is days old has no usual lead of its own: `lead_days: 0` takes that of its held-out days, and the sum that is an alarm is
0.3 instead of 0.75, which two days can reach.
"""

from sluice.core import clock
from sluice_lab.rehearsal import arrivals

DECLARED = "performance: {slack: 0.05, limit: 0.75, lead_days: 28}"
QUICK = "performance: {slack: 0.05, limit: 0.3, lead_days: 0}"


# The earliest with the latest.
TURNED = arrivals.exchanged("planned desc, flight desc, dest desc")


def rehearse(world):
    world.rewrite("pipelines/flights.yml", DECLARED, QUICK)
    for day in (world.day(), world.day(1)):
        world.deliver(day, edits={"arrivals": TURNED})
        for stage in ("ingest", "transform", "score"):
            run = world.run(stage, day)
            world.expect(f"{day} passes {stage}", run.state == "success", f"{run}\n{world.log(run)}")

    world.api.set_paused("flights_train", paused=False)
    since = clock.utc_now().isoformat()
    run = world.run("monitor", world.day(1))

    world.expect("monitoring measures both days", run.state == "success", f"{run}\n{world.log(run)}")
    decided = [entry.record for entry in world.entries("decided")]
    found = [record.numbers["found"] for record in decided]
    world.expect("it is called concept change, and nothing else", found == [["concept change"]], found)
    reasons = [reason for record in decided for reason in record.reasons]
    world.expect(
        "with what the model has lost",
        any("the inputs are as they were, and the model ranks worse" in reason for reason in reasons),
        reasons,
    )
    asked = [entry.record.causes for entry in world.entries("retrain_requested")]
    world.expect("a model is asked for because of performance", asked == [("performance",)], asked)
    trained = world.api.wait_for_partition("flights_train", world.day(1), since=since)
    world.expect("and the training starts by itself", trained["state"] == "success", trained["state"])
