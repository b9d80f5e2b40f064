"""Expectation types that judge a batch by itself: conditions of its rows and of groups of them, and its key.

They take SQL expressions as named arguments, and say what has to hold. As everywhere in SQL, an expression that is
neither true nor false because a value is missing is not violated: such rows and groups pass.

Each type is a custom SQL expectation of Great Expectations, whose import takes seconds: import this module in a function.
Its query is made from the arguments, and so is what `sluice.gates.fused_queries` asks to answer many rules in one pass.
"""

# ruff: noqa: S608 - expressions are the suite's own SQL
from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from great_expectations.compatibility import pydantic
from great_expectations.expectations.core import UnexpectedRowsExpectation

from sluice.core.sql import all_of, literal, quoted
from sluice.gates.suites import QUERY

# Names go into SQL as they are.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SHARE = "share_that_passes"


class FromArguments(UnexpectedRowsExpectation):
    """Makes the query from the other arguments; it cannot be given."""

    unexpected_rows_query: str = ""

    @abstractmethod
    def statement(self) -> str:
        """Return the rule's SQL over `{batch}`."""

    def __init__(self, **given: Any) -> None:
        named = given.pop(QUERY, None)
        super().__init__(**given)
        made = self.statement()
        if named not in (None, made):
            raise ValueError(f"{QUERY} is made from the other arguments and cannot be given")
        self.__dict__[QUERY] = made
        self.__fields_set__.add(QUERY)


class Grouped(FromArguments):
    """A rule that can be answered from aggregates of groups of rows, which rules of the same groups share."""

    @property
    def groups(self) -> tuple[tuple[str, ...], str]:
        """The columns that rows are grouped by, and the WHERE clause that they are chosen by; "" for all rows."""
        return ("ds",), ""

    @abstractmethod
    def parts(self) -> dict[str, str]:
        """Return the aggregates of a group that the rule needs, as SQL by name."""

    @abstractmethod
    def counts(self, groups: str) -> str:
        """Return a query of the numbers of rows that fail and of rows that it cannot judge, from a table of groups."""


class _OfRows(Grouped):
    # The share of each day's rows, of those for which the condition is known, that has to satisfy it.
    mostly: float = pydantic.Field(1, gt=0, le=1)

    @property
    @abstractmethod
    def passing(self) -> str:
        """The condition of a row."""

    def statement(self) -> str:
        if self.mostly == 1:
            return as_query(f"select * from {{batch}} where not ({self.passing})")
        return as_query(
            f"select * exclude ({_SHARE}) from (select *, {self._share} over (partition by ds) as {_SHARE} from {{batch}})"
            f" where {_SHARE} < {self.mostly!r} and not ({self.passing})"
        )

    def parts(self) -> dict[str, str]:
        found = {
            "failing": f"count(*) filter (not ({self.passing}))",
            "unknown": f"count(*) filter (({self.passing}) is null)",
        }
        return found if self.mostly == 1 else {**found, _SHARE: self._share}

    def counts(self, groups: str) -> str:
        chosen = "" if self.mostly == 1 else f" filter ({_SHARE} < {self.mostly!r})"
        return f"select coalesce(sum(failing){chosen}, 0), coalesce(sum(unknown), 0) from {groups}"

    @property
    def _share(self) -> str:
        return f"avg(cast(({self.passing}) as int))"


class ExpectRowsToSatisfyCondition(_OfRows):
    """Each row satisfies a condition, or of each day's rows the share `mostly` does.

    A list of conditions has to hold as a whole.
    """

    condition: str | list[str]

    @property
    def passing(self) -> str:
        return all_of(self.condition)


class ExpectColumnValuesToBeDeclared(_OfRows):
    """Each value of a column is one of those that the source's contract declares, which are the `value_set`.

    `value` is the SQL expression that is looked up, such as `upper(trim(origin))`, if it is not the column itself.
    """

    column: str
    value: str = ""
    value_set: list[str] = pydantic.Field(min_items=1)

    @property
    def passing(self) -> str:
        return f"{self.value or quoted(self.column)} in ({', '.join(map(literal, self.value_set))})"


class _OfGroups(Grouped):
    group_by: list[str] = pydantic.Field(["ds"], min_items=1)
    where: str = ""

    @property
    def groups(self) -> tuple[tuple[str, ...], str]:
        return tuple(self.group_by), self.where and f" where {self.where}"

    @property
    @abstractmethod
    def passing(self) -> str:
        """The condition of a group's aggregates."""

    @property
    def compared(self) -> Sequence[str]:
        """The columns whose groups are compared with each other."""
        return ()

    def statement(self) -> str:
        by, where = self.groups
        made = [*map(quoted, by), *(f"{sql} as {quoted(name)}" for name, sql in self.parts().items())]
        groups = f"select {', '.join(made)} from {{batch}}{where} group by {', '.join(map(quoted, by))}"
        return as_query(f"select * from {self._failing(f'({groups})')}")

    def counts(self, groups: str) -> str:
        return f"select count(*), null from {self._failing(groups)}"

    def _failing(self, groups: str) -> str:
        if self.compared:
            over = f"over (partition by {', '.join(map(quoted, self.compared))})"
            others = (f"sum({name}) {over} - {name} as others_{name}" for name in self.parts())
            groups = f"(select *, {', '.join(others)} from {groups})"
        return f"{groups} where not ({self.passing})"


