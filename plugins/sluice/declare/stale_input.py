"""Whether a day of a derived table is built without what a daily source has for it."""

from __future__ import annotations

from sluice.declare.spec import Pipeline


def goes_on_without(spec: Pipeline, table: str, source: str, *, given_up: bool) -> bool:
    """Whether a run builds its day of a derived table from older days of a source that it reads, of which the newest is not published.

    History may be older, where a person gave the day up or the pipeline marks stale input; what the table's own rows are made
    of may not.

    Args:
        given_up: a person gave the source's day up.
    """
    lag, own_lag = spec.lag_days(source), spec.lag_days(table)
    if given_up:
        return source != spec.rows_from(table) or lag != own_lag
    return may_lag(spec, source) and lag > own_lag


def may_lag(spec: Pipeline, source: str) -> bool:
    """Whether a day goes on without a source that is not there by its deadline: `stale_input: mark`, and it has `lag_days`."""
    return spec.stale_input == "mark" and spec.lag_days(source) > 0
