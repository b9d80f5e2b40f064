"""Who may read evidence, and what he may start from its pages: what Airflow's auth manager says of the DAGs of a pipeline.

Airflow protects no route of a plugin's application. `AuthManagerDep` looks for the manager in the application that it is
used in, which in a mounted one is the wrong one; so the manager is asked for by `get_auth_manager`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import count
from typing import Any

import httpx
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.batch_apis import IsAuthorizedDagRequest
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import HTTPException, status

from sluice.core import dag_ids
from sluice.core.errors import RunRefusedError, SpecInvalidError
from sluice.core.links import PREFIX
from sluice.declare import spec

# Of the token of a request that is answered within this process.
_TOKEN_SECONDS = 60


def reader(user: GetUserDep) -> Callable[[str], bool]:
    """A FastAPI dependency: which pipelines the user of a request may read.

    Evidence shows rows of every table of a pipeline, so it takes the right to read each of its DAGs.

    Raises:
        HTTPException: 401 without a login, 403 without the right to see the website.
    """
    manager = get_auth_manager()
    if not manager.is_authorized_view(access_view=AccessView.WEBSITE, user=user):
        raise HTTPException(status.HTTP_403_FORBIDDEN)

    def may_read(pipeline: str) -> bool:
        ids = dag_ids.of_pipeline(pipeline, _stages(pipeline))
        teams = DagModel.get_dag_id_to_team_name_mapping(ids)
        requests: list[IsAuthorizedDagRequest] = [
            {"method": "GET", "details": DagDetails(id=dag_id, team_name=teams.get(dag_id))} for dag_id in ids
        ]
        return manager.batch_is_authorized_dag(requests, user=user)

    return may_read


def _stages(pipeline: str) -> Sequence[str]:
    """The stages that a pipeline has a DAG of: all, where its YAML cannot tell, so that nobody may read more for that."""
    try:
        return spec.load(pipeline).stages
    except SpecInvalidError:
        return dag_ids.STAGES


class UserRuns:
    """Runs of Airflow, with the rights of the user of a request: a FastAPI dependency."""

    def __init__(self, user: GetUserDep) -> None:
        self._user = user

    @cached_property
    def user(self) -> str:
        return self._user.get_name()

    def may_start(self, dag_id: str) -> bool:
        """As Airflow's API asks before it starts a run."""
        return get_auth_manager().is_authorized_dag(
            method="POST",
            access_entity=DagAccessEntity.RUN,
            details=DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id)),
            user=self._user,
        )

    async def start(
        self, dag_id: str, conf: Mapping[str, str], *, run_id: str, again: str | None
    ) -> tuple[str, bool]:
        """Start a run through Airflow's public API, inside this process.

        The request goes through all that the API does: rights, the form's checks, Airflow's audit log, and the name of the
        user with the run. It carries a token of its own, which never leaves the process.

        Args and returns: as `sluice.web.held.Runs.start`.

        Raises:
            RunRefusedError: the API refuses it, or one of the DAGs is paused, so that nothing would happen.
        """
        for needed in filter(None, (dag_id, again)):
            if _ok(await self._call("GET", f"/api/v2/dags/{needed}"))["is_paused"]:
                raise RunRefusedError(
                    f"{needed} is paused, so that nothing would happen.",
                    where=needed,
                    todo="unpause it in Airflow, and try again",
                )
        path = f"/api/v2/dags/{dag_id}/dagRuns"
        for number in count(1):
            one = f"{run_id}__{number}"
            body = {"dag_run_id": one, "logical_date": None, "conf": dict(conf)}
            answer = await self._call("POST", path, body)
            if answer.status_code != httpx.codes.CONFLICT:
                _ok(answer)
                return one, True
            if _ok(await self._call("GET", f"{path}/{one}"))["state"] != "failed":
                return one, False
        raise AssertionError("count has no end")

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        # The application that this process serves: it has been imported, with this plugin in it.
        from airflow.api_fastapi.main import app

        token = get_auth_manager().generate_jwt(self._user, expiration_time_in_seconds=_TOKEN_SECONDS)
        # A request with a referer counts in Airflow as one from its UI, which it is.
        headers = {"Authorization": f"Bearer {token}", "Referer": PREFIX}
        # What the API breaks with is an answer too (500), as it is to a browser.
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow") as client:
            return await client.request(method, path, json=body, headers=headers)


def _ok(answer: httpx.Response) -> dict[str, Any]:
    """What the API has answered.

    Raises:
        RunRefusedError: it refuses, with its own words where it has some.
    """
    try:
        said = answer.json()
    except ValueError:  # the text of a server that broke
        said = None
    if answer.status_code == httpx.codes.OK and isinstance(said, dict):
        return said
    detail = said.get("detail") if isinstance(said, dict) else None
    raise RunRefusedError(
        f"Airflow answers {answer.status_code}: {detail or answer.reason_phrase}",
        where=answer.request.url.path,
    )
