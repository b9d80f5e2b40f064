"""The error tree: what may be retried, what may not, and how an error speaks.

Every error says what went wrong, where, what was allowed and what to do next, and keeps the values as attributes.
`RetryableError` is for causes outside the data that can pass by themselves (a bucket that does not answer);
everything else is final: trying again with the same input gives the same end.
"""

from __future__ import annotations

from typing import Any

from sluice.core.printable import printable, printable_lines


class SluiceError(Exception):
    """Base of every error that Sluice raises.

    Args:
        what: one sentence naming the thing that is wrong and the value found.
        where: file, task, table or key at fault.
        allowed: what would have been accepted.
        todo: the next step for the person who reads it.
    """

    # Page with the evidence, by its name, where one was written.
    report: str = ""

    def __init__(self, what: str, *, where: str = "", allowed: str = "", todo: str = "") -> None:
        # Any of them may quote what a stranger delivered.
        what, where, allowed = printable(what), printable(where), printable(allowed)
        todo = printable_lines(todo)
        self.what, self.where, self.allowed, self.todo = what, where, allowed, todo
        parts = [what]
        if where:
            parts.append(f"Where: {where}.")
        if allowed:
            parts.append(f"Allowed: {allowed}.")
        if todo:
            parts.append(f"Next: {todo}.")
        super().__init__(" ".join(parts))

    def __reduce__(self):
        return _rebuild, (type(self), self.__dict__)


def _rebuild(cls: type[SluiceError], state: dict) -> SluiceError:
    error = cls.__new__(cls)
    SluiceError.__init__(
        error, state["what"], where=state["where"], allowed=state["allowed"], todo=state["todo"]
    )
    error.__dict__.update(state)
    return error


class RetryableError(SluiceError):
    """A cause outside the data that can pass by itself."""


class StorageFullError(RetryableError):
    """There is no space left where something has to be written."""


class SpecInvalidError(SluiceError):
    """A pipeline YAML, suite or setting that cannot be used as written."""


class DayInvalidError(SluiceError):
    """A command, a form or a partition key names a day that does not exist."""


class RunKeyInvalidError(DayInvalidError):
    """A run was started for a day or a range that it cannot work on; nothing is missing because of it."""


class ResultMissingError(SluiceError):
    """A task takes the result of another one that has none, because a person marked that one as successful."""


class RunRefusedError(SluiceError):
    """Airflow does not start a run that somebody asked for on a page."""


class HomeMovedError(SluiceError):
    """A home folder was copied or moved: its files name another place."""


class HomeNewerError(SluiceError):
    """A home folder was made, or migrated, by a newer version of Sluice."""


class SchemaNewerError(SluiceError):
    """A database has a schema that only a newer version of the library knows."""


class AdoptionRefusedError(SluiceError):
    """A home cannot be made independent of the one that it was copied from."""


class BackupFailedError(SluiceError):
    """A backup of the home folder could not be taken."""


class ModelNotDeclaredError(SluiceError):
    """Something about a model was asked of a pipeline that declares none."""


class SampleRefusedError(SluiceError):
    """A sample, or an answer about it, from which no pipeline can be written."""


class SourceUnknownError(SluiceError):
    """A delivery or a command names a source that no pipeline declares."""


class LandingUnreachableError(RetryableError):
    """The landing zone (folder or bucket) cannot be read or written."""


class LakeUnreachableError(RetryableError):
    """The bucket of the warehouse, or of the evidence, cannot be read or written."""


class DatabaseUnavailableError(RetryableError):
    """The database of the catalog or the ledger is locked by somebody else, or does not answer."""


class DeliveryMissingError(RetryableError):
    """Nothing was delivered for a partition that is due."""

    # The run days for which nothing was, where they are known.
    run_days: tuple[str, ...] = ()


class DeliveryUnreadableError(SluiceError):
    """A delivered file is truncated, damaged, empty, or not what its manifest says."""


class LimitExceededError(DeliveryUnreadableError):
    """A delivered file takes more memory, time or room than the limits of its source allow."""


class ReaderDiedError(DeliveryUnreadableError):
    """The process that read a delivered file ended without an answer."""


class ReaderUnavailableError(RetryableError):
    """The process that reads delivered files does not start."""


class ContractBrokenError(SluiceError):
    """A delivered file does not have the declared columns or types."""


class PurposeExpiredError(SluiceError):
    """The purpose that a source may be used for has ended: its deliveries are not read."""


class PseudonymKeyMissingError(SluiceError):
    """There is personal data, and no key, or too short a one, to replace it with pseudonyms."""


class TableMissingError(SluiceError):
    """A table that a step reads does not exist yet."""


class ModelNotRecordedError(SluiceError):
    """The ledger knows no training of a version."""


class PredictionUnknownError(SluiceError):
    """No published prediction has this id or key."""


class BatchUnknownError(SluiceError):
    """No staged batch has this id."""


class BatchDamagedError(SluiceError):
    """A staged batch's file is missing or is not what was staged."""


class RowsLostError(SluiceError):
    """What would be published does not account for every row that was received."""


class BatchSupersededError(SluiceError):
    """A batch was made from inputs that are not the newest, or a newer batch is published; it must not undo that."""

    # Nothing is left to be done: readers see newer rows of each of its days.
    readers_see_newer = False


class PublishConflictError(RetryableError):
    """Another writer published the same partition at the same moment."""


class VerdictMissingError(SluiceError):
    """A batch was about to be published without a verdict that allows it."""


class NotPublishedError(SluiceError):
    """A gate's verdict does not publish. `verdict` is the `sluice.gates.verdict.Verdict`, with the evidence."""

    verdict: Any = None


class BatchHeldError(NotPublishedError):
    """The gate held a batch: nothing was published."""


class GateBrokenError(NotPublishedError):
    """The gate itself broke (no rows, no rules, a missing suite, an exception): nothing was published."""


class ReleaseRefusedError(SluiceError):
    """A release lacks a person, a reason or an end, or there is nothing that may be released."""


class SkipRefusedError(SluiceError):
    """A day was to be given up without a person or a reason, or where all of it is published."""


class WaiverExpiredError(SluiceError):
    """Published rows rest on a waiver that has expired, and must not be learned from."""


class ReplayRefusedError(SluiceError):
    """A replay was asked for where nothing is held, or was replayed already."""


class TransformFailedError(SluiceError):
    """dbt could not build or test the models of a run."""


class HistoryRewrittenError(SluiceError):
    """A published partition was changed without a publication."""


class InputAwaitedError(TableMissingError):
    """A derived table has nothing to be built from yet: its source is held or missing, which is told elsewhere."""


class DayNotExpectedError(InputAwaitedError):
    """A derived table has no such day: its calendar says so, and nothing came for it all the same."""


class LedgerTamperedError(SluiceError):
    """An entry of the ledger does not match its hash, or the chain is broken."""


class LedgerEntryInvalidError(SluiceError):
    """An entry of the ledger, stored or to be recorded, does not fit the model of its kind."""


class ModelDamagedError(SluiceError):
    """A registered model's file does not match the hash recorded when it was trained."""


class PromotionRefusedError(SluiceError):
    """A model's role was to be moved by a decision that has acted already, or was about another champion than there is."""


class MailUndeliveredError(RetryableError):
    """The SMTP server did not take a mail, or the webhook beside it a message."""


class MessageRefusedError(MailUndeliveredError):
    """The webhook answers, and does not take this one message."""


class ScenarioUnknownError(SluiceError):
    """A rehearsal was asked for that does not exist."""


class StackError(SluiceError):
    """The local stack could not be started, reached or stopped."""
