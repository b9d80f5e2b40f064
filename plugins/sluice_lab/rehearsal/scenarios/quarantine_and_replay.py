"""Rows set aside, and brought back after their values are declared

A new carrier begins to fly: five of the day's arrivals have a code that the rule does not know. They are set aside with
their reason, the day completes without them; the carrier is declared, and a replay publishes them with nothing delivered
again. DAT-04, TRU-03.
"""

NEW = "select * replace (case when row_number() over (order by carrier, flight) <= 5 then 'ZZ' else carrier end as carrier) from rows"


def rehearse(world):
    day = world.day()
    partition = world.spec.data_day("arrivals", day)
    world.deliver(day, edits={"arrivals": NEW})
    received = world.original("arrivals", day).num_rows

    run = world.run("ingest", day)

    world.expect("the day completes", run.state == "success", world.log(run)[-300:] or run)
    shown = world.rows("arrivals", partition).num_rows if world.published("arrivals", partition) else 0
    world.expect("the good rows are published", shown == received - 5, f"{shown} of {received}")
    aside = _aside(world, partition)
    world.expect("five rows are set aside with their rule", aside == [("known_carrier", "open")] * 5, aside)
    listed = world.sluice("held", "flights").stdout
    world.expect("`sluice held` lists them", partition in listed, listed.strip()[-200:])

    world.rewrite("pipelines/flights.yml", '["9E", AA,', '["9E", ZZ, AA,')
    replayed = world.sluice("replay", "flights", "arrivals", partition)

    world.expect("the replay says what it repaired", replayed.returncode == 0, replayed.stdout.strip()[-200:])
    shown = world.rows("arrivals", partition).num_rows
    world.expect("readers see all rows", shown == received, f"{shown} of {received}")
    aside = _aside(world, partition)
    world.expect("the rows set aside are closed", {status for _, status in aside} == {"repaired"}, aside)
    staged = world.entries("staged", subject="arrivals", partition=partition)
    world.expect(
        "nothing was delivered again", len({e.record.content_hash for e in staged}) == 1, len(staged)
    )


def _aside(world, partition):
    from sluice.lake import quarantine

    rows = quarantine.rows("flights", "arrivals", partition, partition)
    return sorted((row["rule"], row["status"]) for row in rows.to_pylist())
