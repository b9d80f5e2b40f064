"""S27: any scored row has its reasons

Two published predictions of the champion are asked for: each has at least three signed reasons in words, and they add up to the score
within 1e-4 of its log odds. Then the model's file is damaged: it is said that no reasons can be given, and none are made up.
Wang et al.; TRU-10. That a description is the right one for its feature is checked by nothing, and not rehearsed.
"""

import json
import math

from sluice_lab.rehearsal import conditions


def rehearse(world):
    day = world.day(-1)
    rows = world.rows("predictions", day)
    for place in (0, rows.num_rows // 2):
        key = rows["flight_id"][place].as_py()
        asked = world.sluice("why", "flights", key, "--day", day, "--json")
        why = json.loads(asked.stdout)
        reasons, score = why["reasons"], rows["score"][place].as_py()
        signed = [one for one in reasons if one["adds"]]
        world.expect(f"{key} has three signed reasons or more", len(signed) >= 3, len(signed))
        off = why["base"] + sum(one["adds"] for one in reasons) - math.log(score / (1 - score))
        world.expect("they add up to its log odds within 1e-4", abs(off) < 1e-4, f"{off:+.2e}")
        silent = [one["feature"] for one in signed[:3] if not one["description"]]
        world.expect("the first three are told in words", not silent, signed[:3])

    conditions.damage_models(world)

    told = world.sluice("why", "flights", rows["flight_id"][0].as_py(), "--day", day, "--json")
    why = json.loads(told.stdout)
    world.expect(
        "of a damaged model no reasons are told, and it is said why",
        not why["reasons"] and "version 1 cannot be asked again" in why["problem"],
        why["problem"],
    )
