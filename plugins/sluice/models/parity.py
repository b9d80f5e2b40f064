"""Whether a candidate would score its held-out rows as it was judged: read from the published table, and scored by what serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.core.errors import SluiceError
from sluice.gates.rescoring import SAMPLE_ROWS
from sluice.models import scorer, scoring
from sluice.models.config import registry
from sluice_ml.errors import MlError

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice_ml.checks import Finding


def check(spec: Pipeline, version: int) -> Finding:
    """Score the first and the last held-out day of a version as they would be served; see `sluice_ml.checks.parity`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from sluice_ml.checks import Finding, parity

    try:
        candidate = registry().candidate(spec.model.name, version)
        held = candidate.test
        ends = pc.min_max(held["ds"])
        days = {ends["min"], ends["max"]}
        parts = [_some(held.filter(pc.equal(held["ds"], day))) for day in sorted(days, key=str)]
        served = [_serve(spec, version, part) for part in parts]
        return parity.check(
            pa.concat_tables(parts),
            pa.concat_tables(served),
            candidate.meta,
            candidate.content,
            key=spec.model.key,
        )
    except Exception as error:  # noqa: BLE001 whatever it was, the decision has to record it, and must not promote
        # Another library's message may quote values of people.
        quotes = isinstance(error, SluiceError | MlError) or spec.may_quote(None)
        what = f"{type(error).__name__}{f': {error}' if quotes else ''}"
        return Finding("parity", "ERROR", f"parity could not be computed: {what}")


def _some(rows: pa.Table) -> pa.Table:
    """Rows at equal distances, at most as many as the gate of the predictions computes again."""
    import pyarrow as pa

    return rows.take(pa.array(range(0, rows.num_rows, -(-rows.num_rows // SAMPLE_ROWS) or 1), pa.int64()))


def _serve(spec: Pipeline, version: int, learned: pa.Table) -> pa.Table:
    """The published rows of one day that a training read, as it saw the table, with the scores that serving gives them."""
    import pyarrow.compute as pc

    declared, day = spec.model, str(learned["ds"][0].as_py())
    model = scorer.usable(spec, version, None)
    snapshot = int(model.registered.tags[f"snapshot.{declared.features_table}"])
    rows = scoring.read_features(spec, day, snapshot)
    # Of rows that a training leaves out, some have numbers that nothing can score.
    known = pc.is_in(
        pc.cast(rows[declared.key], "string"), value_set=pc.cast(learned[declared.key], "string")
    )
    rows = rows.filter(known)
    scored = scoring.serve(spec, rows, model, version=version, feature_snapshot_id=snapshot, run_id="parity")
    features = (*model.meta.numeric, *model.meta.categorical)
    return rows.select([declared.key, *features]).append_column("score", scored["score"])
