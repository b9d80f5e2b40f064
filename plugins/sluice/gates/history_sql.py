"""SQL of the rules that compare a batch with history, for DuckDB: one statement a rule, over `batch` and `history`.

The rule kept here: a day is judged by the days before it and by nothing else, so that it gets the same answer alone or
in a range of ninety days; of both views only the named columns are read. Every statement returns findings first, marked
`fails`, and at least one row a day, so that what was not compared is not mistaken for what was found good. What a day is
judged by comes from `statistics`, in one of its two ways.
"""

# ruff: noqa: S608 - every statement is written here; columns are quoted names that `expectations` has checked
from __future__ import annotations

from collections.abc import Mapping, Sequence

from sluice.gates.statistics import ROWS, Rows

# A median absolute deviation times this estimates the standard deviation of a normal distribution.
_MAD_TO_SIGMA = 1.4826
# Rows that a statement returns at most; Great Expectations itself reads 200.
_LIMIT = " limit 200"


def row_count(*, days: int, min_days: int, width: float, slack: float, of: Rows = ROWS) -> str:
    """Rows a day against the same weekday of the trailing days."""
    daily = f"{of.rows()}, daily as (select ds, 'rows' as name, cast(rows as double) as value from all_days)"
    half = f"greatest({width} * spread, {slack} * expected)"
    return _banded((), daily, days, min_days, half, shown="value as rows", weekly=True, of=of)


def means(
    columns: Sequence[str],
    *,
    days: int,
    min_days: int,
    width: float,
    slack: float,
    weekly: bool,
    of: Rows = ROWS,
) -> str:
    """Mean of a column a day."""
    half = f"greatest({width} * spread, {slack})"
    shown = "name as column_name, value as mean"
    return _banded(columns, of.means(columns), days, min_days, half, shown=shown, weekly=weekly, of=of)


def null_shares(
    columns: Sequence[str], *, days: int, min_days: int, width: float, slack: float, of: Rows = ROWS
) -> str:
    """Share of nulls of a column a day; fewer than usual is no fault."""
    half = f"greatest({width} * spread, {slack})"
    shown = "name as column_name, value as null_share"
    return _banded(columns, of.null_shares(columns), days, min_days, half, shown=shown, falls=False, of=of)


def group_shares(
    column: str,
    by: str,
    *,
    at_least: float,
    days: int,
    min_days: int,
    limit: float,
    limit_below: float,
    of: Rows = ROWS,
) -> str:
    """How many rows of a day a group has too many (or too few) of `at_least` or more, as a share of the day's rows.

    A group's usual share of such values is taken relative to all other rows of each day, so that a bad day for
    everyone is none of its own; the median of the trailing days is what is usual.
    """
    return f"""{of.start([column, by], days)}, {of.groups(column, by, at_least)},
        totals as (select ds, sum(n) as n, sum(hits) as hits from counted group by ds),
        daily as (
            select c.ds, c.name, c.n / t.n as part,
                c.hits / c.n - (t.hits - c.hits) / nullif(t.n - c.n, 0) as value
            from counted as c join totals as t using (ds)
        ), {_pairs(days, "part")},
        bands as (
            select ds, name, any_value(value) as value, any_value(part) as part, median(was) as usual,
                count(was) as earlier_days
            from pairs group by ds, name
        ),
        found as (
            select ds, name as {by}, value as share_above_others, usual, (value - usual) * part as rows_too_many,
                earlier_days, earlier_days >= {min_days} and rows_too_many is not null as compared,
                coalesce(compared and rows_too_many not between -{limit_below} and {limit}, false) as fails
            from bands
        )
        {ending()}"""


def magnitudes(columns: Sequence[str], *, days: int, min_days: int, limit: float, of: Rows = ROWS) -> str:
    """Median of the absolute values a day over the median of that of the trailing days."""
    return f"""{of.start(columns, days)}, {of.magnitudes(columns)}, {_pairs(days)},
        bands as (
            select ds, name, any_value(value) as value, median(was) as usual, count(was) as earlier_days
            from pairs group by ds, name
        ),
        found as (
            select ds, name as column_name, value as median_magnitude, usual, earlier_days,
                earlier_days >= {min_days} and coalesce(usual, 0) > 0 and value is not null as compared,
                coalesce(compared and (value > usual * {limit} or value * {limit} < usual), false) as fails
            from bands
        )
        {ending()}"""


