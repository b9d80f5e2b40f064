"""S47: clean days hold nothing and mail nothing

Real days, one after another, each through the whole chain: ingest, transform, score, monitor. `--days` says how many
(30 unless told). A warning is no fault; a hold or a mail here is a false alarm, and so a bug. No-fault soak; all rows.
"""


def rehearse(world):
    stopped = []
    for offset in range(world.days):
        day = world.day(offset)
        world.deliver(day)
        runs = world.live(day)
        stopped += [f"{day}: {run}\n{world.log(run)}" for run in runs if run.state != "success"]
        if stopped:
            break
    held = world.entries("held")
    world.expect(
        f"all {world.days} days go through to monitoring", not stopped, "; ".join(stopped) or "they did"
    )
    world.expect(
        "nothing is held", not held, [f"{e.subject} {e.partition}: {e.record.reasons}" for e in held]
    )
    mails = world.mails()
    world.expect("nothing is mailed", not mails, [mail.subject for mail in mails])
    last = world.day(world.days - 1)
    predicted = world.rows("predictions", last) if world.published("predictions", last) else None
    world.expect(
        "the last day is predicted by the champion",
        predicted is not None and not any(predicted["is_baseline"].to_pylist()),
        f"{predicted.num_rows if predicted else 0} predictions of {last}",
    )
