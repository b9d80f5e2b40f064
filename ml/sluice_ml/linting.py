"""Anti-patterns in the columns of a training set, found before a model learns from them.

A serious finding is one that makes the model worse than its measures say, or that nobody can have meant: an id as a
feature, a copy of the label, a column that gives the label away, a number kept as text. Such findings refuse the
training, all at once; the others are recorded with the candidate. A finding that is right on purpose is accepted in the
pipeline's YAML, with a reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sluice_ml.coincidence import SIGNIFICANCE, probability_of_rank, probability_of_table, probability_of_twin
from sluice_ml.config import ModelConfig
from sluice_ml.errors import FeaturesUnsoundError
from sluice_ml.metrics import Ranked

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# A column that is one thing a row: an id, whatever it is called.
_ID_SHARE = 0.9
# A column with this share of one value says next to nothing.
_NEAR_CONSTANT = 0.999
# No honest single column of a hard question ranks its label like this; it is known only afterwards.
_LEAKING_AUC = 0.95
# Fewer rows show nothing.
_MIN_ROWS = 100


@dataclass(frozen=True)
class Finding:
    """One anti-pattern; `accepted` is the reason for which the pipeline lives with it."""

    check: str
    column: str
    serious: bool
    what: str
    accepted: str = ""

    @property
    def name(self) -> str:
        """How the pipeline's YAML names it: `<check> <column>`."""
        return f"{self.check} {self.column}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def lint(rows: pa.Table, config: ModelConfig) -> list[Finding]:
    """All findings about the features of the labelled rows, in the order of the features. Pure.

    Args:
        rows: the key, the label (bool, without nulls) and all features; fewer than 100 rows show nothing.
    """
    import numpy as np

    if rows.num_rows < _MIN_ROWS:
        return []
    label = rows[config.label].to_numpy(zero_copy_only=False).astype(bool)
    found: list[Finding] = []
    seen: dict[bytes, str] = {}
    for name in config.features:
        if name in (config.key, "ds", config.label):
            found.append(
                Finding("id_as_feature", name, True, f"{name} says which row it is, not what it is like")
            )
            continue
        codes, distinct, numeric = _coded(rows[name])
        twin = seen.setdefault(codes.tobytes(), name)
        if twin != name and probability_of_twin(codes) < SIGNIFICANCE:
            found.append(
                Finding("duplicate_column", name, True, f"{name} holds what {twin} holds, row by row")
            )
            continue
        found += _about_kind(name, rows[name], distinct, numeric=numeric, declared=name in config.numeric)
        found += _about_values(name, codes, distinct, rows.num_rows)
        if len(np.unique(label)) == 2 and distinct > 1:
            found += _about_label(name, codes, label, numeric=numeric)
    return [
        Finding(**{**one.as_dict(), "accepted": config.accepted_findings.get(one.name, "")}) for one in found
    ]


def require_sound(rows: pa.Table, config: ModelConfig) -> list[Finding]:
    """As `lint`, but a serious finding that was not accepted refuses the rows.

    Raises:
        FeaturesUnsoundError: names every such finding.
    """
    found = lint(rows, config)
    serious = [one for one in found if one.serious and not one.accepted]
    if serious:
        raise FeaturesUnsoundError(
            f"{len(serious)} columns cannot be learned from: {'; '.join(one.what for one in serious)}.",
            where=", ".join(one.name for one in serious),
            todo="take the columns out of model.features, or accept a finding by its name in model.accepted_findings, "
            "with the reason",
        )
    return found


