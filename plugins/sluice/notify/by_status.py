"""Which faults are over because what they were about is done: asked of the pipeline's status, whoever did it and when.

The rule kept here: it is asked for failures and missing deliveries alone, of which the ledger need have no later entry: all was
published before, or was given up, or the run that would have said so is lost. What is wrong with rows that readers see ends
otherwise; and whatever was wrong with a table ends when the table is declared no more.
"""

from __future__ import annotations

from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.ledger import Entry
from sluice.models import rolled_back, scorer
from sluice.notify import resolution, stuck
from sluice.status import MONITORING, TRAINING, Item, Status, training
from sluice.status.parts import by_table

_FAILURES = ("failed_task", "failed_run", "missing_delivery")
# Ways to end that name tables.
_OF_TABLES = ("published", "staged", "run", "matches")


def has_ended(spec: Pipeline, found: Status, seen: Entry) -> bool:
    """Whether all that an entry of kind `mail` told of is done, was given up, or is declared no more."""
    if _is_undeclared(spec, seen):
        return True
    if seen.record.event == "rolled_back":
        return bool(resolution.occurrence_days(seen)) and not is_still_rolled_back(spec, seen)
    if _is_of_approval(spec, seen):
        return not training.waits_for_a_person(spec)
    items = _items(spec, found, seen)
    if any(item.table == PREDICTIONS and scorer.has_abstained(spec, item.batch_id) for item in items):
        return False
    return all(item.is_done for item in items) if items else seen.record.event == stuck.KIND


def sentences(spec: Pipeline, found: Status, seen: Entry) -> str:
    """What has become of it, a sentence each."""
    if _is_undeclared(spec, seen):
        return f"{', '.join(seen.record.ends_with.names)} is not declared any more."
    if seen.record.event == "rolled_back":
        return "Readers see what the champion of now has made, or the time of these predictions is over."
    if _is_of_approval(spec, seen):
        return "No candidate waits for a person any more."
    return " ".join(item.sentence().rstrip(".") + "." for item in _items(spec, found, seen))


def _is_undeclared(spec: Pipeline, seen: Entry) -> bool:
    end = seen.record.ends_with
    declared = {*spec.tables, MONITORING, TRAINING}
    return bool(end.names) and end.how in _OF_TABLES and declared.isdisjoint(end.names)


def is_still_rolled_back(spec: Pipeline, seen: Entry) -> bool:
    """Whether it tells of a roll-back after which predictions are still to be made again, and in time."""
    days = resolution.occurrence_days(seen) if seen.record.event == "rolled_back" else []
    return spec.has_model and any(rolled_back.is_open(spec, day) for day in days)


def _is_of_approval(spec: Pipeline, seen: Entry) -> bool:
    """Whether it tells of a task, or a run, in which a person was asked: of one that is refused, none of its tasks will succeed."""
    about = (seen.record.dag_id, seen.subject)
    return seen.record.event in _FAILURES and f"{spec.pipeline}_promote" in about


def _items(spec: Pipeline, found: Status, seen: Entry) -> list[Item]:
    """What an entry tells of; nothing, where something else ends it or nothing is due on one of its days."""
    days, end = resolution.occurrence_days(seen), seen.record.ends_with
    if seen.record.event == stuck.KIND:
        return [item for item in found if item.run_day == seen.partition and item.table in end.names]
    if seen.record.event not in _FAILURES:
        return []
    if f"{spec.pipeline}_train" in (seen.record.dag_id, seen.subject):  # of a task's failure, of a run's
        # Of a training that was answered before, and was started again, only its own end is known.
        answered = [day for day in days if training.is_answered(spec, day, after=seen.seq)]
        return [item for day in answered for item in found.of("train").get(day, ())]
    if end.how == "completed":
        items = [item for day in days for item in found.of("ingest").get(day, ())]
        return items if {item.run_day for item in items} == {*days} else []
    tables, known = resolution.tables_of(spec, seen), by_table(found)
    wanted = [(table, day) for table, its_days in tables.items() for day in its_days]
    return [known[part] for part in wanted] if known.keys() >= {*wanted} else []
