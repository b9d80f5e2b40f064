"""Tasks of `<pipeline>_maintain`: thin shells around `sluice.watch.maintenance`."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk import get_current_context, task

from sluice.declare import spec
from sluice.orchestration.callbacks import task_url
from sluice.orchestration.failures import explain_failure
from sluice.orchestration.runs import run_info
from sluice.orchestration.watch import mail_rewritten

log = logging.getLogger(__name__)

# The first run of an old installation has years to clear away.
_LONG = timedelta(hours=1)


def maintain_tasks(pipeline: spec.Pipeline) -> None:
    """The chain first: what must stay is read from the ledger, so nothing is removed by what a broken one says."""
    name = pipeline.pipeline
    chain: Any = _check_ledger.override(task_id="check_ledger")(name)
    tables = _clear_tables.override(task_id="clear_tables", execution_timeout=_LONG)(name)
    # After the tables: a page goes when its batch has gone.
    evidence = _clear_evidence.override(task_id="clear_evidence", execution_timeout=_LONG)(name)
    published = _check_published.override(task_id="check_published", trigger_rule="all_done")(name)
    chain >> tables >> [evidence, published]


@task
@explain_failure
def _check_ledger(pipeline_name: str) -> int:
    """Returns how many entries the ledger has; fails where its chain is broken, with a mail that names the entry."""
    from sluice.watch import maintenance

    entries, head = maintenance.check_chain(spec.load(pipeline_name), run_info(get_current_context()))
    log.info("%s entries, chain intact; the last one's hash is %s", entries, head)
    return entries


@task
@explain_failure
def _clear_tables(pipeline_name: str) -> list[str]:
    """Returns what was cleared away, a line a kind."""
    from sluice.watch import maintenance

    return _logged(maintenance.clear_tables(spec.load(pipeline_name), run_info(get_current_context())))


@task
@explain_failure
def _clear_evidence(pipeline_name: str) -> list[str]:
    """Returns what was cleared away, a line a kind."""
    from sluice.watch import maintenance

    return _logged(maintenance.clear_evidence(spec.load(pipeline_name), run_info(get_current_context())))


@task
@explain_failure
def _check_published(pipeline_name: str) -> int:
    """Returns how many partitions are published; each whose file is gone is told by mail, as the watcher does."""
    from sluice.watch import maintenance

    pipeline, context = spec.load(pipeline_name), get_current_context()
    found = maintenance.check_published(pipeline, run_info(context))
    for rewrite in found.rewritten:
        log.warning("%s", rewrite.sentence())
        mail_rewritten(pipeline, rewrite, task_url(context["ti"]))
    for name in found.several:
        log.warning("%s has files of another writer; the watcher tells of it, and none is touched.", name)
    return found.partitions


def _logged(removals: Any) -> list[str]:
    from sluice.watch import maintenance

    said = list(maintenance.lines(removals)) or ["Nothing had to go."]
    for line in said:
        log.info("%s", line)
    return said