def _coded(column: pa.ChunkedArray) -> tuple[np.ndarray, int, bool]:
    """A column as numbers (NaN where it is null), how many different values it has, and whether they are numbers."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        numbers = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return numbers, len(np.unique(numbers[~np.isnan(numbers)])), True
    coded = pc.cast(column, pa.string()).combine_chunks().dictionary_encode()
    codes = pc.cast(coded.indices, pa.float64()).to_numpy(zero_copy_only=False)
    return codes, len(coded.dictionary), False


def _about_kind(
    name: str, column: pa.ChunkedArray, distinct: int, *, numeric: bool, declared: bool
) -> Iterator[Finding]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not numeric:
        values = pc.cast(column, pa.string()).drop_null().unique()
        numbers = pc.match_substring_regex(values, r"^\s*[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?\s*$")
        share = pc.mean(pc.cast(numbers, pa.float64())).as_py() or 0.0
        if declared or share > 0.9:
            text = f"{name} keeps numbers as text ({share:.0%} of its {len(values)} values read as numbers)"
            yield Finding("number_as_text", name, declared or share < 1, text)
        return
    values = column.drop_null().unique().to_numpy()
    if distinct < 20 or not np.issubdtype(values.dtype, np.number) or not (values == np.floor(values)).all():
        return
    if ((values >= 19_000_101) & (values <= 21_001_231)).all() and _are_days(values.astype("int64")):
        yield Finding("date_as_number", name, True, f"{name} holds dates written as whole numbers (YYYYMMDD)")
    elif len({len(str(int(value))) for value in values}) == 1 and values.min() >= 10_000:
        text = f"{name} holds codes written as numbers: their order and distance mean nothing"
        yield Finding("code_as_number", name, True, text)


def _are_days(values: np.ndarray) -> bool:
    month, day = values // 100 % 100, values % 100
    return bool(((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())


def _about_values(name: str, codes: np.ndarray, distinct: int, rows: int) -> Iterator[Finding]:
    import numpy as np

    known = codes[~np.isnan(codes)]
    if distinct <= 1 and (not len(known) or len(known) == rows):
        text = "has no value in any row" if not len(known) else "has one and the same value in all rows"
        yield Finding("constant", name, True, f"{name} {text}")
        return
    most = np.unique(known, return_counts=True)[1].max() if len(known) else 0
    if max(most, rows - len(known)) > _NEAR_CONSTANT * rows:
        yield Finding("near_constant", name, False, f"{name} is nearly always the same")
    whole = bool((known == np.floor(known)).all())
    if whole and distinct > _ID_SHARE * rows:
        yield Finding(
            "id_as_feature", name, True, f"{name} has another value in nearly every row, as an id has"
        )


def _about_label(name: str, codes: np.ndarray, label: np.ndarray, *, numeric: bool) -> Iterator[Finding]:
    import numpy as np

    missing = np.isnan(codes)
    equal = max((codes == label).mean(), (codes == 1 - label).mean())
    if numeric and equal > _NEAR_CONSTANT and probability_of_table(codes == 1, label) < SIGNIFICANCE:
        yield Finding("copy_of_label", name, True, f"{name} is a copy of the label")
        return
    auc = _auc(codes if numeric else _rates(codes, label), label)
    if missing.any():
        auc = max(auc, _auc(missing.astype("float64"), label))
    if auc > _LEAKING_AUC and probability_of_rank(auc, label) < SIGNIFICANCE:
        yield Finding(
            "leaks_label",
            name,
            True,
            f"{name} alone ranks the label with an AUC of {auc:.3f}: it is known afterwards",
        )


def _auc(values: np.ndarray, label: np.ndarray) -> float:
    """How well one column ranks the label, in whichever direction; its missing values rank lowest or highest."""
    import numpy as np

    missing = np.isnan(values)
    fillers = (np.nanmin(values) - 1, np.nanmax(values) + 1) if missing.any() else (0.0,)
    found = [Ranked(label, np.where(missing, filler, values)).measure()[0] for filler in fillers]
    return max(max(auc, 1 - auc) for auc in found)


def _rates(codes: np.ndarray, label: np.ndarray) -> np.ndarray:
    """For each row, the label's rate among the rows of its category in the other half: none may count itself."""
    import numpy as np

    places = np.where(np.isnan(codes), codes[~np.isnan(codes)].max() + 1, codes).astype("int64")
    half = np.arange(len(label)) % 2 == 0
    rates = np.empty(len(label))
    for mine, other in ((half, ~half), (~half, half)):
        size = places.max() + 1
        late = np.bincount(places[other], weights=label[other], minlength=size)
        seen = np.bincount(places[other], minlength=size)
        rate = np.divide(late, seen, out=np.full(size, label.mean()), where=seen > 0)
        rates[mine] = rate[places[mine]]
    return rates
