"""S30: the model cannot be used, and the days are green all the same

The files of the champion are damaged, and there was none before it. The declared rule stands in: each day goes through to
monitoring, its rows say who scored them, and one mail tells it, however many days it lasts. Then a person makes the rule the
champion, and the mail is closed. Airbnb; MOD-01, DEP-06.
"""

from sluice_lab.rehearsal import conditions


def rehearse(world):
    conditions.damage_models(world)

    for day in (world.day(), world.day(1)):
        world.deliver(day)
        runs = world.live(day)
        stopped = [f"{run}\n{world.log(run)}" for run in runs if run.state != "success"]
        world.expect(f"{day} is green to monitoring", len(runs) == 4 and not stopped, stopped or "it is")
        rows = world.rows("predictions", day)
        by_rule = rows.num_rows > 0 and all(rows["is_baseline"].to_pylist())
        world.expect("its rows are the baseline's, and say so", by_rule, f"{rows.num_rows} rows")
    mails = world.mails()
    told = [(mail.subject, mail.opening) for mail in mails]
    world.expect("one mail of both days says FALLBACK", len(mails) == 1 and "[FALLBACK]" in told[0][0], told)
    world.expect("and what is wrong with which version", mails and "version 1" in mails[0].text, told)
    told = world.sluice("model", "history", "flights").stdout
    world.expect("so does the history", "stood in" in told and "The baseline stands in" in told, told)
