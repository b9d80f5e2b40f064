"""S08: a producer changes spelling and unit, with the same types

The weather desk's new software names airports by their ICAO codes and reports pressure in pascal. Every type is right
and nobody was told. It is held; a mapping in the contract makes the very same delivery pass. Breck et al.; DAT-08.
"""

CHANGED = "select * replace ('K' || origin as origin, pressure * 100 as pressure) from rows"
COLUMNS = "origin: {type: string, values: *origins}\n        observed_at:"
CONTRACT = "    contract:\n      version: 1\n      columns:\n        "
MAPPING = """    contract:
      version: 1
      mappings:
        2:
          since: {partition}
          values: {{origin: {{KEWR: EWR, KJFK: JFK, KLGA: LGA}}}}
          scale: {{pressure: 0.01}}
      columns:
        """


def rehearse(world):
    day = world.day()
    partition = world.spec.data_day("weather", day)
    world.deliver(day, edits={"weather": CHANGED})
    run = world.run("ingest", day)

    world.expect("the weather is held", [task for task in run.failed if task.startswith("weather.")], run)
    world.expect("nothing of it is visible", not world.published("weather", partition))
    held = world.entries("held", subject="weather", partition=partition)
    found = {rule["rule"] for entry in held for rule in entry.record.rules if not rule["passed"]}
    world.expect("one rule finds the new spelling", "known_origin" in found, sorted(found))
    world.expect("another the new unit", "readings_have_their_magnitude" in found, sorted(found))
    mails = world.mails()
    world.expect(
        "one mail shows the new spelling", len(mails) == 1 and "KEWR" in mails[0].text, _subjects(mails)
    )

    world.rewrite("pipelines/flights.yml", CONTRACT + COLUMNS, MAPPING.format(partition=partition) + COLUMNS)
    replayed = world.sluice("replay", "flights", "weather", partition)

    world.expect("with a mapping the replay passes", replayed.returncode == 0, replayed.stdout.strip()[-300:])
    rows = world.rows("weather", partition) if world.published("weather", partition) else None
    origins = sorted(set(rows["origin"].to_pylist())) if rows else []
    world.expect("readers see the declared spelling", origins == ["EWR", "JFK", "LGA"], origins)
    pressure = max(filter(None, rows["pressure"].to_pylist()), default=0) if rows else 0
    world.expect("and the declared unit", 900 < pressure < 1100, f"highest pressure {pressure}")


def _subjects(mails):
    return [mail.subject for mail in mails]
