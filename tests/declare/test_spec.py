from __future__ import annotations

import re
from datetime import date

import pytest
from pydantic import BaseModel

from sluice.core.errors import SourceUnknownError, SpecInvalidError
from sluice.core.settings import ROOT
from sluice.declare import spec

TEXT = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()


def _parse(tmp_path, text: str) -> spec.Pipeline:
    path = tmp_path / "flights.yml"
    path.write_text(text)
    return spec.parse(path)


def test_parse_flights_gives_days_by_lag(tmp_path):
    flights = _parse(tmp_path, TEXT)
    assert flights.data_day("schedule", "2013-03-01") == "2013-03-01"
    assert flights.data_day("arrivals", "2013-03-01") == "2013-02-28"
    assert flights.data_day("outcomes", "2013-03-01") == "2013-02-28"
    assert flights.data_day("predictions", "2013-03-01") == "2013-03-01"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("history_days: 28", "histroy_days: 28", "did you mean 'history_days'"),
        ("history_days: 28", "history_days: 28\nexpected: {weekdays: []}", "expected.weekdays"),
        ("history_days: 28", "history_days: 28\nexpected: {weekdays: [monday]}", "'mon', 'tue', 'wed'"),
        ("history_days: 28", "history_days: 28\nexpected: {weekdays: [mon, tue, mon]}", "mon is named twice"),
        (
            "history_days: 28",
            "history_days: 28\nexpected: {holidays: [2013-12-25, 2013-12-25]}",
            "2013-12-25 is named twice",
        ),
        (
            "history_days: 28",
            "history_days: 28\nexpected: {holiday: [2013-12-25]}",
            "did you mean 'holidays'",
        ),
        (
            "    cadence: weekly\n",
            "    cadence: weekly\n    expected: {weekdays: [mon]}\n",
            "`expected` is for a daily source",
        ),
        ("    cadence: weekly\n", "    cadence: monthly\n", "'daily' or 'weekly'"),
        (
            "  test_days: 14",
            "  test_days: 9",
            "promotion.comparison_days is 10 and test_days 9: only held-out days are compared on",
        ),
        (
            "  test_days: 14",
            "  test_days: 14\n  shadow_days: 9",
            "shadow_days is 9 and promotion.comparison_days 10: fewer days than a comparison needs decide nothing",
        ),
        (
            "  test_days: 14",
            "  test_days: 14\n  criticality: critical",
            "criticality is critical, which requires shadow_days above 0:",
        ),
        (
            "  gate:\n",
            "  criticality: critical\n  shadow_days: 14\n  gate:\n    replay: false\n    calibration: null\n",
            "requires gate.replay switched on, gate.calibration switched on:",
        ),
        (
            "  features:\n    categorical",
            "  features:\n    increasing: [wind_gust_mp]\n    categorical",
            "model.features.increasing: 'wind_gust_mp' is no numeric feature of the model (allowed: departure_minute_of_day,",
        ),
        (
            "  features:\n    categorical",
            "  features:\n    decreasing: [carrier]\n    categorical",
            "model.features.decreasing: 'carrier' is categorical: only a number has an order",
        ),
        (
            "  features:\n    categorical",
            "  features:\n    increasing: [wind_gust_mph]\n    decreasing: [wind_gust_mph]\n    categorical",
            "both name 'wind_gust_mph'",
        ),
        (
            "  test_days: 14",
            "  test_days: 14\n  class_weights: {late: 2}",
            "'late' is no value of the label: they are true and false",
        ),
        (
            "  test_days: 14",
            "  test_days: 14\n  class_weights: {true: 0}",
            "greater than or equal to 0.001, not 0",
        ),
        (
            "  test_days: 14",
            "  test_days: 14\n  class_weights: {true: 40000}",
            "1 problem(s): model.class_weights.true: must be less than or equal to 1000, not 40000",
        ),
        (
            "    flips: {share",
            "    constant: 0.3\n    flips: {share",
            "model.gate.constant: must be a mapping, such as `constant: {share: 0.3}` or null, not 0.3",
        ),
        (
            "  test_days: 14",
            "  test_days: 14\n  rollback: true",
            "model.rollback: must be a mapping, such as `rollback: {automatic: true}`, not true",
        ),
        (
            "  test_days: 14",
            "  test_days: 14\n  tuning: 3",
            "model.tuning: must be a mapping, such as `tuning: {cpu_minutes: …}` (keys: cpu_minutes, trials, space) or null, not 3",
        ),
        (
            "slices: {columns: [carrier, origin]}",
            "slices: {columns: [carrier], pairs: [carrier, origin]}",
            "1 problem(s): model.gate.slices.pairs: must be a list of pairs of columns, such as [[carrier, origin]], not",
        ),
        (
            "slices: {columns: [carrier, origin]}",
            "slices: {columns: [carrier], pairs: [[carrier]]}",
            "1 problem(s): model.gate.slices.pairs: must be a list of pairs of columns, such as [[carrier, origin]], not",
        ),
        (
            "slices: {columns: [carrier, origin]}",
            "slices: {columns: carrier}",
            "model.gate.slices.columns: must be a list, such as [carrier], not 'carrier'",
        ),
        (
            "slices: {columns: [carrier, origin]}",
            "slices: {columns: [orign]}",
            "; did you mean 'origin'?",
        ),
        (
            "  coverage:\n    segments: [carrier, origin]",
            "  coverage:\n    segments: [carrier, origine]",
            "model.coverage.segments: 'origine' is no feature of the model (allowed: carrier,",
        ),
        (
            "  max_model_age_days: 60",
            "  max_model_age_days: 60\n  reference: second",
            "1 problem(s): monitoring.reference: must be 'first' or a whole number or null, not 'second'",
        ),
        (
            "    max_depth: 3\n",
            "    max_depth: [3]\n",
            "1 problem(s): model.params.max_depth: must be a number or a whole number or text or true or false, not a list",
        ),
        (
            "  test_days: 14",
            '  test_days: 14\n  deadline: "25:00"',
            """model.deadline: '25:00' is no time of day: "00:00" to "23:59", in quotes""",
        ),
        ("  test_days: 14", "  test_days: 14\n  deadline: 9:30", "model.deadline: 570 is no time of day"),
        (
            "    operating_point: 0.25\n",
            "    operating_point: 1\n",
            "model.gate.operating_point: must be less than 1 or null, not 1",
        ),
        (
            "  test_days: 14",
            "  test_days: 14\n  fallback: [baseline, previous]",
            "would not be reached; write [previous, baseline] (allowed: previous, baseline, abstain, in this order",
        ),
        (
            "  features:\n    categorical",
            "  features:\n    increasing: [carrier, wind_gust_mp]\n    categorical",
            "2 problem(s): model.features.increasing: 'carrier' is categorical: only a number has an order; ",
        ),
        ("  test_days: 14", "  test_days: 14\n  class_weights: {true: .inf}", "finite number"),
        ("  test_days: 14", "  test_days: 14\n  class_weights: {true: 1001}", "less than or equal to 1000"),
        ("  test_days: 14", "  test_days: 14\n  tuning: {cpu_minutes: 0}", "greater than 0"),
        ("  test_days: 14", "  test_days: 14\n  tuning: {cpu_minutes: .inf}", "finite number"),
        ("  test_days: 14", "  test_days: 14\n  tuning: {cpu_minutes: 10081}", "less than or equal to 10080"),
        (
            "  test_days: 14",
            "  test_days: 14\n  tuning: {cpu_minutes: 5, space: {gamma: {low: .nan, high: 5}}}",
            "finite number",
        ),
        ("  test_days: 14", "  test_days: 14\n  tuning: {cpu_minute: 5}", "did you mean 'cpu_minutes'"),
        (
            "  test_days: 14",
            "  test_days: 14\n  tuning: {cpu_minutes: 5, space: {max_depth: {low: 5, high: 5}}}",
            "low is 5 and high 5: give a greater high",
        ),
        (
            "  test_days: 14",
            "  test_days: 14\n  tuning: {cpu_minutes: 5, space: {reg_lambda: {low: 0, high: 5, log: true}}}",
            "low is 0: what is searched by its order of magnitude is above 0",
        ),
        ("  test_days: 14", "  test_days: 14\n  criticality: high", "'experiment', 'normal' or 'critical'"),
        ("    flips: {share", "    flip: {share", "did you mean 'flips'"),
        ("    flips: {share: 0.4}", "    flips: {shares: 0.4}", "did you mean 'share'"),
        ("    operating_point: 0.25\n", "", "give the score from which somebody acts"),
        (
            "false_negative: 4,",
            "false_negative: 1,",
            "by these costs a wrong answer is no worse than a right one",
        ),
        (
            "slices: {columns: [carrier, origin]}",
            "slices: {columns: [distance_miles]}",
            "model.gate.slices.columns: 'distance_miles' is no categorical feature of the model (allowed: carrier,",
        ),
        ("flips: {share: 0.4}", "calibration: {level: .inf}", "finite number"),
        (
            "{slack: 0.05, limit: 0.75",
            "{slack: .inf, limit: 0.75",
            "monitoring.performance.slack: must be a finite",
        ),
        (
            "{slack: 0.05, limit: 0.75",
            "{slack: 0.05, limit: .inf",
            "monitoring.performance.limit: must be a finite",
        ),
        (
            "{slack: 1.0, limit: 5.0, day: 3.2}",
            "{slack: .inf, limit: .inf, day: .inf}",
            "3 problem(s): monitoring.calibration.slack: must be a finite",
        ),
        (
            "  max_model_age_days: 60",
            "  max_model_age_days: 60\n  against_reference: {slack: .inf, limit: .inf}",
            "2 problem(s): monitoring.against_reference.slack: must be a finite number",
        ),
        ("    max_depth: 3\n", "    max_depth: .inf\n", "model.params.max_depth: must be a finite number"),
        ("    max_depth: 3\n", "    max_depth: .nan\n", "model.params.max_depth: must be a finite number"),
        ("    flips: {share: 0.4}", "    fairness: {column: origin}", "gate.fairness.opportunity"),
        (", rows_per_second: 20000}", "}", "gate.resources.rows_per_second"),
        (
            "    airports: [planned_minutes]",
            "    airport: [planned_minutes]",
            "monitoring.pipes: 'airport' is no source (allowed: schedule, arrivals,",
        ),
        (
            "    airports: [planned_minutes]",
            "    airports: [minutes]",
            "monitoring.pipes.airports: 'minutes' is no feature of the model (allowed: carrier,",
        ),
        (
            "  max_model_age_days: 60",
            "  max_model_age_days: 60\n  retraining: {backoff_days: 90}",
            "backoff_max_days is less",
        ),
        ("key: [tailnum]", "key: [tail]", "'tail' is not a column of the contract"),
        ("        tailnum: {type: string}\n", "        tailnum: {type: text}\n", "columns.tailnum.type"),
        (
            "        engine: {type: string}\n",
            "        engine: {type: string}\n        engine: {type: string}\n",
            "given twice",
        ),
        ("  outcomes:\n", "  results:\n", "'outcomes', which `derived` does not declare"),
        ("pipeline: flights\n", "pipeline: planes\n", "is called 'planes' but its file 'flights.yml'"),
        ("sources:\n", "sources: [\n", "Not valid YAML"),
        ("mail_to: [flights-oncall@example.com]", "mail_to: []", "mail_to"),
        ("owner: flights-data\n", "owner: flights-data\nstakeholders: [desk]\n", "stakeholders.0"),
        (
            "owner: flights-data\n",
            "owner: flights-data\nwebhook_connection: https://hooks.example/T0/secret\n",
            "webhook_connection: the id of an Airflow connection, which keeps the URL as its password, is wanted here",
        ),
        (
            "        tailnum: {type: string}\n",
            "        DS: {type: string}\n",
            "'DS' has the name of one that Sluice adds",
        ),
        (
            "        tailnum: {type: string}\n",
            "        Delivery_ID: {type: string}\n",
            "'Delivery_ID' has the name of one that Sluice adds",
        ),
        ("  airlines:\n", "  airports__quarantine:\n", "is named like a quarantine table"),
        ("  outcomes:\n", "  airports__quarantine:\n", "is named like a quarantine table"),
        ("  airlines:\n", "  Airports:\n", "sources.Airports"),
        ("  airlines:\n", "  a/b:\n", "sources.a/b"),
        ("  airlines:\n", "  features:\n", "'features' names two tables"),
        ("  airlines:\n", "  predictions:\n", "'predictions' names two tables"),
        ("  outcomes:\n", "  predictions:\n", "'predictions' names two tables"),
        ("  airlines:\n", "  monitoring:\n", "'monitoring' is the table that monitoring writes"),
        ("  outcomes:\n", "  monitoring:\n", "'monitoring' is the table that monitoring writes"),
        ("name: flights_late_arrival\n", "name: arrivals\n", "the model is named 'arrivals' like a table"),
        (
            "name: flights_late_arrival\n",
            "name: predictions\n",
            "the model is named 'predictions' like a table",
        ),
    ],
)
def test_parse_mistake_is_named(tmp_path, old, new, said):
    assert old in TEXT
    with pytest.raises(SpecInvalidError, match=re.escape(said)) as caught:
        _parse(tmp_path, TEXT.replace(old, new, 1))
    assert "flights.yml" in str(caught.value)