class ExpectGroupsToSatisfyCondition(_OfGroups):
    """Each group of rows, by default each day, satisfies a condition of its `aggregates`, which are SQL by name.

    With `compared_within`, such as `["ds"]`, the condition may use `others_<name>`: the sum of an aggregate over the other
    groups that are the same in these columns.
    """

    aggregates: dict[str, str]
    condition: str | list[str]
    compared_within: list[str] = []

    @pydantic.root_validator(skip_on_failure=True, allow_reuse=True)
    def _names_fit(cls, values: dict[str, Any]) -> dict[str, Any]:
        if not values["aggregates"]:
            raise ValueError("aggregates has none")
        if odd := [name for name in values["aggregates"] if not NAME.match(name)]:
            raise ValueError(f"aggregates has {odd[0]!r}, which is no plain name: letters, digits and _")
        if both := sorted(set(values["aggregates"]) & set(values["group_by"])):
            raise ValueError(f"{both[0]!r} is an aggregate, and a column to group by")
        if strange := sorted(set(values["compared_within"]) - set(values["group_by"])):
            raise ValueError(f"compared_within has {strange[0]!r}, by which rows are not grouped")
        return values

    @property
    def passing(self) -> str:
        return all_of(self.condition)

    @property
    def compared(self) -> Sequence[str]:
        return self.compared_within

    def parts(self) -> dict[str, str]:
        return self.aggregates


class ExpectValueCountsToBeBetween(_OfGroups):
    """In each group, by default each day, each value of the `value_set` is the `value` of so many rows.

    `value` is a SQL expression, such as `upper(trim(origin))`.
    """

    value: str
    value_set: list[str] = pydantic.Field(min_items=1)
    min_value: int = pydantic.Field(0, ge=0)
    max_value: int | None = None

    @property
    def passing(self) -> str:
        counts = ", ".join(map(quoted, self.value_set))
        most = "" if self.max_value is None else f" and greatest({counts}) <= {self.max_value}"
        return f"least({counts}) >= {self.min_value}{most}"

    def parts(self) -> dict[str, str]:
        return {one: f"count(*) filter ({self.value} = {literal(one)})" for one in self.value_set}


class ExpectKeyToBeUnique(FromArguments):
    """No two rows are the same in the `key`, a list of SQL expressions; two nulls are the same."""

    key: list[str] = pydantic.Field(min_items=1)

    def statement(self) -> str:
        return as_query(
            f"select * from {{batch}} qualify count(*) over (partition by {', '.join(self.key)}) > 1"
        )


class ExpectColumnsToBeDeterminedByKeys(FromArguments):
    """Rows of a day that are the same in a key are the same in the columns that it determines; a null is a value of its own.

    What is joined to rows by a key has that functional dependency: a part that was altered or shuffled has not. `columns_by_key` has the
    columns by SQL expressions, such as `origin, dest`.
    """

    columns_by_key: dict[str, list[str]]

    @pydantic.validator("columns_by_key", allow_reuse=True)
    def _columns_are_named(cls, given: dict[str, list[str]]) -> dict[str, list[str]]:
        if not given:
            raise ValueError("columns_by_key has none")
        odd = [name for names in given.values() for name in names or [""] if not NAME.match(name)]
        if odd:
            raise ValueError(f"{odd[0]!r} is no name of a column")
        return given

    def statement(self) -> str:
        # Of a struct no part is null, so that a null beside a value counts as two.
        found = " union all ".join(
            f"select ds, {literal(key)} as determined_by, concat_ws(' ', {key}) as key,"
            f" count(distinct ({', '.join(map(quoted, names))}, 0)) as values_found from {{batch}} group by ds, {key}"
            for key, names in self.columns_by_key.items()
        )
        return as_query(f"select * from ({found}) where values_found > 1")


# By the name that a suite gives them.
TYPES: Mapping[str, type] = {
    one.expectation_type: one
    for one in (
        ExpectRowsToSatisfyCondition,
        ExpectColumnValuesToBeDeclared,
        ExpectGroupsToSatisfyCondition,
        ExpectValueCountsToBeBetween,
        ExpectKeyToBeUnique,
        ExpectColumnsToBeDeterminedByKeys,
    )
}
# Those whose failures are whole rows of the batch.
OF_ROWS = (_OfRows, ExpectKeyToBeUnique)


def as_query(query: str) -> str:
    """Return a query as Great Expectations wants it: a brace of the rule's own, as in a regular expression, is doubled."""
    return query.replace("{", "{{").replace("}", "}}").replace("{{batch}}", "{batch}")
