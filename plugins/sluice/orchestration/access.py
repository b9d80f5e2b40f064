"""Who may read evidence: whoever may read the DAGs of its pipeline, as Airflow's auth manager says.

Airflow protects no route of a plugin's application. `AuthManagerDep` looks for the manager in the application that it is
used in, which in a mounted one is the wrong one; so the manager is asked for by `get_auth_manager`.
"""

from collections.abc import Callable, Sequence

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.batch_apis import IsAuthorizedDagRequest
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import HTTPException, status

from sluice.core import dag_ids
from sluice.core.errors import SpecInvalidError
from sluice.declare import spec


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
