"""Which settings belong to one machine: what they name cannot be reached from another.

The rule kept here: a folder that somebody has named may be a disk that all machines share, which nothing here can see; one in the
home, and a file of SQLite, are of this machine alone.
"""

from __future__ import annotations

from sluice.core.errors import SpecInvalidError
from sluice.core.settings import settings
from sluice.declare import spec

# Airflow's executor whose tasks run where the scheduler does.
_LOCAL_EXECUTOR = "LocalExecutor"


def of_this_machine() -> dict[str, str]:
    """Variable -> what it names that no other machine reaches: SQLite, or a folder of the home."""
    own = settings()
    databases = {
        "SLUICE_CATALOG_URI": own.catalog_url,
        "SLUICE_LEDGER_URI": own.ledger_url,
        "SLUICE_MLFLOW_URI": own.mlflow_url,
    }
    folders = {
        "SLUICE_WAREHOUSE": own.warehouse,
        "SLUICE_EVIDENCE": own.evidence,
        "SLUICE_MODELS": own.models,
    }
    found = {name: "a file of SQLite" for name, url in databases.items() if url.startswith("sqlite")}
    return found | {name: "a folder of the home" for name, address in folders.items() if not address}


def landing_of_this_machine(pipeline: spec.Pipeline) -> bool:
    """Whether a landing zone is a folder of the home, which a relative path is."""
    url = pipeline.landing_url
    return "://" not in url and url.startswith(f"{settings().home}/")


def several() -> bool:
    """Whether Airflow runs tasks on several machines, as far as AIRFLOW__CORE__EXECUTOR says."""
    # Several executors are a list, each with a name before it or a module.
    names = [one.strip().rpartition(":")[2].rpartition(".")[2] for one in settings().executor.split(",")]
    return any(name != _LOCAL_EXECUTOR for name in names)


def require_shared() -> None:
    """Refuse settings that tasks on several machines cannot share.

    Raises:
        SpecInvalidError: names each, and what it is.
    """
    if several() and (found := of_this_machine()):
        raise SpecInvalidError(
            f"Airflow's executor is {settings().executor}, whose tasks run on several machines, and these belong to one: "
            f"{'; '.join(f'{name} is {what}' for name, what in found.items())}.",
            where="the environment",
            allowed="databases on a server; buckets, or folders on a disk that all machines share, by their whole paths",
            todo="set the variables as docs/deploy.md says, or run everything on one machine with the LocalExecutor",
        )


def require_shared_landing(pipeline: spec.Pipeline) -> None:
    """Refuse a landing zone that tasks on several machines cannot share.

    Raises:
        SpecInvalidError: it is a folder of the home.
    """
    if several() and landing_of_this_machine(pipeline):
        raise SpecInvalidError(
            f"The landing zone of {pipeline.pipeline} is {pipeline.landing_url}, a folder of this machine's home, and Airflow's executor "
            f"is {settings().executor}, whose tasks run on several machines.",
            where=f"`landing` in {settings().pipelines / pipeline.pipeline}.yml, or SLUICE_LANDING",
            allowed="s3://bucket/prefix, or the whole path of a folder on a disk that all machines share",
            todo="name such a place, and deliver there",
        )


def sentence() -> str:
    """What belongs to one machine, in a line; "" where nothing does."""
    found = list(of_this_machine())
    found += [f"landing of {one.pipeline}" for one in spec.load_all() if landing_of_this_machine(one)]
    return f"for one machine only: {', '.join(found)}" if found else ""
