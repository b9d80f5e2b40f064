"""Damage to the SQL of a dbt model, as a person may write it by mistake."""

from __future__ import annotations

from sqlglot import exp

from sluice.core.sql import literal, quoted
from sluice_lab.mutation.mutators.registry import Mutator, mutator
from sluice_lab.mutation.query import Query, text, value_of

# Not among those that the package exports: sqlglot takes a second to import, and files and scores need none.
SQL_MUTATORS: dict[str, Mutator] = {}
_NUMBERS = ("DOUBLE", "BIGINT", "INTEGER", "HUGEINT", "DECIMAL(18,3)")
# What people multiply by in error: minutes and hours, miles and kilometres, miles an hour and metres a second, hundredths.
_FACTORS = (60, 1 / 60, 1.609, 2.237, 100, 0.01)
_TURNED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.LT: exp.LTE,
    exp.LTE: exp.LT,
    exp.GT: exp.GTE,
    exp.GTE: exp.GT,
    exp.EQ: exp.NEQ,
}
_REVERSED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
}
_OTHER_SUM: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.Add: exp.Sub,
    exp.Sub: exp.Add,
    exp.Mul: exp.Div,
    exp.Div: exp.Mul,
}
_AGGREGATES = (exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Count)


def _sql(kind: str):
    return mutator(kind, sources=("transform",), among=SQL_MUTATORS)


def _become(query: Query, pairs: dict[type[exp.Expr], type[exp.Expr]]) -> str:
    """Turn an operator into another one."""
    node = query.pick(*pairs)
    made = pairs[type(node)](this=node.this.copy(), expression=node.expression.copy())
    said = f"{text(node)} is {text(made)}"
    node.replace(made)
    return said


@_sql("comparison")
def comparison_moved(query: Query) -> str:
    """A comparison has or lacks the equal case, or an equality is its opposite."""
    return _become(query, _TURNED)


@_sql("comparison")
def comparison_reversed(query: Query) -> str:
    """A comparison looks the other way."""
    return _become(query, _REVERSED)


@_sql("arithmetic")
def arithmetic(query: Query) -> str:
    """Plus is minus, times is divided by, or the other way round."""
    return _become(query, _OTHER_SUM)


@_sql("constant")
def constant(query: Query) -> str:
    """A number in the SQL is another one."""
    node = query.choose([one for one in query.tree.find_all(exp.Literal) if one.is_int])
    number = int(node.name)
    other = query.rng.choice([number + 1, number - 1, number * 10, number * 2, 0])
    if other == number:
        other = number + 1
    said = f"{number} is {other} in {text(node.parent)}"
    node.replace(exp.Literal.number(other))
    return said


@_sql("constant")
def text_constant(query: Query) -> str:
    """A text in the SQL has a letter more."""
    node = query.choose([one for one in query.tree.find_all(exp.Literal) if one.is_string and one.name])
    said = f"'{node.name}' has a letter more"
    node.replace(exp.Literal.string(f"{node.name}X"))
    return said


@_sql("window bound")
def window_bound(query: Query) -> str:
    """A window of days or hours is longer, shorter, or begins elsewhere."""
    bounds = [
        one
        for one in query.tree.find_all(exp.Literal)
        if isinstance(one.parent, exp.Interval)
        or (isinstance(one.parent, exp.Add | exp.Sub) and one.parent.this.name == "ds")
    ]
    node = query.choose(bounds)
    number = int(node.name)
    other = query.rng.choice([one for one in (1, 2, 7, 14, number + 1, number - 1) if one != number])
    said = f"{number} is {other} in {text(node.parent)}"
    node.replace(exp.Literal(this=str(other), is_string=node.is_string))
    return said


@_sql("unit")
def unit(query: Query) -> str:
    """A column is in another unit."""
    output, factor = query.choose(query.outputs(*_NUMBERS)), query.rng.choice(_FACTORS)
    query.replace(output, exp.Mul(this=exp.paren(value_of(output)), expression=exp.Literal.number(factor)))
    return f"{output.alias_or_name} is times {factor:.3g}"


