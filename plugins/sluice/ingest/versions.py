"""Which version of a contract rows follow, and how rows of another version become the declared one.

The rule kept here: a delivery is of one version, the one that it claims (or that the contract says it is). Rows of two
versions in one file are refused with both named, because whatever such a file becomes, half of it is misread. What tells a
row's version: the column that the contract declares for it (`version_column`), the keys of a JSON row, the number and types
of the fields of a CSV row, a header inside, and, where a file has the columns of two versions side by side, which of them
have values.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from typing import TYPE_CHECKING

from sluice.ingest import casts
from sluice.ingest.columns import BrokenColumnsError, Problem, arrow_type, convert_column

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.ingest.layout import Column, Layout

# Beyond this a float no longer tells two integers apart.
_WHOLE = 2**53
ONE_VERSION = "rows of one version of the contract"


def followed(keys: Collection[str], read_as: int, versions: Mapping[int, Collection[str]]) -> int:
    """The version that a row with these keys follows.

    Another one than `read_as` only where the row has a column that `read_as` has not, and lacks fewer columns of the
    other: a column without a value may be left out of a row, and says nothing.
    """
    own = {each: (set(names) - set(versions[read_as])) & set(keys) for each, names in versions.items()}

    def distance(version: int) -> tuple[int, bool, int]:
        return len(set(versions[version]) - set(keys)), version != read_as, -len(own[version])

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
                if found := next((version for version, names in layout.known.items() if key in names), None):
                    raise two_versions(row, found, layout.version)
                what = (
                    f"two versions in one delivery: row {row} has {{value}} where rows of version "
                    f"{layout.version} have {name!r}, and no version of the contract does"
                )
                raise BrokenColumnsError([Problem(what, ONE_VERSION, key, "another column")])


def two_versions(row: int, found: int, read_as: int) -> BrokenColumnsError:
    """The refusal of a row of another version than the delivery's."""
    what = f"two versions in one delivery: it is read as version {read_as}, and row {row} follows version {found}"
    return BrokenColumnsError([Problem(what, ONE_VERSION)])


def check_one_version(first_rows: Mapping[int, int], read_as: int) -> None:
    """Refuse rows that follow several versions.

    Args:
        first_rows: version -> number of the first row that follows it.

    Raises:
        BrokenColumnsError: names the first row of another version than the delivery's.
    """
    if len(first_rows) > 1:
        row, found = min((row, version) for version, row in first_rows.items() if version != read_as)
        raise two_versions(row, found, read_as)


def check_stated(raw: pa.Table, layout: Layout, first_row: int = 1) -> None:
    """Refuse rows that say, in the column that the contract declares for it, that they follow another version.

    Args:
        first_row: number of the first row of `raw`.

    Raises:
        BrokenColumnsError: names the first such row; or the first row of which it cannot be told.
    """
    import pyarrow.compute as pc

    name = layout.version_column
    if name is None:
        return
    said = convert_column(raw, name, layout, first_row)
    at = pc.index(pc.fill_null(pc.not_equal(said, layout.version), True), True).as_py()
    if at < 0:
        return
    found = said[at].as_py()
    what = f"row {first_row + at} says that it follows version {found} (column {name!r})"
    if found is None:
        what = f"row {first_row + at} does not say which version it follows (column {name!r})"
    mixed = first_row + at > 1 or pc.any(pc.equal(said, layout.version)).as_py()
    lead = (
        "two versions in one delivery: it is read" if found is not None and mixed else "the delivery is read"
    )
    raise BrokenColumnsError([Problem(f"{lead} as version {layout.version}, and {what}", ONE_VERSION)])


def check_union(raw: pa.Table, layout: Layout, first_row: int = 1) -> None:
    """Refuse rows that have values only in the columns of another version, where a file has those of both.

    Args:
        raw: the columns of the layout, and those of `Layout.others_of` that the file has.
        first_row: number of the first row of `raw`.

    Raises:
        BrokenColumnsError: names the first such row.
    """
    import pyarrow.compute as pc

    for version, names in layout.other_names.items():
        pairs = {other: own for other, own in names.items() if other in raw.column_names}
        if not pairs:
            continue

        def has_value(columns: Mapping[str, str]) -> pa.ChunkedArray:
            given = [
                pc.is_valid(casts.without_nulls(raw[name], layout.columns[own].nulls))
                for name, own in columns.items()
            ]
            return reduce(pc.or_, given)

        # A row with a value in any of the own names is of this version, whatever else is in it.
        theirs = pc.and_(has_value(pairs), pc.invert(has_value({own: own for own in names.values()})))
        if (at := pc.index(theirs, True).as_py()) >= 0:
            raise in_union(first_row + at, version, layout.version)


def in_union(row: int, found: int, read_as: int) -> BrokenColumnsError:
    """The refusal of a row of another version, in a file that has the columns of both."""
    what = (
        f"columns of two versions in one delivery: it is read as version {read_as}, and row {row} has its values in those "
        f"of version {found}"
    )
    return BrokenColumnsError([Problem(what, ONE_VERSION)])


def fits(fields: Sequence[str], layout: Layout) -> int | None:
    """The other version that a row of text fits, by the number and the types of its fields; None if none."""
    others = (each for each in layout.known.items() if each[0] != layout.version)
    return next(
        (
            version
            for version, columns in others
            if len(columns) == len(fields)
            and all(
                _fits(field, column, layout) for field, column in zip(fields, columns.values(), strict=True)
            )
        ),
        None,
    )


def told(problems: Sequence[Problem], raw: pa.Table, names: Sequence[str], layout: Layout) -> list[Problem]:
    """The same problems; those of a row of text that fits another version say so.

    Args:
        raw: rows of text, of which a problem names some.
        names: the columns of the file, in its order.
    """
    if set(names) != set(layout.columns):  # `raw` has not all that a row says
        return list(problems)

    def version(row: int | None) -> int | None:
        if row is None:
            return None
        fields = {name: raw[name][row - 1].as_py() or "" for name in names}
        for other, columns in layout.known.items():
            own = layout.other_names.get(other, {})
            delivered = {own.get(name, name): column for name, column in columns.items()}
            if (
                other != layout.version
                and delivered.keys() == fields.keys()
                and all(_fits(fields[name], column, layout) for name, column in delivered.items())
            ):
                return other
        return None

    found = [(each, version(each.row)) for each in problems]
    return [
        each if fit is None else replace(each, what=f"{each.what}, and the row fits version {fit}")
        for each, fit in found
    ]


def _fits(field: str, column: Column, layout: Layout) -> bool:
    import pyarrow as pa

    if not field or field in column.nulls:
        return column.nullable
    try:
        casts.rules()[column.type].cast(
            pa.chunked_array([[field]], pa.string()), layout.reading.naive_timestamps
        )
    except pa.ArrowInvalid:
        return False
    return True


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
    row: int, fields: Collection[str], read_as: int, versions: Mapping[int, Collection[str]]
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


def is_header(fields: Collection[str], versions: Mapping[int, Collection[str]]) -> bool:
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
