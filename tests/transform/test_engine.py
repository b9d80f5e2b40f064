"""What is refused of `engine: spark` before anything runs; that Spark gives the same rows is shown in tests/spark."""

from __future__ import annotations

import pytest

from sluice.core.errors import SpecInvalidError
from sluice.core.settings import settings
from sluice.transform import check, project, spark


@pytest.fixture
def on_spark(flights, warm, monkeypatch):
    monkeypatch.setenv("SLUICE_SPARK_MASTER", "local[1]")
    settings.cache_clear()
    return flights.model_copy(update={"engine": "spark"})


def test_check_of_the_engine_spark_without_a_master_says_what_to_set(on_spark, monkeypatch):
    monkeypatch.delenv("SLUICE_SPARK_MASTER")
    settings.cache_clear()
    with pytest.raises(SpecInvalidError, match=r"no master is set.*SLUICE_SPARK_MASTER.*spark://host:7077"):
        check(on_spark)


def test_check_of_the_engine_spark_names_models_that_only_duckdb_reads(on_spark, changed):
    changed("stg_flights__schedule", "distance as", "distance // 2 -- a :: in a comment is none\n as")
    with pytest.raises(SpecInvalidError, match=r"alone: stg_flights__schedule has `//`\. "):
        check(on_spark)


def test_engine_of_one_table_is_checked_for_what_it_is_made_of_alone(flights, on_spark, changed):
    changed("stg_flights__schedule", "distance as", "distance // 2 as")
    outcomes = flights.derived["outcomes"].model_copy(update={"engine": "spark"})
    mixed = flights.model_copy(update={"derived": flights.derived | {"outcomes": outcomes}})
    assert (mixed.engine_of("features"), mixed.engine_of("outcomes")) == ("duckdb", "spark")
    models = project._sql(project.manifest(mixed), [outcomes.model])
    assert set(models) == {"out_flights__arrival", "stg_flights__arrivals"}
    spark.check_sql(mixed, models)


def test_another_engine_is_another_version_of_the_code(flights, on_spark):
    assert project.fingerprint(flights) != project.fingerprint(on_spark)


def test_properties_of_spark_are_no_place_for_a_secret(monkeypatch):
    monkeypatch.setenv("SLUICE_SPARK_CONF", '{"spark.hadoop.fs.s3a.secret.key": "hunter2"}')
    settings.cache_clear()
    with pytest.raises(SpecInvalidError, match="SLUICE_SPARK_CONF") as refused:
        settings()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "properties"),
    [
        (
            "postgresql+psycopg2://sluice@db.example.com/catalog?sslmode=require",
            {
                "type": "jdbc",
                "jdbc.schema-version": "V1",
                "jdbc.user": "sluice",
                "uri": "jdbc:postgresql://db.example.com:5432/catalog?sslmode=require",
            },
        ),
        ("https://catalog.example.com", {"type": "rest", "uri": "https://catalog.example.com"}),
    ],
)
def test_spark_is_told_of_the_same_catalog(url, properties):
    assert spark._catalog(url) == properties


def test_models_of_flights_have_nothing_that_only_duckdb_reads(flights, warm):
    models = project._sql(project.manifest(flights), [one.model for one in flights.derived.values()])
    assert {"stg_flights__schedule", "ftr_flights__departure"} <= set(models)
    spark.check_sql(flights, models)
