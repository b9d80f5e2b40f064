"""How long what is no longer needed is kept: the section `retention` of a pipeline's YAML.

The rule kept here: the days are those of the wall clock since a file was written, also of a replayed pipeline, because
what is lost too early cannot be had again. They are never about what readers see, what a tag pins, or what is held: that
stays whatever its age (`sluice.watch.maintenance`).
"""

from __future__ import annotations

from pydantic import Field, model_validator

from sluice.declare.contracts import Strict


class Retention(Strict):
    """Each is declared; the defaults suit a pipeline of some megabytes a day."""

    # Snapshots of a table, for time travel: those of the last days stay, and as many of the newest, however old. pyiceberg
    # copies all snapshots' metadata some thirty times a commit: one over 365 of them took five times as long as one over 50.
    # So by default none is kept for its age: a replay publishes a year in a day.
    snapshots_days: int = Field(0, ge=0)
    snapshots_count: int = Field(30, ge=1)
    # Staged batches that readers do not see and nobody waits for, since they were last spoken of in the ledger.
    batches_days: int = Field(60, ge=1)
    # Batches that published predictions were made from, since those were staged: until then a day can be measured whose
    # outcomes come late or are corrected, and it can be told from which rows a prediction was made.
    inputs_days: int = Field(365, ge=1)
    # Evidence pages of what is neither there nor held any more, and the reports of monitoring.
    reports_days: int = Field(180, ge=1)
    # Mails that the local sink has caught.
    mails_days: int = Field(90, ge=1)
    # Folders of attempts that failed: their database and logs, for whoever looks into it.
    scratch_days: int = Field(7, ge=1)
    # How long a batch that is given up stays on disk, and how old a file must be that no snapshot refers to: no task
    # that is at work may lose what it is about to publish. Iceberg's own tools wait three days.
    grace_days: int = Field(3, ge=1)

    @model_validator(mode="after")
    def _batches_outlive_the_grace(self) -> Retention:
        if self.batches_days < self.grace_days:
            raise ValueError("batches_days is shorter than grace_days, within which nothing may go")
        return self
