"""Which run did something, as manifests, models and ledger entries record it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, model_serializer

from sluice.core.version import code_version


class Run(BaseModel):
    """The run of a DAG, or a command, that stages, judges, publishes or decides.

    It is stored as the texts of what is known of it: `{"dag_id": "flights_ingest", "run_id": "...", ...}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_id: str
    dag_id: str | None = None
    task_id: str | None = None
    try_number: int | None = None
    # The version of the code.
    code: str | None = None

    @classmethod
    def of_task(cls, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> Run:
        """The run of a task, with the code that runs now."""
        return cls(dag_id=dag_id, run_id=run_id, task_id=task_id, try_number=try_number, code=code_version())

    @model_serializer
    def stored(self) -> dict[str, str]:
        """What is known of it, in the order in which it has always been stored."""
        order = ("dag_id", "run_id", "task_id", "try_number", "code")
        values = ((name, getattr(self, name)) for name in order)
        return {name: str(value) for name, value in values if value is not None}
