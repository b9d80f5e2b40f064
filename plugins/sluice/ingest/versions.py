"""Which version of a contract rows follow, and how rows of another version become the declared one.

The rule kept here: a delivery is of one version, the one that it claims (or that the contract says it is). Rows of two
versions in one file are refused with both named, because whatever such a file becomes, half of it is misread.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from sluice.ingest.columns import BrokenColumnsError, Problem, arrow_type

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.ingest.layout import Layout

# Beyond this a float no longer tells two integers apart.
_WHOLE = 2**53
ONE_VERSION = "rows of one version of the contract"


def followed(keys: Collection[str], read_as: int, versions: Mapping[int, Sequence[str]]) -> int:
    """The version that a row with these keys follows.

    Another one than `read_as` only where the row has a column that `read_as` has not, and lacks fewer columns of the
    other: a column without a value may be left out of a row, and says nothing.
    """
    own = {each: (set(names) - set(versions[read_as])) & set(keys) for each, names in versions.items()}

    def distance(version: int) -> tuple[int, int]:
        return len(set(versions[version]) - set(keys)), -len(own[version])

    return min([read_as, *(each for each in versions if own[each])], key=distance)


def check_layouts(layouts: Mapping[tuple[str, ...], int], layout: Layout) -> None:
    """Refuse rows of which some have an undeclared column exactly where the others have a declared one.

    Args:
        layouts: keys of a row -> number of the first row that has them.

    Raises:
        BrokenColumnsError: names the first such row.
    """
    if len(layouts) < 2:
        return
    seen = list(dict.fromkeys(key for keys in layouts for key in keys))
    new = [key for key in seen if key not in layout.columns]
    for name in layout.columns:
        for key in new:
            if all((name in keys) != (key in keys) for keys in layouts) and name in seen:
                row = min(number for keys, number in layouts.items() if key in keys)
                what = (
                    f"two versions in one delivery: row {row} has {{value}} where rows of version "
                    f"{layout.version} have {name!r}, and no version of the contract does"
                )
                raise BrokenColumnsError([Problem(what, ONE_VERSION, key, "another column")])


def two_versions(row: int, found: int, read_as: int) -> BrokenColumnsError:
    """The refusal of a row of another version than the delivery's."""
    what = f"two versions in one delivery: it is read as version {read_as}, and row {row} follows version {found}"
    return BrokenColumnsError([Problem(what, ONE_VERSION)])


def check_repeated_header(raw: pa.Table, layout: Layout) -> None:
    """Refuse text rows that are a header: two files, perhaps of two versions, were put behind each other.

    Raises:
        BrokenColumnsError: names the first such row and its version.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    names = pa.array(sorted({name for columns in layout.known.values() for name in columns}))
    columns = [raw[name] for name in layout.columns]
    hits = pa.repeat(pa.scalar(0), raw.num_rows)
    for column in columns:
        hits = pc.add(hits, pc.is_in(column, names).cast(pa.int64()))
    # More than half of its fields: no row of data consists of column names.
    at = pc.index(pc.greater(pc.multiply(hits, 2), len(columns)), True).as_py()
    if at >= 0 and len(columns) > 1:
        fields = [column[at].as_py() for column in columns]
        raise header_inside(at + 1, [field for field in fields if field], layout.version, layout.known)


def header_inside(
    row: int, fields: Collection[str], read_as: int, versions: Mapping[int, Sequence[str]]
) -> BrokenColumnsError:
    """The refusal of a header in the middle of a file."""
    version = next((each for each, names in versions.items() if set(names) == set(fields)), None)
    if version == read_as:
        what = f"row {row} is the header once more: two files were put behind each other"
        return BrokenColumnsError([Problem(what, "one header, in the first line")])
    if version is not None:
        return two_versions(row, version, read_as)
    what = f"two versions in one delivery: it is read as version {read_as}, and row {row} is the header of another"
    return BrokenColumnsError([Problem(what, ONE_VERSION)])


def is_header(fields: Collection[str], versions: Mapping[int, Sequence[str]]) -> bool:
    """Whether a row of text is a header: more than half of its fields are column names."""
    names = {name for columns in versions.values() for name in columns}
    return len(fields) > 1 and 2 * len(names.intersection(fields)) > len(fields)


def to_declared(table: pa.Table, layout: Layout) -> pa.Table:
    """Typed rows of a known version as rows of the declared one, with its columns in its order.

    Raises:
        BrokenColumnsError: a scaled integer column does not hold integers any more; names the first row.
    """
    import pyarrow as pa

    if layout.version == layout.declared_version:
        return table
    table = table.rename_columns([layout.rename.get(name, name) for name in table.column_names])
    made = {}
    for name, column in layout.declared.items():
        if name in layout.fill:
            made[name] = pa.repeat(pa.scalar(layout.filled(name), arrow_type(column.type)), table.num_rows)
            continue
        made[name] = table[name]
        if name in layout.values:
            made[name] = _spelled(made[name], layout.values[name])
        if name in layout.scale:
            factor = Fraction(layout.scale[name])
            made[name] = _scaled(made[name], name, factor, whole=column.type == "integer")
    return pa.table(made)


def _spelled(values: pa.ChunkedArray, spellings: Mapping[str, str]) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    at = pc.index_in(values, pa.array(list(spellings)))
    return pc.coalesce(pc.take(pa.array(list(spellings.values())), at), values)


def _scaled(values: pa.ChunkedArray, name: str, factor: Fraction, *, whole: bool) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    made = pc.divide(
        pc.multiply(values.cast(pa.float64()), float(factor.numerator)), float(factor.denominator)
    )
    if not whole:
        if (bad := pc.index(pc.is_finite(made), False).as_py()) >= 0:
            what = f"column {name!r}, row {bad + 1}: {{value}} is no finite number after it was scaled by {factor}"
            raise BrokenColumnsError(
                [Problem(what, f"{name}: values that scale to finite numbers", values[bad].as_py())]
            )
        return made
    rounded = pc.round(made)
    # A float's own error is let through; a half minute is not.
    near = pc.less_equal(pc.abs(pc.subtract(made, rounded)), 1e-6)
    bad = pc.index(pc.and_(near, pc.less(pc.abs(made), float(_WHOLE))), False).as_py()
    if bad >= 0:
        what = f"column {name!r}, row {bad + 1}: {{value}} is no integer after it was scaled by {factor}"
        raise BrokenColumnsError(
            [Problem(what, f"{name}: values that scale to integers", values[bad].as_py())]
        )
    return rounded.cast(pa.int64())
