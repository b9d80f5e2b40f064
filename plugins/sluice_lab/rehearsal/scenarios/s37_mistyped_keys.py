"""S37: a mistyped key, and a key that nothing uses

Configuration rots: a threshold is set under a name that no code reads, and a column is declared that is in no file.
`sluice check` names both before anything runs. Sculley et al., configuration debt; DEP-02.
"""


def rehearse(world):
    world.rewrite("pipelines/flights.yml", "history_days: 28", "histroy_days: 28")
    world.rewrite("pipelines/flights.yml", "clock: feed\n", "clock: feed\nretention_days: 30\n")
    keys = world.sluice("check")
    world.expect(
        "a mistyped key is refused, with the nearest that exists",
        keys.returncode == 1 and "did you mean 'history_days'" in keys.stdout,
        _line(keys.stdout, "histroy"),
    )
    world.expect("a key that nothing reads is named", "retention_days: unknown key" in keys.stdout)
    world.rewrite("pipelines/flights.yml", "histroy_days: 28", "history_days: 28")
    world.rewrite("pipelines/flights.yml", "clock: feed\nretention_days: 30\n", "clock: feed\n")

    world.rewrite("expectations/flights/planes.json", '"column": "seats"', '"column": "seets"')
    rule = world.sluice("check")
    world.expect(
        "a rule about a column that does not exist is named",
        rule.returncode == 1 and "seets" in rule.stdout,
        _line(rule.stdout, "seets"),
    )
    day = world.day()
    world.deliver(day, sources=["schedule", "arrivals", "weather", "planes"])
    run = world.run("ingest", day)
    world.expect(
        "the gate that cannot run its rule publishes nothing", run.failed == ["planes.audit_planes"], run
    )
    world.expect("the other sources cross", world.published("schedule", day))


def _line(text, word):
    return next((line.strip()[:200] for line in text.splitlines() if word in line), "")
