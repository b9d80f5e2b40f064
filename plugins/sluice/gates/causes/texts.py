"""Known corruptions of codes and names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sluice.core.sql import quoted
from sluice.gates.causes.evidence import Evidence
from sluice.gates.causes.finding import Finding, percent
from sluice.gates.causes.rows import LEAST_WRONG

if TYPE_CHECKING:
    import numpy as np


def new_codes(seen: Evidence) -> Iterator[Finding]:
    """Values that no earlier day has: another column's, in another encoding, cut short, or spelled otherwise."""
    for name, share in seen.new_values.items():
        if share < LEAST_WRONG:
            continue
        column = quoted(name)
        said = f"has a value that no earlier day has in {percent(share)} of the rows"
        strange = f"{column} not in (select {column} from history where {column} is not null)"
        for other in seen.texts:
            theirs = f"{column} in (select {quoted(other)} from recent)"
            found = seen.one(f"select avg(cast({theirs} as int)) from batch where {strange}")
            if other != name and found > 0.8:
                more = f"{said}, and in {percent(found)} of these one that {other} had"
                yield Finding("swapped columns", 0.98, more, "are columns exchanged?", (name,))
        values, foreign, short, usual_foreign = seen.all(
            f"with strange as (select distinct {column} as one from batch where {column} is not null and {strange}), "
            f"known as (select distinct {column} as old from recent) select count(*), count(*) filter (one ~ '.*[^\\x00-\\x7F].*'), "
            "count(*) filter (exists (from known where starts_with(old, one))), (select count(*) from known where old ~ '.*[^\\x00-\\x7F].*') from strange"
        )[0]
        if foreign > values / 2 and not usual_foreign:
            asked = "another encoding?"
            yield Finding("another encoding", 0.97, f"{said}, with letters that are no ASCII", asked, (name,))
        elif short > 0.9 * values and (values > 1 or share > 0.5):
            yield Finding("cut text", 0.96, f"{said}, the beginning of a known one", "cut short?", (name,))
        else:
            yield Finding("other codes", 0.95, said, "written otherwise?", (name,))


def other_codes(seen: Evidence) -> Iterator[Finding]:
    """Known values in rows that had others: codes exchanged or merged, or a column that stands beside other rows' keys."""
    if not seen.pairs:
        return
    for name in seen.texts:
        if name in seen.key:
            continue
        if seen.is_one_value(name):
            yield Finding("constant values", 0.97, "is one value in all rows", "a default?", (name,))
            continue
        now, was, before = (_text(seen.pairs[lead + name]) for lead in ("", "was ", "before "))
        share, usual = _differing(now, was), _differing(was, before)
        if share - usual < 0.03 or usual > 0.3 or seen.new_values[name] > share / 2:
            continue
        differs = (now != was) & (now != "") & (was != "")
        mapped = set(zip(was[differs], now[differs], strict=True))
        said = (
            f"has another value than before in {percent(share)} of the rows, {percent(usual)} on other days"
        )
        turned = {pair[::-1] for pair in mapped}
        if len(mapped) <= 2 and (differs.sum() > 2 or turned == mapped):
            more = f"{said}, always the same in the place of the same"
            yield Finding("other codes", 0.95, more, "are codes exchanged?", (name,))
        else:
            yield Finding("rows mixed up", 0.9, said, "do values stand beside other rows' keys?", (name,))


def _text(values: np.ndarray) -> np.ndarray:
    """Texts, "" where there is none."""
    import numpy as np

    return np.where(np.ma.getmaskarray(values), "", np.ma.getdata(values)).astype(str)


def _differing(one: np.ndarray, other: np.ndarray) -> float:
    both = (one != "") & (other != "")
    return float((one != other)[both].mean()) if both.any() else 0.0