@_sql("dropped column")
def column_is_null(query: Query) -> str:
    """A column is null in all rows."""
    output = query.choose(query.outputs())
    query.replace(output, exp.null())
    return f"{output.alias_or_name} is null"


@_sql("dropped column")
def column_is_constant(query: Query) -> str:
    """A column has one value in all rows."""
    output = query.choose(query.outputs())
    value = query.choose([one for one in query.values(output.alias_or_name) if one is not None])
    query.replace(output, exp.Literal.string(str(value)))
    return f"{output.alias_or_name} is {value}"


@_sql("swapped columns")
def columns_swapped(query: Query) -> str:
    """Two columns of a type have each other's values, or one has the other's."""
    output = query.choose(query.outputs())
    kind = query.types[output.alias_or_name]
    other = query.choose([one for one in query.outputs(kind) if one is not output])
    first, second = value_of(output), value_of(other)
    both = query.rng.choice((True, False))
    query.replace(output, second)
    if both:
        query.replace(other, first)
    said = f"{output.alias_or_name} has the values of {other.alias_or_name}"
    return f"{said}, and the other way round" if both else said


@_sql("column of another table")
def another_column(query: Query) -> str:
    """A reference to a column is one to another column that the model reads."""
    columns = list(query.tree.find_all(exp.Column))
    node = query.choose(columns)
    other = query.choose([one for one in columns if one.table == node.table and one.name != node.name])
    said = f"{text(node)} is {text(other)} in {text(node.parent)}"
    node.replace(other.copy())
    return said


@_sql("join")
def join_type(query: Query) -> str:
    """A left join is an inner one, an inner join a left one, an anti join a semi join."""
    node = query.pick(exp.Join)
    side, kind = node.side, node.kind
    if kind == "ANTI":
        node.set("kind", "SEMI")
    elif side == "LEFT":
        node.set("side", None)
        node.set("kind", "INNER")
    else:
        node.set("side", "LEFT")
        node.set("kind", None)
    return f"the {f'{side} {kind}'.strip().lower()} join of {node.alias_or_name} is another"


@_sql("join")
def join_condition_lost(query: Query) -> str:
    """A join compares one column less."""
    node = query.choose(
        [one for one in query.tree.find_all(exp.Join) if isinstance(one.args.get("on"), exp.And)]
    )
    parts = list(node.args["on"].flatten())
    gone = query.choose(parts)
    node.set("on", exp.and_(*(one.copy() for one in parts if one is not gone)))
    return f"the join of {node.alias_or_name} lacks {text(gone)}"


@_sql("join")
def join_lost(query: Query) -> str:
    """An anti join is gone: what was to be left out stays."""
    node = query.choose([one for one in query.tree.find_all(exp.Join) if one.kind == "ANTI"])
    said = f"the anti join of {node.alias_or_name} is gone"
    node.pop()
    return said


@_sql("filter")
def filter_lost(query: Query) -> str:
    """A where is gone, or one of its conditions."""
    node = query.pick(exp.Where)
    parts = list(node.this.flatten()) if isinstance(node.this, exp.And) else [node.this]
    gone = query.choose(parts)
    said = f"where lacks {text(gone)}"
    if len(parts) == 1:
        node.pop()
    else:
        node.set("this", exp.and_(*(one.copy() for one in parts if one is not gone)))
    return said


@_sql("filter")
def filter_negated(query: Query) -> str:
    """A where, or the filter of an aggregate, keeps what it should not."""
    node = query.pick(exp.Where)
    said = f"not ({text(node.this)})"
    node.set("this", exp.not_(node.this.copy()))
    return said


@_sql("filter")
def value_filtered(query: Query) -> str:
    """Rows with one value of a column are lost."""
    name = query.choose(
        [one for one, kind in query.types.items() if kind == "VARCHAR" and not one.endswith("_id")]
    )
    values = [one for one in query.values(name) if one is not None]
    value = query.choose([one for one in dict.fromkeys(values) if values.count(one) >= 0.03 * len(values)])
    query.wrap(f"{quoted(name)} is distinct from {literal(value)}")
    return f"no rows where {name} is {value}"


