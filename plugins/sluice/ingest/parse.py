"""A delivered file becomes a typed Arrow table, exactly as its contract declares, or an error that says where it is not.

Nothing is inferred, rounded or repaired: a file that is nearly right is wrong, because the next one will be wrong in
another way. Errors name column, row and value, so that a producer can find the place. Rows are counted from 1, without
the header and without blank lines. Values of sources with personal data are never shown.

What is declared must be there; what is there beside it is left out and named (`Parsed.left_out`), because a producer
may add columns without breaking a promise.

What is null: in CSV a field with nothing in it, not even quotes; in JSON null or an absent key; in Parquet null; in
each what the contract declares (`nulls`). What only looks like a null is kept, counted and named (`Parsed.null_like`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.core.errors import ContractBrokenError, DeliveryUnreadableError
from sluice.core.printable import printable
from sluice.ingest import columns, delimited, jsonl, parquet, pseudonyms, versions
from sluice.ingest.budget import OverBudgetError
from sluice.ingest.columns import BrokenColumnsError, NullLike
from sluice.ingest.plaintext import UnreadableError

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Format
    from sluice.ingest.budget import Budget
    from sluice.ingest.layout import Layout

# Problems named in one error; more would hide the first.
_SHOWN = 5
# A column whose header has no name.
UNNAMED = "(a column without a name)"


@dataclass(frozen=True)
class Parsed:
    """A delivered file as the contract declares it, and the names of its undeclared columns.

    `counted` is the number of its records, counted without the reader that made rows of them.
    """

    table: pa.Table
    left_out: tuple[str, ...]
    counted: int
    null_like: tuple[NullLike, ...]


def read(
    data: bytes,
    fmt: Format,
    layout: Layout,
    budget: Budget,
    *,
    where: str,
    pii: str = "none",
    key: bytes | None = None,
) -> Parsed:
    """Read a delivered file strictly against its contract, in this process.

    A file of a stranger is not for the process that decides what becomes of it: see `sluice.ingest.reader`.

    Args:
        data: the whole file.
        where: name of the file, for errors.
        pii: class of the source; unless "none", errors show no values.
        key: the key of pseudonyms, which a contract with personal columns needs.

    Returns: the contract's columns in its order, whatever version was delivered. string; integer: int64; number: finite
        float64; boolean: bool; date: date32; timestamp: timestamp[us, UTC]. Personal columns hold
        pseudonyms.

    Raises:
        DeliveryUnreadableError: the file is empty, truncated, damaged, or in another format or encoding.
        LimitExceededError: the file is more than the budget allows.
        ContractBrokenError: columns are missing or given twice; a row has too few or too many fields, or follows
            another version; a value is not of the declared type, or is missing where it must not be.
        PseudonymKeyMissingError: there are personal columns and no key.
    """
    key = pseudonyms.require_key(layout, where, key)
    # An empty file of JSON lines is one of no rows; every other format says at least what its columns are.
    if not data and fmt != "jsonl":
        raise _unreadable("The file is empty: it has 0 bytes.", where, fmt)
    try:
        found = _READERS[fmt](data, layout, budget)
        if found.table.num_rows != found.counted:
            raise UnreadableError(
                f"The file has {found.counted} records, and reading it gave {found.table.num_rows} rows."
            )
        columns.require_values(found.table, layout)
        null_like = columns.null_like(found.table, layout)
        table = versions.to_declared(found.table, layout)
        if key:
            table = pseudonyms.replace(table, layout.pseudonymised, key)
        left_out = tuple(printable(name) or UNNAMED for name in found.left_out)
        return Parsed(table, left_out, found.counted, null_like)
    except UnreadableError as error:
        # The library's own message may quote the file.
        cause = error.__cause__ if pii == "none" else None
        raise _unreadable(str(error), where, fmt, error.todo) from cause
    except OverBudgetError as error:
        raise error.as_error(where) from None
    except BrokenColumnsError as broken:
        problems = broken.problems
        shown = "; ".join(problem.text(show_value=pii == "none") for problem in problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ContractBrokenError(
            f"The file does not follow its contract: {shown}{more}.",
            where=f"{where} (rows are counted from 1, without the header)",
            allowed="; ".join(dict.fromkeys(problem.allowed for problem in problems[:_SHOWN])),
            todo="; ".join(
                [
                    *dict.fromkeys(problem.todo for problem in problems[:_SHOWN] if problem.todo),
                    "have the producer correct the file and deliver it with the next number; if the producer means the "
                    "change, give it a version of its own and a mapping in the contract",
                ]
            ),
        ) from None


def _unreadable(what: str, where: str, fmt: Format, todo: str = "") -> DeliveryUnreadableError:
    return DeliveryUnreadableError(
        what,
        where=where,
        allowed=f"a complete {fmt} file" + (", encoded as UTF-8" if fmt != "parquet" else ""),
        todo=f"{todo}; " * bool(todo) + "have the producer deliver the whole file with the next number",
    )


_READERS: dict[Format, Callable[[bytes, Layout, Budget], columns.Found]] = {
    "csv": delimited.read,
    "csv.gz": delimited.read_gzipped,
    "jsonl": jsonl.read,
    "parquet": parquet.read,
}
