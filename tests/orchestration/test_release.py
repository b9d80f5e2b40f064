"""What a request for a release is refused for before a person is asked, and what is asked where it is not."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
import yaml

from sluice import crossing, ledger
from sluice.core.errors import ReleaseRefusedError, ReplayRefusedError
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.orchestration.failures import TaskFailure
from sluice_lab import feed

RUN_DAY, DAY = "2013-04-03", "2013-04-02"
RUN = Run(dag_id="flights_ingest", run_id="held run")
FORM = {"table": "arrivals", "day": DAY, "why": "The airport confirmed it.", "until": "2013-04-05"}


@pytest.fixture(scope="module")
def held_home(tmp_path_factory, make_home):
    """A home in which a run of Airflow found arrivals that are held."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("release") / "home"
        make_home(home)
        patch.setenv("SLUICE_HOME", str(home))
        settings.cache_clear()
        flights = spec.load("flights")
        feed.deliver(flights, RUN_DAY, sources=["arrivals"], corrupt="seconds")
        manifest = crossing.stage(flights, "arrivals", [RUN_DAY], RUN)
        assert crossing.audit(flights, "arrivals", manifest.batch_id, RUN).outcome == "HOLD"
        yield home
    settings.cache_clear()


@pytest.fixture
def check_request(held_home, context_of, tmp_path, monkeypatch):
    """Function: do what the task does, for whoever triggered the run; `refuse` is what the pipeline declares."""
    from airflow.sdk.execution_time.context import set_current_context

    from sluice.orchestration import operate

    shutil.copytree(settings().pipelines, tmp_path / "pipelines")
    monkeypatch.setenv("SLUICE_HOME", str(held_home))
    monkeypatch.setenv("SLUICE_PIPELINES", str(tmp_path / "pipelines"))
    settings.cache_clear()

    def check(
        asked_by: str | None,
        *,
        self_approval: str = "allow",
        state: str = "failed",
        conf=None,
        task="_check_request",
        **form,
    ) -> dict:
        path = tmp_path / "pipelines" / "flights.yml"
        declared = yaml.safe_load(path.read_text()) | {"releases": {"self_approval": self_approval}}
        path.write_text(yaml.safe_dump(declared))
        context = context_of(**{**FORM, **form})
        context["dag_run"] = context["dag_run"].model_copy(
            update={"triggering_user_name": asked_by, "conf": conf}
        )
        context["ti"] = SimpleNamespace(get_dagrun_state=lambda **_: state)
        before = ledger.entries()
        try:
            with set_current_context(context):
                return getattr(operate, task).function("flights")
        finally:
            assert ledger.entries() == before, "a request decides nothing"

    yield check
    settings.cache_clear()


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (
            {"asked_by": None, "self_approval": "refuse"},
            ReleaseRefusedError,
            "Who asks for this release is not known",
        ),
        ({"asked_by": "ann", "why": " "}, ReleaseRefusedError, "reason"),
        ({"asked_by": "ann", "until": "2013-04-01"}, ReleaseRefusedError, "2013-04-01 is over"),
        (
            {"asked_by": "ann", "day": "2013-04-01"},
            ReleaseRefusedError,
            "Nothing of flights.arrivals 2013-04-01 is held.",
        ),
        ({"asked_by": "ann", "state": "running"}, ReplayRefusedError, "has not ended: it is running"),
    ],
    ids=["nobody_known", "no_reason", "over", "not_held", "still_running"],
)
def test_request_is_refused_before_a_person_is_asked(check_request, given, error, said):
    with pytest.raises(TaskFailure) as failed:
        check_request(**given)
    assert isinstance(failed.value.error, error)
    assert said in failed.value.error.what
    assert failed.value.error.todo


@pytest.mark.parametrize(("self_approval", "second"), [("allow", False), ("refuse", True)])
def test_request_that_can_be_granted_says_who_asks_and_whether_it_takes_another_person(
    check_request, self_approval, second
):
    asked = check_request("ann", self_approval=self_approval)
    assert (asked["dag_id"], asked["run_id"], asked["table"]) == ("flights_ingest", "held run", "arrivals")
    assert asked["partition"] == DAY
    assert "`ann` asks to publish" in asked["body"]
    assert ("It has to be another person than `ann`." in asked["body"]) is second


def test_request_of_a_user_whom_airflow_does_not_know_can_be_granted_by_anybody_where_that_is_allowed(
    check_request,
):
    assert "`someone` asks to publish" in check_request(None)["body"]


@pytest.mark.parametrize("task", ["_check_request", "_find_held"])
def test_run_is_refused_where_the_page_that_started_it_has_shown_something_else(check_request, task):
    batch_id = check_request("ann")["batch_id"]
    for conf in (None, {"batch": batch_id}, {"batch": batch_id, "overdue": "0"}):
        assert check_request("ann", task=task, conf=conf)["batch_id"] == batch_id
    for conf, said in (
        ({"batch": "an earlier one"}, f"batch {batch_id}, is what is held first now"),
        ({"batch": batch_id, "overdue": "1"}, "is not too old any more: this would now replay it"),
    ):
        with pytest.raises(TaskFailure) as failed:
            check_request("ann", task=task, conf=conf)
        assert isinstance(failed.value.error, ReplayRefusedError)
        assert said in failed.value.error.what
