"""Where rows go missing between a table and what is made of it: the rows of each dbt model on the way, while they are there.

The gate finds which rows are lost, by their keys; the database of the attempt, which knows the models, is gone by then. So what a
person needs to find the model is counted here, and only where the number of rows is not what was declared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sluice.core.sql import quoted

if TYPE_CHECKING:
    import duckdb

    from sluice.declare.spec import Pipeline


def rows_by_model(
    con: duckdb.DuckDBPyConnection,
    spec: Pipeline,
    table: str,
    start: str,
    end: str,
    made: int,
    ran: Sequence[Any],
) -> dict[str, int]:
    """Rows of the days to build in each model that has the table's key and is made of what the table is made of.

    Args:
        made: rows of the table and those left out for a reason.
        ran: dbt's nodes in the order in which they were built.

    Returns:
        Model to rows, and before them the table that they are made of; empty where each of its rows became one, or where that
        is not declared. A view that cannot be read in full is not among them.
    """
    import duckdb

    derived = spec.derived[table]
    if derived.key_from is None:
        return {}

    def rows_of(relation: str) -> int:
        query = f"select count(*) from {relation} where ds between ?::date and ?::date"  # noqa: S608 - dbt's own names
        return int(con.execute(query, [start, end]).fetchall()[0][0])

    given = rows_of(f"raw.{quoted(str(derived.rows_from))}")
    if given == made:
        return {}
    found = {str(derived.rows_from): given}
    on_the_way = {f"source.sluice.{spec.pipeline}.{derived.rows_from}"}
    for node in ran:
        if str(node.resource_type) == "model" and on_the_way & set(node.depends_on_nodes):
            on_the_way.add(node.unique_id)
            try:
                columns = con.sql(f"select * from {node.relation_name} limit 0").columns  # noqa: S608 - as above
                if {"ds", *derived.key} <= set(columns):
                    found[node.name] = rows_of(node.relation_name)
            except duckdb.Error:
                # A view that cannot be read in full, which the table did not ask for: it is not counted, and the gate judges.
                continue
    return found
