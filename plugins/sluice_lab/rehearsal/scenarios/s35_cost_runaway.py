"""S35: a search that would compute for ever ends with its budget

A hundred thousand sets of parameters are to be tried, with one minute of the processor to do it in. The search ends by itself when
that is spent, tells what it has tried, and changes nothing: the champion stays, and no candidate is made. Sharir et al.; MOD-04.

A training has no budget of the processor, only the time limit of its task.
"""

# What ends a search is asked after each boosting round: one round of these rows takes far less.
_OVER_SECONDS = 3


def rehearse(world):
    world.rewrite(
        "pipelines/flights.yml",
        "  rounds: 150\n",
        "  rounds: 150\n  tuning: {cpu_minutes: 1, trials: 100000}\n",
    )

    tuned = world.sluice("model", "tune", "flights", "--day", world.day(-1))

    world.expect("the search ends by itself", tuned.returncode == 0, tuned.stdout[-600:])
    found = [entry.record for entry in world.entries("tuned")]
    world.expect("it was ended by its budget", [one.ended for one in found] == ["budget"], found)
    spent = found[0].cpu_seconds if found else 0
    world.expect("of one minute", 30 < spent < 60 + _OVER_SECONDS, f"{spent:.1f} s of the processor")
    tried = len(found[0].trials) if found else 0
    world.expect("it tells what it has tried", tried > 0 and f"{tried}" in tuned.stdout, f"{tried} trials")
    moved = [entry.kind for entry in world.entries() if entry.kind in ("trained", "promoted", "rolled_back")]
    shown = world.sluice("model", "show", "flights").stdout
    world.expect("no candidate is made", not moved, moved)
    world.expect("the champion stays", "version 1 scores" in shown, shown)
    world.expect("nothing is mailed", not world.mails(), [mail.subject for mail in world.mails()])