@_sql("filter")
def nulls_filtered(query: Query) -> str:
    """Rows with a null in a column are lost."""
    name = query.choose([one for one in query.types if None in query.values(one)])
    query.wrap(f"{quoted(name)} is not null")
    return f"no rows where {name} is null"


@_sql("filter")
def rows_filtered(query: Query) -> str:
    """A share of the rows is lost, whatever their values."""
    share = query.rng.choice((5, 10, 30))
    query.wrap(f"hash(model) % 100 >= {share}")
    return f"{share}% of the rows are lost"


@_sql("aggregate")
def aggregate(query: Query) -> str:
    """An aggregate is another one."""
    node = query.pick(*_AGGREGATES)
    if isinstance(node, exp.Count):
        argument = node.this
        made: exp.Expr = exp.Count(
            this=exp.Literal.number(1) if isinstance(argument, exp.Star) else exp.Star()
        )
        if isinstance(argument, exp.Column) and bool(query.rng.choice((True, False))):
            made = exp.Count(this=exp.Distinct(expressions=[argument.copy()]))
    else:
        kinds: tuple[type[exp.Expr], ...] = (exp.Sum, exp.Avg, exp.Min, exp.Max)
        made = query.choose([one for one in kinds if one is not type(node)])(this=node.this.copy())
    said = f"{text(node)} is {text(made)}"
    node.replace(made)
    return said


@_sql("missing deduplication")
def deduplication_lost(query: Query) -> str:
    """A distinct, a qualify or a limit to one row of several is gone, or another row is taken."""
    node = query.pick(exp.Qualify, exp.Distinct, exp.Ordered)
    if isinstance(node, exp.Ordered):
        said = f"{text(node)} is the other way round"
        node.set("desc", not node.args.get("desc"))
        return said
    said = f"{text(node)} is gone"
    node.pop()
    return said


@_sql("missing deduplication")
def rows_repeated(query: Query) -> str:
    """A share of the rows is there twice."""
    share = query.rng.choice((5, 30, 100))
    again = exp.select("*").from_(query.tree.copy().subquery("model"))
    again = again.where(f"hash(model) % 100 < {share}", dialect="duckdb")
    query.tree = exp.union(exp.select("*").from_(query.tree.subquery("model")), again, distinct=False)
    return f"{share}% of the rows are there twice"


@_sql("nulls")
def default_lost(query: Query) -> str:
    """A coalesce or a nullif is gone, or null becomes 0."""
    found = list(query.tree.find_all(exp.Coalesce, exp.Nullif))
    if found and bool(query.rng.choice((True, False))):
        node = query.choose(found)
        said = f"{text(node)} is its argument alone"
        node.replace(node.this.copy())
        return said
    output = query.choose(query.outputs("DOUBLE", "BIGINT", "INTEGER"))
    query.replace(output, exp.Coalesce(this=value_of(output), expressions=[exp.Literal.number(0)]))
    return f"{output.alias_or_name} is 0 where it is null"


@_sql("logic")
def logic(query: Query) -> str:
    """And is or, a not is gone, or a condition is its opposite."""
    node = query.pick(exp.And, exp.Not, exp.Is)
    if isinstance(node, exp.And):
        made: exp.Expr = exp.Or(this=node.this.copy(), expression=node.expression.copy())
    else:
        made = node.this.copy() if isinstance(node, exp.Not) else exp.Not(this=node.copy())
    said = f"{text(node)} is {text(made)}"
    node.replace(exp.paren(made))
    return said


@_sql("case")
def branch_lost(query: Query) -> str:
    """A branch of a case is gone."""
    node = query.choose([one for one in query.tree.find_all(exp.Case) if one.args.get("ifs")])
    gone = query.choose(node.args["ifs"])
    said = f"{text(gone)} is gone"
    if len(node.args["ifs"]) == 1:
        node.replace(node.args["default"].copy() if node.args.get("default") else exp.null())
    else:
        gone.pop()
    return said
