"""Models kept by MLflow: what was trained, from what, and which one is champion.

A version is three artifacts, the model, its description and its scored held-out rows, whose hashes are tags of the version
and are checked at every load: a model that changed on disk is refused. MLflow's own `log_model` is not used: it pickles, and infers requirements for
seconds. Registering the same model twice gives the same version, so that a repeated training leaves one trace.

Aliases show roles: `champion` scores, `challenger` is the newest candidate that never was, `previous` was champion before. Who
has which role is not decided here.
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

from sluice_ml.artifacts import CONTENT, META, TAGS, TEST, describe, pack, sha256, unpack
from sluice_ml.connection import connect, create, experiment_id, migrate
from sluice_ml.errors import ModelDamagedError, ModelUnknownError
from sluice_ml.model import ModelMeta, Trained, load
from sluice_ml.training import Candidate

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"

_FOLDER = "model"
# What MLflow calls anything that is not there.
_GONE = "RESOURCE_DOES_NOT_EXIST"


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
    model: Trained
    registered: Version

    @property
    def meta(self) -> ModelMeta:
        return self.model.meta

    @property
    def metrics(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        """Model ("candidate", "baseline", "linear", "boosted") to metric to {value, low, high}, on its held-out days."""
        return self.model.meta.metrics


@contextmanager
def _answering() -> Iterator[None]:
    """What MLflow could not do, as an error that whoever calls may catch without importing it.

    Its stores let errors of the database, of HTTP and of a bucket through as they are.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except ConnectionError:
        raise
    except Exception as error:
        # botocore is imported by the lake alone.
        of_a_bucket = type(error).__module__.startswith("botocore.")
        if not of_a_bucket and not isinstance(error, MlflowException | SQLAlchemyError | OSError):
            raise
        raise ConnectionError(f"The registry of models does not answer: {error}") from error


