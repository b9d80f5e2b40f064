"""S43: a cold start, from an empty warehouse to the first champion

Nothing was ever delivered. The first morning is green all the same: the declared rule scores, its rows say so, and nothing is mailed. Four weeks
are loaded, and a person asks for the first model; nobody else does while there was none. It is refused, because somebody has declared a limit that no model can
keep. That is corrected, and from then on the pipeline asks by itself: the next candidate passes, takes over from the rule, and scores the morning
after. PRO-09.

Nothing is mailed about the hand-over: the history of the model tells it. The weeks between come as one backfill, and later mornings are lived without
Airflow but for monitoring and training. A request may follow a refusal on the next day.
"""

from sluice.core import clock

YAML = "pipelines/flights.yml"
STRICT = ("resources: {model_mb: 10,", "resources: {model_mb: 0.001,")
SOON = ("  max_model_age_days: 60\n", "  max_model_age_days: 60\n  retraining: {backoff_days: 1}\n")
# The least that is trained on: 7 days, one block of 7 and 14 held out.
LOADED = 28
# What comes before monitoring, which is let run in Airflow.
UNWATCHED = ("ingest", "transform", "score")


def rehearse(world):
    world.empty()
    first = world.day(-1)
    world.deliver(first)
    runs = world.live(first)
    stopped = [f"{run}\n{world.log(run)}" for run in runs if run.state != "success"]
    world.expect(
        "the first morning is green to monitoring", len(runs) == 4 and not stopped, stopped or "it is"
    )
    rows = world.rows("predictions", first)
    by_rule = rows.num_rows > 0 and all(rows["is_baseline"].to_pylist())
    world.expect("the rule scores, and its rows say so", by_rule, f"{rows.num_rows} rows")
    world.expect("nothing is mailed", not world.mails(), [mail.subject for mail in world.mails()])

    days = [world.day(offset) for offset in range(LOADED)]
    for day in days:
        world.deliver(day)
    loaded = world.run("backfill", first_day=days[0], last_day=days[-1])
    world.expect("four weeks are loaded", loaded.state == "success", f"{loaded}\n{world.log(loaded)}")
    world.rewrite(YAML, *SOON)
    world.rewrite(YAML, *STRICT)
    morning = world.day(LOADED)
    world.deliver(morning)
    decided = world.pass_day(morning)
    world.expect(
        "with a history the rule goes on",
        _scored_by(world, morning) == {"baseline"},
        _scored_by(world, morning),
    )
    world.expect("and no model is asked for", decided.wanted == (), decided.reasons)

    world.run("train", morning)
    refused = [entry.record for entry in world.entries("refused")]
    failed = [one["check"] for record in refused for one in record.numbers["gate"] if one["state"] == "FAIL"]
    world.expect("a person's is refused by name", failed == ["resources"], failed)
    mails = [mail.subject for mail in world.mails()]
    world.expect("one mail says REFUSED", len(mails) == 1 and "[REFUSED]" in mails[0], mails)

    world.rewrite(YAML, *reversed(STRICT))
    world.api.set_paused("flights_train", paused=False)
    morning, since = world.day(LOADED + 1), clock.utc_now().isoformat()
    world.deliver(morning)
    world.pass_day(morning, UNWATCHED)
    run = world.run("monitor", morning)
    world.expect("the next morning is monitored", run.state == "success", f"{run}\n{world.log(run)}")
    found = [
        entry.record.numbers["found"] for entry in world.entries("decided") if entry.partition == morning
    ]
    world.expect("it is called no champion, and nothing else", found == [["no champion"]], found)
    asked = [entry.record.causes for entry in world.entries("retrain_requested")]
    world.expect("so a model is asked for", asked == [("no_champion",)], asked)
    trained = world.api.wait_for_partition("flights_train", morning, since=since)
    promoted = [str(entry.record.version) for entry in world.entries("promoted")]
    world.expect("it takes over from the rule", len(promoted) == 1, f"{trained['state']}, {promoted}")

    morning = world.day(LOADED + 2)
    world.deliver(morning)
    world.pass_day(morning, UNWATCHED)
    world.expect(
        "and scores the morning after", _scored_by(world, morning) == {*promoted}, _scored_by(world, morning)
    )
    told = world.sluice("model", "history", "flights").stdout
    world.expect("the history tells the hand-over", "in place of the baseline, by the gate" in told, told)


def _scored_by(world, day):
    return set(world.rows("predictions", day)["model_version"].to_pylist())