def distributions(
    columns: Sequence[str],
    edges: Mapping[str, Sequence[float]],
    *,
    days: int,
    min_days: int,
    limit: float,
    of: Rows = ROWS,
) -> str:
    """Jensen-Shannon divergence (base 2) of a column's bins a day from those of all trailing days together."""
    return f"""{of.start(columns, days)}, {of.bins(columns, edges)},
        judged as (select ds, name, sum(n) as rows from counted semi join batch_days using (ds) group by all),
        earlier as (
            select j.ds, j.name, c.bin, sum(c.n) as n
            from judged as j join counted as c on c.name = j.name and c.ds < j.ds and c.ds >= j.ds - {days}
            group by all
        ),
        lengths as (
            select j.ds, j.name, count(distinct c.ds) as earlier_days
            from judged as j left join counted as c on c.name = j.name and c.ds < j.ds and c.ds >= j.ds - {days}
            group by all
        ),
        shares as (
            select ds, name, bin, max(p) as p, max(q) as q from (
                select c.ds, c.name, c.bin, cast(c.n as double) / j.rows as p, 0.0 as q
                from counted as c join judged as j using (ds, name)
                union all
                select ds, name, bin, 0.0, cast(n as double) / sum(n) over (partition by ds, name) from earlier
            ) group by ds, name, bin
        ),
        diverged as (
            select ds, name, sum(
                if(p > 0, p * log2(2 * p / (p + q)), 0) + if(q > 0, q * log2(2 * q / (p + q)), 0)
            ) / 2 as divergence
            from shares group by ds, name
        ),
        found as (
            select ds, name as column_name, divergence, earlier_days,
                earlier_days >= {min_days} as compared, compared and divergence > {limit} as fails
            from diverged join lengths using (ds, name)
        )
        {ending()}"""


def categories(columns: Sequence[str], *, days: int, min_days: int, limit: float, of: Rows = ROWS) -> str:
    """Share of a day's rows with a value that no trailing day has."""
    return f"""{of.start(columns, days)}, {of.values(columns)}, {_lengths(days, of)}, {_known(days)},
        -- The day before on which a value was seen: a join with all trailing days took thirty times as long.
        traced as (select *, lag(ds) over (partition by name, value order by ds) as last_seen from valued),
        news as (
            select ds, name, sum(n) as n, arg_max(value, row(n, value)) as such_as
            from traced semi join batch_days using (ds)
            where last_seen is null or last_seen < ds - {days}
            group by all
        ),
        found as (
            select l.ds, name as column_name, such_as, cast(n as double) / l.rows as new_share,
                {_KNOWN_DAYS} as earlier_days, {_KNOWN_DAYS} >= {min_days} as compared, coalesce(compared and new_share > {limit}, false) as fails
            from lengths as l left join news using (ds) left join known using (ds, name)
        )
        {ending()}"""


def spikes(
    columns: Sequence[str], by: str | None, *, days: int, min_days: int, limit: float, of: Rows = ROWS
) -> str:
    """Rise of one value's share of a day's rows (of a group's, with `by`) above its largest share on a trailing day."""
    shown = f"_part as {by}, " if by else ""
    return f"""{of.start([*columns, *([by] if by else [])], days)}, {of.values(columns, by)}, {_lengths(days, of)},
        {_known(days)}, {of.sizes(by)},
        shares as (select v.*, cast(n as double) / rows as share from valued as v join sizes using (ds, _part)),
        tops as (select * from shares semi join batch_days using (ds) where share > {limit}),
        risen as (
            select t.ds, t._part, t.name, t.value, t.share, coalesce(max(e.share), 0) as share_before
            from tops as t left join shares as e
                on e._part = t._part and e.name = t.name and e.value = t.value and e.ds < t.ds and e.ds >= t.ds - {days}
            group by all
        ),
        found as (
            select l.ds, {shown}name as column_name, value, share, share_before,
                {_KNOWN_DAYS} as earlier_days, {_KNOWN_DAYS} >= {min_days} as compared,
                coalesce(compared and share - share_before > {limit}, false) as fails
            from lengths as l left join risen using (ds) left join known using (ds, name)
        )
        {ending()}"""


def mode_shares(columns: Sequence[str], *, days: int, min_days: int, limit: float, of: Rows = ROWS) -> str:
    """Rise of the share of rows that have the day's most frequent value, above that share's largest on a trailing day."""
    return f"""{of.start(columns, days)}, {of.mode_shares(columns)}, {_pairs(days)},
        bands as (
            select ds, name, any_value(value) as value, max(was) as share_before, count(was) as earlier_days
            from pairs group by ds, name
        ),
        found as (
            select ds, name as column_name, value as mode_share, share_before, earlier_days,
                earlier_days >= {min_days} as compared,
                coalesce(compared and value - share_before > {limit}, false) as fails
            from bands
        )
        {ending()}"""


