"""Models kept by MLflow: what was trained, from what, and which one is champion.

A version is three artifacts, the model, its description and its scored held-out rows, whose hashes are tags of the version
and are checked at every load: a model that changed on disk is refused. MLflow's own `log_model` is not used: it pickles, and infers requirements for
seconds. Registering the same model twice gives the same version, so that a repeated training leaves one trace.

Aliases are roles: `champion` scores, `challenger` is the newest candidate that is not, `previous` was champion before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ml.artifacts import META, TAGS, UBJ, pack, sha256, unpack
from ml.connection import connect, create, experiment_id
from ml.errors import ModelDamagedError, ModelUnknownError
from ml.model import ModelMeta, ScoringModel
from ml.training import Candidate

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"

_FOLDER = "model"


@dataclass(frozen=True)
class Version:
    """One registered model version; `tags` are those given when its training began, and its decision's."""

    name: str
    version: int
    sha256: str
    aliases: tuple[str, ...]
    run_id: str
    created_at: datetime
    tags: dict[str, str]


@dataclass(frozen=True)
class LoadedModel:
    """A version ready to score, its hashes checked."""

    version: int
    model: ScoringModel
    registered: Version

    @property
    def meta(self) -> ModelMeta:
        return self.model.meta

    @property
    def metrics(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        """Model ("candidate", "baseline", "linear") to metric to {value, low, high}, on its held-out days."""
        return self.model.meta.metrics


class Registry:
    """Runs and model versions of one MLflow installation. Cheap to make; connects on first use.

    Args:
        uri: MLflow tracking and registry URI: sqlite:///…, postgresql://…, http(s)://….
        artifacts: folder or URI under which new runs keep their files; empty for an MLflow server's own choice.
    """

    def __init__(self, uri: str, artifacts: str) -> None:
        self._uri, self._artifacts = uri, artifacts.rstrip("/")

    def init(self) -> None:
        """Create the schema ahead of time; safe from several processes at once over SQLite."""
        self._client.search_registered_models(max_results=1)

    @contextmanager
    def training(self, name: str, tags: Mapping[str, str]) -> Iterator[str]:
        """An MLflow run around a training: yields its id; FINISHED at the end, FAILED on any exception.

        A training that was killed could not say so: runs of this model that are still open are closed as FAILED first.
        Should one of them be alive after all, its own end overwrites that.
        """
        experiment = experiment_id(self._client, name, self._artifacts)
        for run in self._client.search_runs([experiment], "attributes.status = 'RUNNING'"):
            self._client.set_tag(run.info.run_id, "abandoned", "found open when the next training began")
            self._client.set_terminated(run.info.run_id, "FAILED")
        run_id = self._client.create_run(experiment, tags=dict(tags)).info.run_id
        try:
            yield run_id
        except BaseException:
            self._client.set_terminated(run_id, "FAILED")
            raise
        self._client.set_terminated(run_id, "FINISHED")

    def log(self, run_id: str, candidate: Candidate) -> int:
        """Record a candidate in its run and register it; returns the version (the old one, if it is registered already)."""
        from mlflow.entities import Metric, Param

        files = pack(candidate)
        hashes = {TAGS[file]: sha256(content) for file, content in files.items()}
        settings = dict(candidate.meta.config)
        settings |= {f"params.{key}": value for key, value in settings.pop("params").items()}
        now = int(datetime.now(UTC).timestamp() * 1000)
        run = self._client.get_run(run_id)
        self._client.log_batch(
            run_id,
            metrics=[
                Metric(f"{model}_{metric}{suffix}", values[key], now, 0)
                for model, metrics in candidate.meta.metrics.items()
                for metric, values in metrics.items()
                for key, suffix in (("value", ""), ("low", "_low"), ("high", "_high"))
            ],
            params=[Param(key, str(value)) for key, value in settings.items()],
        )
        with tempfile.TemporaryDirectory() as folder:
            for file, content in files.items():
                (Path(folder) / file).write_bytes(content)
            self._client.log_artifacts(run_id, folder, _FOLDER)
        name = candidate.meta.name
        create(lambda: self._client.create_registered_model(name))
        for known in self.versions(name):
            if all(known.tags.get(TAGS[file]) == hashes[TAGS[file]] for file in (UBJ, META)):
                return known.version
        own = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
        made = self._client.create_model_version(
            name,
            f"{run.info.artifact_uri}/{_FOLDER}",
            run_id,
            tags={**own, **hashes},
            await_creation_for=0,
        )
        return int(made.version)

    def load(self, name: str, alias: str = CHAMPION, *, threads: int) -> LoadedModel | None:
        """The version that holds a role, or None where there is none.

        Raises:
            ModelDamagedError: a file is missing or is not the one that was registered.
        """
        known = next((known for known in self.versions(name) if alias in known.aliases), None)
        if known is None:
            return None
        meta = ModelMeta.from_json(self._read(known, META).decode())
        return LoadedModel(known.version, ScoringModel(self._read(known, UBJ), meta, threads=threads), known)

    def candidate(self, name: str, version: int) -> Candidate:
        """A registered version with its scored held-out rows, as it was logged.

        Raises:
            ModelDamagedError: as `load`.
            ModelUnknownError: there is no such version.
        """
        known = next((known for known in self.versions(name) if known.version == version), None)
        if known is None:
            raise ModelUnknownError(
                f"There is no version {version}.", where=f"model {name}", todo="list the versions in MLflow"
            )
        return unpack({file: self._read(known, file) for file in TAGS})

    def promote(self, name: str, version: int) -> None:
        """Make a version champion and the champion previous. Repeating it, also after a kill half way, changes nothing."""
        roles = self._aliases(name)
        champion = roles.get(CHAMPION)
        if champion == str(version):
            return
        if champion is not None:
            self._client.set_registered_model_alias(name, PREVIOUS, champion)
        self._client.set_registered_model_alias(name, CHAMPION, str(version))
        if roles.get(CHALLENGER) == str(version):
            self._client.delete_registered_model_alias(name, CHALLENGER)

    def set_challenger(self, name: str, version: int) -> None:
        """Give a version the role `challenger`, unless it is the champion already."""
        if self._aliases(name).get(CHAMPION) != str(version):
            self._client.set_registered_model_alias(name, CHALLENGER, str(version))

    def tag(self, name: str, version: int, tags: Mapping[str, str]) -> None:
        """Add tags to a version, such as the decision about it."""
        for key, value in tags.items():
            self._client.set_model_version_tag(name, str(version), key, value)

    def versions(self, name: str) -> list[Version]:
        """All versions of a model with their roles, newest first; none where the model is not there."""
        roles: dict[str, list[str]] = {}
        for alias, version in self._aliases(name).items():
            roles.setdefault(version, []).append(alias)
        found: list[Version] = []
        token: str | None = ""
        while token is not None:
            page = self._client.search_model_versions(f"name = '{name}'", page_token=token)
            token = page.token or None
            found += [
                Version(
                    name=name,
                    version=int(item.version),
                    sha256=item.tags.get("sha256", ""),
                    aliases=tuple(sorted(roles.get(str(item.version), ()))),
                    run_id=item.run_id or "",
                    created_at=datetime.fromtimestamp(item.creation_timestamp / 1000, UTC),
                    tags=dict(item.tags),
                )
                for item in page
            ]
        return sorted(found, key=lambda item: -item.version)

    def _read(self, version: Version, file: str) -> bytes:
        from mlflow.exceptions import MlflowException

        todo = "promote another version, or restore the file from a backup"
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = self._client.download_artifacts(version.run_id, f"{_FOLDER}/{file}", folder)
                content = Path(path).read_bytes()
            except (OSError, MlflowException) as error:
                raise ModelDamagedError(
                    f"{file} of {version.name} version {version.version} cannot be read: {error}",
                    where=f"run {version.run_id}",
                    todo=todo,
                ) from error
        expected = version.tags.get(TAGS[file])
        if sha256(content) != expected:
            raise ModelDamagedError(
                f"{file} of {version.name} version {version.version} is not the file that was registered.",
                where=f"run {version.run_id}; expected sha256 {expected}, found {sha256(content)}",
                todo=todo,
            )
        return content

    @cached_property
    def _client(self) -> MlflowClient:
        return connect(self._uri)

    def _aliases(self, name: str) -> dict[str, str]:
        from mlflow.exceptions import MlflowException

        try:
            aliases = self._client.get_registered_model(name).aliases
            return {alias: str(version) for alias, version in aliases.items()}
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}