class Registry:
    """Runs and model versions of one MLflow installation. Cheap to make; connects on first use.

    Args:
        uri: MLflow tracking and registry URI: sqlite:///…, postgresql://…, http(s)://….
        artifacts: folder or URI under which new runs keep their files; empty for an MLflow server's own choice, and for
            whoever only reads.
    """

    def __init__(self, uri: str, artifacts: str = "") -> None:
        self._uri, self._artifacts = uri, artifacts.rstrip("/")

    def init(self) -> None:
        """Create or migrate the schema ahead of time; safe from several processes at once over SQLite."""
        migrate(self._uri)

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
        """Record a candidate in its run and register it; returns the version (the old one, if it is registered already).

        Where a file of the old one is lost or damaged, it is put back: the same candidate is the same bytes.
        """
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
        self._upload(run_id, files)
        name = candidate.meta.name
        create(lambda: self._client.create_registered_model(name))
        for known in self.versions(name):
            if all(known.tags.get(tag) == hashes[tag] for tag in hashes.keys() - {TAGS[TEST]}):
                self._put_back(known, files)
                return known.version
        own = {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")}
        made = self._client.create_model_version(
            name,
            f"{run.info.artifact_uri}/{_FOLDER}",
            run_id,
            tags={
                **own,
                **hashes,
                "algorithm": candidate.meta.algorithm,
                "recipe_sha256": candidate.meta.recipe_sha256,
            },
            await_creation_for=0,
        )
        return int(made.version)

    @_answering()
    def load(self, name: str, version: int, *, threads: int) -> LoadedModel:
        """A version ready to score.

        Raises:
            ConnectionError: the registry does not answer.
            ModelDamagedError: a file is missing, is not the one that was registered, or cannot be used by this code.
            ModelUnknownError: there is no such version.
        """
        known = self._version(name, version)
        meta, content = self._files(known)
        with _of_this_code(known):
            return LoadedModel(version, load(content, meta, threads=threads), known)

    @_answering()
    def content(self, name: str, version: int) -> tuple[ModelMeta, bytes]:
        """A version's description and its model file, their hashes checked.

        Raises:
            ConnectionError: the registry does not answer.
            ModelDamagedError, ModelUnknownError: as `load`.
        """
        return self._files(self._version(name, version))

    @_answering()
    def description(self, name: str, version: int) -> ModelMeta:
        """What is known of a version besides its file, also where that is lost.

        Raises:
            ConnectionError: the registry does not answer.
            ModelDamagedError, ModelUnknownError: as `load`.
        """
        return self._meta(self._version(name, version))

    @_answering()
    def candidate(self, name: str, version: int) -> Candidate:
        """A registered version with its scored held-out rows, as it was logged.

        Raises:
            ConnectionError, ModelDamagedError, ModelUnknownError: as `load`.
        """
        known = self._version(name, version)
        meta = self._meta(known)
        return unpack(meta, self._read(known, CONTENT[meta.algorithm]), self._read(known, TEST))

    @_answering()
    def roles(self, name: str) -> dict[str, int]:
        """Alias to version, as MLflow shows them; none where the model is not there.

        Raises:
            ConnectionError: the registry does not answer.
        """
        return {alias: int(version) for alias, version in self._aliases(name).items()}

    def set_roles(self, name: str, roles: Mapping[str, int | None]) -> None:
        """Let aliases name the versions that have these roles, and none where it is None; repeating it changes nothing."""
        shown = self.roles(name)
        for alias, version in roles.items():
            if version is None and alias in shown:
                self._client.delete_registered_model_alias(name, alias)
            elif version is not None and shown.get(alias) != version:
                self._set_role(name, alias, version)

    def _set_role(self, name: str, alias: str, version: int) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.set_registered_model_alias(name, alias, str(version))
        except MlflowException:
            # MLflow looks for the alias and then inserts it: of two processes at once one fails, and replaces it now.
            self._client.set_registered_model_alias(name, alias, str(version))

    def tag(self, name: str, version: int, tags: Mapping[str, str]) -> None:
        """Add tags to a version, such as the decision about it."""
        for key, value in tags.items():
            self._client.set_model_version_tag(name, str(version), key, value)

    @_answering()
    def versions(self, name: str) -> list[Version]:
        """All versions of a model with their roles, newest first; none where the model is not there.

        Raises:
            ConnectionError: the registry does not answer.
        """
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

    def _version(self, name: str, version: int) -> Version:
        known = next((known for known in self.versions(name) if known.version == version), None)
        if known is None:
            raise ModelUnknownError(
                f"There is no version {version}.", where=f"model {name}", todo="list the versions in MLflow"
            )
        return known

    def _meta(self, version: Version) -> ModelMeta:
        content = self._read(version, META)
        with _of_this_code(version):
            return describe(content)

    def _files(self, version: Version) -> tuple[ModelMeta, bytes]:
        meta = self._meta(version)
        return meta, self._read(version, CONTENT[meta.algorithm])

    def _upload(self, run_id: str, files: Mapping[str, bytes]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for file, content in files.items():
                (Path(folder) / file).write_bytes(content)
            self._client.log_artifacts(run_id, folder, _FOLDER)

    def _put_back(self, version: Version, files: Mapping[str, bytes]) -> None:
        """Upload again what is damaged of a version; its tags say what it has to be."""
        for file, content in files.items():
            try:
                self._read(version, file)
            except ModelDamagedError:
                if sha256(content) == version.tags.get(TAGS[file]):
                    self._upload(version.run_id, {file: content})

    def _read(self, version: Version, file: str) -> bytes:
        from mlflow.exceptions import MlflowException

        todo = "train again as of the same day, which puts the file back; restore it from a backup; or roll back to another version"
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = self._client.download_artifacts(version.run_id, f"{_FOLDER}/{file}", folder)
                content = Path(path).read_bytes()
            except (FileNotFoundError, MlflowException) as error:
                # Of a store that does not answer nothing is known: that may pass by itself.
                if getattr(error, "error_code", _GONE) != _GONE:
                    raise
                raise ModelDamagedError(
                    f"{file} of {version.name} version {version.version} cannot be read.",
                    where=f"run {version.run_id}: {error}",
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
            if error.error_code != _GONE:
                raise
            return {}


@contextmanager
def _of_this_code(version: Version) -> Iterator[None]:
    """The files are as they were registered: where they cannot be used, other code, or another XGBoost, wrote them."""
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        raise ModelDamagedError(
            f"{version.name} version {version.version} cannot be used by this code: {error}",
            where=f"run {version.run_id}",
            todo="run the version of the code that registered it, or train again",
        ) from error