def repeats(columns: Sequence[str], *, days: int, min_days: int, limit: float, of: Rows = ROWS) -> str:
    """Share of a day's rows that one earlier day has too, counted as often as both have them."""
    return f"""{of.start(columns, days)}, {_lengths(days, of)}, {of.same_rows(columns)},
        shared as (
            select m.ds, e.ds as same_as, sum(least(m.n, e.n)) as n
            from mine as m join earlier as e on e.row = m.row and e.ds < m.ds and e.ds >= m.ds - {days}
            group by all
        ),
        nearest as (select ds, arg_max(same_as, row(n, same_as)) as same_as, max(n) as n from shared group by ds),
        found as (
            select l.ds, same_as, coalesce(cast(n as double) / l.rows, 0) as same_share, earlier_days,
                earlier_days >= {min_days} as compared, compared and same_share > {limit} as fails
            from lengths as l left join nearest using (ds)
        )
        {ending()}"""


def _banded(
    columns: Sequence[str],
    daily: str,
    days: int,
    min_days: int,
    half: str,
    *,
    shown: str,
    weekly: bool = False,
    falls: bool = True,
    of: Rows,
) -> str:
    """A statistic a day, `daily (ds, name, value)`, against a robust band of the trailing days.

    The centre is the median, the spread the median absolute deviation; by weekday if `weekly`: then the centre is that
    of the day's own weekday, and deviations are taken from each weekday's.
    """
    season, own = ("isodow(earlier)", "isodow(ds)") if weekly else ("1", "1")
    low = f"expected - {half}" if falls else "cast(null as double)"
    return f"""{of.start(columns, days)}, {daily}, {_pairs(days)},
        levelled as (select *, median(was) over (partition by ds, name, {season}) as level from pairs),
        bands as (
            select ds, name, any_value(value) as value, count(was) as earlier_days,
                median(was) filter ({season} = {own}) as expected,
                coalesce({_MAD_TO_SIGMA} * median(abs(was - level)), 0) as spread
            from levelled group by ds, name
        ),
        found as (
            select ds, {shown}, expected, {low} as low, expected + {half} as high, earlier_days,
                earlier_days >= {min_days} and expected is not null and value is not null as compared,
                coalesce(compared and (value < low or value > high), false) as fails
            from bands
        )
        {ending()}"""


def _pairs(days: int, *others: str) -> str:
    """Each day of the batch beside each trailing day."""
    kept = "".join(f", d.{name}" for name in others)
    return f"""
        pairs as (
            select d.ds, d.name, d.value{kept}, e.ds as earlier, e.value as was
            from daily as d semi join batch_days using (ds)
            left join daily as e on e.name = d.name and e.ds < d.ds and e.ds >= d.ds - {days}
        )"""


def _lengths(days: int, of: Rows) -> str:
    """Rows and trailing days of each day of the batch."""
    return f"""{of.rows()},
        lengths as (
            select d.ds, d.rows, count(e.ds) as earlier_days
            from all_days as d semi join batch_days using (ds)
            left join all_days as e on e.ds < d.ds and e.ds >= d.ds - {days}
            group by all
        )"""


# Of a column that is found; of a day of which nothing is, its trailing days.
_KNOWN_DAYS = "coalesce(known_days, if(name is null, l.earlier_days, 0))"


def _known(days: int) -> str:
    """Trailing days on which a column has a value, for each day of the batch and column: one that was added later has fewer."""
    return f"""
        known as (
            select d.ds, v.name, count(*) as known_days
            from batch_days as d join (select distinct ds, name from valued) as v on v.ds < d.ds and v.ds >= d.ds - {days}
            group by all
        )"""


def ending() -> str:
    """The end of a statement: the rows of `found`, findings first, and how many days were compared."""
    return f"""
        select * exclude (compared, fails), count(distinct ds) over () as days,
            count(distinct ds) filter (compared) over () as days_compared, compared, fails
        from found order by fails desc, compared desc, ds{_LIMIT}"""


def without_limit(statement: str) -> str:
    """A statement that ends with `ending`, returning all rows of `found`."""
    return statement.removesuffix(_LIMIT)
