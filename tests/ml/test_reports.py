"""Evidently's pages, the numbers taken from them, and our own page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import roc_auc_score

from sluice_ml import outliers, snapshots
from sluice_ml.drift import find_broken, values_by_day, weigh
from sluice_ml.errors import RowsUnusableError
from sluice_ml.model import ScoringModel, load
from sluice_ml.monitored_day import assemble
from sluice_ml.monitored_day_page import page
from sluice_ml.monitoring import decide
from sluice_ml.reports import measure
from sluice_ml.scoring import score

pytestmark = pytest.mark.slow

DAY = date(2013, 3, 12)
# What makes a browser fetch something: anything but a data: URL in these places.
FETCHES = re.compile(
    r"""<(?:script|img|iframe|link|source|audio|video|object|embed)\b[^>]*?\b(?:src|href|data)\s*=\s*["']?(?!data:|#)[^"'>\s]+"""
    r"""|@import\s|url\(\s*["']?https?:""",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def reference(rows):
    return rows.filter(pc.less(rows["ds"], date(2013, 3, 1)))


@pytest.fixture(scope="module")
def features(rows):
    return rows.filter(pc.equal(rows["ds"], DAY))


@pytest.fixture(scope="module")
def scored(features, candidate):
    return score(
        features.to_batches(),
        ScoringModel(candidate.content, candidate.meta, threads=1),
        key="flight_id",
        name="m",
        version=4,
        feature_snapshot_id=1,
        run_id="r",
        scored_at=datetime(2013, 3, 12, 9, tzinfo=UTC),
    )


@pytest.fixture(scope="module")
def known(features, scored, config):
    return assemble(features, scored, features, config)


@pytest.fixture(scope="module")
def measured(known, reference, config, monitoring, tmp_path_factory):
    """Folder and numbers of a day with outcomes, rendered once."""
    folder = tmp_path_factory.mktemp("day")
    return folder, measure(known, reference, model=config, config=monitoring, folder=folder)


def write_page(numbers, config, monitoring, folder):
    decision = decide([numbers], monitoring, champion_lead=0.05, champion_days=14, model_age_days=3)
    path = page(
        numbers,
        decision,
        history=[numbers],
        model=config,
        question="Which flights?",
        champion_lead=0.05,
        folder=folder,
    )
    return path.read_text(encoding="utf-8")


def put(rows, column, values):
    return rows.set_column(rows.schema.get_field_index(column), column, values)


def test_measure_numbers_are_those_of_the_rows(measured, known, features):
    _, numbers = measured
    label = known.filter(pc.is_valid(known["is_late"]))
    assert (numbers.ds, numbers.model_version) == ("2013-03-12", "4")
    assert (numbers.rows, numbers.labelled) == (features.num_rows, label.num_rows)
    assert numbers.auc == pytest.approx(roc_auc_score(label["is_late"].to_numpy(), label["score"].to_numpy()))
    assert numbers.auc_low < numbers.auc < numbers.auc_high
    assert numbers.score_mean == pytest.approx(pc.mean(known["score"]).as_py())
    assert numbers.label_rate == pytest.approx(pc.mean(label["is_late"]).as_py())


def test_measure_numbers_agree_with_evidently(measured):
    folder, numbers = measured
    drift = json.loads((folder / "drift.json").read_text())["metrics"]
    counted = next(
        metric["value"] for metric in drift if metric["metric_name"].startswith("DriftedColumnsCount")
    )
    assert counted["count"] == len(numbers.drifted)
    assert counted["share"] == pytest.approx(numbers.drift_share)
    quality = json.loads((folder / "classification.json").read_text())["metrics"]
    auc = next(metric["value"] for metric in quality if metric["metric_name"].startswith("RocAuc"))
    assert auc == pytest.approx(numbers.auc)


def test_measure_after_the_outcomes_equals_measuring_at_once_and_keeps_the_features_pages(
    known, features, scored, reference, config, monitoring, measured, tmp_path
):
    before = assemble(features, scored, None, config)
    morning = measure(before, reference, model=config, config=monitoring, folder=tmp_path)
    assert (morning.labelled, morning.auc) == (0, None)
    drift = (tmp_path / "drift.snapshot.json.xz").stat().st_mtime_ns

    later = measure(known, reference, model=config, config=monitoring, folder=tmp_path, compared=morning)

    assert later == measured[1]
    assert (tmp_path / "drift.snapshot.json.xz").stat().st_mtime_ns == drift
    assert snapshots.kept(path.name for path in tmp_path.iterdir()) == ["drift", "summary", "classification"]


def test_measure_samples_both_sides_but_counts_all_rows(known, reference, config, monitoring, measured):
    _, numbers = measured
    assert reference.num_rows > monitoring.sample_rows
    assert (numbers.reference_rows, numbers.sampled_rows) == (monitoring.sample_rows, known.num_rows)


def test_measure_counts_rows_under_another_carriers_name_by_the_detector_that_came_with_the_model(
    known, reference, candidate, config, monitoring, measured, tmp_path, monkeypatch
):
    # The rows of these tests are of fewer days.
    monkeypatch.setattr(outliers, "_LEAST_DAYS", 1)
    detector = outliers.fit(reference, candidate.test, config)

    def counted(rows):
        given = {"model": config, "config": monitoring, "folder": tmp_path}
        return measure(rows, reference, detector=detector, **given)

    carriers = known["carrier"].to_pylist()
    turned = [carriers[-place - 1] if place % 3 == 0 else carrier for place, carrier in enumerate(carriers)]
    ordinary, mixed = counted(known), counted(put(known, "carrier", pa.array(turned)))
    assert measured[1].outlier_share is None
    assert ordinary.outlier_share < 0.1 < mixed.outlier_share
    assert "carrier_late_rate" in mixed.outlier_columns[:4]
    html = write_page(mixed, config, monitoring, tmp_path)
    assert f"{mixed.outlier_share:.1%} of the rows stand apart from their day" in html


def test_monitored_day_leaves_less_than_300_kB_and_pages_that_are_single_files_and_fetch_nothing(
    measured, config, monitoring
):
    folder, numbers = measured
    write_page(numbers, config, monitoring, folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 300_000
    pages = {
        name: snapshots.render((folder / f"{name}{snapshots.ENDING}").read_bytes())
        for name in snapshots.kept(path.name for path in folder.iterdir())
    }
    assert len(pages) == 3
    pages["index"] = (folder / "index.html").read_text(encoding="utf-8")
    for name, html in pages.items():
        found = [match for match in FETCHES.findall(html) if 'href="' not in match or "<link" in match]
        assert not found, (name, found[:3])
    assert "wind_gust" in pages["drift"]


def test_fetches_pattern_sees_what_it_should():
    for html in (
        '<script src="https://x/y.js">',
        "<link rel=stylesheet href='a.css'>",
        "@import url(https://x/a.css)",
    ):
        assert FETCHES.search(html)
    assert not FETCHES.search('<script>var a</script><img src="data:image/png;base64,AA">')


def test_page_with_outcomes_links_all_reports(measured, config, monitoring):
    folder, numbers = measured
    html = write_page(numbers, config, monitoring, folder)
    assert f"{numbers.auc:.3f}" in html
    assert "have not landed" not in html
    tile = f"<dd>{len(numbers.drifted)} <small>of {numbers.compared} compared; they have {numbers.shift:.0%} of the model&#39;s importance"
    assert tile.replace("&#39;", "'") in html
    assert "<th>Features drifted</th><th>Importance of these</th>" in html
    assert f"<td>{numbers.drift_share:.0%}</td><td>{numbers.shift:.0%}</td></tr>" in html
    assert "Scroll the table sideways for all of its columns." in html
    for name in ("drift", "summary", "classification"):
        assert f'href="{name}.html"' in html
    record = json.loads((folder / "numbers.json").read_text())
    assert record["numbers"] == json.loads(json.dumps(numbers.as_dict()))


@pytest.mark.parametrize(("version", "shown"), [("4", '<span class="null">itself</span>'), ("1", "0.123")])
def test_page_does_not_compare_the_reference_with_itself(measured, config, monitoring, version, shown):
    folder, numbers = measured
    numbers = replace(numbers, model_version="4", reference_version=version, reference_auc=0.123)
    cells = re.findall(r"<td>(.*?)</td>", write_page(numbers, config, monitoring, folder))
    assert cells[7] == shown


def test_page_without_outcomes_says_so_and_shows_no_old_quality(
    known, features, scored, reference, config, monitoring, tmp_path
):
    measure(known, reference, model=config, config=monitoring, folder=tmp_path)
    assert "classification" in snapshots.kept(path.name for path in tmp_path.iterdir())
    waiting = assemble(features, scored, None, config)
    numbers = measure(waiting, reference, model=config, config=monitoring, folder=tmp_path)
    assert (numbers.labelled, numbers.coverage, numbers.auc, numbers.label_rate) == (0, 0, None, None)
    html = write_page(numbers, config, monitoring, tmp_path)
    assert "Outcomes have not landed" in html
    assert not list(tmp_path.glob("classification.*"))
    assert 'href="classification' not in html


def test_measure_empty_and_constant_columns_are_left_out_with_the_reason(
    known, reference, config, monitoring, tmp_path
):
    nothing = pa.nulls(known.num_rows, pa.float64())
    day = put(put(known, "pressure", nothing), "wind_gust", nothing)
    day = put(day, "precipitation", pa.repeat(0.0, day.num_rows))
    day = put(day, "dest", pa.nulls(day.num_rows, pa.string()))
    past = put(reference, "precipitation", pa.repeat(0.0, reference.num_rows))
    past = put(past, "distance", pa.nulls(past.num_rows, pa.int64()))
    numbers = measure(day, past, model=config, config=monitoring, folder=tmp_path)
    assert set(numbers.left_out) == {"pressure", "wind_gust", "precipitation", "dest", "distance"}
    assert numbers.left_out["distance"] == "no value in the reference"
    assert numbers.left_out["precipitation"] == "one and the same value in all rows"
    # Columns that are always there and are empty today are broken; gusts are only reported when there are any.
    assert numbers.broken == {"features": ("pressure", "dest")}
    html = write_page(numbers, config, monitoring, tmp_path)
    assert "no value today" in html
    assert "Broken pipe: features" in html


def test_measure_an_ordinary_day_has_not_shifted_and_one_in_other_units_has(
    known, reference, measured, config, monitoring, tmp_path
):
    _, quiet = measured
    assert (quiet.broken, quiet.shift < monitoring.shift_warn) == ({}, True)
    assert set(quiet.smallest_shifts) == set(config.features) - set(quiet.left_out)
    day = known
    for name in config.numeric:
        day = put(day, name, pc.add(pc.multiply(pc.cast(day[name], pa.float64()), 60.0), 1000.0))
    shifted = measure(day, reference, model=config, config=monitoring, folder=tmp_path)
    assert shifted.shift >= monitoring.shift_warn
    # What the model does not use hardly counts.
    used = dict.fromkeys(set(config.categorical), 0.5) | {"distance": 0.01}
    assert weigh(shifted.drifted, shifted.smallest_shifts, used) < 0.05


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_weather_that_is_missing_is_a_broken_pipe_of_the_weather(known, reference, config, monitoring, share):
    weather = ("wind_speed", "visibility", "pressure", "precipitation")
    gone = pa.array([place < share * known.num_rows for place in range(known.num_rows)])
    day = known
    for name in weather:
        day = put(day, name, pc.if_else(gone, None, day[name]))
    pipes = {"weather": (*weather, "wind_gust")}
    past = values_by_day(reference, config)
    broken = find_broken(day, past, config, margin=monitoring.broken_margin, pipes=pipes)
    assert set(broken) == {"weather"}
    # Pressure is often missing, and only counts where it is missing more often than ever.
    assert {"wind_speed", "visibility", "precipitation"} <= set(broken["weather"])
    assert find_broken(known, past, config, margin=monitoring.broken_margin, pipes=pipes) == {}


def test_pipe_that_was_broken_on_a_learned_day_is_seen_all_the_same(known, reference, config, monitoring):
    """The first day of a history has no weather from before it."""
    weather = ("wind_speed", "visibility", "pressure", "precipitation", "wind_gust")
    first = pc.equal(reference["ds"], pc.min(reference["ds"]))
    learned, day = reference, known
    for name in weather:
        learned = put(learned, name, pc.if_else(first, None, learned[name]))
        day = put(day, name, pa.nulls(day.num_rows, day.schema.field(name).type))
    past = values_by_day(learned, config)
    for pipes, found in (({"weather": weather}, {"weather"}), ({}, set())):
        broken = find_broken(day, past, config, margin=monitoring.broken_margin, pipes=pipes)
        assert set(broken) == found
    quiet = find_broken(known, past, config, margin=monitoring.broken_margin, pipes={"weather": weather})
    assert quiet == {}


def test_one_value_on_a_day_is_a_broken_pipe_where_learned_days_had_many_and_chance_where_they_had_three(
    known, reference, config, monitoring
):
    pipes = {"weather": ("wind_speed",)}
    day = put(known, "wind_speed", pa.repeat(9.0, known.num_rows))
    for values, found in ((3, {}), (4, {"weather": ("wind_speed",)})):
        drawn = pa.array([float(place % values) for place in range(reference.num_rows)])
        past = values_by_day(put(reference, "wind_speed", drawn), config)
        assert find_broken(day, past, config, margin=monitoring.broken_margin, pipes=pipes) == found


def test_measure_outcomes_of_one_class_have_no_auc(known, reference, config, monitoring, tmp_path):
    day = put(known, "is_late", pa.repeat(False, known.num_rows))
    numbers = measure(day, reference, model=config, config=monitoring, folder=tmp_path)
    assert (numbers.auc, numbers.label_rate, numbers.labelled) == (None, 0.0, known.num_rows)
    assert "Quality cannot be measured" in write_page(numbers, config, monitoring, tmp_path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda day: day.slice(0, 0), "0 rows to compare"),
        (
            lambda day: pa.concat_tables([day, put(day, "model_version", pa.repeat("5", day.num_rows))]),
            "2 days or model",
        ),
        (lambda day: day.drop_columns(["distance"]), "no column distance"),
    ],
)
def test_measure_unusable_rows_are_refused_with_the_reason(
    known, reference, config, monitoring, tmp_path, damage, says
):
    with pytest.raises(RowsUnusableError, match=says):
        measure(damage(known), reference, model=config, config=monitoring, folder=tmp_path)


def test_importance_is_of_the_features_that_the_trees_split_by(candidate, config):
    gains = load(candidate.content, candidate.meta, threads=1).gains()
    assert set(gains) <= set(config.features)
    assert min(gains.values()) > 0
