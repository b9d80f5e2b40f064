"""Change the code of a function in one place at a time, as a mistake would.

The changes are of the kinds that tests of this project were once found not to see: a condition or a part of it is
dropped, a boundary moves by one, a call or an argument is left out, an error is not raised.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_COMPARISONS: dict[type, type] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_NAMES = {"any": "all", "all": "any", "min": "max", "max": "min"}


@dataclass(frozen=True)
class Mutant:
    """A module with one change in one of its functions."""

    # What was changed, without a line number: it is the same mutant when code above it moves.
    change: str
    source: str


def mutants(source: str, function: str) -> list[Mutant]:
    """Return every mutant of a function, or of a method written as `Class.method`.

    Raises:
        LookupError: the module defines no such function.
    """
    tree = ast.parse(source)
    found: dict[str, str] = {}
    for parent in _executed(_find(tree, function)):
        for field, value in ast.iter_fields(parent):
            for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                for change, new in _replacements(child):
                    # A second place with the same change gets a number.
                    times = sum(name.split(" #")[0] == change for name in found)
                    name = f"{change} #{times + 1}" if times else change
                    found[name] = _unparsed_with(tree, parent, field, index, new)
    return [Mutant(change, text) for change, text in found.items()]


def _find(tree: ast.AST, function: str) -> ast.AST:
    place = tree
    for name in function.split("."):
        named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        inner = [
            node for node in ast.iter_child_nodes(place) if isinstance(node, named) and node.name == name
        ]
        if not inner:
            raise LookupError(f"There is no function {function}.")
        place = inner[-1]
    return place


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and what is in it, without annotations and without the words of an error or of a log line."""
    yield node
    if isinstance(node, ast.Raise) or (
        isinstance(node, ast.Expr) and _text(node).startswith(("log.", "self.log."))
    ):
        return
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _executed(child)


def _unparsed_with(tree: ast.AST, parent: ast.AST, field: str, index: int | None, new: Any) -> str:
    """Return the module's text with one node replaced; the tree is as before afterwards."""
    old = getattr(parent, field)
    changed = new if index is None else [*old[:index], *([] if new is None else [new]), *old[index + 1 :]]
    setattr(parent, field, changed)
    try:
        return ast.unparse(ast.fix_missing_locations(tree))
    finally:
        setattr(parent, field, old)


def _replacements(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield what may stand in the place of a node, each with a description; None leaves it out of its list."""
    match node:
        case ast.BoolOp(op=op, values=values):
            word = "and" if isinstance(op, ast.And) else "or"
            for position, value in enumerate(values):
                rest = values[:position] + values[position + 1 :]
                new = rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
                yield f"drop `{word} {_text(value)}`", new
        case ast.Compare(left=left, ops=ops, comparators=others):
            for position, op in enumerate(ops):
                new_ops = [*ops[:position], _COMPARISONS[type(op)](), *ops[position + 1 :]]
                new = ast.Compare(left, new_ops, others)
                yield f"`{_text(node)}` becomes `{_text(new)}`", new
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield f"drop `not` of `{_text(operand)}`", operand
        case ast.If(test=test, body=body, orelse=orelse) | ast.IfExp(test=test, body=body, orelse=orelse):
            for truth in (True, False):
                yield f"`if {_text(test)}` is always {truth}", type(node)(ast.Constant(truth), body, orelse)
        case ast.comprehension(target=target, iter=iterated, ifs=[_, *_] as ifs, is_async=is_async):
            for position, condition in enumerate(ifs):
                rest = ifs[:position] + ifs[position + 1 :]
                yield f"drop `if {_text(condition)}`", ast.comprehension(target, iterated, rest, is_async)
        case ast.Expr(value=ast.Call()) if not _text(node).startswith(("log.", "self.log.")):
            yield f"drop `{_text(node)}`", ast.Pass()
        case ast.Raise(exc=exc) if exc is not None:
            yield f"drop `raise {_text(exc.func if isinstance(exc, ast.Call) else exc)}`", ast.Pass()
        case ast.keyword(arg=str() as name, value=value):
            yield f"drop argument `{name}={_text(value)}`", None
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            yield f"`{number}` becomes `{number + 1}`", ast.Constant(number + 1)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub()):
            yield f"`{_text(node)}` becomes `{_text(left)}`", left
        case ast.Name(id=name) if name in _NAMES:
            yield f"`{name}` becomes `{_NAMES[name]}`", ast.Name(_NAMES[name], node.ctx)


def _text(node: ast.AST) -> str:
    """Return the code of a node on one line, cut where it is long."""
    line = " ".join(ast.unparse(node).split())
    return line if len(line) <= 80 else f"{line[:79]}…"
