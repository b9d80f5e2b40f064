"""The registry over MLflow on SQLite and a local folder, as it runs by default."""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from unittest.mock import Mock

import pytest

from sluice_ml.errors import ModelDamagedError, ModelUnknownError
from sluice_ml.metrics import concordance
from sluice_ml.promotion import decide
from sluice_ml.registry import Registry

pytestmark = pytest.mark.slow

NAME = "flights_late_arrival"
TAGS = {"run": "train-2013-03-15", "snapshot.features": "77"}


@pytest.fixture(scope="module")
def processes():
    """Processes that are forked from one that has imported MLflow, as Airflow's executor forks its tasks."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow", "sluice_ml.registry"])
    return context


@pytest.fixture
def registry(empty_registry, tmp_path):
    shutil.copy(empty_registry, tmp_path / "mlflow.db")
    return Registry(f"sqlite:///{tmp_path}/mlflow.db", f"{tmp_path}/models")


def test_connecting_to_a_new_database_prints_nothing(tmp_path):
    code = (
        f"from sluice_ml.registry import Registry; Registry('sqlite:///{tmp_path}/new/mlflow.db', '').init()"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (said.stdout, said.stderr) == ("", "")


def register(registry, candidate):
    with registry.training(NAME, TAGS) as run_id:
        return registry.log(run_id, candidate)


def other(candidate, number):
    """The same model in another description: another candidate, as far as the registry can tell."""
    return dataclasses.replace(candidate, meta=dataclasses.replace(candidate.meta, unlabelled_rows=number))


def artifact(tmp_path, name):
    (found,) = tmp_path.glob(f"models/*/*/artifacts/model/{name}")
    return found


def test_load_registered_champion_scores_as_it_was_measured(registry, candidate):
    version = register(registry, candidate)
    loaded = registry.load(NAME, version, threads=1)
    assert loaded.version == version == 1
    assert loaded.metrics["candidate"]["auc"] == candidate.meta.metrics["candidate"]["auc"]
    assert loaded.registered.sha256 == candidate.sha256
    assert TAGS.items() <= loaded.registered.tags.items()
    served = loaded.model.score(candidate.test)
    assert concordance(candidate.test["score_candidate"].to_numpy(), served) == candidate.meta.agreement


def test_load_no_model_or_no_such_version_is_an_error(registry, candidate):
    for version in (1, 2):
        with pytest.raises(ModelUnknownError, match=f"no version {version}"):
            registry.load(NAME, version, threads=1)
        if version == 1:
            register(registry, candidate)


@pytest.mark.parametrize("name", ["model.ubj", "model.json"])
def test_load_file_changed_on_disk_is_refused(registry, candidate, tmp_path, name):
    register(registry, candidate)
    path = artifact(tmp_path, name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelDamagedError, match=f"{name} of {NAME} version 1 is not the file"):
        registry.load(NAME, 1, threads=1)


def test_load_file_gone_is_refused(registry, candidate, tmp_path):
    register(registry, candidate)
    artifact(tmp_path, "model.ubj").unlink()
    with pytest.raises(ModelDamagedError, match="cannot be read"):
        registry.load(NAME, 1, threads=1)


def test_load_model_of_another_format_is_refused_although_its_files_are_whole(registry, candidate):
    register(registry, dataclasses.replace(candidate, meta=dataclasses.replace(candidate.meta, format=2)))
    with pytest.raises(
        ModelDamagedError, match="version 1 cannot be used by this code: model description of format 2"
    ):
        registry.load(NAME, 1, threads=1)


def test_read_from_a_store_that_does_not_answer_says_nothing_of_the_model(registry, candidate, monkeypatch):
    from botocore.exceptions import EndpointConnectionError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    register(registry, candidate)
    for error in (
        MlflowException("API request failed: connection refused"),
        OperationalError("SELECT 1", {}, Exception("connection refused")),
        TimeoutError("connection refused"),
        EndpointConnectionError(endpoint_url="http://bucket", error="connection refused"),
    ):
        for asked in ("download_artifacts", "search_model_versions"):
            with monkeypatch.context() as patched:
                patched.setattr(registry._client, asked, Mock(side_effect=error))
                for read in (partial(registry.load, threads=1), registry.description, registry.candidate):
                    with pytest.raises(ConnectionError) as caught:
                        read(NAME, 1)
                    assert str(caught.value) == f"The registry of models does not answer: {error}"


def test_log_same_candidate_again_puts_back_what_is_lost_or_damaged(registry, candidate, tmp_path):
    register(registry, candidate)
    damaged, lost = artifact(tmp_path, "model.ubj"), artifact(tmp_path, "test.parquet")
    damaged.write_bytes(b"not a model")
    lost.unlink()
    assert register(registry, candidate) == 1
    assert registry.load(NAME, 1, threads=1).registered.sha256 == candidate.sha256
    assert registry.candidate(NAME, 1).test.equals(candidate.test)


def test_log_keeps_three_files_and_no_pickle(registry, candidate, tmp_path):
    register(registry, candidate)
    files = {path.name for path in (tmp_path / "models").rglob("*") if path.is_file()}
    assert files == {"model.ubj", "model.json", "test.parquet"}
    assert hashlib.sha256(artifact(tmp_path, "model.ubj").read_bytes()).hexdigest() == candidate.sha256


def test_log_run_holds_parameters_metrics_and_tags(registry, candidate):
    register(registry, candidate)
    run = registry._client.get_run(registry.versions(NAME)[0].run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["params.max_depth"] == "4"
    assert run.data.params["seed"] == "20130101"
    assert run.data.metrics["candidate_auc_low"] == candidate.meta.metrics["candidate"]["auc"]["low"]
    assert TAGS.items() <= run.data.tags.items()


def test_log_same_candidate_again_gives_the_same_version(registry, candidate):
    assert [register(registry, candidate) for _ in range(3)] == [1, 1, 1]
    assert register(registry, other(candidate, 5)) == 2
    assert register(registry, candidate) == 1
    assert [version.version for version in registry.versions(NAME)] == [2, 1]


def test_set_roles_shows_exactly_the_roles_that_it_is_given_and_repeating_changes_nothing(
    registry, candidate
):
    first, second = register(registry, candidate), register(registry, other(candidate, 5))
    for roles in (
        {"champion": first, "challenger": second},
        {"champion": second, "previous": first, "challenger": None},
        {"champion": first, "previous": None},
    ):
        for _ in range(2):
            registry.set_roles(NAME, roles)
            assert registry.roles(NAME) == {alias: version for alias, version in roles.items() if version}
    assert {version.version: version.aliases for version in registry.versions(NAME)} == {
        1: ("champion",),
        2: (),
    }


def test_candidate_read_back_is_decided_on_as_the_one_that_was_logged(registry, candidate, config):
    read = registry.candidate(NAME, register(registry, candidate))
    assert (read.content, read.sha256, read.meta.to_json()) == (
        candidate.content,
        candidate.sha256,
        candidate.meta.to_json(),
    )
    assert read.test.equals(candidate.test)
    assert decide(read, None, config) == decide(candidate, None, config)


def test_candidate_unknown_version_is_an_error(registry, candidate):
    register(registry, candidate)
    with pytest.raises(ModelUnknownError, match="no version 9"):
        registry.candidate(NAME, 9)


def test_tag_decision_is_kept_with_the_version(registry, candidate):
    registry.tag(NAME, register(registry, candidate), {"decision": "refused"})
    assert registry.versions(NAME)[0].tags["decision"] == "refused"


def statuses(registry):
    experiment = registry._client.get_experiment_by_name(NAME).experiment_id
    return sorted(run.info.status for run in registry._client.search_runs([experiment]))


def test_training_that_raises_is_failed(registry):
    with pytest.raises(KeyboardInterrupt), registry.training(NAME, TAGS):
        raise KeyboardInterrupt
    assert statuses(registry) == ["FAILED"]


def die(uri, artifacts):
    with Registry(uri, artifacts).training(NAME, TAGS):
        os.kill(os.getpid(), signal.SIGKILL)


def test_training_that_was_killed_is_failed_when_the_next_begins(registry, candidate, tmp_path, processes):
    process = processes.Process(target=die, args=(f"sqlite:///{tmp_path}/mlflow.db", f"{tmp_path}/models"))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert statuses(registry) == ["RUNNING"]
    register(registry, candidate)
    assert statuses(registry) == ["FAILED", "FINISHED"]


def contend(uri, artifacts, candidate, number):
    registry = Registry(uri, artifacts)
    for step in range(3):
        version = register(registry, other(candidate, 10 * number + step))
        registry.set_roles(NAME, {"champion": version})


def test_registry_several_processes_from_an_empty_folder_lose_nothing(candidate, tmp_path, processes):
    uri, artifacts = f"sqlite:///{tmp_path}/new/mlflow.db", f"{tmp_path}/models"
    started = [
        processes.Process(target=contend, args=(uri, artifacts, candidate, number)) for number in range(3)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0, 0]
    registry = Registry(uri, artifacts)
    versions = registry.versions(NAME)
    assert [version.version for version in versions] == list(range(9, 0, -1))
    assert len({version.tags["meta_sha256"] for version in versions}) == 9
    assert set(statuses(registry)) == {"FINISHED"}
    assert registry.load(NAME, registry.roles(NAME)["champion"], threads=1).version in range(1, 10)


def test_files_of_models_lie_in_a_bucket_like_in_a_folder(empty_registry, tmp_path, candidate, bucket):
    import boto3

    shutil.copy(empty_registry, tmp_path / "mlflow.db")
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", f"s3://{bucket}/models")
    version = register(registry, candidate)
    assert registry.load(NAME, version, threads=1).meta.recipe_sha256 == candidate.meta.recipe_sha256
    s3 = boto3.client("s3")
    (file,) = [
        one["Key"]
        for one in s3.list_objects_v2(Bucket=bucket, Prefix="models/")["Contents"]
        if one["Key"].endswith("model.ubj")
    ]
    s3.put_object(Bucket=bucket, Key=file, Body=b"another")
    with pytest.raises(ModelDamagedError):
        registry.load(NAME, version, threads=1)
    s3.delete_object(Bucket=bucket, Key=file)
    with pytest.raises(ModelDamagedError):
        registry.load(NAME, version, threads=1)