def test_expected_of_a_source_is_the_pipelines_unless_it_has_its_own(tmp_path):
    text = TEXT.replace("history_days: 28", "history_days: 28\nexpected: {holidays: [2013-12-25]}", 1)
    flights = _parse(tmp_path, text.replace("    lag_days: 1\n", "    lag_days: 1\n    expected: {}\n", 1))
    christmas = date(2013, 12, 25)
    assert not flights.expected_of("schedule").includes(christmas)
    assert not flights.expected_of("features").includes(christmas)
    assert flights.expected_of("arrivals").includes(christmas)
    assert flights.expected_of("schedule").includes(date(2013, 12, 24))


# The first contract of the file is the schedule's.
CONTRACT = "    contract:\n      version: 1\n"


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ("1: {}", "mapping of version 1: it maps the declared version to itself"),
        ("2: {rename: {airline: carier}}", "rename names column 'carier', which is not in the contract"),
        (
            "2: {values: {carrier_code: {A: B}}}",
            "values names column 'carrier_code', which is not in the contract",
        ),
        ("2: {rename: {a: carrier, b: carrier}}", "rename gives column 'carrier' twice"),
        ("2: {rename: {origin: dest}}", "rename takes 'origin' away, and no column takes its place"),
        (
            "2: {values: {distance: {far: near}}}",
            "values of 'distance' cannot be mapped: it is integer, not string",
        ),
        ("2: {scale: {carrier: 2}}", "'carrier' cannot be scaled: it is string, not integer or number"),
        ("2: {scale: {distance: 0}}", "'distance' cannot be scaled by 0"),
        ("2: {scale: {distance: a mile}}", "mappings.2.scale.distance"),
        ("2: {fill: {distance: far}}", "'distance' cannot be filled with 'far', which is no integer"),
        ("2: {fill: {distance: null}}", "'distance' cannot be filled with null: it is not nullable"),
        ("2: {fill: {dest: IAH}, rename: {to: dest}}", "column 'dest' is filled, and so cannot be renamed"),
        (
            "2: {renames: {a: carrier}}",
            "unknown key (allowed: since, rename, values, scale, fill); did you mean 'rename'?",
        ),
        ("two: {}", "mappings.two"),
        ("2: {since: 2013-04-01}, 3: {since: 2013-04-01}", "two mappings have `since: 2013-04-01`"),
    ],
)
def test_parse_mapping_that_cannot_work_is_named(tmp_path, mapping, said):
    text = TEXT.replace(CONTRACT, f"{CONTRACT}      mappings: {{{mapping}}}\n", 1)
    with pytest.raises(SpecInvalidError, match=re.escape(said)) as caught:
        _parse(tmp_path, text)
    assert "sources.schedule.contract" in caught.value.what
    assert caught.value.todo


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "        faa: {type: string}\n",
            "        faa: {type: string}\n        FAA: {type: string}\n",
            "'faa' is there twice",
        ),
        (
            "        faa: {type: string}\n",
            "        faa: {type: string, nulable: true}\n",
            "did you mean 'nullable'?",
        ),
        (
            "        faa: {type: string}\n",
            "        faa: {type: string, unit: feet}\n",
            "`unit` is for integer and number",
        ),
        (
            "        faa: {type: string}\n",
            "        faa: {type: string, values: [A, A]}\n",
            "value 'A' is given twice",
        ),
        (
            "        faa: {type: string}\n",
            "        faa: {type: string, pii: true}\n",
            "but the source says `pii: none`",
        ),
        (
            "alt: {type: integer, unit: feet}",
            "alt: {type: integer, pii: true}",
            "`pii: true` needs `type: string`",
        ),
        ("    key: [faa]\n", "    key: [faa, faa]\n", "the key names a column twice"),
        (
            "    key: [faa]\n",
            "    key: [faa]\n    pii: direct\n",
            "no column of the contract has `pii: true`",
        ),
        (
            "    owner: weather-desk\n",
            '    owner: ""\n',
            "sources.weather.owner: must not be empty",
        ),
        ("    owner: weather-desk\n", "", "sources.weather.owner: Field required"),
        (
            "    purpose: predicting late arrivals\n",
            '    purpose: "  "\n',
            "sources.schedule.purpose: must not be empty",
        ),
        ("    licence: CC0-1.0\n", '    licence: ""\n', "sources.schedule.licence: must not be empty"),
        ("purpose_expires: 2014-12-31", "purpose_expires: soon", "sources.schedule.purpose_expires"),
    ],
)
def test_parse_declaration_that_says_too_little_or_nonsense_is_named(tmp_path, old, new, said):
    assert old in TEXT
    with pytest.raises(SpecInvalidError, match=re.escape(said)):
        _parse(tmp_path, TEXT.replace(old, new, 1))


