"""S04, with S22: a candidate that ranks better, and is worth less

It is trained with class weights of a thousandth: the penalty outweighs the rows. It ranks the flights at least as well, and its scores hardly
leave their mean, so that most are acted on, where acting in vain costs three. The gate refuses it by name: for its value, with both costs,
for answers that the champion had right, and for its calibration; one mail says so, and the champion stays.

The champion of the healthy state has learned all days there are, so another is trained first, as of two weeks before. Booking.com, Bansal
et al.; VER-02, MON-09.
"""

YAML = "pipelines/flights.yml"
CHAMPION = "2013-06-18"
# While the champion is trained, on three weeks.
SHORT = {"test_days: 14": "test_days: 7", "comparison_days: 10": "comparison_days: 7"}
CANDIDATE = {
    "  rounds: 150\n": "  rounds: 150\n  class_weights: {true: 0.001, false: 0.001}\n",
    "false_positive: 1": "false_positive: 3",
    "flips: {share: 0.4}": "flips: {share: 0.05}",
}


def rehearse(world):
    away = world.sluice(
        "model", "rollback", "flights", "--to", "baseline", "--by", "drill", "--why", "To make room."
    )
    world.expect("the champion of the healthy state makes room", away.returncode == 0, away.stdout)
    for old, new in SHORT.items():
        world.rewrite(YAML, old, new)
    trained = world.run("train", CHAMPION)
    promoted = [entry.record.version for entry in world.entries("promoted")]
    world.expect("another is trained on three weeks", promoted == [2], trained)
    for old, new in SHORT.items():
        world.rewrite(YAML, new, old)
    for old, new in CANDIDATE.items():
        world.rewrite(YAML, old, new)

    world.run("train", world.day(-1))

    refused = world.entries("refused")
    world.expect("the candidate is refused", [one.record.version for one in refused] == [3], refused)
    record = refused[0].record
    against = record.numbers["comparisons"][-1]
    world.expect("it ranks better than the champion", against["difference"]["value"] > 0, against)
    found = {one["check"]: one for one in record.numbers["gate"]}
    for check in ("value", "flips", "calibration"):
        said = found.get(check, {})
        world.expect(f"its {check} alone would do", said.get("state") == "FAIL", said)
    mails = world.mails()
    told = mails[0].text if mails else ""
    named = all(f"FAIL {check}" in " ".join(told.split()) for check in ("value", "flips", "calibration"))
    world.expect(
        "one mail says REFUSED, and names all three",
        len(mails) == 1 and "[REFUSED]" in mails[0].subject and named,
        told,
    )
    shown = world.sluice("model", "show", "flights").stdout
    world.expect("the champion stays", "version 2 scores" in shown, shown)
