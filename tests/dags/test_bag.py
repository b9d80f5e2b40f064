"""Policy over all DAGs. An empty bag passes everything, so the exact set comes first."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sluice.core.dag_ids import OF_CRITICAL_MODEL, OF_DERIVED, OF_MODEL, OF_TUNED_MODEL, PLATFORM_DAGS, STAGES
from sluice.declare.spec import load_all

pytestmark = pytest.mark.airflow

# They answer the person who has just filled in a form, and who sees them turn red.
ANSWERS = {
    f"{spec.pipeline}_{name}"
    for spec in load_all()
    for name in (
        "replay.find_held",
        "replay.report_replay",
        "release.check_request",
        "release.report_release",
        "rollback.roll_back_champion",
    )
} | {"sluice_rehearse.play_scenario"}


def test_bag_has_exactly_the_declared_dags(bag):
    assert bag["import_errors"] == {}
    declared = {f"{spec.pipeline}_{stage}" for spec in load_all() for stage in spec.stages}
    assert set(bag["dags"]) == declared | set(PLATFORM_DAGS)


def test_pipeline_with_a_mistyped_key_is_one_dag_that_names_it_and_the_others_have_all_of_theirs(
    mistyped_bag,
):
    assert mistyped_bag["import_errors"] == {}
    flights = {f"flights_{stage}" for stage in STAGES if stage not in (*OF_CRITICAL_MODEL, *OF_TUNED_MODEL)}
    others = {dag_id for dag_id in mistyped_bag["dags"] if not dag_id.startswith("ships_")}
    assert others == flights | {"trains_broken"} | set(PLATFORM_DAGS)
    broken = mistyped_bag["dags"]["trains_broken"]
    assert "trains.yml" in broken["doc"]
    assert "did you mean 'history_days'" in broken["doc"]
    # It turns red and mails by itself, also where new DAGs are paused.
    assert broken["schedule"] == "CronTriggerTimetable"
    assert broken["paused"] is False
    assert broken["tasks"]["check_declaration"]["callbacks"] == ["mail_failure"]
    assert "check_declaration" in mistyped_bag["dags"]["flights_watch"]["tasks"], "which sends its RESOLVED"
    assert mistyped_bag["heavy"] == []


def test_pipeline_of_sources_only_has_no_dag_about_derived_tables_or_a_model(mistyped_bag):
    ships = {dag_id.removeprefix("ships_") for dag_id in mistyped_bag["dags"] if dag_id.startswith("ships_")}
    assert ships == {*STAGES} - {*OF_DERIVED, *OF_MODEL, *OF_CRITICAL_MODEL, *OF_TUNED_MODEL}
    reconcile = mistyped_bag["dags"]["ships_reconcile"]["tasks"]
    assert set(reconcile) == {"find_due", "start_ingest"}
    crossings = {task_id for task_id in mistyped_bag["dags"]["ships_backfill"]["tasks"] if "." in task_id}
    assert not [task_id for task_id in crossings if "features" in task_id]


def test_parsing_imports_nothing_heavy(bag):
    assert bag["heavy"] == [], "import it inside the function that uses it"


def test_what_wakes_each_dag_is_one_asset(bag):
    """Two of one day at once may leave two runs pending for ever (apache/airflow#71070): state decides the rest."""
    woken = {dag_id.removeprefix("flights_"): dag["woken_by"] for dag_id, dag in bag["dags"].items()}
    assert {stage: names for stage, names in woken.items() if names} == {
        "ingest": ["flights.deliveries"],
        "transform": ["flights.raw"],
        "score": ["flights.features"],
        "monitor": ["flights.predictions"],
        "train": ["flights.training_request"],
    }


def test_ingest_takes_one_day_at_a_time_and_its_waits_outlast_every_schedule(bag, live_bag):
    ingest, live = bag["dags"]["flights_ingest"], live_bag["dags"]["flights_ingest"]
    assert ingest["max_active_runs"] == 1
    assert live["max_active_runs"] == 2, "a correction does not queue behind a run that waits for a late file"
    assert ingest["timeout"] > timedelta(days=7).total_seconds(), "a weekly pipeline's run may wait a week"


def test_only_reconcile_starts_the_days_and_nothing_is_caught_up_by_airflow(bag, live_bag):
    """A day that Airflow's timetable made, or passed over, would be decided by runs and not by the state."""
    for each in (bag, live_bag):
        assert each["import_errors"] == {}
        assert each["dags"]["flights_ingest"]["schedule"] == "PartitionedAssetTimetable"
        assert not [dag_id for dag_id, dag in each["dags"].items() if dag["catchup"]]
        assert each["dags"]["flights_ingest"]["woken_by"] == ["flights.deliveries"]
    tasks = live_bag["dags"]["flights_reconcile"]["tasks"]
    assert {name: task["outlets"] for name, task in tasks.items()} == {
        "find_due": [],
        "start_ingest": ["flights.deliveries"],
        "start_transform": ["flights.raw"],
        "start_score": ["flights.features"],
        "start_monitor": ["flights.predictions"],
        "start_train": ["flights.training_request"],
    }
    assert live_bag["dags"]["flights_reconcile"]["max_active_runs"] == 1


def test_reconcile_watcher_and_maintenance_run_by_the_wall_clock_or_when_the_feed_is_moved(bag, live_bag):
    for name in ("reconcile", "watch", "maintain"):
        assert bag["dags"][f"flights_{name}"]["schedule"] == "NullTimetable"
        assert live_bag["dags"][f"flights_{name}"]["schedule"] == "CronTriggerTimetable"


def test_day_that_goes_on_with_stale_input_stays_red(bag, live_bag):
    """`complete_day` goes on without what is held; a leaf beside it keeps the run failed until all is published."""
    assert "confirm_sources" not in bag["dags"]["flights_ingest"]["tasks"]
    tasks = live_bag["dags"]["flights_ingest"]["tasks"]
    assert tasks["confirm_sources"]["downstream"] == tasks["complete_day"]["downstream"] == []
    assert {"complete_day", "confirm_sources"} <= set(tasks["arrivals.publish_arrivals"]["downstream"])


def test_every_dag_is_documented_tagged_and_bounded(bag):
    for dag_id, dag in bag["dags"].items():
        pipeline, stage = dag_id.rsplit("_", 1)
        assert (dag["doc"] or "").startswith("### "), f"{dag_id}: its file's docstring is its documentation"
        assert {f"pipeline:{pipeline}", f"stage:{stage}", "tier:1"} == set(dag["tags"]), dag_id
        assert dag["timeout"], f"{dag_id}: give it a dagrun_timeout"
        if dag_id not in PLATFORM_DAGS:
            assert dag["callbacks"] == ["mail_failed_run"], (
                f"{dag_id}: a run that Airflow ends must be heard of"
            )


def test_every_task_has_owner_retries_timeout_and_mail(bag):
    for dag_id, dag in bag["dags"].items():
        assert dag["tasks"], dag_id
        for task_id, task in dag["tasks"].items():
            name = f"{dag_id}.{task_id}"
            assert task["owner"] != "airflow", f"{name}: every task has an owner who is mailed about it"
            assert task["retries"] >= 1, f"{name}: a cause outside the data may pass by itself"
            assert task["timeout"], f"{name}: give it an execution_timeout"
            if name not in ANSWERS:
                assert task["callbacks"] == ["mail_failure"], f"{name}: a final failure must be heard of"


def test_every_task_of_ours_explains_its_failure(bag):
    ours = {
        f"{dag_id}.{task_id}": task["explains"]
        for dag_id, dag in bag["dags"].items()
        for task_id, task in dag["tasks"].items()
        # Operators of Airflow, which run no code of ours.
        if task_id.rsplit(".", 1)[-1] not in ("confirm_sources", "approve_release", "run_again")
    }
    assert len(ours) > 30
    assert [name for name, explains in ours.items() if not explains] == [], "decorate them: @explain_failure"


def test_every_crossing_is_stage_audit_publish_and_nothing_else_publishes(bag):
    groups: dict[tuple[str, str], set[str]] = {}
    for dag_id, dag in bag["dags"].items():
        for task_id, task in dag["tasks"].items():
            if "." not in task_id:
                continue
            table, name = task_id.split(".")
            groups.setdefault((dag_id, table), set()).add(name)
            if name == f"stage_{table}":
                assert f"{table}.audit_{table}" in task["downstream"], task_id
            if name == f"audit_{table}":
                assert task["downstream"] == [f"{table}.publish_{table}"], task_id
    assert groups
    for (dag_id, table), names in groups.items():
        assert names == {f"stage_{table}", f"audit_{table}", f"publish_{table}"}, dag_id


def test_the_shape_of_the_flights_dags(bag):
    """A change of shape shows in review: task, what follows it, and the assets it announces."""
    shape = {
        dag_id: {
            task_id: [*task["downstream"], *(f"-> {name}" for name in task["outlets"])]
            for task_id, task in dag["tasks"].items()
            if "." not in task_id or task_id.endswith("publish_" + task_id.split(".")[0])
        }
        for dag_id, dag in bag["dags"].items()
        if dag_id.removeprefix("flights_")
        in ("transform", "score", "monitor", "train", "replay", "release", "rollback", "maintain")
    }
    assert shape == {
        "flights_transform": {
            "features.publish_features": ["-> flights.features"],
            "outcomes.publish_outcomes": ["-> flights.outcomes"],
        },
        "flights_score": {"predictions.publish_predictions": ["-> flights.predictions"]},
        "flights_monitor": {
            "report_days": ["decide_retrain"],
            "decide_retrain": ["request_training"],
            "request_training": ["-> flights.training_request"],
        },
        "flights_train": {
            "stage_candidate": ["audit_candidate", "promote_candidate"],
            "audit_candidate": ["promote_candidate"],
            "promote_candidate": ["-> flights.champion"],
        },
        "flights_replay": {
            "find_held": ["report_replay", "run_again"],
            "run_again": ["report_replay"],
            "report_replay": [],
        },
        "flights_release": {
            "check_request": ["approve_release", "grant_waiver", "report_release"],
            "approve_release": ["grant_waiver"],
            "grant_waiver": ["run_again"],
            "run_again": ["report_release"],
            "report_release": [],
        },
        "flights_rollback": {
            "roll_back_champion": ["score_again", "-> flights.champion"],
            "score_again": ["-> flights.features"],
        },
        # The chain first: what must stay is read from the ledger.
        "flights_maintain": {
            "check_ledger": ["clear_tables"],
            "clear_tables": ["check_published", "clear_evidence"],
            "clear_evidence": [],
            "check_published": [],
        },
    }
    assert bag["dags"]["flights_ingest"]["tasks"]["complete_day"]["outlets"] == ["flights.raw"]


def test_challenger_is_scored_after_the_predictions_and_decided_on_after_the_reports_where_it_is_declared(
    bag, shadow_bag
):
    assert shadow_bag["import_errors"] == {}
    score, monitor = (shadow_bag["dags"][f"flights_{stage}"]["tasks"] for stage in ("score", "monitor"))
    assert score["predictions.publish_predictions"]["downstream"] == ["score_challenger"]
    assert monitor["report_days"]["downstream"] == ["decide_retrain", "judge_challenger"]
    assert score["score_challenger"]["downstream"] == monitor["judge_challenger"]["downstream"] == []
    assert monitor["judge_challenger"]["outlets"] == ["flights.champion"]
    for task in (score["score_challenger"], monitor["judge_challenger"]):
        assert (task["explains"], task["callbacks"], task["pool"]) == (True, ["mail_failure"], "sluice_heavy")
    without = {task for dag in bag["dags"].values() for task in dag["tasks"] if "challenger" in task}
    assert without == set()


def test_roll_back_by_the_gate_hangs_on_the_audit_so_that_the_run_of_a_held_day_still_fails(bag, shadow_bag):
    score = shadow_bag["dags"]["flights_score"]["tasks"]
    assert score["predictions.audit_predictions"]["downstream"] == [
        "predictions.publish_predictions",
        "roll_back_automatically",
    ]
    task = score["roll_back_automatically"]
    assert (task["downstream"], task["outlets"]) == ([], ["flights.champion", "flights.features"])
    assert (task["explains"], task["callbacks"], task["pool"]) == (True, ["mail_failure"], "sluice_heavy")
    assert "roll_back_automatically" not in bag["dags"]["flights_score"]["tasks"]


def test_only_a_model_that_declares_it_is_searched_parameters_for_and_the_budget_fits_into_the_timeouts(
    bag, tuned_bag
):
    assert tuned_bag["import_errors"] == {}
    assert tuned_bag["heavy"] == []
    assert {*tuned_bag["dags"]} - {*bag["dags"]} == {"flights_tune"}
    tune = tuned_bag["dags"]["flights_tune"]
    assert (tune["schedule"], tune["max_active_runs"]) == ("NullTimetable", 1)
    (name, task), *others = tune["tasks"].items()
    assert (name, others, task["outlets"]) == ("propose_parameters", [], []), "it changes nothing"
    assert (task["explains"], task["callbacks"], task["pool"]) == (True, ["mail_failure"], "sluice_heavy")
    assert task["retries"] == 0, "another try would have a budget of its own"
    assert 60 * 60 < task["timeout"] < tune["timeout"]


def test_only_a_critical_model_has_a_dag_in_which_a_person_is_asked_and_no_other_run_waits_for_that(
    bag, critical_bag
):
    assert critical_bag["import_errors"] == {}
    assert critical_bag["heavy"] == []
    assert "flights_promote" not in bag["dags"]
    monitor, promote = (
        critical_bag["dags"]["flights_monitor"]["tasks"],
        critical_bag["dags"]["flights_promote"],
    )
    assert monitor["judge_challenger"]["outlets"] == ["flights.approval_request"]
    assert promote["woken_by"] == ["flights.approval_request"]
    assert promote["max_active_runs"] > 1
    assert promote["timeout"] > timedelta(days=7).total_seconds()
    assert promote["callbacks"] == ["mail_failed_run"]
    shape = {name: [*task["downstream"], *task["outlets"]] for name, task in promote["tasks"].items()}
    assert shape == {
        "find_challenger": ["approve_promotion", "promote_challenger", "report_promotion"],
        "approve_promotion": ["promote_challenger"],
        "promote_challenger": ["report_promotion", "flights.champion"],
        "report_promotion": [],
    }
    assert {task["pool"] for task in promote["tasks"].values()} == {"default_pool"}
    ours = [task for name, task in promote["tasks"].items() if name != "approve_promotion"]
    assert [(task["explains"], task["callbacks"]) for task in ours] == [(True, ["mail_failure"])] * 3


def test_roll_back_of_a_critical_model_waits_for_a_person_and_no_other_run_waits_for_that(bag, critical_bag):
    asks = critical_bag["dags"]["flights_rollback"]
    assert asks["max_active_runs"] > 1
    assert asks["timeout"] > timedelta(hours=20).total_seconds()
    assert {name: [*task["downstream"], *task["outlets"]] for name, task in asks["tasks"].items()} == {
        "check_request": ["approve_rollback", "report_rollback", "roll_back_champion"],
        "approve_rollback": ["roll_back_champion"],
        "roll_back_champion": ["report_rollback", "score_again", "flights.champion"],
        "score_again": ["flights.features"],
        "report_rollback": [],
    }
    ours = [task for name, task in asks["tasks"].items() if name not in ("approve_rollback", "score_again")]
    assert [(task["explains"], task["callbacks"]) for task in ours] == [(True, [])] * 3, "a person watches"
    assert "approve_rollback" not in bag["dags"]["flights_rollback"]["tasks"]