def test_every_declared_field_is_read_somewhere():
    """A field that no code reads would be a promise of the schema that nothing keeps."""
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("plugins", "dags", "ml")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".j2")
    )
    models, seen = [spec.Pipeline], set()
    while models:
        model = models.pop()
        for name, field in model.model_fields.items():
            seen.add((model.__name__, name))
            kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
            models += [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    assert ("Column", "unit") in seen
    unread = [
        f"{model}.{name}"
        for model, name in sorted(seen)
        if not re.search(rf"\.{name}\b|\[.{name}.\]|stated\([^)]*.{name}.\)", code)
    ]
    assert unread == []


def test_parse_every_problem_is_listed_at_once(tmp_path):
    broken = TEXT.replace("landing: landing", "lading: landing").replace("seed: 20130101", "seed: x")
    with pytest.raises(SpecInvalidError, match=r"3 problem") as caught:
        _parse(tmp_path, broken)
    for said in ("lading", "landing: Field required", "model.seed"):
        assert said in str(caught.value)


def test_load_unknown_pipeline_lists_the_known(home):
    with pytest.raises(SpecInvalidError, match="Allowed: flights"):
        spec.load("trains")


def test_source_unknown_lists_the_declared(home):
    with pytest.raises(SourceUnknownError, match=r"declares no source 'mystery'.*schedule, arrivals"):
        spec.load("flights").source("mystery")


def test_landing_relative_path_is_under_home_and_can_be_overridden(home, monkeypatch):
    flights = spec.load("flights")
    assert flights.landing_url == str(home / "landing")
    from sluice.core.settings import settings

    monkeypatch.setenv("SLUICE_LANDING", "s3://bucket/prefix")
    settings.cache_clear()
    assert flights.landing_url == "s3://bucket/prefix"


def test_column_with_the_platforms_name_is_declared_by_another_as_the_error_says(tmp_path):
    old = "    contract:\n      version: 1\n      columns:\n        carrier: {type: string}\n        name: {type: string}\n"
    assert old in TEXT
    new = old.replace("name:", "source_ds:") + (
        "      mappings:\n        2:\n          since: 2013-01-01\n          rename: {DS: source_ds}\n"
    )
    contract = _parse(tmp_path, TEXT.replace(old, new)).sources["airlines"].contract
    version = contract.read_as(1, date(2013, 4, 1))
    assert list(contract.as_delivered(version).columns) == ["carrier", "DS"]


@pytest.mark.parametrize(
    ("table", "run_day"), [("schedule", "2013-04-02"), ("arrivals", "2013-04-03"), ("outcomes", "2013-04-03")]
)
def test_run_day_of_a_day_is_that_of_the_run_that_writes_it(table, run_day):
    flights = spec.load("flights")
    assert flights.run_day(table, "2013-04-02") == run_day
    assert flights.data_day(table, run_day) == "2013-04-02"


def test_check_of_the_gate_is_switched_off_with_null_and_others_keep_their_defaults(tmp_path):
    declared = _parse(tmp_path, TEXT.replace("    flips: {share: 0.4}", "    calibration: null")).model.gate
    assert (declared.calibration, declared.flips) == (None, None)
    assert (declared.constant.share, declared.slices.auc) == (0.25, 0.02)


def test_file_of_another_name_is_read_where_it_is_said_whose_it_is(tmp_path):
    file = tmp_path / "tried.yml"
    file.write_text((ROOT / "dags" / "pipelines" / "flights.yml").read_text())
    assert spec.parse(file, name="flights") == spec.load("flights")
    with pytest.raises(SpecInvalidError, match=r"'flights' but its file 'tried\.yml'"):
        spec.parse(file)
    with pytest.raises(SpecInvalidError, match="'flights' but 'trains' is meant"):
        spec.parse(file, name="trains")
