"""The SQL of a dbt model, its macros expanded, on its way to be changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from sqlglot import exp, parse_one

from sluice_lab.mutation.draft import NotApplicableError

DIALECT = "duckdb"
_Found = TypeVar("_Found")


@dataclass
class Query:
    """What a mutator of SQL changes: the tree, in its place.

    `types` are the columns of the model with their types; `values` gives the values of a column as the unchanged model has them.
    """

    model: str
    tree: exp.Query
    types: Mapping[str, str]
    values: Callable[[str], list[Any]]
    rng: Random

    @classmethod
    def of(
        cls, model: str, sql: str, types: Mapping[str, str], values: Callable[[str], list[Any]], rng: Random
    ) -> Query:
        tree: Any = parse_one(sql, dialect=DIALECT)
        return cls(model, tree, types, values, rng)

    def sql(self) -> str:
        return self.tree.sql(dialect=DIALECT, comments=False)

    def choose(self, found: Sequence[_Found]) -> _Found:
        """One of them.

        Raises:
            NotApplicableError: there is none.
        """
        if not found:
            raise NotApplicableError
        return self.rng.choice(found)

    def pick(self, *kinds: type[exp.Expr]) -> Any:
        """One node of these very kinds."""
        return self.choose([node for node in self.tree.walk() if type(node) in kinds])

    def outputs(self, *types: str) -> list[exp.Expr]:
        """What the outermost select gives out under a name, of columns of these types (all, if none is given)."""
        return [
            one
            for one in self.tree.selects
            if one.alias_or_name in self.types
            and one.alias_or_name != "ds"
            and (not types or self.types[one.alias_or_name] in types)
        ]

    def replace(self, output: exp.Expr, made: exp.Expr) -> None:
        """Give something else out under the name of an output, as the type that it had."""
        name = output.alias_or_name
        output.replace(exp.alias_(exp.cast(made, self.types[name], dialect=DIALECT), name, quoted=True))

    def wrap(self, condition: str) -> None:
        """Keep those rows of the model for which a condition holds."""
        inner = self.tree.subquery("model")
        self.tree = exp.select("*").from_(inner).where(condition, dialect=DIALECT)


def value_of(output: exp.Expr) -> exp.Expr:
    """What an output is made of, without its name."""
    return output.unalias().copy()


def text(node: exp.Expr | None) -> str:
    """A piece of SQL on one short line."""
    said = "" if node is None else node.sql(dialect=DIALECT, comments=False)
    return said if len(said) <= 60 else said[:57] + "..."
