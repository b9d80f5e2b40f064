"""SQL of the rules that ask whether rows agree with what is known of them: from earlier days, or from another table.

As in `history_sql`, a day is judged alone, findings come first, marked `fails`, and every day has at least one row. What
is compared is written in the suite, as SQL over the columns.
"""

# ruff: noqa: S608 - columns are quoted names that `expectations` has checked, the expressions are the suite's own
from __future__ import annotations

from collections.abc import Mapping, Sequence

from sluice.gates.history_sql import ending
from sluice.gates.statistics import text


def with_history(
    by: Sequence[str],
    values: Mapping[str, str],
    tolerances: Mapping[str, float],
    *,
    days: int,
    min_days: int,
    limit: float,
) -> str:
    """Share of a day's rows whose value is not what its group's rows of the trailing days usually have.

    Usual is the median where the value has a tolerance, else the most frequent text, null among them. Rows of a group
    that no trailing day has are not compared; without `values`, they are what is counted. Rows without a group (one of
    `by` is null) are left out of both.
    """
    whole = " and ".join(f"{name} is not null" for name in by)
    group = ", ".join(f"{text(name)} as _by{index}" for index, name in enumerate(by))
    parts = ", ".join(f"_by{index}" for index in range(len(by)))
    window = f"(partition by {parts} order by ds range between interval {days} days preceding and interval 1 day preceding)"
    sides = [
        f"select ds, '{name}' as name, usual is not null and value is not null as known,"
        f" abs(value - usual) > {tolerances[name]} as differs"
        f" from (select ds, value, median(value) over {window} as usual"
        f" from (select ds, {parts}, cast({sql} as double) as value from grouped))"
        if name in tolerances
        else f"select ds, '{name}' as name, usual is not null as known, value <> usual as differs"
        f" from (select ds, value, mode(value) over {window} as usual"
        f" from (select ds, {parts}, coalesce({text(sql)}, '') as value from grouped))"
        for name, sql in values.items()
    ] or [
        "select ds, 'unknown' as name, true as known, earlier = 0 as differs"
        f" from (select ds, count(*) over {window} as earlier from grouped)"
    ]
    return f"""
        with batch_days as (select distinct ds from {{batch}}),
        seen as (
            select * from history where ds >= (select min(ds) from batch_days) - {days}
                and ds < (select min(ds) from batch_days)
            union all by name select * from {{batch}}
        ),
        grouped as (select *, {group} from seen where {whole}),
        judged as ({" union all ".join(sides)}),
        shares as (
            select ds, name, avg(cast(differs as int)) filter (known) as share
            from judged semi join batch_days using (ds) group by ds, name
        ),
        all_days as (select distinct ds from seen),
        lengths as (
            select d.ds, count(e.ds) as earlier_days
            from batch_days as d left join all_days as e on e.ds < d.ds and e.ds >= d.ds - {days} group by d.ds
        ),
        found as (
            select ds, name as compared_value, share as differing_share, earlier_days,
                earlier_days >= {min_days} and share is not null as compared,
                coalesce(compared and share > {limit}, false) as fails
            from lengths left join shares using (ds)
        )
        {ending()}"""


def with_table(table: str, key: Sequence[str], agree: Mapping[str, str], *, limit: float) -> str:
    """Share of a day's rows that do not agree with the row of another table's same day that has the same key.

    Without `agree`: the rows of either that the other lacks, as a share of the other table's.
    """
    keyed = ", ".join(f"{text(name)} as _key{index}" for index, name in enumerate(key))
    keys = ", ".join(["ds", *(f"_key{index}" for index in range(len(key)))])
    if agree:
        sides = [
            f"select ds, '{name}' as name, avg(cast(not ({sql}) as int)) as share from pairs group by ds"
            for name, sql in agree.items()
        ]
    else:
        sides = [
            f"select ds, '{name}' as name, count(*) / any_value(rows) as share"
            f" from (select distinct {keys} from {one}) anti join {other} using ({keys})"
            " join totals using (ds) group by ds"
            for name, one, other in (
                ("missing", "published", "delivered"),
                ("unexpected", "delivered", "published"),
            )
        ]
    return f"""
        with batch_days as (select distinct ds from {{batch}}),
        delivered as (select *, {keyed} from {{batch}}),
        published as (select *, {keyed} from {table} semi join batch_days using (ds)),
        totals as (select ds, count(*) as rows from published group by ds),
        pairs as (select delivered.ds, delivered, published from delivered join published using ({keys})),
        shares as ({" union all ".join(sides)}),
        found as (
            select d.ds, s.name as compared_value, s.share as differing_share,
                coalesce(t.rows, 0) > 0 as compared,
                coalesce(compared and s.share > {limit}, false) as fails
            from batch_days as d left join totals as t on t.ds = d.ds left join shares as s on s.ds = d.ds
        )
        {ending()}"""
