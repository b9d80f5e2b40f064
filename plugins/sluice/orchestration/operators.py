"""The three tasks of a crossing. Each is a thin shell around a function of `sluice.crossing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperator, BaseOperatorLink

from sluice import crossing
from sluice.core import dag_ids
from sluice.core.links import evidence_url
from sluice.declare import spec
from sluice.ingest import waiting
from sluice.orchestration.callbacks import mail_published, mail_scored
from sluice.orchestration.failures import explain_failure
from sluice.orchestration.runs import (
    result_of,
    run_days,
    run_info,
    skipped_if_superseded,
    skipped_while_awaited,
)
from sluice.orchestration.secrets import pseudonym_key
from sluice.orchestration.triggers import DeliveryTrigger


class EvidenceLink(BaseOperatorLink):
    """Button on an audit task that opens the page of its gate run."""

    name = "Evidence"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        return getattr(operator, "evidence_url", "")


class _CrossingOperator(BaseOperator):
    def __init__(self, *, pipeline: str, table: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.table = table


class StageOperator(_CrossingOperator):
    """Write the run's batch where no reader looks; returns its batch id.

    In a live pipeline it waits for a delivery that is not there yet, in the triggerer, and skips itself where none has come when
    the next day is due: `<pipeline>_reconcile` starts the day again when it is there.
    """

    ui_color = "#e8f0fe"

    @explain_failure
    def execute(self, context: Mapping[str, Any]) -> str:
        pipeline, days = spec.load(self.pipeline), run_days(context)
        if self.table in pipeline.derived and context["dag_run"].run_type != "manual":
            _skip_what_was_given_up(pipeline, self.table, days)
        # A backfill waits for nothing: whoever asked for it is told what is not there.
        waits = dag_ids.parts(context["dag_run"].dag_id)[1] == "ingest"
        if waits and waiting.awaits(pipeline, self.table, days):
            self.defer(
                trigger=DeliveryTrigger(pipeline.pipeline, self.table, days), method_name="execute_complete"
            )
        return self._stage(pipeline, context)

    @explain_failure
    def execute_complete(self, context: Mapping[str, Any], event: Mapping[str, Any]) -> str:
        """Go on after the wait."""
        from airflow.sdk.exceptions import AirflowSkipException

        if not event["delivered"]:
            raise AirflowSkipException(event["said"])
        return self._stage(spec.load(self.pipeline), context)

    def _stage(self, pipeline: spec.Pipeline, context: Mapping[str, Any]) -> str:
        with skipped_while_awaited():
            manifest = crossing.stage(
                pipeline,
                self.table,
                run_days(context),
                run_info(context),
                pseudonym_key=pseudonym_key(pipeline, self.table),
            )
        self.log.info(
            "Staged %s rows of %s received, dropped %s, batch %s",
            manifest.rows,
            manifest.received,
            manifest.dropped or "none",
            manifest.batch_id,
        )
        for note in manifest.noted:
            self.log.warning(note.sentence())
        mail_scored(context, pipeline, manifest)
        return manifest.batch_id


def _skip_what_was_given_up(pipeline: spec.Pipeline, table: str, days: Sequence[str]) -> None:
    """Build nothing that a person gave up; in a run that a person triggered, it is built all the same."""
    from sluice.ledger import skips

    given_up = skips.given_up(pipeline.pipeline)
    if all((table, pipeline.data_day(table, day)) in given_up for day in days):
        from airflow.sdk.exceptions import AirflowSkipException

        raise AirflowSkipException(skips.sentence(given_up[table, pipeline.data_day(table, days[-1])]))


class AuditOperator(_CrossingOperator):
    """Run the gate over the staged batch; returns the id of the batch to publish: this one, or its good rows.

    Fails, without retry, unless the verdict publishes or somebody released the batch.
    """

    ui_color = "#fef7e0"
    template_fields = ("batch_id",)
    operator_extra_links = (EvidenceLink(),)

    def __init__(self, *, batch_id: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batch_id = batch_id

    @explain_failure
    def execute(self, context: Mapping[str, Any]) -> str:
        pipeline = spec.load(self.pipeline)
        batch_id = result_of(f"stage_{self.table}", self.batch_id)
        verdict = crossing.audit(pipeline, self.table, batch_id, run_info(context))
        self.evidence_url = evidence_url(verdict.report)
        crossing.require_publishable(verdict)
        self.log.info("%s Evidence: %s", verdict.sentence, self.evidence_url)
        return verdict.publish_batch_id


class PublishOperator(_CrossingOperator):
    """Make the audited batch visible in one commit; returns the table's snapshot id.

    Skips itself where readers see newer rows already; fails, without retry, where the inputs have changed since the stage.
    """

    ui_color = "#e6f4ea"
    template_fields = ("batch_id",)

    def __init__(self, *, batch_id: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batch_id = batch_id

    @explain_failure
    def execute(self, context: Mapping[str, Any]) -> int:
        pipeline = spec.load(self.pipeline)
        batch_id = result_of(f"audit_{self.table}", self.batch_id)
        with skipped_if_superseded():
            publication = crossing.publish(pipeline, self.table, batch_id, run_info(context))
        self.log.info(
            "Batch %s is published in snapshot %s%s",
            publication.batch_id,
            publication.snapshot_id,
            " (it already was)" if publication.repeated else "",
        )
        mail_published(pipeline, self.table, publication.batch_id)
        return publication.snapshot_id
